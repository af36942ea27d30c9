"""Drift: the index against a hand computation and its known distribution, and alarms that ring when they should."""

import json

import numpy as np
import pandas as pd
import pytest
import small_customers
from scipy import stats

from retentionjax.errors import DataError
from retentionjax.tabular import drift
from retentionjax.tabular.drift import Reference

PLANS = ("basic", "plus")


def table(rows: int, seed: int, shift: float = 0.0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Customers, their calibrated probabilities, and what happened."""
    random = np.random.default_rng(seed)
    months = random.gamma(2.0, 12.0, rows) * (1 + shift)
    months[random.random(rows) < 0.05] = np.nan
    senior = (random.random(rows) < 0.16).astype(float)
    plan = np.where(random.random(rows) < 0.3 + shift, "plus", "basic")
    probability = random.beta(2, 5, rows)
    label = (random.random(rows) < probability).astype(np.int64)
    frame = pd.DataFrame({"months": months, "senior": senior, "plan": pd.Categorical(plan, categories=PLANS)})
    return frame, probability, label


@pytest.fixture(scope="module")
def reference() -> Reference:
    frame, probability, label = table(5_000, 1)
    columns = {"numeric": ("months", "senior"), "categorical": {"plan": PLANS}}
    return drift.describe(frame, **columns, probability=probability, label=label, column="left")


def test_the_index_is_the_sum_over_bins():
    """Shares ½, ½ → ¾, ¼: ¼ ln 1.5 − ¼ ln ½ = ¼ ln 3."""
    found = drift.psi(np.array([500_000, 500_000, 0]), np.array([750_000, 250_000, 0]))
    assert found == pytest.approx(np.log(3) / 4, rel=1e-4)
    assert drift.psi(np.array([5, 0]), np.array([0, 5])) < np.inf


def test_training_rows_have_not_drifted_from_themselves(reference):
    frame, probability, _ = table(5_000, 1)
    assert all(each.psi == 0 for each in drift.shifts(reference, frame, probability))


def test_without_drift_the_index_is_chi_squared_and_rings_once_in_twenty(reference):
    """Over 300 tables of 200 rows: the quantile of chance is passed as often as it says, and 0.1 alone far oftener."""
    rung, passed, values = [], [], []
    for seed in range(300):
        frame, probability, _ = table(200, 100 + seed)
        found = {each.column: each for each in drift.shifts(reference, frame, probability)}["months"]
        rung.append(found.psi > found.chance)
        values.append(found.psi)
        passed.append(found.level != "none")
    assert 0.02 < np.mean(rung) < 0.10
    spread = 1 / 5_000 + 1 / 200
    assert np.mean(values) == pytest.approx(10 * spread, rel=0.15)  # 11 bins: ten and the missing
    assert np.quantile(values, 0.95) == pytest.approx(stats.chi2.ppf(0.95, 10) * spread, rel=0.2)
    assert np.mean(passed) <= np.mean(rung)


def test_a_moved_column_rings_by_its_name_and_level(reference):
    frame, probability, _ = table(5_000, 2)
    frame["months"] *= 2.0
    frame["plan"] = pd.Categorical(np.where(np.arange(5_000) % 100 < 47, "plus", "basic"), categories=PLANS)
    found = {each.column: each for each in drift.shifts(reference, frame, probability)}
    levels = {name: each.level for name, each in found.items()}
    assert levels == {"months": "large", "plan": "moderate", "senior": "none", "score": "none"}
    assert found["plan"].bin in PLANS
    assert found["plan"].now == pytest.approx(0.47 if found["plan"].bin == "plus" else 0.53)
    order = [each.column for each in drift.shifts(reference, frame, probability)]
    assert order[0] == "months"


def test_a_column_that_went_missing_or_has_a_new_category_rings(reference):
    frame, probability, _ = table(2_000, 3)
    frame.loc[:1_000, "months"] = np.nan
    frame["plan"] = ["gold"] * 600 + ["basic"] * 1_400
    found = {each.column: each for each in drift.shifts(reference, frame, probability)}
    assert (found["months"].level, found["months"].bin) == ("large", "missing")
    assert found["plan"].level == "large"
    assert drift.shifts(reference, frame, probability)[0].psi < np.inf


def test_a_number_with_two_values_has_two_bins(reference):
    assert reference.columns["senior"].bins == ("−∞ to 1", "1 to ∞", "other", "missing")
    assert sum(reference.columns["senior"].counts) == 5_000


def test_calibration_that_still_fits_is_silent_and_one_that_does_not_rings(reference):
    rung = 0
    for seed in range(40):
        _, probability, label = table(1_000, 500 + seed)
        rung += bool(drift.calibration(reference, label, probability).drifted)
    assert rung <= 8
    _, probability, label = table(1_000, 7)
    half = drift.calibration(reference, label, probability / 2)
    assert {"ece", "mean"} <= set(half.drifted)
    assert half.predicted == pytest.approx(half.happened.value / 2, abs=0.03)
    coin = (np.random.default_rng(0).random(1_000) < 0.5).astype(np.int64)
    assert "brier" in drift.calibration(reference, coin, probability).drifted


def test_a_reference_survives_json_and_holds_no_row(reference):
    plain = json.loads(json.dumps(reference.to_dict()))
    assert Reference.from_dict(plain, "here") == reference
    assert len(json.dumps(plain)) < 5_000
    for broken in ({**plain, "format": 2}, {**plain, "score": {"edges": None, "categories": None, "counts": []}}, []):
        with pytest.raises(DataError, match="here: not a training reference"):
            Reference.from_dict(broken, "here")


def test_what_cannot_be_compared_is_named(reference):
    frame, probability, _ = table(10, 4)
    with pytest.raises(DataError, match="column 'plan' is missing"):
        drift.shifts(reference, frame.drop(columns="plan"), probability)
    with pytest.raises(DataError, match="row 3, column 'months': 'many' is not a number"):
        drift.shifts(reference, frame.assign(months=["1", "2", "3", "many", *"123456"]), probability)
    with pytest.raises(DataError, match="rows of both outcomes"):
        drift.calibration(reference, np.zeros(10, np.int64), probability)


def test_wide_categories_and_gaps_are_described():
    customers = small_customers.draw(500, seed=1)
    columns = {
        "numeric": ("tenure", "charge"),
        "categorical": {"plan": small_customers.PLAN, "town": small_customers.TOWN},
    }
    random = np.random.default_rng(0).random(500)
    made = drift.describe(customers.frame, **columns, probability=random, label=customers.label, column=None)
    for column in made.columns.values():
        assert sum(column.counts) == 500
    assert made.columns["town"].counts[-1] == customers.frame["town"].isna().sum()
