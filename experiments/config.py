"""Settings of a run: a YAML preset, overridden by flags, as frozen dataclasses whose every key is known and typed.

`experiments/configs/<preset>.yaml` has one top-level key a stage and below it only what differs from the stage's
own defaults. Ranges are the dataclasses' own business: their `__post_init__` raises ConfigError (see `in_range`).
"""

import dataclasses
import difflib
import enum
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro
import yaml
from etils import epath

from retentionjax import storage
from retentionjax.errors import ConfigError

PRESETS = ("smoke", "demo", "train", "mvp")
DECIDING = ("data", "churn", "acceptance", "effects", "policy", "bundle", "evaluate")
WRITING = ("sft", "reward", "ppo_text", "messages")
STAGES = (*DECIDING, *WRITING, "report")
"""Of the pipeline, in the order they run."""
BESIDE = ("hillstrom", "stress", "frontier")
"""Stages that are run by themselves; a preset may set them too."""
DataMode = Literal["auto", "real", "synthetic"]

T = TypeVar("T")
_FOLDER = Path(__file__).parent / "configs"
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclasses.dataclass(frozen=True)
class Options:
    """What every stage script and the pipeline take beside the stage's own settings."""

    name: str = ""
    """Name of the run, a folder under `runs`; the preset's name if empty."""
    data: DataMode = "auto"
    """real: official files or an error; synthetic: the embedded generator; auto: real where they can be had."""
    resume: bool = False
    """Go on from the last checkpoint of this run instead of starting anew."""
    force: bool = False
    """Run even what is done and unchanged."""
    runs: str = "runs"
    """The folder of all runs; may be a gs:// path."""

    def __post_init__(self) -> None:
        """Refuses a run name that is no single folder name, and `resume` together with `force`."""
        if self.name in (".", "..") or "/" in self.name:
            raise ConfigError(f"--name {self.name!r} is not a folder name; --runs says where runs are kept")
        if self.resume and self.force:
            raise ConfigError("--resume goes on and --force starts anew: give one of the two")


@dataclasses.dataclass(frozen=True)
class Preset:
    """A preset file: its name and, by stage, the settings that differ from the defaults."""

    name: str
    path: epath.Path
    stages: Mapping[str, Mapping[str, Any]]

    def config(self, stage: str, kind: type[T]) -> T:
        """The stage's settings as `kind`. Raises ConfigError naming file, key and what is allowed."""
        config: T = structure(self.stages.get(stage, {}), kind, f"{self.path}: {stage}")
        return config


