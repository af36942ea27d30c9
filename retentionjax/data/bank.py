"""UCI Bank Marketing: 41,188 phone calls of a Portuguese bank, 2008 to 2010, in the order they were made.

`duration` is dropped while reading: it is known only after the call (schema.LEAKS refuses it everywhere). `pdays`
999 means the client was never contacted before and becomes a missing value. Twelve rows of the file repeat
another one (1,784 without `duration`); the table has no ids, so they may well be other clients with the same facts:
they stay, are counted in the catalog, and the splits keep rows with equal features together. The set has
one product and no discounts: there is no offer column, and none is made up.
"""

import numpy as np
import pandas as pd

from retentionjax.data.reading import read_csv
from retentionjax.data.schema import LEAKS, Schema
from retentionjax.data.validation import validate

NEVER_CONTACTED = 999
"""The `pdays` of a client whom no earlier campaign contacted."""

_YES_NO_UNKNOWN = ("no", "yes", "unknown")

SCHEMA = Schema(
    name="bank",
    label="y",
    positive="yes",
    negative="no",
    numeric=(
        "age",
        "campaign",
        "pdays",
        "previous",
        "emp.var.rate",
        "cons.price.idx",
        "cons.conf.idx",
        "euribor3m",
        "nr.employed",
    ),
    categorical={
        "job": (
            *("admin.", "blue-collar", "entrepreneur", "housemaid", "management", "retired", "self-employed"),
            *("services", "student", "technician", "unemployed", "unknown"),
        ),
        "marital": ("divorced", "married", "single", "unknown"),
        "education": (
            *("illiterate", "basic.4y", "basic.6y", "basic.9y", "high.school", "professional.course"),
            *("university.degree", "unknown"),
        ),
        "default": _YES_NO_UNKNOWN,
        "housing": _YES_NO_UNKNOWN,
        "loan": _YES_NO_UNKNOWN,
        "contact": ("cellular", "telephone"),
        "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        "day_of_week": ("mon", "tue", "wed", "thu", "fri"),
        "poutcome": ("nonexistent", "failure", "success"),
    },
    nullable=("pdays",),
)


def read(data: bytes, where: str) -> pd.DataFrame:
    """The official CSV, `;`-separated, as the frame of a Table, in the order of the file, which is that of time.

    Raises DataError for anything that does not fit SCHEMA.
    """
    raw = read_csv(data, where, separator=";")
    frame = validate(raw, SCHEMA, ignore=tuple(LEAKS["bank"]))
    frame["pdays"] = frame["pdays"].where(frame["pdays"] != NEVER_CONTACTED, np.nan)
    return frame
