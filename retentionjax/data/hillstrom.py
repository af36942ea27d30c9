"""Hillstrom's e-mail experiment: 64,000 customers, each sent one of two e-mails or none, by lot (1/3 each).

A real randomised trial, so differences between arms are effects. It has no ids, and 6,562 rows repeat another one,
which is to be expected of so few facts about so many people: they stay.
"""

import pandas as pd

from retentionjax.data.reading import read_csv
from retentionjax.data.schema import Schema
from retentionjax.data.validation import validate

PROPENSITY = 1 / 3
"""Of each arm, for every customer, by the design of the experiment."""

SCHEMA = Schema(
    name="hillstrom",
    label="visit",
    numeric=("recency", "history"),
    categorical={
        "history_segment": (
            *("1) $0 - $100", "2) $100 - $200", "3) $200 - $350", "4) $350 - $500", "5) $500 - $750"),
            *("6) $750 - $1,000", "7) $1,000 +"),
        ),
        "mens": ("0", "1"),
        "womens": ("0", "1"),
        "zip_code": ("Rural", "Surburban", "Urban"),  # the file's own spelling
        "newbie": ("0", "1"),
        "channel": ("Multichannel", "Phone", "Web"),
    },
    treatment="segment",
    arms=("No E-Mail", "Mens E-Mail", "Womens E-Mail"),
    outcome="visit",
    measures=("conversion", "spend"),
)


def read(data: bytes, where: str) -> pd.DataFrame:
    """The official CSV as the frame of a Table. Raises DataError for anything that does not fit SCHEMA."""
    return validate(read_csv(data, where), SCHEMA)
