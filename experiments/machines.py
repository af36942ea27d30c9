"""Which machine of the cloud runs which stage, for how long at most, at what price: `machines.yaml`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from experiments import config as configuration
from retentionjax.errors import ConfigError

DEFAULT = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Shape:
    """What one stage runs on."""

    machine: str
    hours: float
    """At most: the job is ended then."""

    def __post_init__(self) -> None:
        """Refuses what is no duration; Vertex AI's own limit is seven days."""
        configuration.in_range("hours", self.hours, 0.0, 168.0, open_low=True)


@dataclass(frozen=True)
class Machines:
    """All of the file."""

    prices: Mapping[str, float]
    """$ an hour by machine type."""
    accelerators: Mapping[str, str]
    """The one accelerator that comes with a machine type."""
    stages: Mapping[str, Shape]
    """By stage; `default` for the others."""

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
        for name, price in self.prices.items():
            configuration.in_range(f"prices.{name}", price, 0.0, 1000.0, open_low=True)

    def of(self, stage: str) -> Shape:
        """What `stage` runs on."""
        return self.stages.get(stage, self.stages["default"])

    def accelerator(self, stage: str) -> str | None:
        """The accelerator of its machine, None for a CPU."""
        return self.accelerators.get(self.of(stage).machine)

    def price(self, stage: str) -> float:
        """$ that `stage` costs at most, on demand; spot prices change daily and are below."""
        shape = self.of(stage)
        return self.prices[shape.machine] * shape.hours


def load(path: str | os.PathLike[str] | None = None) -> Machines:
    """The file at `path`, or the project's own. Raises ConfigError naming file, key and what is allowed."""
    place = DEFAULT if path is None else Path(path)
    try:
        content = yaml.safe_load(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{place}: no such file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{place}: not YAML: {' '.join(str(error).split())}") from None
    machines: Machines = configuration.structure(content, Machines, str(place))
    return machines
