"""Settings of a run: a YAML preset, overridden by flags, as frozen dataclasses whose every key is known and typed.

`experiments/configs/<preset>.yaml` has one top-level key a stage and below it only what differs from the stage's
own defaults. Ranges are the dataclasses' own business: their `__post_init__` raises ConfigError (see `in_range`).
"""

import dataclasses
import os
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro
import yaml
from etils import epath

from retentionjax import storage
from retentionjax.company.structure import read_yaml, structure, unstructure
from retentionjax.errors import ConfigError

PRESETS = ("smoke", "demo", "train", "mvp")
DECIDING = ("data", "churn", "acceptance", "effects", "policy", "bundle", "evaluate")
WRITING = ("sft", "reward", "ppo_text", "messages")
STAGES = (*DECIDING, *WRITING, "report")
"""Stages of the pipeline, in the order they run."""
BESIDE = ("hillstrom", "stress", "frontier")
"""Stages that are run by themselves; a preset may set them too."""
DataMode = Literal["auto", "real", "synthetic"]

T = TypeVar("T")
_FOLDER = Path(__file__).parent / "configs"


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
        """The stage's settings as `kind`. Raises ConfigError with every fault: file, key, value, what is allowed."""
        return structure(self.stages.get(stage, {}), kind, stage, where=str(self.path))


def load_preset(name: str) -> Preset:
    """The preset `smoke`, `demo` or `mvp`, or the YAML file at `name`. Raises ConfigError when it is neither."""
    path = storage.as_path(name if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml")
    if name not in PRESETS and path.parent == storage.as_path(_FOLDER) and path.stem == name:
        raise ConfigError(f"unknown preset {name!r}; allowed: {', '.join(PRESETS)}, or a file ending in .yaml")
    known = dataclasses.make_dataclass("Stages", [(name, Mapping[str, Any], None) for name in (*STAGES, *BESIDE)])
    stages: Any = structure(read_yaml(path), known, where=str(path))
    return Preset(path.stem, path, {name: each for name, each in vars(stages).items() if each is not None})


def write_config(path: str | os.PathLike[str], config: Any, *, comment: str) -> None:
    """Writes the resolved config as YAML under a comment line."""
    text = yaml.safe_dump(unstructure(config), sort_keys=False, allow_unicode=True)
    storage.write_text(path, f"# {comment}\n{text}")


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """What changed between two plain configs, as `key: old → new`."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return [] if before == after else [f"{where}: {before} → {after}"]
    keys = dict.fromkeys([*before, *after])
    path = f"{where}." if where else ""
    return [line for key in keys for line in differences(before.get(key), after.get(key), f"{path}{key}")]


def in_range(key: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    """Raises ConfigError naming key, value and the interval, when `value` is outside it (NaN is outside all)."""
    if not ((value > low if open_low else value >= low) and value <= high):
        raise ConfigError(f"{key} is {value}; allowed: {'(' if open_low else '['}{low:g}, {high:g}]")


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
    settings = {stage: preset.stages.get(stage, {}) for stage in configs}
    defaults = vars(
        structure(settings, dataclasses.make_dataclass("Settings", configs.items()), where=str(preset.path))
    )
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
