"""`manifest.json`: what a bundle is, how it was made, and the size and SHA-256 of each of its files.

Its `id` is the SHA-256 of the rest of the manifest, hence of the whole bundle: it names the bundle in every decision
and shows damage. It is no signature: whoever can write the folder can make a new one.
"""

import hashlib
import json
import os
import re
import stat
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etils import epath

from retentionjax import storage
from retentionjax.errors import BundleError, DataError

NAME = "manifest.json"
FORMAT_VERSION = 3
GATE = "gate"
"""Key of the metrics: `gate_probability` that the learned policy gains more than never contacting, `gate_minimum` that
is asked for, whether the effects' draws by which it was found are reliable (`is_reliable`, 1 or 0), and whether it
`waits` for either (1 or 0)."""
REQUIRED = ("churn", "acceptance", "policy")
"""Folders that every bundle has."""
PARTS = (*REQUIRED, "shield", "language")
"""Folders that this version reads. Any other is refused and never passed over: a bundle served without one of its
parts would not be the bundle that was written."""


@dataclass(frozen=True)
class File:
    """One file as it must be."""

    sha256: str
    size: int  # bytes


@dataclass(frozen=True)
class EffectFigure:
    """One number about what contacts or offers do, as the policy was trained on it."""

    name: str
    """An offer's as `<effect>_<offer>`."""
    median: float
    low: float
    """5 % quantile."""
    high: float
    """95 % quantile."""
    rests_on: str
    """estimated: from the company's log; assumed: the public prior; declared: the company says so, without doubt."""


@dataclass(frozen=True)
class Manifest:
    """All of `manifest.json` but the format version and the id. Values are as JSON holds them."""

    created: str
    """UTC, ISO 8601."""
    git_commit: str | None
    """Commit of the code that made it, `-dirty` if it was changed since; None outside a repository."""
    packages: Mapping[str, str]
    """Versions of what made it."""
    synthetic: bool
    """Whether any data set behind it is made up; every output then says so."""
    data: Mapping[str, Any]
    """Provenance of each data set."""
    metrics: Mapping[str, Any]
    """The stages' summaries."""
    env: Mapping[str, Any]
    """Constants of the retention model (`env.record`)."""
    limits: Mapping[str, float | None]
    """Average limits the policy was trained to, by cost; None: no limit."""
    multipliers: Mapping[str, float]
    """Price of a unit of each limited cost, in $ of value."""
    matching: Mapping[str, Any]
    """How acceptance propensities were given to the customers it was trained on."""
    customer: Mapping[str, Any]
    """The facts of a customer, see `bundle.customer`."""
    company: Mapping[str, Any]
    """The company whose bundle it is: offers by name, limits, currency, messages (`Company.to_dict`)."""
    parts: tuple[str, ...]
    files: Mapping[str, File]
    """Files by path within the folder, `/` between its parts."""

    def to_dict(self) -> dict[str, Any]:
        """The manifest as written, id included."""
        plain = _plain(self)
        return {"format_version": FORMAT_VERSION, "id": _digest(plain), **plain}

    @property
    def effects(self) -> tuple[EffectFigure, ...]:
        """Every effect with what it rests on; none in bundles whose run had no stage `effects`."""
        figures, end = self.metrics.get("effects", {}), "_is_estimated"
        names = [key.removesuffix(end) for key in figures if key.endswith(end)]
        return tuple(_effect(name, figures) for name in names)

    @property
    def advice(self) -> str:
        """What to do where the bundle contacts nobody because its policy was not shown to gain; empty where it was."""
        return gate_advice(self.metrics.get(GATE, {}))

    @property
    def id(self) -> str:
        """SHA-256 of everything else in the manifest, in hexadecimal."""
        return _digest(_plain(self))


def gate_advice(gate: Mapping[str, Any]) -> str:
    """Why a bundle with these figures of its gate contacts nobody, and what to do; empty where it does not wait."""
    if not gate.get("waits"):
        return ""
    if not gate.get("is_reliable", 1.0):
        why = (
            "the check of what the log says about the offers failed, so the chance to gain is unknown. More rows, or "
            "fewer offers, help."
        )
    else:
        why = (
            "by what is believed about the offers, the learned policy gains more than contacting nobody with a "
            f"probability of {gate['gate_probability']:.0%}, and {gate['gate_minimum']:.0%} is required. A pilot would "
            "tell: `retentionjax pilot company.yaml`."
        )
    return (
        f"This bundle contacts nobody: {why} Figures of value, spend and contacts are those of the learned policy, "
        "which is not in it."
    )


_LIMITED = {
    "campaign_budget": "money spent",
    "contact": "contacts",
    "cooldown": "contacts that break the cooldown",
    "fatigue": "contacts that break the cap on fatigue",
}


def limits_words(limits: Mapping[str, float | None]) -> str:
    """Average limits as a person reads them: those of cooldown and fatigue are of violations, not of days."""
    return ", ".join(
        f"{_LIMITED.get(name, name)} {'without limit' if each is None else f'at most {each:.10g}'}"
        for name, each in limits.items()
    )


def _effect(name: str, figures: Mapping[str, Any]) -> EffectFigure:
    median, low, high = (float(figures[f"{name}_{part}"]) for part in ("median", "low", "high"))
    basis = "estimated" if figures[f"{name}_is_estimated"] else "declared" if low == high else "assumed"
    return EffectFigure(name, median, low, high, basis)


_JSON: Mapping[Any, type | tuple[type, ...]] = {
    str: str, bool: bool, Mapping: dict, tuple: list, types.UnionType: (str, type(None)),
}  # fmt: skip
_TYPES = {name: _JSON[typing.get_origin(kind) or kind] for name, kind in typing.get_type_hints(Manifest).items()}
"""What JSON holds for each field."""


