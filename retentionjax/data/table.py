"""A table whose every value has been checked against its schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retentionjax.data.schema import Provenance, Schema


@dataclass(frozen=True)
class Table:
    """`frame` holds `schema.columns`, one customer (or contact) a row, in the order of the file.

    Types: id text; numeric, charge and measures float64, missing as NaN; categorical and treatment a pandas
    Categorical over the allowed values in the schema's order, missing as NaN; label and outcome int8 0 or 1; time
    datetime64.
    """

    name: str
    frame: pd.DataFrame
    schema: Schema
    provenance: Provenance

    def rows(self, positions: np.ndarray) -> pd.DataFrame:
        """The rows at `positions`; the index keeps each row's position in the whole table."""
        return self.frame.iloc[positions]


def typed(schema: Schema, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Checked columns as the frame of a Table; columns that `schema` names and `columns` lacks stay out."""
    flags = {schema.label, schema.outcome}
    numbers = {*schema.numeric, schema.charge, *schema.measures}
    frame: dict[str, object] = {}
    for name in schema.columns:
        if name not in columns:
            continue
        values = columns[name]
        if name in flags:
            frame[name] = np.asarray(values, dtype=np.int8)
        elif name in numbers:
            frame[name] = np.asarray(values, dtype=np.float64)
        elif name == schema.id:
            frame[name] = values if isinstance(values, pd.Series) else pd.Series(list(values), dtype="str")
        elif name == schema.time or isinstance(values, pd.Categorical):
            frame[name] = values
        else:
            allowed = schema.arms if name == schema.treatment else schema.categorical[name]
            frame[name] = pd.Categorical(list(values), categories=list(allowed))
    return pd.DataFrame(frame, copy=False).rename_axis("row")  # not copied: a million customers are many
