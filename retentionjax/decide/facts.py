"""Customers' facts as numbers: one record, a frame or Arrow columns, by the same rules; what does not fit is named.

Numbers must be numbers and categories text (a whole number is taken as its text); a missing value is allowed where the
schema says so. Facts may also be given by the company's own columns that they are made of, see `own_columns`.

A category has the number of its place in the schema's list; an unseen one is OTHER and no fault.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Float64

from retentionjax.company import CustomersFile
from retentionjax.data.schema import LEAST_CHARGE, MOST_CHARGE, Schema
from retentionjax.data.spelling import composed, composed_names
from retentionjax.decide import own_columns
from retentionjax.decide.as_read import AsRead
from retentionjax.decide.customer import USUAL, no_usual_risk
from retentionjax.errors import DataError
from retentionjax.tabular.encoder import OTHER, CategoryCodes

Row = tuple[str, float, list[float]]
"""(customer, charge, features)."""
_LARGEST = float(np.finfo(np.float32).max)
_JOINED_TODAY = -2.0  # the least tenure in days: clocks on earth are up to 26 hours apart, and days have hours
_BELOW = "is below 0"
_SHOWN = 12  # categories an error lists
MISSING = "is missing"
_CODE = "stands for what is missing"
_ID = "an id"
OTHER_WORD = "other"
"""What a table says in place of an unseen category."""


@dataclass(frozen=True)
class FactFault:
    """What is wrong with one fact."""

    field: str
    value: Any
    """None where the field is missing."""
    wrong: str
    allowed: str

    def __str__(self) -> str:
        """The fault without its place, which the caller knows."""
        return f"field {self.field!r}: {str(self.value)[:60]!r} {self.wrong}; allowed: {self.allowed}"


@dataclass(frozen=True)
class Features:
    """B customers' facts, checked and encoded."""

    customer_id: tuple[str, ...]
    monthly_charge: Float64[np.ndarray, " B"]
    """Money per 30 days."""
    values: Float64[np.ndarray, "B F"]
    """A column for each of the schema's features, in its order; NaN where missing."""
    unseen: Mapping[str, int] = field(default_factory=dict)
    """Categorical column → rows whose category was not there in training; only a table counts them."""
    usual: Float64[np.ndarray, " B"] | None = None
    """The usual churn probability of each, NaN where unknown; None where no column gives it."""


@dataclass(frozen=True)
class _Check:
    """Rows of a column that do not fit, and why."""

    bad: Bool[np.ndarray, " rows"]
    wrong: str
    field: str
    allowed: str = ""
    """Empty: what the schema allows."""


