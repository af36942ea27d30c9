"""A company's own cells as training read them: amounts in words, dates in the file's form, codes for a missing cell.

A table that a run has learned from can so be decided about as it stands: `{fee: "R$ 1.299,00", since: "25/05/2023"}`.
Of a record, as in JSON, only codes for what is missing and aliases are read so: its numbers are numbers, its dates ISO.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from retentionjax.company import CustomersFile
from retentionjax.company.reading import CellReading
from retentionjax.data.cells import Cells
from retentionjax.data.reading import RawTable, read_file
from retentionjax.data.schema import Schema
from retentionjax.data.spelling import number, plain
from retentionjax.decide.own_columns import SNAPSHOT, Unreadable, is_text
from retentionjax.errors import DataError


def read_rows(path: str, reading: CellReading) -> tuple[pa.Table, str]:
    """Every row of the customers' file, query or address at `path`, its columns by plain names; and its SHA-256.

    Cells of a text file are text, which `AsRead` reads by the same `reading`. Raises DataError as `read_file` does,
    and for a line with another number of cells than the header.
    """
    raw, digest = read_file(path, reading)
    if raw.broken:
        first = raw.broken[0]
        cells = f"{len(first.cells)} cells, and the header has {len(raw.names)}"
        raise DataError(f"{raw.where}, line {first.number}: {cells}; allowed: as many")
    return raw.table.rename_columns([plain(name) for name in raw.table.column_names]), digest


class AsRead:
    """Reads columns of text, and those with codes for what is missing, as the company's files were read."""

    def __init__(self, customers: CustomersFile, schema: Schema, currency: str) -> None:
        self._reading, self._currency = customers.reading, currency
        self.numbers: Collection[str] = {*schema.numeric, str(schema.charge), *customers.charge.columns}
        """Columns that hold numbers; text there is read as such."""
        snapshot = customers.snapshot if isinstance(customers.snapshot, str) else SNAPSHOT
        self._dates = {*customers.dates, snapshot}
        self._categories = set(schema.categorical)
        numbers = {*schema.numeric, *customers.charge.columns} - set(customers.dates.values())
        meant = {
            name: self._meant(name, schema.categorical.get(name, ())) for name in {*self._dates, *self._categories}
        }
        meant |= {name: _with_numbers(self._meant(name, ())) for name in numbers}
        self.stands_for = {name: of for name, of in meant.items() if of}
        """Text or number → what it stands for, by column; empty where no column has codes or aliases."""

    def _meant(self, name: str, known: Collection[str]) -> dict[object, object]:
        """Text in a column → what it stands for, None for what is missing; a `known` category stands for itself."""
        codes = {plain(code) for code in self._reading.missing} - {"", *known}
        aliases = self._reading.aliases.get(name, {}).items()
        meant: dict[object, object] = dict.fromkeys(codes)
        meant |= {plain(text): None if plain(to) in codes | {""} else to for text, to in aliases}
        return meant

    def record(self, record: Mapping[str, object]) -> Mapping[str, object]:
        """The record with what its codes and aliases stand for, None for what is missing; itself where it has none."""
        read = dict[str, object]()
        for name, meant in self.stands_for.items():
            value = record.get(name)
            value = plain(value) if isinstance(value, str) else value
            if type(value) in (str, int, float) and value in meant:
                read[name] = meant[value]
        return {**record, **read} if read else record

    def batch(self, batch: pa.RecordBatch, usual: str = "") -> tuple[pa.RecordBatch, list[Unreadable]]:
        """The batch with numbers, those of the column `usual` too, times and categories in place of the cells for them,
        and those that are none."""
        unreadable: list[Unreadable] = []
        for place, name in enumerate(batch.schema.names):
            numeric = name in self.numbers or name == usual
            if (made := self._column(batch.column(place), name, unreadable, numeric)) is not None:
                batch = batch.set_column(place, name, made)
        return batch, unreadable

    def _column(self, column: pa.Array, name: str, unreadable: list[Unreadable], numeric: bool) -> pa.Array | None:
        """The column as it is read; None where it is what it was."""
        inner = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        text, codes = is_text(inner), set(self._reading.missing) - {""} or self._reading.aliases.get(name)
        date, category = name in self._dates, name in self._categories
        if not (codes and (numeric or (text and category))) and not (text and (numeric or date)):
            return None
        cells = self._cells(column, name)
        if category:
            return cells.texts(name).combine_chunks()
        values = cells.numbers(name, nullable=True) if numeric else cells.dates(name, nullable=True)
        read = np.zeros(len(column), bool)
        if date and cells.faults:  # days may be written as JSON has them, too
            iso = replace(cells.quiet(), reading=replace(self._reading, dates="")).dates(name, nullable=True)
            read = ~np.isnat(iso)
            values = np.where(np.isnat(values), iso, values)
        for fault in cells.faults:
            left = fault.rows[~read[fault.rows]]
            if len(left):
                rows = np.zeros(len(column), bool)
                rows[left] = True
                hint = "" if fault.hint is None else fault.hint(fault.value(int(left[0])))
                unreadable.append(Unreadable(name, rows, fault.wrong + hint, fault.allowed))
        return pa.array(values, from_pandas=True)

    def _cells(self, column: pa.Array, name: str) -> Cells:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        texts = column.cast(pa.string()) if is_text(column.type) else column
        return Cells(RawTable(name, pa.table({name: texts}), names=(name,)), self._reading, self._currency)


def _with_numbers(meant: dict[object, object]) -> dict[object, object]:
    """The same of a column of numbers: those that texts are written as in place of them, and beside those read."""

    def value(text: object) -> object:
        found = number(text) if isinstance(text, str) else None
        return text if found is None else found

    return {key: value(meaning) for text, meaning in meant.items() for key in (text, value(text))}
