"""A run as it lies on disk: its finished stages, their summaries and artifacts."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from etils import epath

from retentionjax import storage
from retentionjax.company import Company
from retentionjax.errors import DataError
from retentionjax.tracking import read_metrics

_RECORD = "stage.json"
_OWN = "report"
"""The stage that writes the report is no part of it."""


@dataclass(frozen=True)
class FinishedStage:
    """A finished stage."""

    name: str
    folder: epath.Path
    record: Mapping[str, Any]
    """`stage.json`."""
    summary: Mapping[str, Any]
    """`summary.json`."""

    def json(self, name: str) -> Any:
        """The artifact `name`. Raises DataError where it is missing or damaged."""
        return storage.read_json(self.folder / "artifacts" / name)

    def optional(self, name: str) -> Any:
        """The artifact `name`, None where there is none."""
        return self.json(name) if (self.folder / "artifacts" / name).exists() else None

    def parquet(self, name: str) -> pd.DataFrame:
        """The table `name` of the artifacts. Raises DataError where it is missing or damaged."""
        path = self.folder / "artifacts" / name
        try:
            return pd.read_parquet(storage.in_memory(path))
        except FileNotFoundError:
            raise DataError(f"{path}: no such file, though {_RECORD} says that {self.name} is done") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}") from None

    @property
    def metrics(self) -> list[dict[str, float | None]]:
        """Lines of metrics.jsonl; none where the stage tracked none."""
        path = self.folder / "metrics.jsonl"
        return read_metrics(path) if path.exists() else []

    @property
    def is_synthetic(self) -> bool:
        """Whether its data are made up."""
        return bool(self.record["data_source"] != "real")


_PRESETS = ("smoke", "demo", "mvp")


@dataclass(frozen=True)
class FinishedRun:
    """The finished stages of a run, and the names of those that were begun."""

    name: str
    stages: Mapping[str, FinishedStage]
    unfinished: tuple[str, ...] = ()
    runs: str = "runs"
    """The folder that it is in."""

    @property
    def flags(self) -> str:
        """What comes after `python -m experiments.STAGE` for a stage of this very run, in a shell.

        A run that is not called like a preset is a company's own, whose sizes are those of `train`.
        """
        named = [self.name] if self.name in _PRESETS else ["train", "--name", self.name]
        return shlex.join([*named, *(["--runs", self.runs] if self.runs != "runs" else [])])

    def get(self, name: str) -> FinishedStage | None:
        """The finished stage, None if there is none."""
        return self.stages.get(name)

    @property
    def company(self) -> Company | None:
        """Whom the run is about; None where its stage `data` is not at hand."""
        stage = self.get("data")
        return None if stage is None else Company.from_dict(stage.json("company.json"), where=str(stage.folder))

    @property
    def is_synthetic(self) -> bool:
        """Whether any of its data are made up."""
        return any(stage.is_synthetic for stage in self.stages.values())


def read(folder: str | os.PathLike[str]) -> FinishedRun:
    """The run in `folder`. Raises DataError where there is no folder, or no finished stage in it."""
    base = storage.as_path(folder)
    if not base.is_dir():
        raise DataError(f"{base}: no such folder; a run is a folder such as runs/demo, made by {PIPELINE}")
    if (base / _RECORD).exists():
        raise DataError(f"{base}: is one stage; the run is the folder above it, {base.parent}")
    return collect(base.name, {entry.name: entry for entry in sorted(base.iterdir()) if entry.is_dir()}, where=base)


def collect(name: str, folders: Mapping[str, epath.Path], *, where: os.PathLike[str]) -> FinishedRun:
    """A run of the stages in `folders` (by name), wherever each lies; a folder without a record is passed over."""
    stages: dict[str, FinishedStage] = {}
    unfinished = []
    for stage, folder in folders.items():
        if stage == _OWN or not (folder / _RECORD).exists():
            continue
        record = storage.read_json(folder / _RECORD)
        if not isinstance(record, dict) or not {"status", "data_source", "config"} <= record.keys():
            raise DataError(f"{folder / _RECORD}: not the record of a stage; it has status, data_source and config")
        if record["status"] == "done":
            stages[stage] = FinishedStage(stage, folder, record, storage.read_json(folder / "summary.json"))
        else:
            unfinished.append(stage)
    if not stages:
        begun = f"; begun and not finished: {', '.join(unfinished)}" if unfinished else ""
        raise DataError(f"{os.fspath(where)}: holds no finished stage of a run{begun}; {PIPELINE} makes one")
    return FinishedRun(name, stages, tuple(unfinished), os.fspath(storage.as_path(where).parent))


PIPELINE = "`python -m experiments.pipeline demo`"
