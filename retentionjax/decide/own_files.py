"""A company's files of customers to decide about, read as training reads them."""

import pyarrow as pa

from retentionjax.company.reading import CellReading
from retentionjax.data.reading import read_file
from retentionjax.data.spelling import plain
from retentionjax.errors import DataError


def read(path: str, reading: CellReading) -> tuple[pa.Table, str]:
    """Every row of the file, query or address at `path`, its columns by their plain names; and its SHA-256.

    Cells of a text file are text, which `Facts.of` reads by the same `reading`. Raises DataError as `read_file` does,
    and for a line with another number of cells than the header.
    """
    raw, digest = read_file(path, reading)
    if raw.broken:
        first = raw.broken[0]
        cells = f"{len(first.cells)} cells, and the header has {len(raw.names)}"
        raise DataError(f"{raw.where}, line {first.number}: {cells}; allowed: as many")
    return raw.table.rename_columns([plain(name) for name in raw.table.column_names]), digest
