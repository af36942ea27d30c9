"""What of a run is left to do, in which order, on which machines (`machines.yaml`), for how much at most."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from etils import epath

from experiments import config as configuration
from experiments.config import Preset
from experiments.stage import Record, Stage, is_unchanged, read_record
from retentionjax.checked import Checked, Within
from retentionjax.company.structure import read_yaml, structure
from retentionjax.errors import ConfigError

DEFAULT = Path(__file__).with_name("machines.yaml")


@dataclass(frozen=True)
class Shape(Checked):
    """What one stage runs on."""

    machine: str
    hours: Annotated[float, Within(0, 168, "Vertex AI's own limit is seven days", above=True)]
    """Hours at most: the job is ended then."""


@dataclass(frozen=True)
class Machines:
    """All of the file."""

    prices: Mapping[str, Annotated[float, Within(0, 1000, above=True)]]
    """$ an hour by machine type."""
    accelerators: Mapping[str, str]
    """The one accelerator that comes with a machine type."""
    stages: Mapping[str, Shape]
    """Shape by stage; `default` for the others."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a machine without a price, an unknown stage, or no default."""
        known = ("default", *configuration.STAGES)
        for name, shape in self.stages.items():
            if name not in known:
                raise ConfigError(f"stages: {name!r} is no stage; allowed: {', '.join(known)}")
            if shape.machine not in self.prices:
                raise ConfigError(f"stages.{name}: {shape.machine!r} has no price; known: {', '.join(self.prices)}")
        if "default" not in self.stages:
            raise ConfigError("stages: default is missing")


def load_machines(path: str | os.PathLike[str] | None = None) -> Machines:
    """The file at `path`, or the project's own. Raises ConfigError naming file, key and what is allowed."""
    place = DEFAULT if path is None else Path(path)
    return structure(read_yaml(place), Machines, where=str(place))


@dataclass(frozen=True)
class Task:
    """One stage to be run."""

    name: str
    needs: tuple[str, ...]
    finished: bool
    """Done with these very settings, by this version, on inputs that are the same."""
    machine: str
    accelerator: str | None
    """The accelerator of its machine, None for a CPU."""
    hours: float
    """Hours at most."""
    price: float
    """$, at most, on demand (spot prices change daily and are below); 0 where nothing is left to do."""


@dataclass(frozen=True)
class LaunchPlan:
    """All stages of a run, each after those it needs."""

    preset: Preset
    name: str
    runs: epath.Path
    data: str
    tasks: tuple[Task, ...]

    @property
    def price(self) -> float:
        """$ of what is left to do, at most."""
        return sum(task.price for task in self.tasks)

    def arguments(self, preset: str) -> list[str]:
        """What each stage's script is given."""
        return [preset, "--runs", os.fspath(self.runs), "--name", self.name, "--data", self.data]


def make(
    preset: Preset,
    stages: Sequence[Stage[Any]],
    runs: epath.Path,
    name: str,
    data: str,
    shapes: Machines,
    *,
    look: bool = True,
) -> LaunchPlan:
    """What is to be run and what it costs at most; without `look` nothing is taken for finished."""
    tasks: list[Task] = []
    finished: dict[str, Record] = {}
    for stage in stages:
        record = read_record(runs / name / stage.name) if look else None
        config = preset.config(stage.name, stage.Config)
        done = record is not None and is_unchanged(stage, config, record, finished)
        if done and record is not None:
            finished[stage.name] = record
        shape = shapes.stages.get(stage.name, shapes.stages["default"])
        machine, price = shape.machine, 0.0 if done else shapes.prices[shape.machine] * shape.hours
        tasks.append(Task(stage.name, stage.needs, done, machine, shapes.accelerators.get(machine), shape.hours, price))
    return LaunchPlan(preset, name, runs, data, tuple(tasks))
