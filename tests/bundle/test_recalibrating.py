"""A recalibrated bundle: other probabilities, the same ranking and policy, made from what the monitor found."""

import json
from pathlib import Path

import bundles
import numpy as np
import pytest

from retentionjax.bundle import load, recalibrating
from retentionjax.bundle.recalibrating import Shifts
from retentionjax.decide import Decider
from retentionjax.decide.facts import Facts
from retentionjax.errors import DataError
from retentionjax.tabular.calibrator import Calibrator

RECORDS = [{**bundles.CUSTOMER, "customer_id": str(n), "months": n, "age": 20 + n} for n in range(0, 60, 3)]


def test_log_odds_move_by_the_shift_and_nothing_else_does(tmp_path: Path) -> None:
    old = load(bundles.make(tmp_path / "old"))
    made = recalibrating.recalibrate(old.folder, tmp_path / "new", Shifts(churn=0.7, acceptance=-0.4))
    new = load(tmp_path / "new")
    assert new.manifest.id == made.id != old.manifest.id
    features = Facts(old.schema).records(RECORDS)
    before, after = Decider(old).score(features), Decider(new).score(features)
    for name, shift in (("churn_probability", 0.7), ("accept_probability", -0.4)):
        odds = [np.log(p / (1 - p)) for p in (getattr(before, name), getattr(after, name))]
        # Between the knots the curve is straight in probability, so the shift there is not exact.
        np.testing.assert_allclose(odds[1] - odds[0], shift, atol=0.05)
    same = {
        name: file for name, file in old.manifest.files.items() if not name.startswith(("churn/cal", "acceptance/cal"))
    }
    assert same.items() <= new.manifest.files.items()
    assert new.manifest.metrics["recalibration"]["from_bundle"] == old.manifest.id


def test_what_was_no_alarm_shifts_nothing(tmp_path: Path) -> None:
    found = {"churn": {"shift": 1.2, "is_alarm": True}, "acceptance": {"shift": -3.0, "is_alarm": False}}
    (tmp_path / "m.json").write_text(json.dumps(found))
    assert recalibrating.from_monitor(tmp_path / "m.json") == Shifts(1.2, 0.0)


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
