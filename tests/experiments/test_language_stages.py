"""The stages that write, in the smallest sizes: fine-tuning, reward model, PPO on text, and messages of a bundle."""

import dataclasses
import json
from pathlib import Path

import bundles
import pytest
from etils import epath

from experiments import bundle as deciding
from experiments import messages, pipeline
from experiments.stage import Context
from retentionjax import bundle, storage
from retentionjax.bundle.manifest import GATE
from retentionjax.evaluation import learned
from retentionjax.shield.rules import DEFAULT

WRITING = ("data", "sft", "reward", "ppo_text")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the stages that write, on synthetic customers."""
    stages = [each for each in pipeline.load_stages() if each.name in WRITING]
    folder = tmp_path_factory.mktemp("runs")
    (folder / "wordings.csv").write_text(OUTCOMES)
    pipeline.command(asked(folder), stages)
    return folder / "smoke"


OUTCOMES = """\
week,choices,variant_id,offer,channel,tone,angle,text,sent,accepted,opted_out
1,ab,a,ten,sms,warm,,{sender}: Hi {name}! Enjoy 10% off. Reply YES. Reply STOP to opt out.,900,300,0
1,ab,b,ten,sms,warm,,{sender}: 10% off for you. Reply YES. Reply STOP to opt out.,900,90,0
"""


def asked(folder: Path) -> list[str]:
    """The smallest run, on a company whose customers prefer one of two wordings."""
    return ["smoke", "--data", "synthetic", "--runs", str(folder), "--reward.outcomes", str(folder / "wordings.csv")]


def summary(run: Path, name: str) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / name / "summary.json").read_text())
    return found


def test_they_report_the_keys_by_which_runs_are_compared(run: Path) -> None:
    assert {"eval_loss", "base_eval_loss"} <= summary(run, "sft").keys()
    assert {"accuracy_messages", "ece", "length_correlation", "loss"} <= summary(run, "reward").keys()
    assert summary(run, "reward")["pairs_outcomes"] == 1
    learned = summary(run, "ppo_text")
    rates = {"shield_pass_rate", "offer_grounding_rate", "reward_gain"}
    assert rates | {"kl_over_target", "length_ratio", "distinct_2"} <= learned.keys()
    assert learned["reward_gain_low"] <= learned["reward_gain"] <= learned["reward_gain_high"]
    artifacts = run / "ppo_text/artifacts"
    assert (artifacts / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert "| template |" in (artifacts / "arena.md").read_text()
    assert len(json.loads((artifacts / "samples.json").read_text())) == 2


def test_synthetic_data_are_named_in_the_first_and_last_line_and_a_second_run_skips_every_stage(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = [each for each in pipeline.load_stages() if each.name in WRITING]
    pipeline.command(asked(run.parent), stages)
    lines = capsys.readouterr().out.strip().splitlines()
    assert "SYNTHETIC" in lines[0]
    assert "SYNTHETIC" in lines[-1]
    assert sum("skipped" in line for line in lines) == len(WRITING)
    assert {summary(run, name)["data_source"] for name in WRITING} == {"synthetic"}


def test_messages_that_go_out_passed_the_shield(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The random model writes nonsense, so every message is the template's, and the answer says so."""

    def contents(trained: learned.Trained, gate: deciding.Gate, *_: object) -> bundle.Contents:
        made = bundles.contents(trained)
        return dataclasses.replace(made, rules=epath.Path(DEFAULT), metrics={GATE: gate})

    monkeypatch.setattr(deciding, "contents", contents)
    first, gate = epath.Path(tmp_path / "bundle/artifacts"), {"probability_beats_never": 1.0}
    bundle.write(first / "bundle", contents(bundles.trained(wait_bias=-6.0), gate))
    for number in range(3):
        storage.write_json(first / f"customers/{number}.json", bundles.CUSTOMER | {"customer_id": f"C-{number}"})
    inputs = {"bundle": first.parent, "ppo_text": epath.Path(run / "ppo_text")}
    context = Context(epath.Path(tmp_path / "messages"), inputs, False, "synthetic", "synthetic")
    context.artifacts.mkdir(parents=True)
    figures = messages.run(messages.MessagesConfig(), context)
    assert bundle.load(context.artifacts / "bundle").manifest.metrics[GATE] == gate
    answers = [storage.read_json(path) for path in (context.artifacts / "decisions").glob("*.json")]
    assert len(answers) == 3
    for answer in answers:
        assert (answer["message"] is not None) == (answer["decision"] == "contact")
        if answer["message"] is not None:
            assert answer["message"]["source"] == "template"
            assert answer["message"]["violations"]
    assert figures["messages"] == sum(answer["decision"] == "contact" for answer in answers) > 0
    assert figures["messages_by_model"] == 0
