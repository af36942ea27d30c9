"""Prepared tables: `<folder>/<set>/{train,validation,test}.parquet`, `schema.json`, and `catalog.json` over all.

The catalog tells of each set its rows, bytes, SHA-256, statistics, source, licence and time of making; a set whose
source, schema, seed and files are as the catalog says is not made again.
"""

import datetime as dt
import hashlib
import io
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from etils import epath

from retentionjax import storage
from retentionjax.data.schema import Provenance, Schema, Table
from retentionjax.data.splits import NAMES, Splits, split
from retentionjax.errors import DataError

FORMAT = 1
"""Format of catalog.json and of the files beside it; raised when either changes, so that old folders are made anew."""
_CATALOG = "catalog.json"


@dataclass(frozen=True)
class Prepared:
    """The splits of a set; each frame's index, `row`, is the position in the original table (Bank's is time)."""

    train: Table
    validation: Table
    test: Table

    @property
    def held_out(self) -> pd.DataFrame:
        """Rows that no model has seen, in the order of the original table, as every stage lists them. A row is known by
        its place there: an id may have several, one a snapshot."""
        return pd.concat([self.validation.frame, self.test.frame]).sort_index()


def prepare(
    table: Table,
    folder: str | os.PathLike[str],
    *,
    seed: int = 42,
    force: bool = False,
    splits: Splits | None = None,
) -> bool:
    """Writes the splits of `table` under `folder` and enters them in its catalog; whether there was anything to do.

    `splits` replaces the usual ones (a contact log follows its customers). A set appears whole or not at all.
    """
    if not force and not needs_update(folder, table, seed):
        return False
    splits = split(table, seed) if splits is None else splits
    parts = {name: table.rows(getattr(splits, name)) for name in NAMES}
    enter(
        folder,
        table.name,
        {f"{name}.parquet": (_parquet_bytes(rows), len(rows)) for name, rows in parts.items()},
        table.provenance,
        seed,
        schema=table.schema.to_dict(),
        rows=len(table.frame),
        duplicate_rows=int(table.frame.duplicated().sum()),
        statistics=statistics(table),
    )
    return True


def enter(
    folder: str | os.PathLike[str],
    name: str,
    parts: Mapping[str, tuple[bytes, int]],
    provenance: Provenance,
    seed: int,
    *,
    schema: Mapping[str, Any] | None = None,
    **told: Any,
) -> None:
    """Writes the files of the set `name`, each with its rows, and enters it in the catalog with what is `told` of it.

    The folder of the set appears whole or not at all, and replaces what was there.
    """
    base = storage.as_path(folder)
    files: dict[str, dict[str, Any]] = {}
    with storage.new_folder(base / name, replace=True) as partial:
        for file, (data, rows) in parts.items():
            storage.write_bytes(partial / file, data)
            found = {"rows": rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            files[file.partition(".")[0]] = {"file": f"{name}/{file}", **found}
        if schema is not None:
            storage.write_json(partial / "schema.json", schema)
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    entry = {"created": created, "seed": seed, "provenance": asdict(provenance), "splits": files, **told}
    sets = {**_sets(base), name: entry}
    storage.write_json(base / _CATALOG, {"format": FORMAT, "sets": dict(sorted(sets.items()))})


def needs_update(folder: str | os.PathLike[str], table: Table, seed: int = 42) -> bool:
    """Whether the prepared set in `folder` is missing, damaged, or made from another source, schema or seed."""
    base = storage.as_path(folder)
    if not is_whole(base, table.name, table.provenance, seed):
        return True
    schema = base / table.name / "schema.json"
    return not schema.exists() or storage.read_json(schema) != table.schema.to_dict()


def is_whole(folder: str | os.PathLike[str], name: str, provenance: Provenance, seed: int, **told: Any) -> bool:
    """Whether the set `name` was made from that source, seed and what is `told`, and its files are as entered."""
    base = storage.as_path(folder)
    entry = _sets(base).get(name)
    wanted = {"seed": seed, "provenance": asdict(provenance), **told}
    if entry is None or any(entry.get(key) != value for key, value in wanted.items()):
        return False
    files = [(base / each["file"], each["sha256"]) for each in entry["splits"].values()]
    return all(path.exists() and storage.sha256(path) == expected for path, expected in files)


def read(folder: str | os.PathLike[str], name: str) -> Prepared:
    """The prepared set `name`. Raises DataError when the catalog has none, or a file is missing or not as entered."""
    base = storage.as_path(folder)
    sets = _sets(base)
    if name not in sets:
        raise DataError(f"{base}/{_CATALOG}: has no set {name!r}; it has {', '.join(sets) or 'none'}")
    entry = sets[name]
    schema = Schema.from_dict(storage.read_json(base / name / "schema.json"), where=f"{base}/{name}/schema.json")
    provenance = Provenance(**entry["provenance"])
    tables = {}
    for part in NAMES:
        frame = _read_parquet(base / entry["splits"][part]["file"], entry["splits"][part]["sha256"])
        tables[part] = Table(name, frame, schema, provenance)
    return Prepared(**tables)


def entries(folder: str | os.PathLike[str]) -> Mapping[str, dict[str, Any]]:
    """What catalog.json says of each set; empty where there is none."""
    return _sets(storage.as_path(folder))


def statistics(table: Table) -> dict[str, dict[str, Any]]:
    """Statistics per column: mean, sd, min, max and missing of a number; counts of a category, label or arm; first and
    last of a time; nothing of an id."""
    result: dict[str, dict[str, Any]] = {}
    for name in table.schema.columns:
        if name == table.schema.id or name not in table.frame:
            continue
        column = table.frame[name]
        missing = int(column.isna().sum())
        if name == table.schema.time:
            result[name] = {"min": str(column.min()), "max": str(column.max()), "missing": missing}
        elif isinstance(column.dtype, pd.CategoricalDtype) or column.dtype.kind == "i":
            counts = column.value_counts(sort=False)
            result[name] = {"counts": {str(key): int(count) for key, count in counts.items()}, "missing": missing}
        else:
            figures = {"mean": column.mean(), "sd": column.std(), "min": column.min(), "max": column.max()}
            finite = {key: float(value) if math.isfinite(value) else None for key, value in figures.items()}
            result[name] = {**finite, "missing": missing}
    return result


def _sets(base: epath.Path) -> Mapping[str, dict[str, Any]]:
    path = base / _CATALOG
    if not path.exists():
        return {}
    catalog = storage.read_json(path)
    if not isinstance(catalog, dict) or catalog.get("format") != FORMAT:
        return {}  # of another version of this file: everything is made anew
    sets: dict[str, dict[str, Any]] = catalog["sets"]
    return sets


def _parquet_bytes(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", index=True)
    return buffer.getvalue()


def _read_parquet(path: epath.Path, expected: str) -> pd.DataFrame:
    if not path.exists():
        raise DataError(f"{path}: no such file; `retentionjax data prepare --force` makes it anew")
    data = path.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != expected:
        raise DataError(f"{path}: the checksum differs from the catalog's: sha256 {found}, expected {expected}")
    return pd.read_parquet(io.BytesIO(data), engine="pyarrow")
