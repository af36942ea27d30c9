"""Files and DataFrames as columns of cells, each of which still knows its line.

Cells are Arrow columns: text, or what a Parquet file or DataFrame types them as. Line numbers are counted by a second
pass, and only when a message needs them.
"""

import codecs
import gzip
import hashlib
import io
import mmap
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from retentionjax import storage
from retentionjax.company.reading import CellReading
from retentionjax.data import warehouse
from retentionjax.data.lines import Line, Text
from retentionjax.data.spelling import composed_names, plain
from retentionjax.errors import DataError
from retentionjax.storage import bucket

_GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"
_SIGNS = {
    b"PK\x03\x04": "is an Excel workbook or another zip archive; save the sheet as CSV UTF-8 (or Parquet)",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; save the sheet as CSV UTF-8 (or Parquet)",
    **dict.fromkeys((b'{"', b"[{", b"{\n", b"[\n"), "is JSON; save the table as CSV UTF-8 (or Parquet)"),
    **dict.fromkeys((b"<!", b"<?", b"<html", b"<table"), "is HTML or XML; save the table as CSV UTF-8 (or Parquet)"),
}
_UTF16 = "is UTF-16 text; say reading: {encoding: utf-16}, or save the file as UTF-8"


@dataclass(frozen=True)
class RawTable:
    """Columns by the names the file gives them, stray spaces included."""

    where: str
    """The file, as the person who gave it knows it."""
    table: pa.Table
    unit: str = "row"
    """What a place counts: `line` of a text file, `row` of anything else; both from 1."""
    names: tuple[str, ...] = ()
    """Every column of the file, those that were not asked for too."""
    broken: tuple[Line, ...] = ()
    """Lines with another number of cells than the header; they are no rows."""
    source: Text | None = None

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.table.num_rows)

    def places(self, rows: np.ndarray) -> list[str]:
        """`line 7` or `row 7` of each of `rows`, which count from 0."""
        if self.source is None or not len(rows):
            return [f"{self.unit} {row + 1}" for row in rows.tolist()]
        starts = self.source.starts
        if len(starts) != self.rows:  # the two readers disagree about a quote: no line is better than a wrong one
            return [f"row {row + 1}" for row in rows.tolist()]
        return [f"line {starts[row]}" for row in rows.tolist()]

    def text(self, name: str, row: int) -> str:
        """One cell as text: a whole number without a decimal point, missing as ''."""
        return cell_text(self.table[name][row].as_py())

    def texts(self, name: str) -> list[str]:
        """A column as text, missing as ''."""
        return [cell_text(value) for value in self.table[name].to_pylist()]

    def cells(self, rows: np.ndarray) -> list[list[str]]:
        """All cells of some rows, as text, under `names`."""
        if self.source is not None:
            wanted = set(rows.tolist())
            return [line.cells for row, line in enumerate(self.source.good()) if row in wanted]
        return [
            [self.text(name, row) if name in self.table.column_names else "" for name in self.names] for row in rows
        ]


# --- files ----------------------------------------------------------------------------------------------------


def read_file(
    path: str | os.PathLike[str], reading: CellReading | None = None, wanted: Sequence[str] | None = None
) -> tuple[RawTable, str]:
    """The file at `path` with its SHA-256, only `wanted` columns: a query by its name, Parquet by its name or its first
    bytes, and text otherwise.

    A query chooses its columns itself. Raises DataError as `read_csv`, `read_parquet` and `warehouse`, and for what is
    no file.
    """
    data, digest = _content(path)
    where = warehouse.named(os.fspath(path))
    if isinstance(data, pa.Table):
        _check_header(data.column_names, where, "")
        return RawTable(where, _value_types(data, where), "row", tuple(data.column_names)), digest
    if where.endswith(".parquet") or bytes(memoryview(data)[:4]) == PARQUET_MAGIC:
        return read_parquet(data, where, wanted), digest
    if bytes(memoryview(data)[:2]) == _GZIP_MAGIC:
        data = unpack(bytes(data), where)
    return read_text(Text(where, data, reading or CellReading()), wanted), digest


def sha256(path: str | os.PathLike[str]) -> str:
    """The digest that `read_file` gives, without reading the cells."""
    return _content(path)[1]


