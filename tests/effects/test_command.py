"""`retentionjax effects`: from a company's files to what was believed beside what the log says."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from simulated_logs import company, simulate, write

from retentionjax.company import Company
from retentionjax.company.prior import Effect
from retentionjax.effects import Log, command, telling
from retentionjax.effects.itt import Surprise, TrialArm
from retentionjax.effects.posterior import Estimate, unlearned
from retentionjax.errors import DataError

DESIGN = {"none": 0.4, "hello": 0.2, "ten": 0.2, "twenty": 0.2}
COMPANY = """
name: acme
currency: EUR
customers:
  file: customers.csv
  id: id
  charge: charge
  snapshot: 2026-01-01
  window_days: 30
  numeric: [risk]
contacts: {{file: contacts.csv, at: at, offer: arm, accepted: accepted{propensity}}}
departures: {{file: departures.csv, left_on: left_on, observed_until: 2026-02-19}}
offers:
  hello: {{}}
  ten: {{discount: 0.10}}
  twenty: {{discount: 0.20}}
"""


def files(folder: Path, log: Log, *, propensity: str) -> Path:
    """The log as a company would have it; the fact `risk` says who leaves."""
    write(folder, log, {"risk": np.log(log.churn_probability / (1 - log.churn_probability))})
    path = folder / "company.yaml"
    path.write_text(COMPANY.format(propensity=propensity))
    return path


def test_what_a_log_taught_is_believed_before_the_next_one() -> None:
    offers, effects = {"ten": {"discount": 0.1}}, {"accept_risk": 0.5}
    first = Company("c.csv", charge={"value": 50.0}, numeric=["calls"], offers=offers, effects=effects)
    prior = first.believed(50.0)
    learned = dataclasses.replace(
        unlearned(prior, "nothing"),
        estimates={
            name: Estimate(each, 0.6, 0.4, 0.9, is_estimated=name in ("hazard_multiplier.ten", "churn_shift"))
            for name, each in prior.items()
        },
    )
    said = yaml.safe_load(command.as_beliefs(first, learned))["effects"]
    believed = dataclasses.replace(first, effects={name: Effect(**each) for name, each in said.items()}).believed(50.0)
    assert believed["hazard_multiplier.ten"] == Effect(0.6, 0.4, 0.9, "learned from a log of company")
    for name in believed.keys() - {"hazard_multiplier.ten"}:  # a score's level is that of its own log
        assert believed[name] == prior[name]


@pytest.fixture(scope="module")
def log() -> Log:
    return simulate(company(400), DESIGN, days=50, offers=("hello", "five", "ten", "twenty"))


def test_an_observational_log_leaves_the_prior_and_says_why(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    path = files(tmp_path, log, propensity=", ignore: [share]")
    assert command.main([str(path), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "does not say with which probability" in said
    assert "leaving, after accepting “ten” (10 % off for 30 days)" in said
    assert "EUR" in said  # the arms without any model
    for greek in "κφρσπαβλ":
        assert greek not in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["hazard_multiplier_ten_is_estimated"] == 0
    assert (summary["hazard_multiplier_ten_median"], summary["hazard_multiplier_ten_low"]) == (0.75, 0.45)
    assert {"contact_effect_low", "fatigue_hazard_high", "accept_fatigue_median", "accept_risk_median"} <= set(summary)
    stored = json.loads((out / "effects.json").read_text())
    assert stored["effects"]["appeal.ten"]["rests_on"] == "assumed"
    assert [arm["name"] for arm in stored["arms"]] == ["none", "hello", "ten", "twenty"]
    with np.load(out / "draws.npz", allow_pickle=False) as draws:
        assert draws["hazard_multiplier.ten"].shape == (256,)
    assert (out / "effects.png").read_bytes().startswith(b"\x89PNG")


def test_without_dates_of_leaving_a_log_teaches_what_tempts_and_not_what_keeps(log: Log, tmp_path: Path) -> None:
    path = files(tmp_path, log, propensity=", propensity: share")
    text = path.read_text().replace("  snapshot: 2026-01-01\n", "  left: {column: left, 'yes': 'yes', 'no': 'no'}\n")
    path.write_text(re.sub("departures: .*\n", "", text))
    customers = pd.read_csv(tmp_path / "customers.csv")
    customers.assign(left=np.where(log.left_day >= 0, "yes", "no")).to_csv(tmp_path / "customers.csv", index=False)
    acme = Company.load(str(path))
    posterior, arms, _ = command.learn(acme)
    estimated = {name for name, each in posterior.estimates.items() if each.is_estimated}
    assert estimated == {"appeal.ten", "appeal.twenty", "accept_fatigue", "accept_risk", "accept_shift"}
    assert {each.name for each in posterior.refused} == {"no_dates"}
    twenty = posterior.estimates["appeal.twenty"]
    assert abs(twenty.median - 1.6) < 3 * posterior.draws["appeal.twenty"].std()  # what the log's environment has
    assert np.diff(twenty.prior.interval) > 1.5 * (twenty.high - twenty.low)
    assert all(arm.left is None and arm.leaving is None and arm.departures == 0 for arm in arms)
    assert "In every arm as many accept as the model expects" in "\n".join(telling.sentences(posterior, arms, acme))


@pytest.mark.slow
def test_a_randomised_log_sharpens_the_prior(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = simulate(company(2000), DESIGN, days=90)
    path = files(tmp_path, log, propensity=", propensity: share")
    path.write_text(path.read_text().replace("2026-02-19", "2026-03-31"))
    assert command.main([str(path), "--out", str(tmp_path / "out")]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["hazard_multiplier_twenty_is_estimated"] == 1
    assert summary["hazard_multiplier_twenty_high"] < 0.75  # 0.45 is true
    assert summary["assignment_balance_p"] > 1e-3
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("leaving")]
    assert "perhaps nothing" not in next(line for line in said if "“twenty”" in line)
    effects = json.loads((tmp_path / "out" / "effects.json").read_text())["effects"]
    for name, each in effects.items():
        nothing = 1.0 if name.startswith("hazard_multiplier") else 0.0
        assert not each["is_shown"] or not each["low"] <= nothing <= each["high"], name
    assert any(line.endswith("], perhaps nothing") for line in said)


def test_where_the_model_and_the_plain_count_disagree_it_is_said(log: Log, tmp_path: Path) -> None:
    acme = Company.load(str(files(tmp_path, log, propensity=", propensity: share")))
    posterior = unlearned(acme.believed(65.0), "not looked at")

    def said(deviations: float, of: str = "leaving") -> str:
        arm = TrialArm("ten", 900, 60, 0.07, None, None, **{of: Surprise(60, 40.0, deviations)})
        return "\n".join(telling.sentences(posterior, (arm,), acme))

    assert "In every arm as many leave as the model expects, within chance" in said(2.9)
    assert "The model is wrong about ten, do not act on its effect: it expects 40 to leave, and 60 did" in said(3.2)
    assert "it expects 40 to accept, and 60 did" in said(3.2, "accepting")
    assert "as many leave" not in said(-3.2)


def test_the_demo_log_is_of_other_people(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo = Path(__file__).parents[2] / "experiments" / "companies" / "demo.yaml"
    assert command.main([str(demo), "--out", str(tmp_path / "out")]) == 0
    assert "the log is of other people" in capsys.readouterr().out


def test_a_trial_that_names_no_offer_of_the_company_is_refused(log: Log, tmp_path: Path) -> None:
    path = files(tmp_path, log, propensity=", ignore: [share]")
    trial = tmp_path / "trial.csv"
    trial.write_text("arm,customers,departures,days\nnone,1000,160,90\nfifty,1000,100,90\n")
    with pytest.raises(DataError, match=r"trial\.csv, line 3, arm: 'fifty'; allowed: none, hello, ten, twenty"):
        command.main([str(path), "--trial", str(trial), "--out", str(tmp_path / "out")])


def test_what_grows_tenfold_is_said_as_a_factor() -> None:
    assert telling._interval("appeal.ten", 0.8, 0.24, 1.6) == "+123 % [+27, +395]"
    assert telling._interval("appeal.month", 3.36, 1.0, 6.7) == "× 28.8 [2.7, 812.4]"
    assert telling._interval("contact_effect", -0.05, -0.25, 0.4) == "-5 % [-22, +49]"
