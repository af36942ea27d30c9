"""Facts that are made of a company's own columns, as its company.yaml says: the charge, the id, days since dates.

A customer may be given by them or by what they become: `{"Total day charge": 45.07, …}` or `{"charge": 75.56}`,
`{"since": "2024-05-01"}` or `{"tenure_days": 577}`. Dates are counted to the day that the facts speak of: the column
of snapshots, or a field `snapshot` where the company has none; today where neither is given.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64

from retentionjax.company import CustomersFile
from retentionjax.company.customers import DAYS
from retentionjax.data import moments
from retentionjax.data.reading import cell_text
from retentionjax.data.schema import Schema

SNAPSHOT = "snapshot"
DATE = "a date such as 2026-06-01"
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Unreadable:
    """Cells of an own column that cannot be read, and why."""

    column: str
    rows: Bool[np.ndarray, " rows"]
    wrong: str
    allowed: str


def today() -> dt.date:
    """The day in UTC."""
    return dt.datetime.now(dt.UTC).date()


class OwnColumns:
    """Makes the facts of a schema that a company's columns do not hold as they are."""

    def __init__(self, customers: CustomersFile, schema: Schema, now: Callable[[], dt.date] = today) -> None:
        self._customers, self._charge, self._now = customers, str(schema.charge), now
        self.made: dict[str, tuple[str, ...]] = {}
        """Fact → columns that it is made of; none where it is the same for all."""
        if customers.id not in (None, schema.id):
            self.made[str(schema.id)] = (str(customers.id),)
        self._id = str(schema.id)
        if customers.charge.column != self._charge:
            self.made[self._charge] = customers.charge.columns
        self._dates = {feature: column for column, feature in customers.dates.items() if feature in schema.features}
        self.made |= {feature: (column,) for feature, column in self._dates.items()}
        self.nullable = frozenset({self._dates[name] for name in schema.nullable if name in self._dates})
        self.snapshot = customers.snapshot if isinstance(customers.snapshot, str) else SNAPSHOT

    def used(self, found: Collection[str]) -> list[str]:
        """Columns among `found` that facts which are not among them are made of."""
        needed = [
            column
            for fact, columns in self.made.items()
            if fact not in found and self.can_make(fact, found)
            for column in (*columns, *([self.snapshot] if fact in self._dates else []))
        ]
        return [column for column in dict.fromkeys(needed) if column in found]

    def can_make(self, fact: str, found: Collection[str]) -> bool:
        """Whether the columns of a fact are all among `found`."""
        return fact in self.made and all(column in found for column in self.made[fact])

    def words(self, columns: Sequence[str]) -> str:
        """Names of facts, those that are made with what they are made of."""
        return ", ".join(
            f"{name} (or {' + '.join(self.made[name])})" if self.made.get(name) else name for name in columns
        )

    # --- one record -------------------------------------------------------------------------------------------

    def record(
        self, given: Mapping[str, object], read: Mapping[str, object] | None = None
    ) -> tuple[Mapping[str, object], list[tuple[str, str, str]]]:
        """The record with the facts that can be made instead of what they are made of, itself where that is none; and
        for each field that cannot be read its name, what is wrong and what is allowed. `read`: what the fields of the
        record stand for, where they are codes or aliases."""
        read = given if read is None else read
        facts = [name for name in self.made if name not in given and self.can_make(name, given)]
        if not facts:
            return given, []
        used = set(self.used(given))
        wrong = [(name, *why) for name in given if name in used and (why := self._wrong(name, read[name]))]
        bad = {name for name, _, _ in wrong}
        made = {name: value for name, value in given.items() if name not in used or name in self._customers.features}
        for fact in facts:
            if not bad & {*self.made[fact], self.snapshot}:
                made[fact] = self._value(fact, [read[column] for column in self.made[fact]], read.get(self.snapshot))
        return made, wrong

    def _wrong(self, name: str, value: object) -> tuple[str, str] | None:
        if name == self._customers.id:
            return None  # the id's own check
        if name == self.snapshot or name in self._customers.dates:
            missing = value is None and name in self.nullable
            return None if missing or _date(value) is not None else ("is no date", DATE)
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < np.inf
        return None if number else ("is missing" if value is None else "is not a number", "a finite number")

    def _value(self, fact: str, values: list[Any], snapshot: object) -> object:
        if fact == self._id:
            return values[0]
        if fact == self._charge:
            return self._per_30_days(float(sum(values)))
        if values[0] is None:
            return None
        until = self._now() if snapshot is None else snapshot
        return float((_date(until) - _date(values[0])) / _DAY)  # type: ignore[operator]

    def _per_30_days(self, amount: Any) -> Any:
        charge = self._customers.charge
        return (amount if charge.value is None else amount + charge.value) * DAYS / charge.per_days

    # --- columns ----------------------------------------------------------------------------------------------

    def batch(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Unreadable]]:
        """The batch with the facts that can be made, and the cells that cannot be read."""
        names, unreadable = batch.schema.names, list[Unreadable]()
        for fact, columns in self.made.items():
            if fact in names or not self.can_make(fact, names):
                continue
            if fact == self._id:
                made: Any = batch.column(columns[0])
            elif fact == self._charge:
                parts = [numbers(batch.column(column)) for column in columns]
                for column, part in zip(columns, parts, strict=True):
                    unreadable.append(Unreadable(column, np.isnan(part), "is missing", "a number"))
                made = pa.array(self._per_30_days(np.sum(parts, axis=0) if parts else np.zeros(batch.num_rows)))
            else:
                made = pa.array(self._days(batch, columns[0], unreadable))
            batch = batch.append_column(fact, made)
        return batch, unreadable

    def _days(self, batch: pa.RecordBatch, column: str, unreadable: list[Unreadable]) -> Float64[np.ndarray, " rows"]:
        start = self._read_dates(batch, column, unreadable)
        if self.snapshot in batch.schema.names:
            until = self._read_dates(batch, self.snapshot, unreadable)
        else:
            until = np.full(batch.num_rows, np.datetime64(self._now(), "s"))
        return np.asarray((until - start) / _DAY, np.float64)

    def _read_dates(self, batch: pa.RecordBatch, column: str, unreadable: list[Unreadable]) -> np.ndarray:
        values = batch.column(column)
        missing = np.asarray(pc.is_null(values).to_numpy(zero_copy_only=False), bool)
        if pa.types.is_timestamp(values.type):
            typed = moments.of_typed(values.to_pandas()).dt.tz_localize(None)
            dates = typed.to_numpy().astype("datetime64[s]")
        else:
            dates = np.array([_date(value) for value in values.to_pylist()], "datetime64[s]")
        wrong = np.isnat(dates) & ~(missing & (column in self.nullable))
        unreadable.append(Unreadable(column, wrong, "is no date", DATE))
        return dates

    def fits(self, column: str, kind: pa.DataType) -> str | None:
        """What a column that facts are made of may hold, None where `kind` is that."""
        inner = kind.value_type if pa.types.is_dictionary(kind) else kind
        if column == self._customers.id or pa.types.is_null(inner):
            return None
        if column == self.snapshot or column in self._customers.dates:
            is_date = is_text(inner) or pa.types.is_date(inner) or pa.types.is_timestamp(inner)
            return None if is_date else "dates"
        return None if is_number(inner) or is_text(inner) else "numbers"


