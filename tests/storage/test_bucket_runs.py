"""Data sets and runs in a bucket: read and prepared there, and training that goes on from there on another machine."""

import shutil
import textwrap
from dataclasses import make_dataclass
from pathlib import Path

import pytest

from experiments import pipeline
from experiments.config import DataMode
from experiments.stage import Context, Outside, Stage
from retentionjax import storage
from retentionjax.checkpoint import Checkpoints
from retentionjax.data import catalog, sources, synthetic
from retentionjax.errors import DataError
from retentionjax.tracking import read_metrics


def test_prepared_data_are_read_back_from_a_bucket_and_prepared_once(bucket: str) -> None:
    table = synthetic.generate("telco", rows=300)
    folder = storage.as_path(bucket) / "data"
    assert catalog.prepare(table, folder)
    assert not catalog.prepare(table, folder)
    assert len(catalog.read(folder, "telco").train.frame) == 240
    storage.write_text(folder / "telco/test.parquet", "damaged")
    assert catalog.needs_update(folder, table)


def test_official_files_are_looked_for_in_a_bucket_and_checked(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.source("telco")
    storage.write_text(f"{bucket}/data/telco/{source.files[0]}", "customerID,Churn\n")
    monkeypatch.setenv("RETENTIONJAX_DATA", f"{bucket}/data")
    with pytest.raises(DataError, match=rf"{bucket}/data/telco/.*: the checksum differs from the official"):
        sources.obtain("telco")


def test_official_files_in_a_bucket_are_the_ones_of_a_folder(
    bucket: str, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = sources.locate(sources.source("telco"), storage.as_path(real_data))
    assert here is not None
    storage.write_bytes(f"{bucket}/data/telco/{here.name}", here.read_bytes())
    monkeypatch.setenv("RETENTIONJAX_DATA", str(real_data))
    expected = sources.obtain("telco")
    monkeypatch.setenv("RETENTIONJAX_DATA", f"{bucket}/data")
    found = sources.obtain("telco")
    assert (found.data, found.sha256) == (expected.data, expected.sha256)


class PreemptedError(Exception):
    """The machine is gone."""


def stage(preempted_at: int | None) -> Stage[dict[str, int]]:
    """Counts to 6 with a checkpoint at every second step."""

    def train(config: dict[str, int], context: Context) -> dict[str, float]:
        checkpoints = Checkpoints(context.checkpoints)
        state = {"sum": 0, "step": 0}
        if context.resume and checkpoints.latest_step() is not None:
            state = checkpoints.restore(state)
        started = state["step"]
        with context.tracker(started or None) as tracker:
            for step in range(started + 1, 7):
                if step == preempted_at:
                    raise PreemptedError
                state = {"sum": state["sum"] * 3 + step, "step": step}
                tracker.log(step, {"sum": state["sum"]})
                if step % 2 == 0:
                    checkpoints.save(step, state)
        storage.write_json(context.artifacts / "state.json", state)
        return {"started_at": started, "sum": state["sum"]}

    def outside(config: dict[str, int], mode: DataMode) -> Outside:
        return Outside("real", {})

    return Stage("policy", make_dataclass("Config", [], frozen=True), train, outside=outside)


def test_a_run_in_a_bucket_goes_on_elsewhere_ends_the_same_and_is_then_skipped(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("toy.yaml").write_text(textwrap.dedent("policy: {}\n"))
    for name in ("whole", "cut"):
        arguments = ["toy.yaml", "--runs", f"{bucket}/runs", "--name", name]
        if name == "cut":
            with pytest.raises(PreemptedError):
                pipeline.command(arguments, [stage(5)])
            shutil.rmtree(tmp_path / "runs", ignore_errors=True)  # nothing is kept on this machine
        pipeline.command(arguments, [stage(None)])
    whole, cut = (storage.as_path(bucket) / "runs" / name / "policy" for name in ("whole", "cut"))
    assert storage.read_json(cut / "summary.json")["started_at"] == 4
    assert storage.read_json(cut / "artifacts/state.json") == storage.read_json(whole / "artifacts/state.json")
    kept = [[(line["step"], line["sum"]) for line in read_metrics(each / "metrics.jsonl")] for each in (whole, cut)]
    assert kept[0] == kept[1]
    capsys.readouterr()
    pipeline.command(["toy.yaml", "--runs", f"{bucket}/runs", "--name", "cut"], [stage(None)])
    assert "nothing it depends on has changed: skipped" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
