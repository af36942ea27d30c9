"""Stages as jobs: in order, within the budget, skipping what is done, in the API's own words."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import retentionjax
from experiments import config as configuration
from experiments.launch import plan as plans
from experiments.launch import submit, supervise, vertex
from experiments.pipeline import load_stages
from experiments.stage import Stage
from retentionjax import cli, storage
from retentionjax.errors import ConfigError, RetentionJaxError

TRAINING = ["churn", "acceptance", "policy", "sft", "reward", "ppo_text"]
PLACE = vertex.Place("my-project", "us-central1", "image@sha256:0", "trainer@my-project.iam.gserviceaccount.com")


def planned(runs: str, preset: str = "mvp") -> plans.LaunchPlan:
    loaded = configuration.load_preset(preset)
    return plans.make(loaded, load_stages(), storage.as_path(runs), loaded.name, "auto", plans.load_machines())


def finish(runs: str, stage: Stage[Any], inputs: Mapping[str, str], preset: str = "mvp") -> None:
    """Leaves the record that the stage would."""
    config, places = stage.settings(configuration.load_preset(preset).config(stage.name, stage.Config))
    record = {"status": "done", "version": retentionjax.__version__, "config": config, "inputs": dict(inputs)}
    record["places"] = places
    record |= {"data_source": "real", "outputs": f"made by {stage.name}", "seconds": 1.0}
    storage.write_json(storage.as_path(runs) / preset / stage.name / "stage.json", record)


def test_stages_come_after_what_they_need(tmp_path: Path) -> None:
    tasks = planned(str(tmp_path)).tasks
    names = [task.name for task in tasks]
    assert [name for name in names if name in TRAINING] == TRAINING
    for task in tasks:
        assert all(names.index(need) < names.index(task.name) for need in task.needs)


def test_the_whole_of_mvp_fits_the_predecessors_budget(tmp_path: Path) -> None:
    assert 0 < planned(str(tmp_path)).price <= 100


def test_what_is_done_is_neither_paid_nor_submitted_unless_its_input_changed(tmp_path: Path) -> None:
    stages = {stage.name: stage for stage in load_stages()}
    full = planned(str(tmp_path))
    finish(str(tmp_path), stages["data"], {"official": "x"})
    finish(str(tmp_path), stages["churn"], {"data": "made by data"})
    finish(str(tmp_path), stages["acceptance"], {"data": "made by another"})
    plan = planned(str(tmp_path))
    assert [task.name for task in plan.tasks if task.finished] == ["data", "churn"]
    assert plan.price == pytest.approx(full.price - full.tasks[0].price - full.tasks[1].price)
    assert next(iter(vertex.specs(plan, PLACE))) == "acceptance"


def test_changed_settings_undo_what_is_done(tmp_path: Path) -> None:
    data, churn, *_ = load_stages()
    finish(str(tmp_path), data, {})
    finish(str(tmp_path), churn, {"data": "made by data"})
    changed = tmp_path / "mvp.yaml"
    settings = yaml.safe_load(configuration.load_preset("mvp").path.read_text())
    changed.write_text(yaml.safe_dump(settings | {"churn": settings["churn"] | {"seed": 7}}))
    plan = planned(str(tmp_path), str(changed))
    assert [task.name for task in plan.tasks if task.finished] == ["data"]


@pytest.mark.slow
def test_every_spec_is_a_custom_job_of_the_api(tmp_path: Path) -> None:
    types = pytest.importorskip("google.cloud.aiplatform_v1.types", reason="the extra vertex is not installed")
    plan = planned(str(tmp_path))
    plan = plans.LaunchPlan(plan.preset, plan.name, storage.as_path("gs://bucket/runs"), plan.data, plan.tasks)
    tasks = {task.name: task for task in plan.tasks}
    for name, spec in vertex.specs(plan, PLACE, spot=True).items():
        job = types.CustomJob.from_json(json.dumps(spec), ignore_unknown_fields=False)
        (pool,) = job.job_spec.worker_pool_specs
        assert list(pool.container_spec.command) == ["python", "-m", "experiments.launch.supervise", name]
        given = ["mvp", "--runs", "gs://bucket/runs", "--name", "mvp", "--data", "auto"]
        assert list(pool.container_spec.args) == given
        seconds = job.job_spec.scheduling.timeout.total_seconds()
        assert seconds == tasks[name].hours * 3600, "the ceiling on the price is enforced"
        gpu = tasks[name].accelerator
        assert pool.machine_spec.accelerator_count == (1 if gpu else 0)
        assert pool.machine_spec.accelerator_type.name == (gpu or "ACCELERATOR_TYPE_UNSPECIFIED")
        assert job.job_spec.scheduling.strategy.name == "SPOT"
        assert job.job_spec.service_account == PLACE.service_account


class FakeJobs:
    """A service on which jobs end as they are told; one that succeeds leaves its stage's record."""

    def __init__(self, runs: str, endings: Mapping[str, list[str]]) -> None:
        self.runs, self.endings = runs, {name: list(states) for name, states in endings.items()}
        self.started: list[tuple[str, str]] = []
        self.stages = {stage.name: stage for stage in load_stages()}

    def create(self, spec: Mapping[str, Any]) -> str:
        name = spec["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["command"][-1]
        self.started.append((name, spec["jobSpec"]["scheduling"]["timeout"]))
        self.polls = 0
        return name

    def state(self, name: str) -> str:
        self.polls += 1
        if self.polls <= 2:
            return "JOB_STATE_RUNNING"
        ending = self.endings.get(name, []).pop(0) if self.endings.get(name) else "SUCCEEDED"
        if ending == "SUCCEEDED":
            finish(self.runs, self.stages[name], {need: f"made by {need}" for need in self.stages[name].needs})
        return f"JOB_STATE_{ending}"


def submitted(runs: str, jobs: FakeJobs, attempts: int = 3) -> int:
    plan = planned(runs)
    return vertex.run(plan, PLACE, vertex.specs(plan, PLACE), attempts, jobs=jobs, sleep=lambda _: None)


def test_jobs_run_one_after_the_other_and_a_failed_one_again_within_its_hours(bucket: str) -> None:
    runs = f"{bucket}/runs"
    jobs = FakeJobs(runs, {"churn": ["FAILED", "FAILED"]})
    assert submitted(runs, jobs) == 0
    assert [name for name, _ in jobs.started] == [
        *["data", "churn", "churn", "churn"],
        *[stage.name for stage in load_stages()[2:]],
    ]
    assert [limit for name, limit in jobs.started if name == "churn"] == ["3600s", "3540s", "3480s"]
    assert all(task.finished for task in planned(runs).tasks)
    again = FakeJobs(runs, {})
    assert submitted(runs, again) == 0
    assert again.started == []


def test_a_stage_that_keeps_failing_ends_it_and_the_next_call_goes_on_there(bucket: str) -> None:
    runs = f"{bucket}/runs"
    with pytest.raises(RetentionJaxError, match="stage acceptance: JOB_STATE_FAILED"):
        submitted(runs, FakeJobs(runs, {"acceptance": ["FAILED"] * 2}), attempts=2)
    jobs = FakeJobs(runs, {"acceptance": ["CANCELLED"]})
    with pytest.raises(RetentionJaxError, match="JOB_STATE_CANCELLED"):
        submitted(runs, jobs)
    assert [name for name, _ in jobs.started] == ["acceptance"], "what a person cancelled is not started again"


def test_a_preset_of_ones_own_travels_to_the_bucket(bucket: str, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("churn: {folds: 3}\n")
    loaded = configuration.load_preset(str(own))
    runs = storage.as_path(bucket) / "runs"
    plan = plans.make(loaded, load_stages()[:1], runs, "mine", "auto", plans.load_machines())
    specs = vertex.specs(plan, PLACE)
    where = specs["data"]["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["args"][0]
    jobs = FakeJobs("nowhere", {"data": ["CANCELLED"]})
    with pytest.raises(RetentionJaxError):
        vertex.run(plan, PLACE, specs, 1, jobs=jobs, sleep=lambda _: None)
    assert configuration.load_preset(where).stages == loaded.stages


def test_here_each_stage_is_run_by_its_own_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def runs(command: Any, patience: Any, say: Any) -> int:
        commands.append(list(command()))
        return 3 if len(commands) == 2 else 0

    monkeypatch.setattr(supervise, "keep_running", runs)
    assert submit.main(["smoke", "--runs", str(tmp_path), "--data", "synthetic"]) == 3
    assert [command[2] for command in commands] == ["experiments.data", "experiments.churn"]
    assert commands[0][4:] == ["--runs", str(tmp_path), "--name", "smoke", "--data", "synthetic"]


def test_over_the_budget_nothing_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["submit", "mvp", "--target", "vertex", "--budget", "20", "--dry-run"]) == 2
    said = capsys.readouterr()
    assert "over the budget of 20 $" in said.err
    assert "at most" in said.out


def test_a_dry_run_writes_the_specs_and_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = str(Path(configuration.__file__).parent / "configs/mvp.yaml")
    assert cli.main(["submit", preset, "--target", "vertex", "--dry-run", "--out", str(tmp_path)]) == 0
    assert sorted(os.listdir(tmp_path))[:2] == ["01-data.json", "02-churn.json"]
    assert len(os.listdir(tmp_path)) == len(load_stages())
    assert "dry run: nothing started" in capsys.readouterr().out
    assert json.loads((tmp_path / "02-churn.json").read_text())["displayName"] == "retentionjax-mvp-churn"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "vertex"], "--project is needed"),
        (["--target", "vertex", "--project", "p-12345"], "--image is needed"),
        (["--target", "vertex", "--project", "P", "--dry-run"], "small letters, digits and hyphens"),
        (["--target", "vertex", "--dry-run", "--runs", "runs"], "Vertex AI's machines see no folder of this one"),
        (["--dry-run", "--machines", "no.yaml"], r"no.yaml: no such file"),
    ],
)
def test_what_is_missing_is_asked_for(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    assert cli.main(["submit", "mvp", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{prices: {a: 1}, accelerators: {}, stages: {default: {machine: b, hours: 1}}}", "'b' has no price"),
        ("{prices: {a: 1}, accelerators: {}, stages: {polcy: {machine: a, hours: 1}}}", "'polcy' is no stage"),
        ("{prices: {a: 1}, accelerators: {}, stages: {}}", "default is missing"),
        ("{prices: {a: 1}, accelerators: {}, stages: {default: {machine: a, hours: 0}}}", "hours: 0"),
        ("{prices: {a: -1}, accelerators: {}, stages: {default: {machine: a, hours: 1}}}", "prices.a: -1 is out"),
        ("{prices: [", "line 1: "),
    ],
)
def test_bad_machines_are_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "machines.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        plans.load_machines(path)


def test_help_is_instant() -> None:
    code = "import sys; from experiments.launch import submit\ntry: submit.main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
