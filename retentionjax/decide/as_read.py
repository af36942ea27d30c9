"""A company's own cells as training read them: amounts in words, dates in the file's form, codes for a missing cell.

What a run has learned from can so be decided about as it stands: `{fee: "R$ 1.299,00", since: "25/05/2023"}`.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pyarrow as pa

from retentionjax.company import CustomersFile
from retentionjax.data.cells import Cells
from retentionjax.data.reading import RawTable
from retentionjax.data.schema import Schema
from retentionjax.decide.own_columns import SNAPSHOT, Unreadable, is_text


class AsRead:
    """Reads columns of text, and those with codes for what is missing, as the company's files were read."""

    def __init__(self, customers: CustomersFile, schema: Schema, currency: str) -> None:
        self._reading, self._currency = customers.reading, currency
        self.numbers: Collection[str] = {*schema.numeric, str(schema.charge), *customers.charge.columns}
        """Columns that hold numbers; text there is read as such."""
        snapshot = customers.snapshot if isinstance(customers.snapshot, str) else SNAPSHOT
        self._dates = {*customers.dates, snapshot}
        self._categories = set(schema.categorical)

    def batch(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Unreadable]]:
        """The batch with numbers, times and categories in place of the cells for them, and those that are none."""
        unreadable: list[Unreadable] = []
        for place, name in enumerate(batch.schema.names):
            if (made := self._column(batch.column(place), name, unreadable)) is not None:
                batch = batch.set_column(place, name, made)
        return batch, unreadable

    def _column(self, column: pa.Array, name: str, unreadable: list[Unreadable]) -> pa.Array | None:
        """The column as it is read; None where it is what it was."""
        inner = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        text, codes = is_text(inner), set(self._reading.missing) - {""} or self._reading.aliases.get(name)
        number, date, category = name in self.numbers, name in self._dates, name in self._categories
        if not (codes and (number or (text and category))) and not (text and (number or date)):
            return None
        cells = self._cells(column, name)
        if category:
            return cells.texts(name).combine_chunks()
        values = cells.numbers(name, nullable=True) if number else cells.dates(name, nullable=True)
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
