"""The report of a run: every figure from its artifacts, what is missing said, what is no run refused."""

import dataclasses
import html
import json
import re
import shutil
from pathlib import Path

import pytest
import run_folders
from markupsafe import Markup

from retentionjax import cli
from retentionjax.env import record
from retentionjax.errors import DataError
from retentionjax.evaluation.report import command, content, models, page, pictures, playing, run_folder, trust, verdict
from retentionjax.evaluation.statistics import plain

ALL = {
    "summary",
    "lift",
    "data",
    "calibration",
    "learning",
    "comparison",
    "regret",
    "frontier",
    "stress",
    "off_policy",
    "fairness",
    "messages",
    "assumptions",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return run_folders.make(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="module")
def played(run):
    return playing.played(run_folder.read(run))


@pytest.fixture(scope="module")
def text(run) -> str:
    """The words of the page of the run, without parity."""
    with pytest.MonkeyPatch.context() as patch:
        undraw(patch)
        return rendered(run)


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """No pictures, for tests of the words only: to draw them is two thirds of a page's time."""
    undraw(monkeypatch)


def undraw(patch: pytest.MonkeyPatch) -> None:
    for kind in ("curves", "intervals", "lines", "reliability", "tornado"):
        patch.setattr(pictures, kind, lambda *_, **__: Markup("<svg></svg>"))


def rendered(folder: Path, played=None) -> str:
    return page.render(page.compose(run_folder.read(folder), played))


def changed(run: Path, target: Path) -> Path:
    shutil.copytree(run, target)
    return target


def test_the_command_writes_one_file_that_needs_no_other_and_the_same_run_gives_the_same_bytes(
    run, played, tmp_path, capsys
):
    out = tmp_path / "page.html"
    assert cli.main(["report", "--run", str(run), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "7 of 13 sections" in printed
    assert "lift, regret, frontier, stress, off_policy, messages" in printed
    text = out.read_text()
    for forbidden in ("<script", "<img", "<link", "<iframe", "@import", "url(http", "src="):
        assert forbidden not in text
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert text == rendered(run, played)


def test_a_command_in_a_sentence_is_code_and_everything_else_stays_text():
    assert page._coded("run `retentionjax pilot <it>` <b>") == (
        "run <code>retentionjax pilot &lt;it&gt;</code> &lt;b&gt;"
    )


def lift_line(**changed: object) -> str:
    """A line of `retentionjax lift --json`; the service's own are read in tests/serving/ledger/test_lifting.py."""
    kept, dollars = {"mean": 0.021, "low": 0.004, "high": 0.038}, {"mean": 1.25, "low": -0.5, "high": 3.0}
    line: dict[str, object] = {
        "campaign_id": "<spring>", "answer": "Without the campaign more would have left.", "is_measured": True,
        "rests_on": ["Chance alone decided."], "kept": kept, "dollars": dollars, "spend": dollars,
        "customers": {"campaign": 1900, "held_out": 100}, "believed_kept": 0.03,
        "weeks": [{"day": 7.0, "kept": {"mean": 0.0, "low": None, "high": None}}, {"day": 14.0, "kept": kept}],
    }  # fmt: skip
    return json.dumps({name: each for name, each in (line | changed).items() if each != "dropped"})


@pytest.mark.usefixtures("undrawn")
def test_what_was_measured_stands_beside_what_was_promised(run, tmp_path, capsys):
    (tmp_path / "lift.jsonl").write_text(lift_line() + "\n" + lift_line(campaign_id="empty", kept=None))
    out = tmp_path / "page.html"
    assert cli.main(["report", "--run", str(run), "--lift", str(tmp_path / "lift.jsonl"), "--out", str(out)]) == 0
    assert "8 of 13 sections" in capsys.readouterr().out
    text = html.unescape(out.read_text())
    assert "2.10 [0.40, 3.80]" in text
    assert "+$1.25 [−$0.50,\N{NO-BREAK SPACE}+$3.00]" in text
    assert re.search(r">\s*3.00\s*<", text)
    assert "by day 14" in text
    assert "by day 7:" not in text  # nothing can be said of it
    assert "<spring>" not in out.read_text()


@pytest.mark.parametrize(
    ("low", "heading", "caption"), [(0.004, "measured", "Measured"), (None, "estimate so far", "An estimate")]
)
def test_nothing_is_called_measured_before_there_is_an_interval(low, heading, caption):
    kept = {"mean": 0.021, "low": low, "high": low and 0.038}
    (table,) = (
        each
        for each in trust.measured([json.loads(lift_line(kept=kept))]).blocks
        if isinstance(each, content.FigureTable)
    )
    assert table.header == ("figure", heading, "predicted")
    assert table.caption.startswith(caption)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("no JSON", "line 1: 'campaign_id' is missing"),
        (lift_line(weeks="dropped"), "'weeks' is missing"),
    ],
)
def test_a_file_that_is_no_lift_is_refused_by_name(run, tmp_path, text, said):
    (tmp_path / "lift.jsonl").write_text(text)
    with pytest.raises(DataError, match=f"lift.jsonl: .*{said}.*retentionjax lift --json"):
        command.main(["--run", str(run), "--lift", str(tmp_path / "lift.jsonl")])


@pytest.mark.usefixtures("undrawn")
def test_sections_come_in_the_order_of_reading_and_each_is_in_the_contents(run):
    report = page.compose(run_folder.read(run), None)
    keys = [section.key for section in report.sections]
    assert set(keys) == ALL
    assert keys[:3] == ["summary", "lift", "data"]
    assert keys[-1] == "assumptions"
    text = page.render(report)
    for key in keys:
        assert f'href="#{key}"' in text
        assert f'<section id="{key}"' in text


@pytest.mark.usefixtures("undrawn")
def test_figures_are_those_of_the_artifacts(run, tmp_path, played):
    folder = changed(run, tmp_path / "run")
    path = folder / "evaluate/artifacts/evaluation.json"
    evaluation = json.loads(path.read_text())
    evaluation["policies"]["ppo"]["uplift"] = {"mean": 7.654, "low": 6.543, "high": 8.765}
    path.write_text(json.dumps(evaluation))
    text = rendered(folder, played)
    assert "+$7.65 [+$6.54,\N{NO-BREAK SPACE}+$8.77]" in text
    assert "+$7,654" in text  # per thousand customers, in the summary


@pytest.mark.parametrize(
    ("source", "uplift", "lead", "title"),
    [
        ("real", 5.0, 1.0, "Pilot the learned policy"),
        ("real", 5.0, 0.3, "Use the simple rule"),
        ("real", 0.2, 1.0, "Do not switch this policy on"),
        ("synthetic", 5.0, 1.0, "Rehearsal only"),
    ],
)
def test_the_verdict_follows_the_intervals(tmp_path, source, uplift, lead, title):
    found = run_folder.read(run_folders.make(tmp_path / "run", source=source, uplift=uplift, lead=lead))
    text = page.render(page.Report(found, (verdict.section(found, None),), 0))
    verdicts = ("Pilot the learned policy", "Use the simple rule", "Do not switch this policy on", "Rehearsal only")
    assert [each for each in verdicts if each in text] == [title]


@pytest.mark.usefixtures("undrawn")
def test_a_column_that_tells_who_left_is_said_before_the_verdict(run, tmp_path, text):
    folder = changed(run, tmp_path / "run")
    file = folder / "churn" / "summary.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "leak_reason": 0.999}))
    said = rendered(folder)
    assert said.index("A column tells who left") < said.index("Pilot the learned policy")
    assert "nearly perfectly by reason (AUC 0.999 by itself)" in said
    assert "A column tells who left" not in text
    assert "contacts that break the cooldown at most 0" in text


@pytest.mark.usefixtures("undrawn")
def test_synthetic_data_are_said_in_a_red_banner_the_title_and_the_data(tmp_path, text):
    synthetic = rendered(run_folders.make(tmp_path / "run", source="synthetic"))
    assert 'class="banner"' in synthetic
    assert "(synthetic data)</title>" in synthetic
    assert "Made by the embedded generator: customers" in synthetic
    assert 'class="banner"' not in text


def test_optional_stages_are_shown_where_they_were_run(run, text, tmp_path):
    assert "not computed in this run" in text
    for stage in ("frontier", "stress", "hillstrom"):
        assert f"python -m experiments.{stage} train --name {run.name} --runs {run.parent}" in text
    text = rendered(run_folders.add_optional(changed(run, tmp_path / "run")))
    for stage in ("frontier", "stress", "hillstrom"):
        assert f"python -m experiments.{stage}" not in text
    assert "96.3\N{NO-BREAK SPACE}%" in text  # of the attainable gain
    assert "learned: 0.91" in text  # multiplier, beside the exact 0.87
    for words in (
        "one policy for any budget",
        "men’s e-mail to all",
        "It pays even in the worst of these worlds",
        "reaches 3.21",
        "solved exactly",
    ):
        assert words in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("stage", ["data", "churn", "acceptance", "policy", "evaluate"])
def test_a_run_that_lacks_a_stage_says_which_command_makes_it(run, tmp_path, stage):
    folder = changed(run, tmp_path / "run")
    shutil.rmtree(folder / stage)
    found = run_folder.read(folder)
    text = page.render(page.compose(found, playing.played(found, replicates=1)))
    assert f"python -m experiments.{stage} train --name run" in text


@pytest.mark.usefixtures("undrawn")
def test_a_stage_that_was_not_finished_is_named_and_left_out(run, tmp_path):
    folder = changed(run, tmp_path / "run")
    path = folder / "evaluate/stage.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "running"}))
    text = rendered(folder)
    assert "Begun and not finished, hence left out: evaluate" in text
    assert "experiments.evaluate train --name run" in text


@pytest.mark.usefixtures("undrawn")
def test_words_of_others_cannot_become_markup(run, tmp_path):
    folder = changed(run, tmp_path / "run")
    stage = folder / "ppo_text"
    (stage / "artifacts").mkdir(parents=True)
    (stage / "stage.json").write_text('{"status": "done", "data_source": "real", "config": {}}')
    (stage / "summary.json").write_text('{"data_source": "real", "seconds": 1.0}')
    wicked = "<script>alert(1)</script> \" & 'x'"
    refused = {"sft": [], "ppo": ["offer.two"]}
    samples = [{"prompt": wicked, "sft": wicked, "ppo": wicked, "refused": refused}]
    (stage / "artifacts/samples.json").write_text(json.dumps(samples))
    text = rendered(folder)
    assert "<script" not in text
    assert text.count(html.escape("<script>alert(1)</script>")) == 3
    assert text.count("refused by the shield: offer.two") == 1


@pytest.mark.usefixtures("undrawn")
def test_parity_follows_the_customers_facts(run, played):
    assert set(played.by_attribute) == {"SeniorCitizen", "gender"}
    groups = played.by_attribute["gender"].groups
    assert sum(each.customers for each in groups.values()) == played.customers
    assert sum(played.offers.values()) == pytest.approx(1.0)
    text = rendered(run, played)
    for words in ("SeniorCitizen: 65 or older", "gender: Female", "offered something"):
        assert words in text
    json.dumps(plain(played), allow_nan=False)


def test_every_constant_of_the_environment_is_explained(text):
    assert set(models.MEANING) == set(record.names())
    assert all(name.replace("_", "_<wbr>") in text for name in record.names())


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nowhere", "no such folder"),
        (".", "holds no finished stage of a run"),
        ("small/policy", "is one stage; the run is the folder above"),
    ],
)
def test_what_is_no_run_is_refused(run, tmp_path, where, message):
    folder = run.parent / where if where != "." else tmp_path
    with pytest.raises(DataError, match=message):
        command.main(["--run", str(folder)])
    assert not (tmp_path / "report.html").exists()