class Facts:
    """Reads the facts that a schema names, given as such or by the columns that a company makes them of."""

    def __init__(self, schema: Schema, customers: CustomersFile | None = None, currency: str = "USD") -> None:
        """`customers`: what the company says of its columns; None where none is made of others, nor read in its way."""
        self.schema = schema
        self._as_read = None if customers is None else AsRead(customers, schema, currency)
        self._read = self._as_read.record if self._as_read and self._as_read.stands_for else lambda record: record
        own = None if customers is None else own_columns.OwnColumns(customers, schema)
        self._own = own if own is not None and own.made else None
        self._id, self._charge, self._width = str(schema.id), str(schema.charge), len(schema.features)
        self.columns = tuple(dict.fromkeys((self._id, *schema.features, self._charge)))
        """Names of the fields that are read."""
        self._tenure = schema.tenure if customers is None else customers.tenure
        dated = customers is not None and self._tenure in customers.dates.values()
        self._least = dict.fromkeys(schema.numeric, -_LARGEST)
        if self._tenure is not None:
            self._least[self._tenure] = _JOINED_TODAY if dated else 0.0
        self._numeric = [(name, name in schema.nullable, self._least[name]) for name in schema.numeric]
        nullable, of = schema.nullable, schema.categorical.items()
        self._codes = [(name, CategoryCodes(allowed, nullable=name in nullable)) for name, allowed in of]
        self._texts = {self._id, *schema.categorical}

    def allowed(self, name: str) -> str:
        """What a field may hold, in words."""
        if name in self.schema.categorical:
            categories = self.schema.categorical[name]
            words = ", ".join(map(repr, categories[:_SHOWN])) + (", …" if len(categories) > _SHOWN else "")
        elif name == self._id:
            words = _ID
        else:
            words = "0 or more: it is the tenure" if name == self._tenure else "a finite number"
            words = f"money, {LEAST_CHARGE:g} to {MOST_CHARGE:,.0f}" if name == self._charge else words
        return words + " or null" * (name in self.schema.nullable)

    # --- records ----------------------------------------------------------------------------------------------

    def records(self, records: Sequence[Mapping[str, object]], *, where: str = "customer") -> Features:
        """Facts as in JSON. Raises DataError naming `where`, field, value and what is allowed."""
        many = len(records) > 1
        return self.stack([self.row(each, f"{where} {place}" if many else where) for place, each in enumerate(records)])

    def row(self, record: Mapping[str, object], where: str = "customer") -> Row:
        """One record, in microseconds where nothing is wrong with it. Raises DataError as `records`."""
        row = self._glance(record)
        if row is None:
            record = self.made(dict(zip(composed_names(record, where), record.values(), strict=True)))
            row = self._glance(record)
        if row is None:
            if faults := self.faults(record):
                raise DataError(self._words(record, faults[0], where))
            texts = {name: own_columns.as_text(record[name]) for name in self._texts}
            row = self._glance({**record, **texts})
        if row is None:
            raise AssertionError("a record without a fault is a row")
        return row

    def made(self, record: Mapping[str, object]) -> Mapping[str, object]:
        """The record with its facts instead of the columns they are made of; as it is where those cannot be read."""
        made, wrong = (record, []) if self._own is None else self._own.record(record, self._read(record))
        return record if wrong else made

    def stack(self, rows: Sequence[Row]) -> Features:
        """Rows as columns."""
        values = np.array([row for _, _, row in rows], np.float64).reshape(len(rows), self._width)
        return Features(tuple([each for each, _, _ in rows]), np.array([each for _, each, _ in rows], float), values)

    def _glance(self, record: Mapping[str, object]) -> Row | None:
        """The record's row if each fact is there, a number or text as it should be, and allowed; otherwise None."""
        record = self._read(record)
        customer, charge = record.get(self._id), record.get(self._charge)
        if type(customer) is not str or not customer or customer.isspace() or len(record) != len(self.columns):
            return None
        if (type(charge) is not float and type(charge) is not int) or not LEAST_CHARGE <= charge <= MOST_CHARGE:
            return None
        row = []
        try:
            for name, nullable, least in self._numeric:
                value = record[name]
                if type(value) is float or type(value) is int:
                    if not least <= value <= _LARGEST:  # NaN too
                        return None
                    row.append(float(value))
                elif value is None and nullable:
                    row.append(math.nan)
                else:
                    return None
            return customer, float(charge), row + [codes[record[name]] for name, codes in self._codes]
        except (KeyError, TypeError):  # not there, not allowed, or a list
            return None

    def faults(self, record: Mapping[str, object]) -> list[FactFault]:
        """Every fact at fault, by itself."""
        given, found = record, list[FactFault]()
        if self._own is not None:
            record, unread = self._own.record(given, self._read(given))
            found = [FactFault(name, given[name], *words) for name, *words in unread]
        found += [FactFault(n, record[n], "is unknown", self._needed) for n in record if n not in self.columns]
        read = self._read(record)
        for name in self.columns:
            if name not in record and self._own is not None and self._own.can_make(name, given):
                continue  # what it is made of is at fault, and named
            if name not in record:
                found.append(FactFault(name, None, MISSING, self.allowed(name)))
            elif why := self._wrong(name, read[name]):
                why = why if read[name] is not None or record[name] is None else _CODE
                found.append(FactFault(name, record[name], why, self.allowed(name)))
        return found

    def _wrong(self, name: str, value: object) -> str:
        """What is wrong with a value; empty if nothing is."""
        if value is None:
            return "" if name in self.schema.nullable else "may not be null"
        if name in self._texts:
            return self._wrong_text(name, own_columns.as_text(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "is not a number"
        if not -_LARGEST <= value <= _LARGEST:
            return "is not finite, or too large"
        if value < self._least.get(name, -_LARGEST):
            return _BELOW
        return "" if name != self._charge or LEAST_CHARGE <= value <= MOST_CHARGE else "is out of range"

    def _wrong_text(self, name: str, value: object) -> str:
        if name == self._id:
            return "" if isinstance(value, str) and value.strip() else "is no id"
        if not isinstance(value, str):
            return "is not text"
        empty = value == "" and "" not in self.schema.categorical[name] and name not in self.schema.nullable
        return MISSING if empty else ""

    def _words(self, record: Mapping[str, object], fault: FactFault, where: str) -> str:
        if fault.field not in record:
            return f"{where}: the field {fault.field!r} is missing; needed: {self._needed}"
        if fault.wrong == "is unknown":
            return f"{where}: unknown field {fault.field!r}; allowed: {fault.allowed}"
        value = repr(fault.value)
        shown = value if len(value) <= 60 else f"{value[:60]}…"
        return f"{where}, field {fault.field!r}: {shown} {fault.wrong}; allowed: {fault.allowed}"

    # --- columns ----------------------------------------------------------------------------------------------

    def frame(self, frame: pd.DataFrame, *, where: str = "row") -> Features:
        """A table of customers, other columns passed over and rows without ids called by their numbers.

        Raises DataError naming row, field and value, or that there is no row.
        """
        if not isinstance(frame, pd.DataFrame):
            raise DataError(f"the table of customers is of type {type(frame).__name__}; allowed: a DataFrame")
        if frame.empty:
            raise DataError("the table of customers is empty; at least one row is needed")
        names: list[Any] = list(frame.columns)
        composed_names((name for name in names if isinstance(name, str)), f"{where}s")
        frame = frame.rename(columns={name: composed(name) for name in names if isinstance(name, str)})
        if self.lacks_ids(frame.columns):
            frame = frame.assign(**{self._id: np.arange(len(frame))})
        kept = frame[self.read(list(frame.columns))]
        # As a table first: text of two frames put together comes in chunks, which a batch cannot be made of.
        batch = pa.Table.from_pandas(kept, preserve_index=False).combine_chunks().to_batches()[0]
        self.check(batch.schema, where)
        features, faults = self.table(batch)
        for row, fault in faults:
            raise DataError(f"{where} {row}, {fault}")
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

    @property
    def _needed(self) -> str:
        return ", ".join(self.columns) if self._own is None else self._own.words(self.columns)

    def dictionaries(self, found: pa.Schema) -> list[str]:
        """Columns that are read as dictionaries: categories kept as plain text."""
        texts = {each.name for each in found if own_columns.is_text(each.type)}
        return [name for name in self.schema.categorical if name in texts]

    def table(self, batch: pa.RecordBatch, *, usual: str = "") -> tuple[Features, list[tuple[int, FactFault]]]:
        """The rows that can be read, in their order, and the first fault of each that cannot, with its row from 0.

        `usual` names the column of usual churn probabilities, if there is one.
        """
        checks: list[_Check] = []
        risk = own_columns.numbers(batch.column(usual)) if usual else None
        if risk is not None:
            checks.append(_Check(no_usual_risk(risk), "is out of range", usual, f"{USUAL}, or null"))
        given = batch
        if self._as_read is not None:
            batch, unreadable = self._as_read.batch(batch)
            checks += [_Check(each.rows, each.wrong, each.column, each.allowed) for each in unreadable]
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
        checks.append(_Check(~missing & ~(np.abs(values) <= _LARGEST), "is not finite, or too large", name))
        checks.append(_Check(values < self._least[name], _BELOW, name))
        clipped: Float[np.ndarray, " rows"] = np.clip(values, -_LARGEST, _LARGEST)  # a fault already, no warning too
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
