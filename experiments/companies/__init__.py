"""Companies that come with the project, and the company that a run is about."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from etils import epath

from retentionjax import storage
from retentionjax.company import Company
from retentionjax.errors import ConfigError

FILE = "company.json"
"""Of the artifacts of the stage `data`."""
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


def sha256(name: str) -> str:
    """Of its file."""
    return hashlib.sha256(path(name).read_bytes()).hexdigest()


def of(inputs: Mapping[str, epath.Path]) -> Company:
    """The company of the run whose finished stage `data` is among `inputs`."""
    file = inputs["data"] / "artifacts" / FILE
    return Company.from_dict(storage.read_json(file), where=str(file))
