"""Isotonic calibration: the fit is scikit-learn's, the curve between its blocks is gentle and keeps the order."""

import json
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from sklearn.isotonic import IsotonicRegression

from retentionjax.errors import DataError
from retentionjax.tabular import metrics
from retentionjax.tabular.calibrator import LOWEST, STEEPEST, Calibrator, fit_isotonic

_ROWS = st.lists(st.tuples(st.integers(0, 1000).map(lambda n: n / 1000), st.integers(0, 1)), min_size=1, max_size=80)


def _distorted(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores whose square root is the probability."""
    random = np.random.default_rng(seed)
    truth = random.random(rows)
    return truth**2, (random.random(rows) < truth).astype(np.int64), truth


def test_a_distorted_score_is_set_right() -> None:
    score, label, _ = _distorted(20_000, 0)
    fresh, fresh_label, truth = _distorted(20_000, 1)
    calibrated = fit_isotonic(score, label).apply(fresh)
    assert metrics.ece(fresh_label, fresh) > 0.1
    assert metrics.ece(fresh_label, calibrated) < 0.015
    assert np.abs(calibrated - truth).mean() < 0.02


@given(_ROWS)
def test_the_curve_never_falls_is_nowhere_steep_and_stays_inside(rows: list[tuple[float, int]]) -> None:
    score, label = np.array([s for s, _ in rows]), np.array([y for _, y in rows])
    curve = fit_isotonic(score, label)
    grid = np.linspace(-0.1, 1.1, 5_000)
    values = curve.apply(grid)
    assert (np.diff(values) >= 0).all()
    assert np.diff(values).max() <= 1.01 * STEEPEST * (grid[1] - grid[0])
    assert values.min() >= LOWEST * 0.9999
    assert values.max() <= 1 - LOWEST * 0.9999


def test_knots_are_the_centres_of_the_blocks_scikit_learn_finds() -> None:
    random = np.random.default_rng(3)
    score = np.repeat(np.arange(1, 10) / 10, 50)  # far apart, so no blocks are pooled for steepness
    label = (random.random(len(score)) < score).astype(np.int64)
    fitted = IsotonicRegression().fit(score, label).predict(score)
    blocks = np.unique(fitted)
    curve = fit_isotonic(score, label)
    np.testing.assert_allclose(curve.probability, np.clip(blocks, LOWEST, 1 - LOWEST), rtol=1e-6)
    np.testing.assert_allclose(curve.score, [score[fitted == block].mean() for block in blocks], rtol=1e-6)


def test_ranks_are_kept_where_the_usual_steps_would_tie_them() -> None:
    score, label, _ = _distorted(2_000, 4)
    fresh, fresh_label, _ = _distorted(2_000, 5)
    inside = (fresh > 0.05) & (fresh < 0.95)
    calibrated = fit_isotonic(score, label).apply(fresh[inside])
    assert metrics.auc(fresh_label[inside], calibrated) == pytest.approx(
        metrics.auc(fresh_label[inside], fresh[inside]), abs=1e-3
    )


def test_a_calibrator_survives_json_to_the_last_bit() -> None:
    score, label, _ = _distorted(500, 6)
    curve = fit_isotonic(score, label)
    back = Calibrator.from_dict(json.loads(json.dumps(curve.to_dict())))
    np.testing.assert_array_equal(back.score, curve.score)
    np.testing.assert_array_equal(back.probability, curve.probability)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "1"}, "format '1' is unknown"),
        ({"score": [0.2, 0.1]}, "must increase"),
        ({"probability": [0.5, 0.4]}, "never decrease"),
        ({"probability": [0.5, 1.5]}, "between 0 and 1"),
        ({"probability": [0.5]}, "as many probabilities"),
        ({"score": [], "probability": []}, "one or more"),
        ({"score": [0.1, "0.2"]}, "list of numbers"),
        ({"score": [0.1, True]}, "list of numbers"),
        ({"more": 1}, "has the keys"),
    ],
)
def test_a_calibrator_file_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    good = Calibrator(np.array([0.1, 0.2], np.float32), np.array([0.4, 0.5], np.float32)).to_dict()
    with pytest.raises(DataError, match=message):
        Calibrator.from_dict({**good, **change})