def read(folder: epath.Path) -> Manifest:
    """The manifest of the bundle in `folder`; its files are not looked at.

    Raises BundleError: no bundle, an unknown format version or part, a key too few or too many or of the wrong type,
    a manifest that was changed after it was written.
    """
    path = folder / NAME
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; a bundle is a folder with a {NAME}")
    _refuse_link(path)
    try:
        plain = storage.read_json(path)
    except DataError as error:
        raise BundleError(str(error)) from None
    version = plain.get("format_version") if isinstance(plain, dict) else None
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise BundleError(f"{path}: format version {version!r} is unknown; this program reads {FORMAT_VERSION}")
    return _from_dict(plain, str(path))


def describe_files(folder: epath.Path) -> dict[str, File]:
    """Every file below `folder` but the manifest. Raises BundleError for a link or another thing that is no file."""
    found = {path.relative_to(folder).as_posix(): path for path in _plain_files(folder)}
    found.pop(NAME, None)
    return {name: File(storage.sha256(path), _size(path)) for name, path in sorted(found.items())}


def verify_files(folder: epath.Path, manifest: Manifest) -> None:
    """Raises BundleError naming the first file that is missing, not in the manifest, or not as the manifest says,
    and the first part without a file."""
    found = {path.relative_to(folder).as_posix(): path for path in _plain_files(folder)}
    found.pop(NAME, None)
    if extra := sorted(found.keys() - manifest.files.keys()):
        raise BundleError(f"{folder / extra[0]}: not in {NAME}; a bundle holds what was written into it and no more")
    if missing := sorted(manifest.files.keys() - found.keys()):
        raise BundleError(f"{folder / missing[0]}: no such file, but {NAME} names it")
    for name, expected in sorted(manifest.files.items()):
        if (size := _size(found[name])) != expected.size:
            raise BundleError(f"{found[name]}: {size:,} bytes; {NAME} says {expected.size:,}")
        if (digest := storage.sha256(found[name])) != expected.sha256:
            raise BundleError(f"{found[name]}: changed since it was written: sha256 {digest}, not {expected.sha256}")
    folders = {name.partition("/")[0] for name in manifest.files}
    for name in sorted(folders ^ set(manifest.parts)):
        which = "holds files but is no part" if name in folders else "is a part but holds no file"
        raise BundleError(f"{folder}: {name!r} {which}; the parts are {', '.join(manifest.parts)}")


# --- files ----------------------------------------------------------------------------------------------------


def _plain_files(folder: epath.Path) -> list[epath.Path]:
    """All files below `folder`; a link may lead out of it and a pipe never ends, so neither is followed or opened."""
    found = []
    for entry in sorted(folder.iterdir()):
        _refuse_link(entry)
        if entry.is_dir():
            found += _plain_files(entry)
        elif storage.is_cloud(entry) or stat.S_ISREG(os.stat(entry).st_mode):
            found.append(entry)
        else:
            raise BundleError(f"{entry}: neither a file nor a folder; a bundle holds nothing else")
    return found


def _refuse_link(path: epath.Path) -> None:
    if not storage.is_cloud(path) and os.path.islink(path):
        raise BundleError(f"{path}: a link; a bundle holds its own files")


def _size(path: epath.Path) -> int:
    return int(path.stat().length)


# --- JSON -----------------------------------------------------------------------------------------------------


def _plain(manifest: Manifest) -> dict[str, Any]:
    plain: dict[str, Any] = {name: getattr(manifest, name) for name in _TYPES}
    plain["parts"] = list(manifest.parts)
    plain["files"] = {name: {"sha256": file.sha256, "bytes": file.size} for name, file in manifest.files.items()}
    return plain


def _digest(plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _from_dict(plain: Mapping[str, Any], where: str) -> Manifest:
    names = ("format_version", "id", *_TYPES)
    if unknown := [key for key in plain if key not in names]:
        raise BundleError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(names)}")
    if missing := [key for key in names if key not in plain]:
        raise BundleError(f"{where}: the key {missing[0]!r} is missing")
    for name, kind in _TYPES.items():
        if not isinstance(plain[name], kind):
            raise BundleError(f"{where}: {name} is a {type(plain[name]).__name__}, which does not fit the format")
    _check_parts(plain["parts"], where)
    files = {name: _file(value, f"{where}: files, {name!r}") for name, value in plain["files"].items()}
    manifest = Manifest(
        **{name: plain[name] for name in _TYPES if name not in ("parts", "files")},
        parts=tuple(plain["parts"]),
        files=files,
    )
    if plain["id"] != manifest.id:
        raise BundleError(f"{where}: changed since it was written: its content has the id {manifest.id}")
    return manifest


def _check_parts(parts: list[Any], where: str) -> None:
    for part in parts:
        if part not in PARTS:
            raise BundleError(f"{where}: the part {part!r} is unknown; this program reads {', '.join(PARTS)} only")
    if missing := [part for part in REQUIRED if part not in parts]:
        raise BundleError(f"{where}: the part {missing[0]!r} is missing; a bundle needs {', '.join(REQUIRED)}")
    if "language" in parts and "shield" not in parts:
        raise BundleError(f"{where}: the part 'shield' is missing; no message is written without it")


def _file(value: Any, where: str) -> File:
    if not isinstance(value, dict) or set(value) != {"sha256", "bytes"}:
        raise BundleError(f"{where}: {value!r}; wanted: sha256 and bytes")
    digest, size = value["sha256"], value["bytes"]
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest) or type(size) is not int:
        raise BundleError(f"{where}: {value!r}; wanted: sha256 in hexadecimal and a whole number of bytes")
    return File(digest, size)
