"""A company's own table, with offers of all kinds and no log, from DataFrame to decisions and report."""

import json
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import trained
from trained import SMALL

import retentionjax as rj
from experiments import companies, pipeline
from experiments import train as command
from retentionjax import cli, data
from retentionjax.bundle.message import brief
from retentionjax.data import company_tables
from retentionjax.errors import ConfigError, DataError
from retentionjax.evaluation import rollout
from serving import settings

OFFERS: dict[str, Any] = {
    "hello": {},
    **{f"off_{percent}": {"discount": percent / 100, "days": 30} for percent in (5, 10, 15, 20, 30, 50)},
    "free_month": {"discount": 1.0, "days": 30, "effect_days": 30},
    **{f"credit_{amount}": {"amount": amount, "days": 1, "effect_days": 30} for amount in (1, 2, 5, 10, 15, 20)},
    **{f"upgrade_{cost}": {"cost": cost, "days": 30, "say": "twice the speed"} for cost in (1, 2, 3, 4, 5, 6)},
}

FEW = ("hello", "off_10", "free_month", "credit_5", "upgrade_4")
"""One of each kind."""

SENDER = {
    "name": "Acme",
    "postal_address": "1 Main St",
    "domains": ["acme.example"],
    "unsubscribe_url": "https://acme.example/u",
}

CURRENT = 20  # customers of whom it is not known yet whether they leave


def table(rows: int = 600) -> pd.DataFrame:
    random = np.random.default_rng(0)
    months = random.uniform(0, 60, rows)
    plan = random.choice(["basic", "plus"], rows)
    left = random.random(rows) < 0.75 * np.exp(-months / 25)
    return pd.DataFrame(
        {"fee": random.uniform(200, 900, rows), "months": months, "plan": plan, "churned": left.astype(int)}
    )


FLAGS = (*SMALL, "--evaluate.worlds", "1")
"""Policies are played as believed, so that each is compiled once and not three times; worlds, in `test_doubt`."""


@pytest.fixture(scope="module", params=[FEW, pytest.param(tuple(OFFERS), marks=pytest.mark.slow)], ids=len)
def offers(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {name: OFFERS[name] for name in request.param}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, offers: dict[str, Any]) -> Any:
    customers = table()
    customers["churned"] = customers["churned"].astype("Int64").where(customers.index < len(customers) - CURRENT)
    company = rj.Company(
        customers,
        name="acme",
        currency="EUR",
        charge="fee",
        left="churned",
        window_days=60,
        offers=offers,
        delays=[0, 2],
        limits={"budget": 20.0, "account_cap": 300.0, "contact_cost": 2.0},
        horizon_days=30,
        messages={
            "sender": SENDER,
            "facts": [{"fact": "plan", "column": "plan"}],
        },
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rollout, "CHUNK", 1024)  # a policy is compiled once, and not for a round of 2,048 too
        return rj.train(company, tmp_path_factory.mktemp("runs") / "acme", flags=FLAGS)


def test_every_stage_is_done_and_nothing_is_claimed_without_a_log(run: Any) -> None:
    assert set(run.summary) == {"data", "churn", "acceptance", "effects", "policy", "evaluate", "bundle", "report"}
    assert run.summary["acceptance"] == {"data_source": "real", "assumed": 0.11, **_seconds(run, "acceptance")}
    assert run.summary["effects"]["identified"] == 0
    assert run.summary["policy"]["worlds"] == 128  # the half of the prior's draws that judges
    assert run.summary["policy"]["violations_masked"] == 0
    assert 0 <= run.summary["evaluate"]["probability_beats_never"] <= 1


POLICIES = ("ppo", "never", "random", "threshold", "thompson", "uplift", "greedy", "greedy_fatigue")


def test_summaries_hold_the_keys_by_which_runs_are_compared(run: Any) -> None:
    assert {"cv_auc", "cv_ece", "cv_brier", "cv_log_loss"} <= run.summary["churn"].keys()
    policy = {"spend_ratio", "violations_masked", "violations_raw_per_contact", "multiplier_campaign_budget"}
    assert policy | {"train_seconds", "env_steps"} <= run.summary["policy"].keys()
    compared = run.summary["evaluate"]
    for name in POLICIES:
        for key in ("net_value", "spend", "uplift", "nrr"):
            low, middle, high = (compared[f"{key}_{name}{end}"] for end in ("_low", "", "_high"))
            assert low <= middle <= high, (key, name)
        if name != "ppo":
            paired = compared["net_value_ppo"] - compared[f"net_value_{name}"]
            assert compared[f"paired_ppo_minus_{name}"] == pytest.approx(paired, rel=1e-5, abs=1e-3)


