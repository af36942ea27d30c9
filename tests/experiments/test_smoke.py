"""The whole pipeline once, as a user runs it: preset `smoke` on synthetic customers, twice, then a decision.

It takes minutes, so it runs at night. Each time the tests run, `test_train` goes through the stages that decide, and
`test_language_stages` through those that write.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from documents_of import commands
from etils import epath

from experiments import demo as make_demo
from experiments import pipeline
from experiments.config import STAGES
from retentionjax import cli, demo, storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(  # noqa: PLW1510 - the tests look at the status
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=2000
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished smoke run and what it printed."""
    folder = tmp_path_factory.mktemp("smoke")
    result = run("experiments.pipeline", "smoke", "--data", "synthetic", "--runs", str(folder / "runs"), folder=folder)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder / "runs/smoke", result.stdout


def summary(folder: Path, stage: str) -> dict[str, float]:
    return json.loads((folder / stage / "summary.json").read_text())


@pytest.mark.parametrize("stage", ["churn", "acceptance"])
def test_a_few_trees_tell_made_up_customers_apart(finished, stage):
    """No gate stops a run on made-up customers, and the preset has none of its own: a company's would have them too."""
    folder, _ = finished
    found = summary(folder, stage)
    assert found["cv_auc"] >= 0.7
    assert found["cv_ece"] <= 0.1
    assert found["cv_brier_skill"] >= 0.0


def test_the_run_ends_with_its_report(finished):
    folder, printed = finished
    page = (folder / "report/artifacts/report.html").read_text()
    assert "SYNTHETIC DATA." in page
    assert 'class="samples"' in page  # messages, before and after
    assert summary(folder, "report")["sections"] >= 9
    assert json.loads((folder / "report/artifacts/fairness.json").read_text())["by_attribute"].keys() == {
        "SeniorCitizen",
        "gender",
    }
    assert f"open {folder / 'report/artifacts/report.html'}" in printed


def test_a_second_run_skips_every_stage(finished, capsys):
    folder, _ = finished
    pipeline.command(["smoke", "--data", "synthetic", "--runs", str(folder.parent)])
    assert capsys.readouterr().out.count("skipped") == len(STAGES)


def made(run: epath.Path, stage: str) -> dict[str, object]:
    """A stage's figures, and SHA-256 by name of what it made, without what names the folder, hour or process."""
    folder = run / stage / "artifacts"
    files = {file.relative_to(folder).as_posix(): file for file in storage.files(folder)}
    own = ("decisions/", "bundle/manifest.json")
    hashes = {name: storage.sha256(file) for name, file in files.items() if not name.startswith(own)}
    if stage == "messages":  # its figures tell of draws, and those hang on the bundle's id, in which the hour is
        return dict(hashes)
    figures = storage.read_json(run / stage / "summary.json")
    return {key: value for key, value in figures.items() if "seconds" not in key} | hashes


def test_a_pipeline_in_a_bucket_killed_in_stage_after_stage_makes_what_one_on_disk_makes(finished, bucket, tmp_path):
    whole, _ = finished
    command = ["experiments.pipeline", "smoke", "--data", "synthetic", "--runs", f"{bucket}/runs"]
    cut = storage.as_path(bucket) / "runs/smoke"
    killed = {"policy": "checkpoints", "sft": "checkpoints", "reward": "checkpoints", "ppo_text": "checkpoints"}
    killed |= {"messages": "artifacts"}
    for stage, folder in killed.items():
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=tmp_path, stdout=subprocess.DEVNULL)
        while not storage.files(cut / stage / folder):
            assert process.poll() is None, f"it ended before it could be killed in {stage}"
            time.sleep(0.1)
        process.kill()
        process.wait()
        assert not (cut / stage / "summary.json").exists()
    ended = run(*command, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert f"messages] resumed in {cut / 'messages'}" in ended.stdout
    for stage in killed:
        assert made(cut, stage) == made(storage.as_path(whole), stage), stage


def kind(bundle: epath.Path) -> dict[str, object]:
    """What a bundle consists of, whatever the numbers in it."""
    plain = storage.read_json(bundle / "manifest.json")
    keys = {name: sorted(plain[name]) for name in ("env", "limits", "customer", "company", "multipliers")}
    return {
        "format": plain["format_version"],
        "parts": plain["parts"],
        "keys": sorted(plain),
        "files": sorted(plain["files"]),
    } | keys


def test_the_package_s_demo_is_of_the_kind_that_training_writes_now(finished, tmp_path):
    """Where this fails the format or a constant changed: `python -m experiments.demo` makes the demo anew."""
    folder, _ = finished
    assert kind(storage.as_path(folder) / "evaluate/artifacts/bundle") == kind(storage.as_path(demo.BUNDLE))
    make_demo.write(folder, tmp_path)
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if "bundle" not in path.parts}
    shipped = {
        path.relative_to(demo.FOLDER).as_posix() for path in demo.FOLDER.rglob("*") if "bundle" not in path.parts
    }
    assert shipped - made <= {"README.md", "NOTICE", "__init__.py", "__pycache__"} | {
        name for name in shipped if name.startswith("__pycache__/")
    }


@pytest.mark.parametrize("stage", ["bundle", "messages"])
def test_the_bundle_decides(finished, stage, capsys):
    folder, _ = finished
    artifacts = folder / stage / "artifacts"
    customer = min((artifacts / "customers").glob("*.json"))
    arguments = ["--bundle", str(artifacts / "bundle"), "--customer", str(customer), "--json"]
    assert cli.main(["decide", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)


def test_the_bundle_is_compared_on_customers_a_user_brings(finished, capsys):
    folder, _ = finished
    artifacts = folder / "bundle/artifacts"
    facts = [json.loads(path.read_text()) for path in sorted((artifacts / "customers").glob("*.json"))]
    columns = [name for name in facts[0] if name not in ("history", "recipient")]
    rows = [",".join("" if fact[name] is None else str(fact[name]) for name in columns) for fact in facts]
    table = folder / "customers.csv"
    table.write_text("\n".join([",".join(columns), *rows]) + "\n")
    compare = ["evaluate", "--bundle", str(artifacts / "bundle"), "--customers", str(table)]
    assert cli.main([*compare, "--optimum-customers", "1"]) == 0
    assert "greedy_fatigue" in capsys.readouterr().out
    table.write_text(table.read_text().replace("Month-to-month", "").replace("Two year", ""))
    assert cli.main(compare) == 2
    assert "Contract" in capsys.readouterr().err


@pytest.mark.parametrize("command", commands("experiments/README.md"))
def test_the_commands_of_the_first_hour_work(finished, command, monkeypatch, capsys):
    folder, _ = finished
    words = command.replace("demo", "smoke").split()
    if words[0] == "retentionjax":  # within this process, which has imported everything already
        monkeypatch.chdir(folder.parent.parent)
        assert cli.main(words[1:]) == 0
        printed = capsys.readouterr().out
    else:
        result = run(*words[2:], folder=folder.parent.parent)
        assert result.returncode == 0, result.stderr[-2000:]
        printed = result.stdout
    assert printed.strip() or "--out" in words
