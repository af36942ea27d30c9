"""What the stages that train and use the language model share: the customers messages are about, and the sender."""

from collections.abc import Mapping

import pandas as pd
from etils import epath

from retentionjax.data import Table, catalog
from retentionjax.data.splits import NAMES as SPLITS

CUSTOMERS = "customers"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What a demo adapts: every projection of the upper layers."""


def customers(inputs: Mapping[str, epath.Path]) -> Table:
    """All customers of the stage `data`, rows in their first order, so that their splits are the same again."""
    prepared = catalog.read(inputs["data"] / "artifacts", CUSTOMERS)
    parts = [getattr(prepared, split) for split in SPLITS]
    frame = pd.concat([part.frame for part in parts]).sort_index()
    return Table(CUSTOMERS, frame, parts[0].schema, parts[0].provenance)
