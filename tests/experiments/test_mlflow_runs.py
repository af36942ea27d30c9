"""Finished stages in MLflow's own file store, written and read with MLflow's client."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from experiments import mlflow_runs, stage
from experiments.config import Options
from experiments.stage import Context, Outside, Stage
from retentionjax import storage

if TYPE_CHECKING:
    import mlflow


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class ToyConfig:
    steps: int = 3
    inner: Inner = field(default_factory=Inner)


def _train(config: ToyConfig, context: Context) -> Mapping[str, float]:
    with context.tracker() as tracker:
        for step in range(config.steps):
            tracker.log(step, {"loss": 1.0 / (step + 1), "gap": float("nan")})
    return {"loss": 0.25}


TOY = Stage("toy", ToyConfig, _train, outside=lambda config, mode: Outside("real", {}))


def finish(folder: Path) -> str:
    options = Options(runs=str(folder), name="acme")
    work = stage.Work(TOY, ToyConfig(), storage.as_path(folder / "acme" / "toy"), {}, Outside("real", {}), options)
    stage.perform(work, go_on="never")
    return str(folder / "acme")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "mlflow.MlflowClient":
    """The real file store, which MLflow opens only on request, since it wants a database in the end."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv(mlflow_runs.VARIABLE, f"file:{tmp_path}/mlruns")
    import mlflow  # two seconds that only one worker needs

    return mlflow.MlflowClient()


def test_a_stage_that_ends_is_a_run_with_its_settings_and_every_line_of_its_metrics(
    store: "mlflow.MlflowClient", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(tmp_path)
    experiment = store.get_experiment_by_name("acme")
    assert experiment is not None
    (run,) = store.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("toy", "FINISHED")
    assert run.data.params == {"steps": "3", "inner.rate": "0.5"}
    assert run.data.tags["data_source"] == "real"
    assert run.data.metrics["summary/loss"] == 0.25
    history = store.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert "gap" not in run.data.metrics
    assert f"run {run.info.run_id} of MLflow" in capsys.readouterr().out


def test_without_its_variable_nothing_is_published_and_mlflow_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(mlflow_runs.VARIABLE, raising=False)
    finish(tmp_path)
    assert "MLflow" not in capsys.readouterr().out


def test_a_store_that_cannot_be_had_costs_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(mlflow_runs.VARIABLE, "carrier:dove")
    folder = finish(tmp_path)
    said = capsys.readouterr().out
    assert "WARNING: not in MLflow: MLFLOW_TRACKING_URI is 'carrier:dove'" in said
    assert f"later: python -m experiments.mlflow_runs {folder}" in said
    assert os.path.exists(f"{folder}/toy/summary.json")