def _content(path: str | os.PathLike[str]) -> tuple[Any, str]:
    """Bytes of a file, or the table that a query returns, and its SHA-256."""
    where = os.fspath(path)
    if storage.is_cloud(where) and not where.startswith(bucket.SCHEME):
        data: Any = warehouse.download(where)
        return data, hashlib.sha256(data).hexdigest()
    source = storage.as_path(path)
    if not source.exists():
        raise DataError(f"{where}: no such file")
    if source.is_dir():
        raise DataError(f"{where}: is a folder, not a file")
    if source.suffix == warehouse.QUERY:
        return warehouse.query(source)
    if not source.stat().length:
        raise DataError(f"{where}: is empty")
    data = source.read_bytes() if storage.is_cloud(where) else _mapped(where)
    return data, hashlib.sha256(memoryview(data)).hexdigest()


def _mapped(path: str) -> mmap.mmap:
    """The file as memory that need not be held."""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def read_csv(data: bytes, where: str, separator: str = ",") -> RawTable:
    """A CSV file in UTF-8; see `read_text`. Raises DataError for a line with another number of cells, too."""
    raw = read_text(Text(where, data, replace(CellReading(), separator=separator)))
    if raw.broken:
        first = raw.broken[0]
        raise DataError(f"{where}, line {first.number}: {len(first.cells)} cells, but the header has {len(raw.names)}")
    if not raw.rows:
        raise DataError(f"{where}: has column names but no rows")
    return raw


