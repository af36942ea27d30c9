"""The lines of a text file: its header and, in a second, stricter reading, where each row starts and which break."""

import codecs
import csv
import functools
import io
import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retentionjax.company.reading import CellReading
from retentionjax.errors import DataError

_HEAD = 1 << 20
"""Bytes in which the header must end."""


@dataclass(frozen=True)
class Line:
    """A row of a text file."""

    number: int
    """Number of the file's line it starts at, from 1."""
    cells: list[str]


@dataclass(frozen=True)
class Text:
    """A text file of cells: its bytes and how they are written."""

    where: str
    data: Any
    """bytes or an mmap."""
    reading: CellReading

    @functools.cached_property
    def codec(self) -> str:
        """Python's name of the encoding, one that passes over a byte order mark."""
        name = codecs.lookup(self.reading.encoding).name
        return "utf-8-sig" if name == "utf-8" else name

    @functools.cached_property
    def header(self) -> Line:
        """The first line that is not blank. Raises DataError where there is none."""
        head = bytes(memoryview(self.data)[:_HEAD])
        try:
            text = codecs.getincrementaldecoder(self.codec)().decode(
                head, final=len(head) == len(memoryview(self.data))
            )
        except UnicodeDecodeError as error:
            raise self._undecodable(error) from None
        lines = self._lines(io.StringIO(text, newline=""))
        line = next(lines, None)
        if line is not None and re.fullmatch("sep=.?", "".join(line.cells)):  # what tells Excel the separator
            line = next(lines, None)
        if line is None:
            raise DataError(f"{self.where}: is empty; the first line must name the columns")
        return line

    @functools.cached_property
    def skipped(self) -> int:
        """Lines before the first row: blank ones and the header's."""
        return self.header.number + sum(cell.count("\n") for cell in self.header.cells)

    @functools.cached_property
    def starts(self) -> Sequence[int]:
        """Line on which each row starts."""
        return [line.number for line in self.good()]

    def good(self) -> Iterator[Line]:
        """Rows with as many cells as the header, which stay out."""
        return (line for line in self.lines() if len(line.cells) == len(self.header.cells))

    def bad(self) -> tuple[Line, ...]:
        """Rows with another number of cells than the header."""
        return tuple(line for line in self.lines() if len(line.cells) != len(self.header.cells))

    def lines(self) -> Iterator[Line]:
        """Every row below the header, blank lines passed over. Raises DataError for a quote that never closes."""
        stream = io.TextIOWrapper(io.BytesIO(self.data), self.codec, newline="")
        try:
            yield from (line for line in self._lines(stream) if line.number > self.header.number)
        except UnicodeDecodeError as error:
            raise self._undecodable(error) from None

    def release(self) -> None:
        """Gives the memory of a mapped file back; it is read again where it is needed again."""
        if isinstance(self.data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.data.madvise(mmap.MADV_DONTNEED)

    def count(self, byte: bytes) -> int:
        """How often `byte` stands in the file."""
        view = memoryview(self.data)
        return sum(bytes(view[start : start + _HEAD]).count(byte) for start in range(0, len(view), _HEAD))

    def _lines(self, stream: Any) -> Iterator[Line]:
        rows = csv.reader(stream, delimiter=self.reading.separator, strict=True)
        start = 1
        try:
            for row in rows:
                if any(cell.strip() for cell in row) or len(row) > 1:
                    yield Line(start, row)
                start = rows.line_num + 1
        except csv.Error as error:
            opened = f"; a quote opens in line {start} and may never close" if start < rows.line_num else ""
            wrong = f"not a readable CSV row ({error}){opened}"
            raise DataError(f"{self.where}, line {rows.line_num}: {wrong}") from None

    def _undecodable(self, error: UnicodeDecodeError) -> DataError:
        data = bytes(self.data)
        try:
            data.decode(self.codec)
            at = error.start
        except UnicodeDecodeError as exact:
            at = exact.start
        line, byte = data.count(b"\n", 0, at) + 1, data[at]
        name = self.reading.encoding
        mend = "save the file as UTF-8, or say reading: {encoding: cp1252} if Windows wrote it (cp1250 east of Germany)"
        return DataError(f"{self.where}, line {line}: byte 0x{byte:02x} is not {name.upper()} text; {mend}")