def test_masked_policies_break_no_rule(run: Any) -> None:
    full = json.loads(Path(run.folder, "evaluate/artifacts/evaluation.json").read_text())
    assert full["policies"].keys() == set(POLICIES)
    for name, metrics in full["policies"].items():
        assert metrics["account_violations"]["mean"] == 0, name
        assert not metrics["cooldown_violations"]["mean"], name
        assert not metrics["fatigue_violations"]["mean"], name


def test_pictures_and_metrics_are_written(run: Any) -> None:
    folder = Path(run.folder)
    for picture in ("policy/artifacts/learning_curve.png", "evaluate/artifacts/pacing.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (folder / "policy/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert list((folder / "policy/tensorboard").iterdir())


def test_decisions_about_a_table_are_in_the_companys_words(run: Any, offers: dict[str, Any]) -> None:
    customers = table(40).drop(columns="churned")
    customers.loc[3, "plan"] = "never seen before"
    decided = run.bundle.decide(customers, day=3)
    assert list(decided["customer_id"]) == [str(row) for row in range(40)]
    assert decided["propensity"].between(0, 1, inclusive="right").all()
    assert set(decided.loc[decided["contact"], "offer"]) <= set(offers)
    assert decided.loc[~decided["contact"], "offer"].isna().all()
    assert (decided["expected_gain"][~decided["contact"]] == 0).all()
    pd.testing.assert_frame_equal(run.bundle.decide(customers, day=3), decided)  # asked again, the same
    bundle = run.bundle.bundle
    assert len(bundle.offers) == len(offers)
    assert bundle.params.risk_window_days == 60
    assert bundle.company.currency == "EUR"


def test_a_fact_of_messages_may_be_a_column_as_it_is(run: Any) -> None:
    bundle = run.bundle.bundle
    offer = bundle.said_offer(next(iter(bundle.offers)))
    assert brief(bundle.message, {"plan": "plus"}, None, offer).facts == {"plan": "plus"}


def test_each_offer_can_be_said_and_the_report_speaks_the_currency(run: Any, offers: dict[str, Any]) -> None:
    bundle = run.bundle.bundle
    words = [bundle.words(place) for place in range(len(bundle.offers))]
    assert words[list(offers).index("credit_5")] == "€5 credit"
    assert words[list(offers).index("upgrade_4")] == "twice the speed"
    page = Path(run.report().path).read_text(encoding="utf-8")
    assert "€" in page
    assert "$" not in page
    assert "Acceptance is assumed" in page
    assert run.report()._repr_html_().startswith("<iframe")


def test_given_again_it_skips_what_is_done_however_the_path_is_spelt(
    run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.folder)
    command = ["train", "company/../company/company.yaml", "--out", run.folder, *SMALL, "--evaluate.worlds", "1"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.count("skipped") == 8


def test_only_a_company_that_wants_a_language_model_runs_the_stages_that_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(pipeline, "command", lambda flags, stages: asked.append((flags, stages)))
    messages = {"sender": SENDER, "channels": ["push", "sms"], "brand": "We are brief.", "model": True}
    for said in (messages, {**messages, "model": False}):
        company = rj.Company(table(40), charge="fee", left="churned", window_days=60, offers=OFFERS, messages=said)
        rj.train(company, tmp_path / "acme")
    (flags, stages), (_, deciding) = asked
    assert {each.name for each in stages} - {each.name for each in deciding} == {
        "sft",
        "reward",
        "ppo_text",
        "messages",
    }
    assert flags[flags.index("--reward.channels") + 1 :][:2] == ["push", "sms"]
    assert flags[flags.index("--sft.writer.system") + 1] == "We are brief."


def test_a_table_with_columns_of_every_kind_is_kept_as_what_is_learnt_from_and_the_others_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = table(60).assign(
        e_mail=[f"c{row}@x.ch" for row in range(60)], joined=pd.Timestamp("2024-01-01"), tags=[[1]] * 60
    )
    odd = odd.rename(columns={"fee": " fee", "plan": " plan"})
    company = rj.Company(odd, charge="fee", left="churned", window_days=60, offers=OFFERS)
    saved = companies.load(str(companies.save(company, str(tmp_path / "acme"))))
    said = capsys.readouterr().out
    for name in ("e_mail", "joined", "tags"):
        assert f"[company] column '{name}' is no feature" in said
    direct, kept = (company_tables.read(each).customers for each in (company, saved))
    pd.testing.assert_frame_equal(kept.frame, direct.frame)
    assert kept.schema == direct.schema
    mixed = odd.assign(calls=[1.5] * 57 + ["many"] * 3)
    with pytest.raises(DataError, match=r"^customers, row 58, column 'calls': 'many' is not a number"):
        companies.save(rj.Company(mixed, charge="fee", left="churned", window_days=60, offers=OFFERS), str(tmp_path))


def test_an_unknown_flag_points_to_the_help_that_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    company = rj.Company(table(60), charge="fee", left="churned", window_days=60, offers=OFFERS)
    with pytest.raises(SystemExit):
        rj.train(company, tmp_path / "acme", flags=["--polcy.seed", "1"])
    said = capsys.readouterr()
    assert "python -m experiments.pipeline train --help" in said.out + said.err


@pytest.mark.slow
def test_a_language_model_learns_what_the_company_says(tmp_path: Path) -> None:
    said = {"sender": SENDER, "facts": [{"fact": "plan", "column": "plan"}], "channels": ["push"], "model": True}
    company = rj.Company(table(1200), charge="fee", left="churned", window_days=60, offers=OFFERS, messages=said)
    gates = ("--churn.gates.minimum-auc", "0", "--churn.gates.maximum-ece", "1", "--bundle.minimum-probability", "0")
    run = rj.train(company, tmp_path / "acme", preset="smoke", flags=[*SMALL, *gates])
    assert run.bundle.bundle.writes
    samples = json.loads((tmp_path / "acme/ppo_text/artifacts/samples.json").read_text())
    assert all("fiber" not in each["prompt"] and "DSL" not in each["prompt"] for each in samples)
    assert any("basic" in each["prompt"] or "plus" in each["prompt"] for each in samples)


def test_the_command_decides_with_the_bundle(
    run: Any, offers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    customer = next(Path(run.folder).glob("bundle/artifacts/customers/ordinary.json"))
    assert cli.main(["decide", "--bundle", run.folder, "--customer", str(customer), "--json"]) == 0
    decision = json.loads(capsys.readouterr().out)
    assert len(decision["explanation"]["actions"]) == 1 + len(offers) * 2


def test_the_readmes_commands_end_with_the_served_decision(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(data.__file__).parent / "README.md").read_text(encoding="utf-8")
    part = text.partition("# From the file to a served decision")[2].partition("\n# ")[0]
    train, decide, score, serve = (
        line.split()[1:] for line in part.splitlines() if line.startswith("    retentionjax ")
    )
    monkeypatch.chdir(tmp_path)
    shutil.copytree(f"{run.folder}/company", tmp_path, dirs_exist_ok=True)
    (tmp_path / "company.yaml").rename("acme.yaml")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/acme").symlink_to(run.folder)
    assert cli.main([*train, *FLAGS]) == 0
    assert cli.main(decide) == 0
    assert cli.main(score) == 0
    printed = capsys.readouterr().out
    assert printed.count("skipped") == 8
    assert f"decisions: {CURRENT} decisions" in printed
    served = settings.parse(serve[1:], {})
    assert "@runs/acme/request.json" in part
    assert "Acme" in trained.served_contact(Path(served.bundle), tmp_path, monkeypatch)["message"]["text"]


README = Path(__file__).parents[2] / "README.md"
FENCED, INDENTED = r"```python\n(.*?)```", r"\n\n((?:    [^\n]*\n)*    rj\.load[^\n]*\n)"


@pytest.mark.parametrize(
    ("file", "form"), [(README, FENCED), (Path(data.__file__).parent / "README.md", INDENTED)], ids=["README", "data"]
)
def test_the_readmes_python_runs_as_it_is_printed(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path, form: str
) -> None:
    """Public names alone; what trains is not done a second time."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    asked = list[tuple[rj.Company, str]]()

    def train(company: rj.Company, out: str) -> Any:
        asked.append((company, out))
        Path(out).symlink_to(run.folder)
        return run

    monkeypatch.setattr(rj, "train", train, raising=False)
    (printed,) = re.findall(form, file.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = textwrap.dedent(printed).strip().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("rj.load("))
    lines[place] = f"decided = {lines[place]}"
    told: dict[str, Any] = {"table": table()}
    exec("\n".join(lines), told)  # the repository's own README
    assert asked == [(told["company"], "runs/acme")]
    assert told["company"].customers.charge.column == "fee"
    assert set(told["decided"]) >= {"customer_id", "contact", "offer", "propensity", "expected_gain", "reasons"}
    assert len(told["decided"]) == len(table())


def test_every_public_name_is_there() -> None:
    assert all(getattr(rj, name) is not None for name in rj.__all__)


def test_sizes_follow_the_minutes() -> None:
    few, many = command.sized(2), command.sized(20)
    assert int(few[few.index("--policy.ppo.num-iterations") + 1]) < int(
        many[many.index("--policy.ppo.num-iterations") + 1]
    )
    with pytest.raises(ConfigError, match="--minutes is 0; allowed"):
        command.sized(0)


def _seconds(run: Any, stage: str) -> dict[str, float]:
    return {"seconds": run.summary[stage]["seconds"]}