def _date(value: object) -> np.datetime64 | None:
    """The time to the second, as training reads it, a midnight of a time zone as its day; None for what is no date."""
    if isinstance(value, dt.datetime):
        moment = value
    elif isinstance(value, dt.date):
        return np.datetime64(value, "s")
    elif isinstance(value, str):
        try:
            moment = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    else:
        return None
    return moments.of_one(moment)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def numbers(column: pa.Array) -> Float64[np.ndarray, " rows"]:
    """Values as float64, missing as NaN."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def texts_of(column: pa.Array) -> pa.Array:
    """Values as text, as training reads them: true as 1, 2.0 as 2."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_boolean(column.type) or pa.types.is_floating(column.type)):
        return column.cast(pa.string())
    encoded = column.dictionary_encode()
    words = pa.array([cell_text(each) or None for each in encoded.dictionary.to_pylist()], pa.string())
    return pc.take(words, encoded.indices)


def places_of(texts: pa.Array, known: pa.Array) -> pa.Array:
    """Place of each text in the list, spaces and the form of accents aside where only they keep it out, else null."""
    found = pc.index_in(texts, value_set=known)
    if found.null_count == 0:
        return found
    bare = pc.utf8_trim_whitespace(texts)
    of_bare = pc.index_in(bare, value_set=known)
    return pc.coalesce(found, of_bare, pc.index_in(pc.utf8_normalize(bare, form="NFC"), value_set=known))


def missing_texts(texts: pa.Array, allowed: tuple[str, ...]) -> pa.Array:
    """Null, or, where empty text is no category of its own, empty."""
    nothing = pc.is_null(texts)
    return nothing if "" in allowed else pc.or_(nothing, pc.fill_null(pc.equal(texts, ""), fill_value=True))


def flags_of(column: pa.Array) -> Bool[np.ndarray, " rows"]:
    """Truths as an array."""
    return np.asarray(column.to_numpy(zero_copy_only=False), bool)


def as_text(value: object) -> object:
    """A whole number as its text; 90.0 is one, as JSON Schema says."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return str(value) if type(value) is int else value


def said_of(batch: pa.RecordBatch, name: str, row: int) -> object:
    """A cell, missing as ''."""
    return "" if (value := batch.column(name)[row].as_py()) is None else value
