"""A customer's facts as numbers, from a record as JSON has them; what does not fit is named.

Numbers must be numbers and categories text (a whole number is taken as its text); a missing value is allowed where the
schema says so. Facts may also be given by the company's own columns that they are made of, see `own_columns`.

A category has the number of its place in the schema's list; an unseen one is OTHER and no fault.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from retentionjax.company import CustomersFile
from retentionjax.data.schema import LEAST_CHARGE, MOST_CHARGE, Schema
from retentionjax.data.spelling import composed_names
from retentionjax.decide import own_columns
from retentionjax.decide.as_read import AsRead
from retentionjax.errors import DataError
from retentionjax.tabular.encoder import CategoryCodes

Row = tuple[str, float, list[float]]
"""(customer, charge, features)."""
LARGEST = float(np.finfo(np.float32).max)
_JOINED_TODAY = -2.0  # the least tenure in days: clocks on earth are up to 26 hours apart, and days have hours
_SHOWN = 12  # categories an error lists
MISSING = "is missing"
BELOW = "is below 0"
_CODE = "stands for what is missing"
_ID = "an id"


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


class RecordFacts:
    """Reads records of the facts that a schema names, given as such or by the columns a company makes them of."""

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
        self._least = dict.fromkeys(schema.numeric, -LARGEST)
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

    @property
    def _needed(self) -> str:
        return ", ".join(self.columns) if self._own is None else self._own.words(self.columns)

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
                    if not least <= value <= LARGEST:  # NaN too
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
        if not -LARGEST <= value <= LARGEST:
            return "is not finite, or too large"
        if value < self._least.get(name, -LARGEST):
            return BELOW
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
