"""CSV and Parquet bytes as columns of raw values, each of which still knows its line in the file."""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retentionjax.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class RawTable:
    """Columns as the file has them: text, or float64/int64 where a Parquet file is typed so; missing is '' or NaN."""

    where: str
    """The file, as the person who gave it knows it."""
    unit: str
    """What `places` counts: 'line' of a text file, 'row' of a Parquet file; both from 1."""
    places: Sequence[int]
    columns: dict[str, list[str] | np.ndarray]

    def texts(self, name: str) -> list[str]:
        """The column as text; whole numbers without a decimal point, missing as ''."""
        values = self.columns[name]
        return values if isinstance(values, list) else [_number_text(value) for value in values.tolist()]

    def refuse(self, column: str, row: int, value: object, wrong: str, allowed: str) -> DataError:
        """The error that row number `row` (from 0) deserves."""
        place = f"{self.where}, {self.unit} {self.places[row]}, column {column!r}"
        return DataError(f"{place}: {value!r} {wrong}; allowed: {allowed}")


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


def read_csv(data: bytes, where: str, separator: str = ",") -> RawTable:
    """The rows of a CSV file in UTF-8 whose first line names the columns; lines without any text are skipped.

    Raises DataError with the line for: bad encoding, a header that is missing or names a column twice, a row with
    another number of cells than the header, a quote that never closes, no rows at all.
    """
    lines = csv.reader(io.StringIO(_decode(data, where), newline=""), delimiter=separator, strict=True)
    try:
        header = next(lines, None)
        if not header:
            raise DataError(f"{where}: is empty; the first line must name the columns")
        _check_header(header, where, separator)
        rows, places = [], []
        place = lines.line_num + 1
        for row in lines:
            if row:
                if len(row) != len(header):
                    raise DataError(f"{where}, line {place}: {len(row)} cells, but the header has {len(header)}")
                rows.append(row)
                places.append(place)
            place = lines.line_num + 1
    except csv.Error as error:
        raise DataError(f"{where}, line {lines.line_num}: not a readable CSV row ({error})") from None
    if not rows:
        raise DataError(f"{where}: has column names but no rows")
    cells = zip(*rows, strict=True)
    columns: dict[str, list[str] | np.ndarray] = {name: list(texts) for name, texts in zip(header, cells, strict=True)}
    return RawTable(where, "line", places, columns)


def read_parquet(data: bytes, where: str) -> RawTable:
    """The rows of a Parquet file. Raises DataError if it is none, is empty, or has a column that is no value type."""
    try:
        table = pq.read_table(io.BytesIO(data))
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{where}: not a readable Parquet file ({error})") from None
    if not table.num_rows:
        raise DataError(f"{where}: has column names but no rows")
    _check_header(table.column_names, where, ",")
    columns = {name: _arrow_values(table[name], where, name) for name in table.column_names}
    return RawTable(where, "row", range(1, table.num_rows + 1), columns)


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise DataError(f"{where}, line {line}: byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8") from None


def _check_header(header: Sequence[str], where: str, separator: str) -> None:
    seen: set[str] = set()
    for number, name in enumerate(header, start=1):
        if not name.strip():
            raise DataError(f"{where}, line 1: column number {number} has no name")
        if name in seen:
            raise DataError(f"{where}, line 1: the column {name!r} is named twice")
        seen.add(name)
    if len(header) == 1 and any(other in header[0] for other in ",;\t|" if other != separator):
        raise DataError(f"{where}, line 1: one single column {header[0]!r}; cells are separated by {separator!r}")


def _arrow_values(column: pa.ChunkedArray, where: str, name: str) -> list[str] | np.ndarray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    if pa.types.is_integer(kind) and not column.null_count and kind != pa.uint64():
        return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)
    if pa.types.is_boolean(kind):
        return ["" if value is None else str(int(value)) for value in column.to_pylist()]
    if (
        pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_null(kind)
    ):
        return ["" if value is None else str(value) for value in column.to_pylist()]
    raise DataError(f"{where}, column {name!r}: holds {kind}; allowed: numbers, text, true/false")


def _number_text(value: float | int) -> str:  # noqa: PYI041 - beartype holds an int to be no float
    if value != value:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(value)
