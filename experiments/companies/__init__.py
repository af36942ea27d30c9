"""Companies that come with the project, and the company that a run is about."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from etils import epath

from retentionjax import storage
from retentionjax.company import Company
from retentionjax.data import company_tables, reading
from retentionjax.errors import ConfigError

FILE = "company.json"
"""The company's file among the artifacts of the stage `data`."""
_FOLDER = Path(__file__).parent


def path(name: str) -> epath.Path:
    """The file of a company: a path that ends in .yaml, or the name of one in this folder."""
    found = storage.as_path(name if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml")
    if not found.exists():
        known = ", ".join(sorted(each.stem for each in _FOLDER.glob("*.yaml")))
        raise ConfigError(f"company {name!r}: no such file; allowed: a company.yaml, or one of {known}")
    return found


def load(name: str) -> Company:
    """The company. Raises CompanyError with every fault of its file, ConfigError where there is no file."""
    return Company.load(path(name))


def save(company: Company, folder: str) -> epath.Path:
    """The company as a file in `folder`, with the tables it holds as Parquet beside it; returns the file's path.

    Tables are checked before, as the DataFrames they are, and only their columns that are used are kept. Raises
    FilesError with every fault.
    """
    if not all(isinstance(part.file, str) for part in parts(company).values()):
        company_tables.read(company)
    base = storage.as_path(folder)
    base.mkdir(parents=True, exist_ok=True)
    resolved, notes = company_tables.with_features(company)
    for note in notes:
        print(f"[company] {note}", flush=True)
    plain = {key: value for key, value in resolved.to_dict().items() if key != "format"}
    for name, part in parts(resolved).items():
        file = part.file
        if not isinstance(file, str):
            used = company_tables.used_columns(resolved, name)
            table = reading.read_frame(
                file[[each for each in file.columns if not {each, each.strip()}.isdisjoint(used)]], name
            ).table
            storage.write_bytes(base / f"{name}.parquet", _parquet(table))
            file = f"{name}.parquet"
        plain[name] = {**plain[name], "file": file}
    written = base / "company.yaml"
    storage.write_text(written, yaml.safe_dump(_said(plain), sort_keys=False, allow_unicode=True))
    return written


def parts(company: Company) -> dict[str, Any]:
    """What the company's file says of each of its files, by the names that sets have in a run."""
    named = {"customers": company.customers, "contacts": company.contacts, "departures": company.departures}
    return {name: part for name, part in named.items() if part is not None}


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def _said(value: Any) -> Any:
    """Plain values without the keys that say nothing, which a file leaves out."""
    if isinstance(value, Mapping):
        return {key: _said(each) for key, each in value.items() if each is not None}
    return value


def sha256(company: Company) -> str:
    """SHA-256 of what is said of it, wherever its files lie."""
    return hashlib.sha256(json.dumps(company.to_dict(), sort_keys=True).encode()).hexdigest()


def of(inputs: Mapping[str, epath.Path]) -> Company:
    """The company of the run whose finished stage `data` is among `inputs`."""
    file = inputs["data"] / "artifacts" / FILE
    return Company.from_dict(storage.read_json(file), where=str(file))
