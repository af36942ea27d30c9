"""Finished stages as runs of MLflow: `python -m experiments.mlflow_runs runs/demo`, or by themselves as each one ends
where `MLFLOW_TRACKING_URI` is set. A stage is a run named after it, in an experiment named after the folder of all
stages: its settings are parameters, its summary and every line of its metrics are metrics.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from retentionjax import cli, storage
from retentionjax.errors import ConfigError
from retentionjax.tracking import read_metrics

VARIABLE = "MLFLOW_TRACKING_URI"
_METRICS, _PARAMS = 1000, 100
"""Most of each that MLflow's server takes in one request."""


def wanted() -> bool:
    """Whether the environment names an MLflow server or store."""
    return bool(os.environ.get(VARIABLE))


def publish(folder: epath.Path) -> str:
    """Writes the finished stage in `folder` as a run, and returns the run's id; each call makes a new run.

    Raises ConfigError where the folder holds no finished stage, mlflow is not installed, or its server can't be had.
    """
    if not (folder / "summary.json").exists():
        raise ConfigError(f"{folder}: holds no finished stage")
    try:
        import mlflow
        from mlflow.entities import Metric, Param
    except ModuleNotFoundError:
        raise ConfigError(f'{VARIABLE} needs mlflow: pip install "retentionjax[mlflow]"') from None
    record, summary = storage.read_json(folder / "stage.json"), storage.read_json(folder / "summary.json")
    lines = read_metrics(folder / "metrics.jsonl") if (folder / "metrics.jsonl").exists() else []
    last = int(lines[-1]["step"] or 0) if lines else 0
    ended = int((lines[-1]["time"] or 0) * 1000) if lines else 0
    metrics = [
        Metric(name, value, int((line["time"] or 0) * 1000), int(line["step"] or 0))
        for line in lines
        for name, value in line.items()
        if name not in ("step", "time") and value is not None
    ]
    numbers = {name: value for name, value in summary.items() if name != "data_source"}
    metrics += [Metric(f"summary/{name}", float(value), ended, last) for name, value in numbers.items()]
    params = [Param(name, str(value)[:6000]) for name, value in _flat(record["config"])]
    try:
        client = mlflow.MlflowClient()
        name = folder.parent.name
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name)
        tags = {"data_source": summary["data_source"], "version": record["version"], "outputs": record["outputs"]}
        run = client.create_run(experiment, run_name=folder.name, tags=tags).info.run_id
        for start in range(0, len(params), _PARAMS):
            client.log_batch(run, params=params[start : start + _PARAMS])
        for start in range(0, len(metrics), _METRICS):
            client.log_batch(run, metrics=metrics[start : start + _METRICS])
        client.set_terminated(run)
    except mlflow.MlflowException as error:
        raise ConfigError(f"{VARIABLE} is {os.environ.get(VARIABLE)!r}: {error}") from None
    return str(run)


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted names."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _command() -> None:
    if len(sys.argv) != 2:
        raise ConfigError("usage: python -m experiments.mlflow_runs RUN, a folder of stages such as runs/demo")
    stages = sorted(path.parent for path in storage.as_path(sys.argv[1]).glob("*/summary.json"))
    if not stages:
        raise ConfigError(f"{sys.argv[1]}: holds no finished stage")
    for stage in stages:
        print(f"{stage.name}: run {publish(stage)}")


if __name__ == "__main__":
    sys.exit(cli.guarded(_command))
