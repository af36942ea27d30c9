"""Columns of customers as the models' numbers, whole batches at once, with a reason for each row that has none.

Accepts what a customer's file may hold (`data.validate_record`): numbers for numbers, text or whole numbers for
categories, a missing value where the schema allows one. Other columns are passed over.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Float64

from retentionjax.bundle import Bundle
from retentionjax.company.faults import listing
from retentionjax.decide.batch_encoding import Features
from retentionjax.errors import DataError

LARGEST = float(np.finfo(np.float32).max)
_NUMBER, _MONEY, _ID = "a finite number", "dollars above 0", "an id in every row"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a row: the first of its columns that does not fit."""

    row: int
    """Of the batch, from 0."""
    column: str
    value: str
    wrong: str
    allowed: str

    def __str__(self) -> str:
        """Without the place, which the caller knows."""
        return f"column {self.column!r}: {self.value} {self.wrong}; allowed: {self.allowed}"


@dataclass(frozen=True)
class _Check:
    """Rows of a column that do not fit, and why."""

    bad: Bool[np.ndarray, " rows"]
    wrong: str
    column: str
    allowed: str


class ColumnEncoder:
    """From Arrow columns to `Features`."""

    def __init__(self, bundle: Bundle) -> None:
        schema = bundle.schema
        self._id, self._charge = str(schema.id), str(schema.charge)
        self._numeric, self._categorical, self._nullable = schema.numeric, schema.categorical, set(schema.nullable)
        self.columns = tuple(dict.fromkeys((self._id, *schema.features, self._charge)))
        """Names of the columns that are read."""

    def dictionaries(self, found: pa.Schema) -> list[str]:
        """Columns that are read as dictionaries: categories kept as plain text."""
        return [name for name in self._categorical if name in found.names and _is_text(found.field(name).type)]

    def check(self, found: pa.Schema, where: str) -> None:
        """Raises DataError unless every column is there, with a type that can hold its values."""
        for name in self.columns:
            if name not in found.names:
                raise DataError(f"{where}: the column {name!r} is missing; needed: {', '.join(self.columns)}")
            kind = found.field(name).type
            inner = kind.value_type if pa.types.is_dictionary(kind) else kind
            texts = name == self._id or name in self._categorical
            fits = _is_text(inner) or pa.types.is_integer(inner) if texts else _is_number(inner)
            if not fits and not pa.types.is_null(inner):
                allowed = "text or whole numbers" if texts else "numbers"
                raise DataError(f"{where}, column {name!r}: holds {kind}; allowed: {allowed}")

    def encode(self, batch: pa.RecordBatch) -> tuple[Features, list[Fault]]:
        """The rows that can be read, in their order, and a fault for each that cannot."""
        checks: list[_Check] = []
        ids = self._ids(batch, checks)
        encoded = [self._number(batch, name, checks) for name in self._numeric]
        encoded += [self._codes(batch, name, allowed, checks) for name, allowed in self._categorical.items()]
        charge = _numbers(batch.column(self._charge))
        missing = np.isnan(charge)
        checks.append(_Check(missing, "is missing", self._charge, _MONEY))
        with np.errstate(invalid="ignore"):
            wrong = ~missing & ~((charge > 0) & (charge <= LARGEST))
        checks.append(_Check(wrong, "is out of range", self._charge, _MONEY))
        values = np.column_stack(encoded).astype(np.float32)
        faults = _faults(batch, checks)
        if not faults:
            return Features(tuple(ids.to_pylist()), charge, values), faults
        good = np.ones(len(charge), bool)
        good[[fault.row for fault in faults]] = False
        kept = ids.filter(pa.array(good))
        return Features(tuple(kept.to_pylist()), charge[good], values[good]), faults

    def _ids(self, batch: pa.RecordBatch, checks: list[_Check]) -> pa.Array:
        ids = _texts(batch.column(self._id))
        blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(ids), ""), fill_value=True)
        checks.append(_Check(_flags(blank), "is missing", self._id, _ID))
        return ids

    def _number(self, batch: pa.RecordBatch, name: str, checks: list[_Check]) -> Float64[np.ndarray, " rows"]:
        values = _numbers(batch.column(name))
        missing = np.isnan(values)
        if name not in self._nullable:
            checks.append(_Check(missing, "is missing", name, _NUMBER))
        checks.append(_Check(~missing & ~(np.abs(values) <= LARGEST), "is not finite", name, _NUMBER))
        clipped: Float[np.ndarray, " rows"] = np.clip(values, -LARGEST, LARGEST)  # a fault already, and no warning too
        return clipped

    def _codes(
        self, batch: pa.RecordBatch, name: str, allowed: tuple[str, ...], checks: list[_Check]
    ) -> Float64[np.ndarray, " rows"]:
        """Position in `allowed`, NaN where missing."""
        column = batch.column(name)
        known = pa.array(allowed, pa.string())
        if pa.types.is_dictionary(column.type):
            codes = pc.take(pc.index_in(_texts(column.dictionary), value_set=known), column.indices)
            texts = _texts(column.dictionary)
            missing = pc.fill_null(pc.take(_missing(texts, allowed), column.indices), fill_value=True)
        else:
            texts = _texts(column)
            codes = pc.index_in(texts, value_set=known)
            missing = _missing(texts, allowed)
        gone, unknown = _flags(missing), _flags(pc.is_null(codes))
        if name not in self._nullable:
            checks.append(_Check(gone, "is missing", name, listing(allowed)))
        checks.append(_Check(unknown & ~gone, "is an unknown category", name, listing(allowed)))
        return _numbers(codes)


def _missing(texts: pa.Array, allowed: tuple[str, ...]) -> pa.Array:
    """Null, or, where empty text is no category of its own, empty."""
    nothing = pc.is_null(texts)
    return nothing if "" in allowed else pc.or_(nothing, pc.fill_null(pc.equal(texts, ""), fill_value=True))


def _faults(batch: pa.RecordBatch, checks: list[_Check]) -> list[Fault]:
    """The first failed check of each row, by row."""
    first: dict[int, _Check] = {}
    for check in checks:
        for row in np.flatnonzero(check.bad).tolist():
            first.setdefault(row, check)
    return [
        Fault(row, check.column, _said(batch.column(check.column)[row].as_py()), check.wrong, check.allowed)
        for row, check in sorted(first.items())
    ]


def _said(value: Any) -> str:
    return repr("" if value is None else value)[:60]


def _numbers(column: pa.Array) -> Float64[np.ndarray, " rows"]:
    """As float64, missing as NaN."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _texts(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string())


def _flags(column: pa.Array) -> Bool[np.ndarray, " rows"]:
    return np.asarray(column.to_numpy(zero_copy_only=False), bool)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
