"""Files of customers to be scored: Parquet is read where it lies, in pieces; what else training reads, as a whole."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from retentionjax import storage
from retentionjax.company.reading import CellReading
from retentionjax.data import warehouse
from retentionjax.data.reading import PARQUET_MAGIC
from retentionjax.data.spelling import composed_names
from retentionjax.decide.as_read import read_rows
from retentionjax.errors import DataError
from retentionjax.score.plan import InputFile
from retentionjax.storage import bucket

_TEXTS = (".csv", ".csv.gz")


@dataclass(frozen=True)
class ScoredFile:
    """One file of customers."""

    path: str
    reading: CellReading = field(default_factory=CellReading)
    """How a text file is written: as the company's own."""

    def __str__(self) -> str:
        """Its place, for messages."""
        return warehouse.named(self.path)

    @contextlib.contextmanager
    def open(self, **options: Any) -> Iterator[pq.ParquetFile]:
        """The rows as a Parquet file to be read in pieces. Raises DataError where the file cannot be read."""
        if self.is_read_in_place:
            with open_parquet(storage.as_path(self.path), **options) as file:
                yield file
        else:
            yield _parquet(pa.BufferReader(self._held[0]), str(self), **options)

    @cached_property
    def columns(self) -> pa.Schema:
        """The columns, the accents of their names composed. Raises DataError for two that have then the same name."""
        return composed_columns(self.stored, str(self))

    @cached_property
    def stored(self) -> pa.Schema:
        """The columns by the names that `open` reads them by."""
        with self.open() as file:
            return file.schema_arrow

    @cached_property
    def rows(self) -> int:
        """How many there are."""
        with self.open() as file:
            return int(file.metadata.num_rows)

    @property
    def sha256(self) -> str:
        """Digest of the file, or of the rows that a query returned."""
        return storage.sha256(self.path) if self.is_read_in_place else self._held[1]

    @property
    def anywhere(self) -> "ScoredFile":
        """The file for processes in other folders."""
        return ScoredFile(self.path if "://" in self.path else storage.absolute(self.path), self.reading)

    @cached_property
    def is_read_in_place(self) -> bool:
        """Whether it is Parquet, by its name or its first bytes, that need not be read as a whole."""
        if _is_far(self.path):
            return False
        if self.path.endswith(".parquet"):
            return True
        with storage.as_path(self.path).open("rb") as file:
            return bool(file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC)

    @cached_property
    def _held(self) -> tuple[Any, str]:
        """The rows as Parquet in memory, and the digest."""
        if str(self).endswith(".parquet"):
            content = warehouse.download(self.path)
            return content, hashlib.sha256(content).hexdigest()
        table, digest = read_rows(self.path, self.reading)
        content = pa.BufferOutputStream()
        pq.write_table(table, content, row_group_size=1 << 16, compression="zstd")
        return content.getvalue(), digest


def find(customers: str | os.PathLike[str], reading: CellReading | None = None) -> dict[str, ScoredFile]:
    """Files by name: the one that is named, or those in a folder and below that end in .parquet, or if none does in
    .csv or .csv.gz. Raises DataError where there is none."""
    where, reading = os.fspath(customers), reading or CellReading()
    if _is_far(where):
        return {warehouse.named(where).rpartition("/")[2]: ScoredFile(where, reading)}
    base = storage.as_path(customers)
    if not base.exists():
        raise DataError(f"{base}: no such file or folder of customers")
    if not base.is_dir():
        return {base.name: ScoredFile(os.fspath(base), reading)}
    below = {path.relative_to(base).as_posix(): path for path in storage.files(base)}
    shown = {name: path for name, path in sorted(below.items()) if not _is_hidden(name)}
    for ends in (".parquet", _TEXTS):
        if found := {name: ScoredFile(os.fspath(path), reading) for name, path in shown.items() if name.endswith(ends)}:
            return found
    raise DataError(f"{base}: holds no .parquet file, nor one in .csv or .csv.gz")


def describe(files: Mapping[str, ScoredFile]) -> tuple[InputFile, ...]:
    """Rows and hash of each file. Raises DataError for a file that cannot be read, or when there is no row at all."""
    sources = tuple(InputFile(name, source.rows, source.sha256) for name, source in files.items())
    if not any(source.rows for source in sources):
        raise DataError(f"{', '.join(map(str, files.values()))}: no rows; at least one customer is needed")
    return sources


@contextlib.contextmanager
def open_parquet(path: epath.Path, **options: Any) -> Iterator[pq.ParquetFile]:
    """The file at `path`, opened for reading in pieces. Raises DataError where it is no Parquet."""
    held = path.open("rb") if storage.is_cloud(path) else contextlib.nullcontext(os.fspath(path))
    with held as content, _parquet(content, str(path), **options) as file:
        yield file


def composed_columns(found: pa.Schema, where: str) -> pa.Schema:
    """The columns with the accents of their names composed. Raises DataError for two that have then the same name."""
    names = composed_names(found.names, where)
    return pa.schema([field.with_name(name) for field, name in zip(found, names, strict=True)])


def _parquet(content: Any, where: str, **options: Any) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(content, **options)
    except (pa.ArrowException, OSError) as error:
        said = f"not a readable Parquet file ({str(error).splitlines()[0]}); allowed: the table as Parquet"
        raise DataError(f"{where}: {said}, such as pandas' to_parquet writes, its cells as they are") from None


def _is_far(path: str) -> bool:
    """Whether it is an address that can only be read as a whole: all but those of a bucket."""
    return storage.is_cloud(path) and not path.startswith(bucket.SCHEME)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))
