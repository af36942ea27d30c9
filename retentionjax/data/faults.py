"""What is wrong with a file, collected: all of it is told at once, and the rows can be written out to be mended."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from retentionjax.data.reading import RawTable
from retentionjax.errors import DataError

SHOWN = 20
"""Faults of one kind that a message lists."""


@dataclass(frozen=True)
class Fault:
    """Rows of one column with the same thing wrong. No rows: the file, or column, as a whole. Rows but no column: lines
    that have another number of cells than the header."""

    raw: RawTable
    column: str
    """Name of the column as the file spells it, stray spaces included."""
    rows: np.ndarray
    """Rows of `raw`, or of its broken lines, from 0, rising."""
    wrong: str
    allowed: str
    hint: Callable[[str], str] | None = None
    """What to add for one value, as `; did you mean 'plus'?`."""

    def lines(self, most: int | None = SHOWN) -> list[str]:
        """A sentence a row: file, line, column, value, what is wrong, what is allowed; the first `most` rows."""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        named = f", column {self.column!r}" if self.column else ""
        if not len(self.rows):
            return [f"{self.raw.where}{named}: {self.wrong}{allowed}"]
        if not self.column:
            return self._broken_lines(most)
        shown = self.rows[:most]
        lines = []
        for row, place in zip(shown.tolist(), self.raw.places(shown), strict=True):
            value = self.value(row)
            hint = "" if self.hint is None else self.hint(value)
            lines.append(f"{self.raw.where}, {place}{named}: {value!r} {self.wrong}{hint}{allowed}")
        if len(self.rows) > len(shown):
            lines.append(f"{self.raw.where}{named}: {len(self.rows) - len(shown):,} more of this kind ({self.wrong})")
        return lines

    def _broken_lines(self, most: int | None) -> list[str]:
        wanted = len(self.raw.names)
        lines = [
            f"{self.raw.where}, line {line.number}: {len(line.cells)} cells, but the header has {wanted}"
            for line in self.raw.broken[:most]
        ]
        if (more := len(self.raw.broken) - len(lines)) > 0:
            lines.append(f"{self.raw.where}: {more:,} more lines with another number of cells")
        return lines

    def value(self, row: int) -> str:
        """The cell in row number `row`, as text."""
        return self.raw.text(self.column, row)


class FilesError(DataError):
    """Every fault of a company's files; the message shows the first 20 of each kind. `faults` holds all of them."""

    def __init__(self, faults: Sequence[Fault], others: Sequence[str] = ()) -> None:
        """`others` are sentences about files that could not be read at all."""
        self.faults = tuple(faults)
        super().__init__("\n".join((*others, *(line for fault in faults for line in fault.lines()))))


def refuse(raw: RawTable, wrong: str, allowed: str = "", *, column: str = "") -> FilesError:
    """The error for a file, or a column of it, as a whole."""
    return FilesError([Fault(raw, column, np.array([], dtype=np.int64), wrong, allowed)])


def rejects(faults: Iterable[Fault]) -> bytes:
    """The rows with a fault as CSV: file, place, reasons, then the cells as they were found; all of them."""
    text = io.StringIO()
    table = csv.writer(text)
    by_file: dict[int, tuple[RawTable, dict[int, list[str]]]] = {}
    for fault in (each for each in faults if len(each.rows)):
        _, reasons = by_file.setdefault(id(fault.raw), (fault.raw, {}))
        for row in fault.rows.tolist() if fault.column else ():
            reasons.setdefault(row, []).append(f"{fault.column!r} {fault.wrong}")
    for raw, reasons in by_file.values():
        rows = np.array(sorted(reasons), dtype=np.int64)
        table.writerow(["file", "place", "reasons", *raw.names])
        for line in raw.broken:
            table.writerow([raw.where, f"line {line.number}", "another number of cells", *line.cells])
        for row, place, cells in zip(rows.tolist(), raw.places(rows), raw.cells(rows), strict=True):
            table.writerow([raw.where, place, "; ".join(reasons[row]), *cells])
    return text.getvalue().encode()
