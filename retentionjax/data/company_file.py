"""The files that a company names: opened wherever they are, their empty and excluded rows left out and counted."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from retentionjax.company import Contacts, CustomersFile, Departures
from retentionjax.company.reading import OTHERS, SOURCE, CellReading, Condition
from retentionjax.data import sources, synthetic
from retentionjax.data.cells import Cells, latest_day
from retentionjax.data.faults import FilesError, refuse
from retentionjax.data.lines import Text
from retentionjax.data.reading import RawTable, read_file, read_frame, read_text
from retentionjax.data.schema import LEAKS, Provenance
from retentionjax.data.validation import check_columns
from retentionjax.errors import DataError

_LICENCE = "the company's own"


@dataclass(frozen=True)
class Opened:
    """A file whose columns are all there: its cells without the rows that are left out."""

    cells: Cells
    provenance: Provenance
    notes: tuple[str, ...]
    """What was left out, in words with counts."""


@dataclass(frozen=True)
class Mode:
    """What reading depends on beside the files."""

    kind: Literal["real", "synthetic"] = "real"
    """Origin of `source:` files: the official ones, or the generator that knows them by figures only."""
    rows: int | None = None
    """Rows of each synthetic table; None: as many as the real one has."""
    today: dt.date = field(default_factory=latest_day)
    """The last day that may be over."""


def open_file(
    what: str,
    named: CustomersFile | Contacts | Departures,
    columns: Sequence[str],
    currency: str,
    *,
    ignore: str | Sequence[str] = OTHERS,
    mode: Mode | None = None,
) -> Opened:
    """The file that the company has `named`, with its `columns`; `what` names a table that has no path.

    Raises DataError for what cannot be read at all, FilesError for columns that are missing or unknown.
    """
    mode = mode or Mode()
    raw, provenance = _raw(named.file, named.reading, columns, what, mode)
    cells = Cells(raw, named.reading, currency, today=mode.today)
    check_columns(cells, columns, None if ignore == OTHERS else list(ignore))
    if cells.faults:
        raise FilesError(cells.faults)
    if not raw.rows:
        cells.count_lines()
        raise FilesError(cells.faults) if raw.broken else refuse(raw, "has column names but no rows")
    empty = cells.blank(columns or raw.names)
    notes = (f"{int(empty.sum()):,} empty rows skipped",) if empty.any() else ()
    if empty.all():
        raise refuse(raw, "has column names but no rows")
    return Opened(cells.without(empty), provenance, notes)


def excluded(
    cells: Cells, conditions: Mapping[str, Condition], made: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """bool[rows] of those that are left out, and how many by each condition; `made` holds columns made of others."""
    gone = np.zeros(cells.count, bool)
    notes = []
    for name, condition in conditions.items():
        fits = cells.fits(name, condition, made.get(name))
        notes.append(f"{int(fits.sum()):,} rows excluded by {name} {condition}")
        gone |= fits
    return gone, tuple(notes)


def _raw(file: Any, reading: CellReading, columns: Sequence[str], what: str, mode: Mode) -> tuple[RawTable, Provenance]:
    if file is None:
        raise DataError(f"{what}: the company has no file of them here")
    if not isinstance(file, str):
        raw = read_frame(file, what, columns)
        hashes = pd.util.hash_pandas_object(file[raw.table.column_names], index=False)
        digest = hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()
        return raw, Provenance("real", "a DataFrame", digest, _LICENCE, raw.rows)
    if not file.startswith(SOURCE):
        raw, digest = read_file(file, reading, columns)
        return raw, Provenance("real", file, digest, _LICENCE, raw.rows)
    name = file.removeprefix(SOURCE)
    source = sources.source(name)
    for column, reason in LEAKS.get(name, {}).items():
        if column in columns:
            raise DataError(f"{file}: column {column!r} can never be used: {reason}")
    if mode.kind == "synthetic":
        return _synthetic(name, mode.rows)
    found = sources.obtain(name)
    raw = read_text(Text(found.where, found.data, reading), columns)
    return raw, Provenance("real", source.downloads[0].url, found.sha256, source.licence, raw.rows)


def _synthetic(name: str, rows: int | None) -> tuple[RawTable, Provenance]:
    """Made-up rows as the file of the real set would hold them."""
    table = synthetic.generate(name, rows=rows)
    schema = table.schema
    label = str(schema.label)
    texts = np.where(table.frame[label].to_numpy() == 1, schema.positive, schema.negative)
    return read_frame(table.frame.assign(**{label: texts}), f"synthetic {name}"), table.provenance
