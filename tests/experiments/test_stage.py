"""A pipeline of toy stages: what is done is skipped, what changed runs again, what was killed goes on exactly."""

import json
import os
import runpy
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from experiments import pipeline, stage
from experiments.config import DataMode, Options, load_preset
from experiments.stage import Context, Outside, Stage
from retentionjax import cli
from retentionjax.errors import ConfigError, DataError


@dataclass(frozen=True)
class DataConfig:
    rows: int = 3


@dataclass(frozen=True)
class ChurnConfig:
    factor: float = 2.0
    limit: float = float("inf")


@dataclass(frozen=True)
class PolicyConfig:
    steps: int = 4


class Toys:
    """Three stages whose runs are counted: data (rows), churn (rows × factor), policy (needs churn)."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.content = "v1"
        self.source: stage.DataSource = "real"
        self.fail: BaseException | None = None
        self.stages: list[Stage[Any]] = [
            Stage("data", DataConfig, self.data, outside=self.outside),
            Stage("churn", ChurnConfig, self.churn, needs=("data",)),
            Stage("policy", PolicyConfig, self.policy, needs=("data", "churn")),
        ]

    def outside(self, config: DataConfig, mode: DataMode) -> Outside:
        return Outside("synthetic" if mode == "synthetic" else self.source, {"telco": self.content})

    def data(self, config: DataConfig, context: Context) -> dict[str, float]:
        self.ran.append("data")
        (context.artifacts / "rows.json").write_text(json.dumps([config.rows]))
        return {"rows": config.rows}

    def churn(self, config: ChurnConfig, context: Context) -> dict[str, float]:
        self.ran.append("churn")
        (rows,) = json.loads((context.inputs["data"] / "artifacts" / "rows.json").read_text())
        (context.artifacts / "model.json").write_text(json.dumps(rows * config.factor))
        return {"cv_auc": np.float64(0.84), "rows": rows}

    def policy(self, config: PolicyConfig, context: Context) -> dict[str, float]:
        self.ran.append("policy" + (" resumed" if context.resume else ""))
        with context.tracker() as tracker:
            tracker.log(1, {"reward": 1.0})
        if self.fail is not None:
            raise self.fail
        return {"spend_ratio": 0.95}

    def command(self, *arguments: str) -> list[str]:
        """Runs the pipeline; returns the stages that ran."""
        self.ran.clear()
        pipeline.command(list(arguments), self.stages)
        return list(self.ran)


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.yaml").write_text("churn: {factor: 2.0}\n")
    return Toys()


def summary(name: str) -> Any:
    return json.loads(Path(f"runs/toy/{name}/summary.json").read_text())


def test_a_stage_leaves_config_summary_metrics_and_record(toys: Toys) -> None:
    assert toys.command("toy.yaml") == ["data", "churn", "policy"]
    assert yaml.safe_load(Path("runs/toy/churn/config.yaml").read_text()) == {"factor": 2.0, "limit": "inf"}
    found = summary("churn")
    assert found.pop("seconds") >= 0
    assert found == {"data_source": "real", "cv_auc": 0.84, "rows": 3}
    assert Path("runs/toy/policy/metrics.jsonl").exists()
    assert json.loads(Path("runs/toy/policy/stage.json").read_text())["status"] == "done"


def test_what_is_done_is_skipped(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.command("toy.yaml")
    capsys.readouterr()
    assert toys.command("toy.yaml") == []
    assert capsys.readouterr().out.count("skipped") == 3


def test_a_changed_setting_runs_the_stage_and_what_its_results_change(toys: Toys) -> None:
    toys.command("toy.yaml")
    assert toys.command("toy.yaml", "--churn.factor", "3") == ["churn", "policy"]
    assert toys.command("toy.yaml", "--churn.factor", "3", "--policy.steps", "5") == ["policy"]


def test_a_rerun_with_the_same_results_leaves_later_stages_alone(toys: Toys) -> None:
    toys.command("toy.yaml")
    assert toys.command("toy.yaml", "--churn.limit", "5") == ["churn"], "limit does not reach the artifacts"


def test_other_data_outside_runs_the_stages_they_reach(toys: Toys) -> None:
    toys.command("toy.yaml")
    toys.content = "v2"
    assert toys.command("toy.yaml") == ["data"], "the rows made of them are the same"


def test_why_a_stage_runs_again_is_said(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.command("toy.yaml")
    toys.command("toy.yaml", "--churn.factor", "3")
    shown = capsys.readouterr().out
    assert "[2/3 churn] changed since the run before: factor: 2.0 → 3.0" in shown
    assert "[3/3 policy] changed since the run before: input churn" in shown


@pytest.mark.parametrize("damage", ["artifacts/model.json", "summary.json", "stage.json"])
def test_a_stage_whose_files_are_gone_runs_again(toys: Toys, damage: str) -> None:
    toys.command("toy.yaml")
    Path("runs/toy/churn", damage).unlink()
    assert toys.command("toy.yaml") == ["churn"]


def test_a_changed_artifact_is_made_anew(toys: Toys) -> None:
    toys.command("toy.yaml")
    Path("runs/toy/churn/artifacts/model.json").write_text("tampered")
    assert toys.command("toy.yaml") == ["churn"]
    assert json.loads(Path("runs/toy/churn/artifacts/model.json").read_text()) == 6.0


def test_force_runs_everything(toys: Toys) -> None:
    toys.command("toy.yaml")
    assert toys.command("toy.yaml", "--force") == ["data", "churn", "policy"]


def test_another_name_is_another_run(toys: Toys) -> None:
    toys.command("toy.yaml")
    assert toys.command("toy.yaml", "--name", "other") == ["data", "churn", "policy"]
    assert Path("runs/other/policy/summary.json").exists()


def test_a_stage_that_failed_is_resumed_only_for_the_very_same_work(toys: Toys) -> None:
    toys.fail = DataError("bad row")
    with pytest.raises(DataError):
        toys.command("toy.yaml")
    assert json.loads(Path("runs/toy/policy/stage.json").read_text())["status"] == "running"
    assert not Path("runs/toy/policy/summary.json").exists()
    toys.fail = None
    assert toys.command("toy.yaml") == ["policy resumed"]
    toys.fail = DataError("bad row")
    with pytest.raises(DataError):
        toys.command("toy.yaml", "--policy.steps", "5")
    toys.fail = None
    assert toys.command("toy.yaml", "--policy.steps", "6") == ["policy"]


def test_a_failure_says_which_stage_and_ends_with_status_2(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.fail = DataError("customers.csv, row 3: tenure is -1")
    assert cli.guarded(lambda: pipeline.command(["toy.yaml"], toys.stages)) == 2
    captured = capsys.readouterr()
    assert "[3/3 policy] failed after" in captured.out
    assert captured.err == "error: customers.csv, row 3: tenure is -1\n"


def test_ctrl_c_says_which_stage_and_ends_with_status_130(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.fail = KeyboardInterrupt()
    assert cli.guarded(lambda: pipeline.command(["toy.yaml"], toys.stages)) == 130
    assert "[3/3 policy] interrupted after" in capsys.readouterr().out


def test_first_and_last_line_say_that_data_are_synthetic(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.source = "synthetic"  # auto, and nothing real can be had
    toys.command("toy.yaml")
    lines = capsys.readouterr().out.splitlines()
    assert "SYNTHETIC" in lines[0]
    assert "SYNTHETIC" in lines[-1]
    assert {summary(name)["data_source"] for name in ("data", "churn", "policy")} == {"synthetic"}


def test_first_and_last_line_of_a_real_run_say_so(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.command("toy.yaml", "--data", "real")
    lines = capsys.readouterr().out.splitlines()
    assert "real data" in lines[0]
    assert "real data" in lines[-1]
    assert "SYNTHETIC" not in "".join(lines)


def test_every_stage_says_how_long_it_took(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.command("toy.yaml")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("[2/3 churn] done in 0.") and "cv_auc 0.84, rows 3" in line]


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "nan"), ("high", "'high'"), (True, "True")])
def test_a_summary_holds_finite_numbers_only(toys: Toys, value: Any, word: str) -> None:
    bad = Stage("policy", PolicyConfig, lambda config, context: {"gain": value}, needs=("churn",))
    with pytest.raises(ValueError, match=f"summary key gain is {word}"):
        pipeline.run(
            [*toys.stages[:2], bad],
            load_preset("toy.yaml"),
            Options(),
            {"data": DataConfig(), "churn": ChurnConfig(), "policy": PolicyConfig()},
        )


def test_a_stage_knows_where_its_data_come_from(toys: Toys) -> None:
    with pytest.raises(ValueError, match="either needs or outside"):
        Stage("churn", ChurnConfig, toys.churn)


def test_stages_out_of_order_are_refused(toys: Toys) -> None:
    toys.stages.reverse()
    with pytest.raises(ValueError, match="policy needs data, which does not come before it"):
        toys.command("toy.yaml")


# --- one stage by itself --------------------------------------------------------------------------------------


def single(toys: Toys, number: int, *arguments: str) -> int:
    toys.ran.clear()
    with pytest.raises(SystemExit) as raised:
        toys.stages[number].main(["toy.yaml", *arguments])
    return int(raised.value.code or 0)


def test_a_stage_by_itself_reads_the_same_run_and_skips_when_done(toys: Toys) -> None:
    toys.command("toy.yaml")
    assert single(toys, 2) == 0
    assert toys.ran == []
    assert single(toys, 2, "--steps", "9") == 0
    assert toys.ran == ["policy"]


def test_a_named_stage_reads_the_presets_run_and_says_so(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.command("toy.yaml")
    assert single(toys, 2, "--name", "mine") == 0
    assert "churn is read from runs/toy/churn, for runs/mine has none" in capsys.readouterr().out
    assert Path("runs/mine/policy/summary.json").exists()


def test_a_missing_input_is_named_with_what_to_run(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    assert single(toys, 1) == 2
    assert "churn needs data, which is not finished in runs/toy/data: run experiments.data first" in (
        capsys.readouterr().err
    )


def test_an_input_changed_by_hand_is_refused(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.command("toy.yaml")
    Path("runs/toy/data/artifacts/rows.json").write_text("[4]")
    assert single(toys, 1) == 2
    assert "changed since it ended" in capsys.readouterr().err


def test_resume_may_change_settings_but_not_the_data(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.command("toy.yaml")
    assert single(toys, 2, "--resume", "--steps", "8") == 0
    assert toys.ran == ["policy resumed"]
    assert "changed since the run before: steps: 4 → 8" in capsys.readouterr().out
    toys.command("toy.yaml", "--data.rows", "5")
    toys.command("toy.yaml", "--data.rows", "6", "--policy.steps", "1")
    Path("runs/toy/policy/stage.json").write_text(
        Path("runs/toy/policy/stage.json").read_text().replace('"churn": "', '"churn": "0')
    )
    assert single(toys, 2, "--resume", "--steps", "2") == 2
    assert "its input churn is not what it was" in capsys.readouterr().err


def test_there_must_be_something_to_resume(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    assert single(toys, 0, "--resume") == 2
    assert "nothing to resume: runs/toy/data holds no run" in capsys.readouterr().err


def test_asking_for_real_data_over_synthetic_inputs_is_refused(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.command("toy.yaml", "--data", "synthetic")
    assert single(toys, 1, "--data", "real") == 2
    assert "--data real, but what churn reads is synthetic" in capsys.readouterr().err


def test_a_damaged_record_is_named(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    toys.command("toy.yaml")
    Path("runs/toy/data/stage.json").write_text('{"status": "perhaps"}')
    assert single(toys, 0) == 2
    said = capsys.readouterr().err
    assert "runs/toy/data/stage.json: status: is 'perhaps'; allowed: running, done" in said
    assert "runs/toy/data/stage.json: inputs: is missing" in said


def test_two_processes_cannot_work_in_one_folder(toys: Toys, capsys: pytest.CaptureFixture[str]) -> None:
    def inner(config: DataConfig, context: Context) -> dict[str, float]:
        with pytest.raises(ConfigError, match=f"runs/toy/data: process {os.getpid()} is at work there"):
            toys.stages[0]._command(["toy.yaml"])
        return {}

    assert single(Toys(), 0) == 0
    stage_in_stage = Stage("data", DataConfig, inner, outside=toys.outside)
    with pytest.raises(SystemExit) as raised:
        stage_in_stage.main(["toy.yaml", "--force"])
    assert not raised.value.code


# --- killed ---------------------------------------------------------------------------------------------------

TRAINING = """
    import sys, time
    from dataclasses import dataclass
    from pathlib import Path
    import jax, jax.numpy as jnp, numpy as np
    from experiments import pipeline
    from experiments.stage import Context, Outside, Stage
    from retentionjax.checkpoint import Checkpoints

    @dataclass(frozen=True)
    class Config:
        steps: int = 30

    @jax.jit
    def update(state):
        key, use = jax.random.split(state["key"])
        return {"key": key, "w": state["w"] * 0.9 + jax.random.normal(use, (5,))}

    def train(config, context):
        checkpoints = Checkpoints(context.checkpoints)
        state, start = {"key": jax.random.key(0), "w": jnp.zeros(5)}, 0
        if context.resume and checkpoints.latest_step() is not None:
            start = checkpoints.latest_step()
            state = checkpoints.restore(state)
        with context.tracker(start if start else None) as tracker:
            for step in range(start + 1, config.steps + 1):
                state = update(state)
                tracker.log(step, {"w0": state["w"][0]})
                if step % 5 == 0:
                    checkpoints.save(step, state)
                if step == 18 and not context.resume and "--wait" in sys.argv:
                    Path("waiting").touch()
                    time.sleep(60)
        (context.artifacts / "w").write_bytes(np.asarray(state["w"]).tobytes())
        return {"started_at": start}

    outside = lambda config, mode: Outside("real", {})
    stage = Stage("policy", Config, train, outside=outside)
    pipeline.command(["tiny.yaml", "--name", sys.argv[1]], [stage])
"""


def test_a_run_killed_half_way_ends_with_the_parameters_of_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "training.py"
    script.write_text(textwrap.dedent(TRAINING))
    Path("tiny.yaml").write_text("policy: {}\n")
    process = subprocess.Popen([sys.executable, script, "killed", "--wait"], stdout=subprocess.DEVNULL)
    monkeypatch.setattr(sys, "argv", [str(script), "whole"])
    runpy.run_path(str(script))  # in this process and meanwhile, for starting JAX is most of the time
    while not Path("waiting").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(sys, "argv", [str(script), "killed"])
    runpy.run_path(str(script))

    whole, killed = Path("runs/whole/policy"), Path("runs/killed/policy")
    assert json.loads((killed / "summary.json").read_text())["started_at"] == 15
    assert (killed / "artifacts/w").read_bytes() == (whole / "artifacts/w").read_bytes()

    def lines(folder: Path) -> list[dict[str, float]]:
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in record.items() if key != "time"} for record in records]

    assert lines(killed) == lines(whole)
