"""A recalibrated bundle: other probabilities, the same ranking and policy, made from what the monitor found."""

import json
from pathlib import Path

import bundles
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.bundle import Bundle, load, recalibrating
from retentionjax.bundle.recalibrating import Shifts
from retentionjax.decide.customer import is_elevated
from retentionjax.decide.facts import Facts
from retentionjax.decide.program import Decider
from retentionjax.env import EnvParams, dynamics, record
from retentionjax.errors import DataError
from retentionjax.tabular.calibrator import Calibrator, moved

RECORDS = [{**bundles.CUSTOMER, "customer_id": str(n), "months": n, "age": 20 + n} for n in range(0, 60, 3)]


def test_log_odds_move_by_the_shift_and_nothing_else_does(bundle: Bundle, tmp_path: Path) -> None:
    made = recalibrating.recalibrate(bundle.folder, tmp_path / "new", Shifts(churn=0.7, acceptance=-0.4))
    new = load(tmp_path / "new")
    assert new.manifest.id == made.id != bundle.manifest.id
    features = Facts(bundle.schema).records(RECORDS)
    before, after = Decider(bundle).score(features), Decider(new).score(features)
    for name, shift in (("churn_probability", 0.7), ("accept_probability", -0.4)):
        odds = [np.log(p / (1 - p)) for p in (getattr(before, name), getattr(after, name))]
        # Between the knots the curve is straight in probability, so the shift there is not exact.
        np.testing.assert_allclose(odds[1] - odds[0], shift, atol=0.05)
    same = {
        name: file
        for name, file in bundle.manifest.files.items()
        if not name.startswith(("churn/cal", "acceptance/cal"))
    }
    assert same.items() <= new.manifest.files.items()
    assert new.manifest.metrics["recalibration"]["from_bundle"] == bundle.manifest.id


def test_appeal_is_scaled_apart_from_the_level_and_seen_by_the_policy(bundle: Bundle, tmp_path: Path) -> None:
    recalibrating.recalibrate(bundle.folder, tmp_path / "new", Shifts(0.0, 0.0, appeal_factor=0.25))
    new = load(tmp_path / "new")
    np.testing.assert_allclose(new.params.appeal, 0.25 * np.asarray(bundle.params.appeal), rtol=1e-6)
    free = np.array([0.05, 0.5])
    seen = [np.asarray(dynamics.acceptance(free[:, None], jnp.array(False), 0, each.params)) for each in (bundle, new)]
    lift = [np.log(each / (1 - each)) - np.log(free / (1 - free))[:, None] for each in seen]
    assert lift[0].max() > 1
    np.testing.assert_allclose(lift[1], 0.25 * lift[0], atol=1e-5)


@pytest.mark.parametrize(
    ("alarms", "shifts"),
    [((), Shifts(0.0, 0.0)), (("churn",), Shifts(1.2, 0.0)), (("acceptance",), Shifts(0.0, -3.0)),
     (("acceptance", "appeal"), Shifts(0.0, -1.0, 0.5))],
)  # fmt: skip
def test_only_what_is_an_alarm_is_shifted(tmp_path: Path, alarms: tuple[str, ...], shifts: Shifts) -> None:
    found = {"churn": {"shift": 1.2}, "acceptance": {"shift": -3.0}, "appeal": {"factor": 0.5, "level": -1.0}}
    found = {name: {**figures, "is_alarm": name in alarms} for name, figures in found.items()}
    (tmp_path / "m.json").write_text(json.dumps(found))
    assert recalibrating.from_monitor(tmp_path / "m.json") == shifts


@pytest.mark.parametrize("found", [[], {}, {"churn": {"shift": "much"}}, {"churn": {"shift": None, "is_alarm": True}}])
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, found: object) -> None:
    (tmp_path / "m.json").write_text(json.dumps(found))
    with pytest.raises(DataError, match=r"m\.json: churn\.shift is .*monitor --json"):
        recalibrating.from_monitor(tmp_path / "m.json")


def test_a_calibrator_shifts_at_its_knots_and_stays_one() -> None:
    curve = Calibrator(np.array([0.1, 0.5, 0.9], np.float32), np.array([0.01, 0.3, 0.99], np.float32))
    moved = curve.shifted(1.0)
    assert moved.apply(np.array([0.5]))[0] == pytest.approx(1 / (1 + 7 / 3 * np.exp(-1.0)), abs=1e-6)
    assert moved.apply(np.array([0.9]))[0] <= 0.999
    with pytest.raises(DataError, match="finite"):
        curve.shifted(float("nan"))


@pytest.mark.parametrize("shift", [-1.2, -0.8, -0.3, 0.0, 0.3, 0.45, 1.2])
def test_it_is_told_where_the_shift_alone_makes_trouble_or_hides_it(shift: float) -> None:
    """By the rule with which decisions read trouble off the scores, of customers whose usual risk is an old score."""
    params, usual = EnvParams(), np.array([0.01, 0.02])
    elevated = np.asarray(dynamics.rescored_churn_probability(usual, jnp.asarray(True), params), np.float64)
    told = recalibrating.warning(Shifts(shift, 0.0), record.to_dict(params))
    calm_looks_elevated = np.asarray(is_elevated(moved(usual, shift), usual, params))
    elevated_is_seen = np.asarray(is_elevated(moved(elevated, shift), usual, params))
    assert ("everybody of low risk" in told) == bool(calm_looks_elevated.all())
    assert ("nobody" in told) == (not elevated_is_seen.any())