def load_preset(name: str) -> Preset:
    """The preset `smoke`, `demo` or `mvp`, or the YAML file at `name`. Raises ConfigError when it is neither."""
    path = storage.as_path(name if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml")
    if name not in PRESETS and path.parent == storage.as_path(_FOLDER) and path.stem == name:
        raise ConfigError(f"unknown preset {name!r}; allowed: {', '.join(PRESETS)}, or a file ending in .yaml")
    try:
        content = yaml.safe_load(path.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    stages = _mapping({} if content is None else content, str(path))
    for key, value in stages.items():
        if key not in (known := (*STAGES, *BESIDE)):
            raise ConfigError(f"{path}: unknown key {key!r}{_meant(key, known)}; allowed: {', '.join(known)}")
        stages[key] = _mapping({} if value is None else value, f"{path}: {key}")
    return Preset(path.stem, path, stages)


# --- from YAML to dataclasses and back ------------------------------------------------------------------------


def structure(value: Any, kind: Any, where: str, default: Any = None) -> Any:
    """`value`, as read from YAML, as the type `kind`; `where` names it in errors.

    A mapping that stands for a dataclass overrides only the keys it names: the others stay as in `default`, what the
    field has without it, or else as the dataclass has them.

    Nothing is guessed: an unknown key, a wrong type, a missing key or a number out of range is a ConfigError. The
    one leniency is YAML's own trap, `1e-3`, which it reads as text.
    """
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _structure_dataclass(_mapping(value, where), kind, where, default if type(default) is kind else None)
    if kind is Any:  # a number that may also be an array: its default says which
        return _structure_scalar(value, float, where) if isinstance(default, float) else value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return structure(value, arguments[0], where)
    if origin in (typing.Union, types.UnionType):
        return _structure_union(value, arguments, where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}; allowed: {', '.join(map(str, arguments))}")
        return value
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return _structure_sequence(value, origin, arguments, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {
            str(key): structure(item, arguments[1], f"{where}.{key}") for key, item in _mapping(value, where).items()
        }
    return _structure_scalar(value, kind, where)


def _structure_dataclass(mapping: Mapping[str, Any], kind: type, where: str, default: Any) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in mapping:
        if key not in fields:
            raise ConfigError(f"{where}.{key}: unknown key{_meant(key, fields)}; allowed: {', '.join(sorted(fields))}")
    hints = typing.get_type_hints(kind, include_extras=True)
    known = {name: _default(field) if default is None else getattr(default, name) for name, field in fields.items()}
    values = known | {key: structure(value, hints[key], f"{where}.{key}", known[key]) for key, value in mapping.items()}
    for name, value in values.items():
        if value is dataclasses.MISSING:
            raise ConfigError(f"{where}.{name} is missing and has no default")
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _default(field: dataclasses.Field[Any]) -> Any:
    """What the field has where nothing is said; MISSING where it has no default."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _structure_union(value: Any, kinds: Sequence[Any], where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    errors = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return structure(value, kind, where)
            except ConfigError as error:
                errors.append(str(error))
    raise ConfigError(" or ".join(errors))


def _structure_sequence(value: Any, origin: Any, arguments: Sequence[Any], where: str) -> Any:
    if not isinstance(value, list):
        raise ConfigError(f"{where} is {value!r}; a list is wanted")
    fixed = origin is tuple and Ellipsis not in arguments
    if fixed and len(value) != len(arguments):
        raise ConfigError(f"{where} has {len(value)} entries; {len(arguments)} are wanted")
    kinds = arguments if fixed else [arguments[0]] * len(value)
    items = [
        structure(item, kind, f"{where}[{index}]") for index, (item, kind) in enumerate(zip(value, kinds, strict=True))
    ]
    return items if origin is list else tuple(items)


def _structure_scalar(value: Any, kind: Any, where: str) -> Any:
    if kind is float and isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, bool):
        raise ConfigError(f"{where} is {value!r}; a whole number is wanted")
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if value not in kind.__members__:
            raise ConfigError(f"{where} is {value!r}; allowed: {', '.join(kind.__members__)}")
        return kind[value]
    if isinstance(kind, type) and issubclass(kind, Path) and isinstance(value, str):
        return kind(value)
    if not isinstance(kind, type):
        raise TypeError(f"{where}: a setting cannot be of type {kind!r}")
    if not isinstance(value, kind):
        words = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
        raise ConfigError(f"{where} is {value!r}; {words.get(kind, kind.__name__)} is wanted")
    return value


def plain(value: Any) -> Any:
    """A config as what YAML holds: mappings, lists, numbers, text; the inverse of `structure`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot stand in a configuration file")


def write_config(path: str | os.PathLike[str], config: Any, *, comment: str) -> None:
    """Writes the resolved config as YAML under a comment line."""
    text = yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)
    storage.write_text(path, f"# {comment}\n{text}")


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """What changed between two plain configs, as `key: old → new`."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return [] if before == after else [f"{where}: {before} → {after}"]
    keys = dict.fromkeys([*before, *after])
    path = f"{where}." if where else ""
    return [line for key in keys for line in differences(before.get(key), after.get(key), f"{path}{key}")]


def in_range(
    key: str, value: float, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> None:
    """Raises ConfigError naming key, value and the interval, when `value` is outside it (NaN is outside all)."""
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not (above and below):
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        raise ConfigError(f"{key} is {value}; allowed: {left}{low:g}, {high:g}{right}")


# --- the command line -----------------------------------------------------------------------------------------


def parse(
    program: str, description: str, configs: Mapping[str, type], arguments: Sequence[str], *, flat: bool
) -> tuple[Preset, Options, dict[str, Any]]:
    """`PRESET [--field.value …]` as the preset, the options, and the config of every stage in `configs`.

    With `flat` there is one stage and its fields need no prefix (`--ppo.learning-rate`); otherwise they carry the
    stage's name (`--policy.ppo.learning-rate`). Unknown flags and values that do not parse end the program with
    status 2, as argparse does; presets that do not fit raise ConfigError.
    """
    wants_help = bool({"-h", "--help"} & set(arguments))
    named = bool(arguments) and not arguments[0].startswith("-")
    if not named and not wants_help:
        raise ConfigError(f"which preset? {program} {{{','.join(PRESETS)}}} [--field.value …]; --help lists the fields")
    preset = load_preset(arguments[0] if named else "demo")
    defaults: dict[str, Any] = {stage: preset.config(stage, kind) for stage, kind in configs.items()}
    # Fields are prefixed `stage_` inside, for a stage and an option may share a name (`--data real --data.seed 1`).
    fields: list[Any] = [
        (f"stage_{stage}", typing.Annotated[kind, tyro.conf.arg(name="" if flat else stage)], dataclasses.field())
        for stage, kind in configs.items()
    ]
    fields.append(("options", typing.Annotated[Options, tyro.conf.arg(name="")], dataclasses.field()))
    command = dataclasses.make_dataclass("Command", fields, frozen=True)
    parsed = tyro.cli(
        command,
        default=command(*defaults.values(), Options()),
        args=list(arguments[1:] if named else arguments),
        prog=f"{program} {preset.name}" if named else f"{program} {{{','.join(PRESETS)}}}",
        description=description,
    )
    return preset, parsed.options, {stage: getattr(parsed, f"stage_{stage}") for stage in configs}


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} is {value!r}; keys with values are wanted")
    return {str(key): item for key, item in value.items()}


def _meant(key: str, known: Any) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f" (meant {close[0]!r}?)" if close else ""
