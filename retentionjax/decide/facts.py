"""Customers' facts as numbers: one record, a frame or Arrow columns, by the same rules (see `record_facts`)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Float64

from retentionjax.bundle import Bundle
from retentionjax.data.schema import LEAST_CHARGE, MOST_CHARGE, Schema
from retentionjax.data.spelling import composed, composed_names
from retentionjax.decide import own_columns
from retentionjax.decide.customer import USUAL, no_usual_risk
from retentionjax.decide.record_facts import BELOW, LARGEST, MISSING, FactFault, Features, RecordFacts
from retentionjax.errors import DataError
from retentionjax.tabular.encoder import OTHER

OTHER_WORD = "other"
"""What a table says in place of an unseen category."""


@dataclass(frozen=True)
class _Check:
    """Rows of a column that do not fit, and why."""

    bad: Bool[np.ndarray, " rows"]
    wrong: str
    field: str
    allowed: str = ""
    """Empty: what the schema allows."""


class Facts(RecordFacts):
    """Reads the facts that a schema names, from records and tables."""

    @classmethod
    def of(cls, bundle: Bundle) -> "Facts":
        """The reader of a bundle's customers, made once for each bundle."""
        reader = _READERS.get(bundle)
        if reader is None:
            reader = _READERS[bundle] = cls(bundle.schema, bundle.company.customers, bundle.company.currency)
        return reader

    def frame(self, frame: pd.DataFrame) -> Features:
        """A table of customers, other columns passed over and rows without ids called by their numbers.

        Raises DataError naming row, field and value, or that there is no row.
        """
        if not isinstance(frame, pd.DataFrame):
            raise DataError(f"the table of customers is of type {type(frame).__name__}; allowed: a DataFrame")
        if frame.empty:
            raise DataError("the table of customers is empty; at least one row is needed")
        names: list[Any] = list(frame.columns)
        composed_names((name for name in names if isinstance(name, str)), "rows")
        frame = frame.rename(columns={name: composed(name) for name in names if isinstance(name, str)})
        if self.lacks_ids(frame.columns):
            frame = frame.assign(**{self._id: np.arange(len(frame))})
        kept = frame[self.read(list(frame.columns))]
        # As a table first: text of two frames put together comes in chunks, which a batch cannot be made of.
        batch = pa.Table.from_pandas(kept, preserve_index=False).combine_chunks().to_batches()[0]
        self.check(batch.schema, "row")
        features, faults = self.table(batch)
        for row, fault in faults:
            raise DataError(f"row {row}, {fault}")
        return features

    def check(self, found: pa.Schema, where: str) -> None:
        """Raises DataError unless every column is there, or can be made, with a type that can hold its values."""
        for name in self.columns:
            if name not in found.names:
                self._check_made(name, found, where)
                continue
            kind = found.field(name).type
            inner = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not self._fits(name, inner) and not pa.types.is_null(inner):
                texts = name == self._id or name in self.schema.categorical
                allowed = "text or whole numbers" if texts else "numbers"
                raise DataError(f"{where}, column {name!r}: holds {kind}; allowed: {allowed}")

    def _fits(self, name: str, kind: pa.DataType) -> bool:
        """Whether training reads such a column so, too: true and false, and whole numbers with gaps, are categories."""
        if name not in self._texts:
            read = self._as_read is not None and own_columns.is_text(kind)
            return own_columns.is_number(kind) or read or (name != self._charge and bool(pa.types.is_boolean(kind)))
        if own_columns.is_text(kind) or pa.types.is_integer(kind):
            return True
        known = self.schema.categorical.get(name, ())
        if pa.types.is_boolean(kind):
            return not {"0", "1"}.isdisjoint(known)
        return bool(pa.types.is_floating(kind)) and any(each.isdigit() for each in known)

    @property
    def made_of(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that may be given by the columns they are made of, and these columns."""
        return {} if self._own is None else self._own.made

    def _check_made(self, name: str, found: pa.Schema, where: str) -> None:
        if self._own is None or not self._own.can_make(name, found.names):
            raise DataError(f"{where}: the column {name!r} is missing; needed: {self._needed}")
        for column in self._own.used(found.names):
            kind = found.field(column).type
            if allowed := self._own.fits(column, kind):
                raise DataError(f"{where}, column {column!r}: holds {kind}; allowed: {allowed}")

    def lacks_ids(self, found: Collection[str]) -> bool:
        """Whether a table with these columns says of no row who it is, so that rows are called by their numbers."""
        return self._id not in found and not (self._own is not None and self._own.can_make(self._id, found))

    def read(self, found: Sequence[str]) -> list[str]:
        """Those of the columns `found` in a table that are to be read."""
        made = [] if self._own is None else self._own.used(found)
        return [name for name in dict.fromkeys((*self.columns, *made)) if name in found]

    def dictionaries(self, found: pa.Schema) -> list[str]:
        """Columns that are read as dictionaries: categories kept as plain text."""
        texts = {each.name for each in found if own_columns.is_text(each.type)}
        return [name for name in self.schema.categorical if name in texts]

    def table(self, batch: pa.RecordBatch, *, usual: str = "") -> tuple[Features, list[tuple[int, FactFault]]]:
        """The rows that can be read, in their order, and the first fault of each that cannot, with its row from 0.

        `usual` names the column of usual churn probabilities, if there is one.
        """
        checks: list[_Check] = []
        given = batch
        if self._as_read is not None:
            batch, unreadable = self._as_read.batch(batch, usual)
            checks += [_Check(each.rows, each.wrong, each.column, each.allowed) for each in unreadable]
        risk = own_columns.numbers(batch.column(usual)) if usual else None
        if risk is not None:
            checks.append(_Check(no_usual_risk(risk), "is out of range", usual, f"{USUAL}, or null"))
        if self._own is not None:
            batch, unreadable = self._own.batch(batch)
            checks += [_Check(each.rows, each.wrong, each.column, each.allowed) for each in unreadable]
        ids = own_columns.texts_of(batch.column(self._id))
        blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(ids), ""), fill_value=True)
        checks.append(_Check(own_columns.flags_of(blank), MISSING, self._id))
        encoded = [self._number(batch, name, checks) for name in self.schema.numeric]
        unseen: dict[str, np.ndarray] = {}
        encoded += [self._category(batch, name, checks, unseen) for name in self.schema.categorical]
        charge = own_columns.numbers(batch.column(self._charge))
        missing = np.isnan(charge)
        checks.append(_Check(missing, MISSING, self._charge))
        with np.errstate(invalid="ignore"):
            wrong = ~missing & ~((charge >= LEAST_CHARGE) & (charge <= MOST_CHARGE))
        checks.append(_Check(wrong, "is out of range", self._charge))
        values = np.column_stack(encoded)
        faults = self._first_faults(given, batch, checks)
        good = np.ones(len(charge), bool)
        good[[row for row, _ in faults]] = False
        if faults:
            ids, charge, values = ids.filter(pa.array(good)), charge[good], values[good]
            risk = None if risk is None else risk[good]
        counts = {name: count for name, rows in unseen.items() if (count := int((rows & good).sum()))}
        return Features(tuple(ids.to_pylist()), charge, values, counts, risk), faults

    def _number(self, batch: pa.RecordBatch, name: str, checks: list[_Check]) -> Float64[np.ndarray, " rows"]:
        values = own_columns.numbers(batch.column(name))
        missing = np.isnan(values)
        if name not in self.schema.nullable:
            checks.append(_Check(missing, MISSING, name))
        checks.append(_Check(~missing & ~(np.abs(values) <= LARGEST), "is not finite, or too large", name))
        checks.append(_Check(values < self._least[name], BELOW, name))
        clipped: Float[np.ndarray, " rows"] = np.clip(values, -LARGEST, LARGEST)  # a fault already, no warning too
        return clipped

    def _category(
        self, batch: pa.RecordBatch, name: str, checks: list[_Check], unseen: dict[str, np.ndarray]
    ) -> Float64[np.ndarray, " rows"]:
        """Place in the schema's list, NaN where missing, OTHER where unseen; rows of those are put into `unseen`."""
        column, allowed = batch.column(name), self.schema.categorical[name]
        known = pa.array(allowed, pa.string())
        if pa.types.is_dictionary(column.type):
            texts = own_columns.texts_of(column.dictionary)
            codes = pc.take(own_columns.places_of(texts, known), column.indices)
            missing = pc.fill_null(pc.take(own_columns.missing_texts(texts, allowed), column.indices), fill_value=True)
        else:
            texts = own_columns.texts_of(column)
            codes, missing = own_columns.places_of(texts, known), own_columns.missing_texts(texts, allowed)
        if name not in self.schema.nullable:
            checks.append(_Check(own_columns.flags_of(missing), MISSING, name))
        other = own_columns.flags_of(pc.is_null(codes))
        unseen[name] = other & ~own_columns.flags_of(missing)
        return np.where(other, OTHER, own_columns.numbers(codes))

    def _first_faults(
        self, given: pa.RecordBatch, made: pa.RecordBatch, checks: list[_Check]
    ) -> list[tuple[int, FactFault]]:
        first: dict[int, _Check] = {}
        for check in checks:
            for row in np.flatnonzero(check.bad).tolist():
                first.setdefault(row, check)

        def fault(row: int, of: _Check) -> FactFault:
            said = own_columns.said_of(given if of.field in given.schema.names else made, of.field, row)
            return FactFault(of.field, said, of.wrong, of.allowed or self.allowed(of.field))

        return [(row, fault(row, check)) for row, check in sorted(first.items())]


_READERS: WeakKeyDictionary[Bundle, Facts] = WeakKeyDictionary()


def as_frame(schema: Schema, features: Features) -> pd.DataFrame:
    """Checked facts again as a table: the id, the charge and the features, categories as text."""
    columns: dict[str, object] = {
        str(schema.id): list(features.customer_id),
        str(schema.charge): features.monthly_charge,
    }
    for name, values in zip(schema.features, features.values.T, strict=True):
        if name in schema.categorical:
            allowed = schema.categorical[name]
            unseen = None if name in schema.nullable else OTHER_WORD if OTHER_WORD not in allowed else f"({OTHER_WORD})"
            places = np.where(np.isnan(values), len(allowed), values).astype(int)
            columns[name] = np.array([*allowed, unseen], object)[places]
        else:
            columns[name] = values
    return pd.DataFrame(columns)
