"""What the columns of a table mean, where its rows came from, and the table whose every value was checked by it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from retentionjax.checked import CompanyError
from retentionjax.company.offers import MOST_MONEY
from retentionjax.company.structure import structure, unstructure
from retentionjax.errors import DataError

LEAST_CHARGE, MOST_CHARGE = 1e-6, MOST_MONEY
"""Bounds of a charge of 30 days, of which the policy sees the logarithm as float32."""
NOT_KNOWN = "not known"
"""What people read in place of a value that is missing."""

# Columns that are known only when the answer is: a model that sees them is worthless, however good it looks.
LEAKS: Mapping[str, Mapping[str, str]] = {
    "bank": {"duration": "the length of the call is known only after the call, and with it the answer"},
}


@dataclass(frozen=True)
class Provenance:
    """Origin of a table; every output made from it repeats `kind`."""

    kind: Literal["real", "synthetic"]
    source: str
    """The official URL of a public set, the path of a user's own file, or the generator and its seed."""
    sha256: str
    """SHA-256 of the table's bytes, unpacked; of the fitted figures for a synthetic table."""
    licence: str
    rows: int


@dataclass(frozen=True)
class Schema:
    """Columns by role; the features are `numeric` and `categorical`, everything else is never one."""

    name: str
    id: str | None = None
    """Column that names the customer, unique; None where the set has no ids."""
    label: str | None = None
    """Column to be predicted; `positive` and `negative` are the two values it may hold."""
    positive: str = "1"
    negative: str = "0"
    charge: str | None = None
    """Column of dollars per 30 days, above 0; may be a feature too."""
    tenure: str | None = None
    """Numeric feature that tells how long the customer has been one; splits are stratified by it."""
    numeric: tuple[str, ...] = ()
    categorical: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column to its allowed categories."""
    nullable: tuple[str, ...] = ()
    """Features whose value may be missing (an empty cell, JSON null)."""
    treatment: str | None = None
    """Column that tells what was done to the customer: one of `arms`, the first of which is nothing."""
    arms: tuple[str, ...] = ("0", "1")
    outcome: str | None = None
    """Column of 0 or 1: whether the customer responded to the treatment."""
    measures: tuple[str, ...] = ()
    """Numbers observed after the treatment besides the outcome (spend, conversions): never features."""
    time: str | None = None
    """Column of the date that a row speaks of: never a feature."""

    def __post_init__(self) -> None:
        _check_roles(self)
        _check_values(self)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns a model may see, numeric first."""
        return (*self.numeric, *self.categorical)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column the schema names, once each."""
        named = (self.id, *self.features, self.charge, self.label, self.treatment, self.outcome)
        return tuple(dict.fromkeys(name for name in (*named, *self.measures, self.time) if name is not None))

    def to_dict(self) -> dict[str, Any]:
        """The schema as JSON can hold it."""
        plain: dict[str, Any] = unstructure(self)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], *, where: str = "schema") -> "Schema":
        """The schema that `to_dict` wrote. Raises DataError naming `where` and every key that does not fit."""
        try:
            return structure(plain, cls, where=where)
        except CompanyError as error:
            raise DataError(str(error)) from None


def _check_roles(schema: Schema) -> None:
    """Each column has one role, the charge excepted, which may be a feature as well."""
    _once(schema.features, f"schema {schema.name!r}: column {{}} is named twice among the features")
    after = {
        "id": schema.id,
        "label": schema.label,
        "treatment": schema.treatment,
        "outcome": schema.outcome,
        "time": schema.time,
    }
    for role, column in (*after.items(), *(("measures", name) for name in schema.measures)):
        if column is not None and column in (*schema.features, schema.charge):
            raise DataError(f"schema {schema.name!r}: column {column!r} is named twice: as {role} and as a fact")
    # An experiment's label may be its outcome; no other two roles share a column.
    once = [column for role, column in after.items() if column is not None and role != "outcome"]
    if schema.outcome is not None and schema.outcome != schema.label:
        once.append(schema.outcome)
    _once((*once, *schema.measures), f"schema {schema.name!r}: column {{}} is named twice, in two roles")
    for column, reason in LEAKS.get(schema.name, {}).items():
        if column in schema.columns:
            raise DataError(f"schema {schema.name!r}: column {column!r} can never be used: {reason}")


def _check_values(schema: Schema) -> None:
    place = f"schema {schema.name!r}"
    if not schema.name or any(not column for column in schema.columns):
        raise DataError(f"{place}: a name is empty")
    for column, allowed in schema.categorical.items():
        if not allowed:
            raise DataError(f"{place}: column {column!r} has no allowed categories")
        _once(allowed, f"{place}: column {column!r} names the category {{}} twice")
    if stray := [column for column in schema.nullable if column not in schema.features or column == schema.charge]:
        raise DataError(f"{place}: {stray[0]!r} cannot be nullable; allowed: features other than the charge")
    if schema.tenure is not None and schema.tenure not in schema.numeric:
        raise DataError(f"{place}: the tenure {schema.tenure!r} must be one of the numeric columns")
    if schema.positive == schema.negative:
        raise DataError(f"{place}: the label's positive and negative values are both {schema.positive!r}")
    if schema.treatment is not None and len(schema.arms) < 2:
        raise DataError(f"{place}: a treatment needs two arms or more, the first of which is no treatment")
    _once(schema.arms, f"{place}: the arm {{}} is named twice")


def _once(names: tuple[str, ...], message: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(message.format(repr(name)))
        seen.add(name)


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


def counted(rows: int, customers: int) -> str:
    """How many customers there are, and how many rows where they have several, one a snapshot."""
    return f"{customers:,} customers" if customers == rows else f"{rows:,} rows of {customers:,} customers"