def test_a_damaged_artifact_is_named(run, tmp_path):
    folder = changed(run, tmp_path / "run")
    (folder / "churn/artifacts/predictions.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"predictions\.parquet: not a readable Parquet file"):
        rendered(folder)
    (folder / "churn/artifacts/predictions.parquet").unlink()
    with pytest.raises(DataError, match=r"predictions\.parquet: no such file, though"):
        rendered(folder)


def test_figures_in_words():
    assert content.money(-1234.5) == "−$1,234.50"
    assert content.interval({"mean": None, "low": None, "high": None}) == content.DASH
    assert content.interval({"mean": -0.5, "low": -1.0, "high": 0.2}, sign=True) == "−$0.50 [−$1.00,\xa0+$0.20]"
    assert content.percent(0.1234, 1) == "12.3\xa0%"
    with pytest.raises(ValueError, match="has not 2 cells"):
        content.FigureTable("t", ("a", "b"), (("only one",),))


def test_a_stage_that_is_missing_is_asked_for_by_the_run_it_is_of() -> None:
    assert run_folder.FinishedRun("demo", {}).flags == "demo"
    assert run_folder.FinishedRun("acme", {}).flags == "train --name acme"
    assert run_folder.FinishedRun("acme", {}, runs="my runs").flags == "train --name acme --runs 'my runs'"


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_groups_says_so_without_a_second_no(played):
    section = playing.treatment(dataclasses.replace(played, by_attribute={}))
    assert section.missing[0].what.startswith("any attributes")