def read_text(text: Text, wanted: Sequence[str] | None = None) -> RawTable:
    """The rows of a text file whose first line that is not blank names the columns; every cell is text.

    Columns not in `wanted` (by name, stray spaces and the form of accents aside) are passed over. Raises DataError with
    the line for: another kind of file, bad encoding, a header that is missing or names a column twice, another
    separator, a quote that never closes.
    """
    _check_kind(text)
    header = text.header.cells
    _check_header(header, text.where, f"line {text.header.number}")
    _check_separator(text, wanted)
    taken = _taken(header, wanted)
    broken = False

    def skip(_: Any) -> str:
        nonlocal broken
        broken = True
        return "skip"

    codec = "utf8" if text.codec == "utf-8-sig" else text.codec
    try:
        table = pacsv.read_csv(
            pa.BufferReader(text.data),
            read_options=pacsv.ReadOptions(column_names=header, skip_rows=text.skipped, encoding=codec),
            parse_options=pacsv.ParseOptions(
                delimiter=text.reading.separator, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False, include_columns=taken
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        if not sum(1 for _ in text.lines()):  # names the byte or the quote
            raise DataError(f"{text.where}: has column names but no rows") from None
        raise DataError(f"{text.where}: not a readable text file ({error})") from None
    # A quote that spans lines may be one that never closes; a second reader, slow and strict, tells.
    suspect = broken or (text.count(b'"') > 0 and text.count(b"\n") > text.skipped + table.num_rows)
    broken_lines = text.bad() if suspect else ()
    text.release()
    return RawTable(text.where, table, "line", tuple(header), broken_lines, text)


def read_parquet(data: Any, where: str, wanted: Sequence[str] | None = None) -> RawTable:
    """The rows of a Parquet file. Raises DataError if it is none, is empty, or has a column that is no value type."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        names = file.schema_arrow.names
        _check_header(names, where, "")
        table = file.read(columns=_taken(names, wanted))
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{where}: not a readable Parquet file ({error})") from None
    if not table.num_rows:
        raise DataError(f"{where}: has column names but no rows")
    return RawTable(where, _value_types(table, where), "row", tuple(names))


def read_frame(frame: pd.DataFrame, where: str, wanted: Sequence[str] | None = None) -> RawTable:
    """The rows of a DataFrame. Raises DataError for a column that is no value type or whose name is no text.

    Columns not in `wanted` that are no value type are passed over.
    """
    names: list[Any] = list(frame.columns)
    if odd := [name for name in names if not isinstance(name, str)]:
        raise DataError(f"{where}: the column name {odd[0]!r} is no text")
    _check_header(names, where, "")
    if frame.empty:
        raise DataError(f"{where}: has column names but no rows")
    table = pa.table({name: _array(frame[name]) for name in filter(str.strip, names)})
    if wanted is not None:
        taken = set(_taken(names, wanted))
        table = table.select([each.name for each in table.schema if each.name in taken or _can_be_read(each.type)])
    return RawTable(where, _value_types(table, where), "row", tuple(names))


def unpack(data: bytes, where: str, member: str | None = None) -> bytes:
    """The table inside `data`: gunzipped if it is gzip, and `member` taken out of a zip, or of a zip within it.

    Raises DataError for a broken or truncated archive, or one without `member`.
    """
    if data.startswith(_GZIP_MAGIC):
        try:
            return gzip.decompress(data)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{where}: damaged or truncated gzip file ({error})") from None
    if member is None or not where.endswith(".zip"):
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _take(archive, where, member)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{where}: not a zip file, or a damaged one ({error})") from None


def cell_text(value: Any) -> str:
    """A cell as a text file would hold it: missing as '', a whole number without a decimal point, true as 1."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers, truths and dates as a text file would hold them."""
    distinct = column.dictionary_encode().unify_dictionaries()
    chunks = [
        pc.take(
            pa.array(
                [None if (text := cell_text(each)) == "" else text for each in chunk.dictionary.to_pylist()],
                pa.string(),
            ),
            chunk.indices,
        )
        for chunk in distinct.chunks
    ]
    return pa.chunked_array(chunks, pa.string())


# --- checks ---------------------------------------------------------------------------------------------------


def _check_kind(text: Text) -> None:
    head = bytes(memoryview(text.data)[:2048])
    for sign, said in _SIGNS.items():
        if head.startswith(sign):
            raise DataError(f"{text.where}: {said}")
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or head.count(b"\0") > len(head) // 4
    if wide and not text.codec.startswith(("utf-16", "utf-32")):
        raise DataError(f"{text.where}: {_UTF16}")
    if not head:
        raise DataError(f"{text.where}: is empty")


def _check_header(header: Sequence[str], where: str, place: str) -> None:
    seen: set[str] = set()
    at = f"{where}, {place}" if place else where
    for name in filter(str.strip, header):
        if name in seen:
            raise DataError(f"{at}: the column {name!r} is named twice")
        seen.add(name)
    if not seen:
        raise DataError(f"{at}: no column has a name")
    composed_names(filter(str.strip, header), at)


def _taken(header: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Columns that are read: those with a name, among `wanted` if that is given."""
    if wanted is None:
        return [name for name in header if name.strip()]
    few = set(wanted)
    return [name for name in header if name.strip() and (name in few or plain(name) in few)]


def _check_separator(text: Text, wanted: Sequence[str] | None) -> None:
    """One single column, although several are wanted, is a line that some other character separates."""
    header, separator = text.header.cells, text.reading.separator
    if len(header) > 1 or (wanted is not None and header[0] in wanted):
        return
    others = {other: header[0].count(other) for other in ",;\t|" if other != separator and other in header[0]}
    if others:
        other = max(others, key=lambda each: others[each])
        mend = f"say reading: {{separator: {json_text(other)}}}"
        found = f"one single column {header[0]!r}; cells are separated by {separator!r}"
        raise DataError(f"{text.where}, line {text.header.number}: {found}; if it is {other!r}, {mend}")


def json_text(value: str) -> str:
    """`value` in double quotes, as YAML reads it."""
    return '"\\t"' if value == "\t" else f'"{value}"'


def _take(archive: zipfile.ZipFile, where: str, member: str) -> bytes:
    names = archive.namelist()
    for name in names:
        if name.rsplit("/", 1)[-1] == member:
            return archive.read(name)
    for name in names:  # UCI wraps each set's zip in another
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(archive.read(name))) as inner:
                if any(each.rsplit("/", 1)[-1] == member for each in inner.namelist()):
                    return _take(inner, where, member)
    raise DataError(f"{where}: holds no {member}; it holds {', '.join(names[:8]) or 'nothing'}")


def _array(column: pd.Series) -> pa.Array:
    """A column of a DataFrame; one of several types becomes text."""
    if isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(column.to_numpy())
    try:
        return pa.Array.from_pandas(column)
    except (pa.ArrowException, TypeError, OverflowError):  # of whole numbers of more than 64 bits
        return pa.array([cell_text(value) for value in column.tolist()], pa.string())


def _value_types(table: pa.Table, where: str) -> pa.Table:
    """Columns of numbers, text, true/false or dates, dictionaries undone. Raises DataError for any other."""
    columns = {}
    for name in table.column_names:
        column = table[name]
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_decimal(kind):
            column = column.cast(pa.float64())
        elif pa.types.is_null(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            column = column.cast(pa.string())
        elif not (_is_value(kind) or pa.types.is_string(kind)):
            raise DataError(f"{where}, column {name!r}: holds {kind}; allowed: numbers, text, true/false, dates")
        columns[name] = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    return pa.table(columns)


def _can_be_read(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    texts = types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner)
    return bool(_is_value(inner) or types.is_null(inner) or types.is_decimal(inner) or texts)


def _is_value(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_floating(kind)
        or types.is_integer(kind)
        or types.is_boolean(kind)
        or types.is_date(kind)
        or types.is_timestamp(kind)
    )
