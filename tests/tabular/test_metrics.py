"""Measures of probabilities against scikit-learn, slow definitions, and repeated sampling."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from sklearn import metrics as oracle

from retentionjax.tabular import metrics

_PAIR = st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda n: n / 20))
_SAMPLES = st.lists(_PAIR, min_size=2, max_size=60).filter(lambda rows: len({label for label, _ in rows}) == 2)


def _arrays(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([label for label, _ in rows]), np.array([probability for _, probability in rows])


def _sample(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probability = random.beta(1, 3, rows)
    return (random.random(rows) < probability).astype(np.int64), probability


@given(_SAMPLES)
def test_auc_agrees_with_scikit_learn_ties_included(rows: list[tuple[int, float]]) -> None:
    label, probability = _arrays(rows)
    assert metrics.auc(label, probability) == pytest.approx(oracle.roc_auc_score(label, probability), abs=1e-12)


@given(_SAMPLES)
def test_brier_and_log_loss_agree_with_scikit_learn(rows: list[tuple[int, float]]) -> None:
    label, probability = _arrays(rows)
    inside = np.clip(probability, 0.01, 0.99)
    assert metrics.brier(label, probability) == pytest.approx(oracle.brier_score_loss(label, probability))
    assert metrics.log_loss(label, inside) == pytest.approx(oracle.log_loss(label, inside))


@given(_SAMPLES)
def test_calibration_error_agrees_with_its_definition_bin_by_bin(rows: list[tuple[int, float]]) -> None:
    label, probability = _arrays(rows)
    expected = 0.0
    for number in range(10):
        inside = [i for i, p in enumerate(probability) if min(int(p * 10), 9) == number]
        if inside:
            gap = np.mean(probability[inside]) - np.mean(label[inside])
            expected += len(inside) / len(label) * abs(gap)
    assert metrics.ece(label, probability) == pytest.approx(expected, abs=1e-12)


def test_the_error_of_auc_is_that_of_delong_by_all_pairs() -> None:
    label, probability = _sample(80, 1)
    probability = probability.round(1)  # ties
    positive, negative = probability[label == 1], probability[label == 0]
    kernel = (positive[:, None] > negative).astype(float) + 0.5 * (positive[:, None] == negative)
    variance = kernel.mean(1).var(ddof=1) / len(positive) + kernel.mean(0).var(ddof=1) / len(negative)
    found = metrics.measure(label, probability, base_rate=0.25)["auc"]
    assert found.error == pytest.approx(math.sqrt(variance), rel=1e-12)


def test_errors_are_the_spread_of_the_figures_over_fresh_samples() -> None:
    """The one error no formula confirms: repeated sampling does. 120 samples know a spread to 7 %."""
    drawn = [metrics.measure(*_sample(300, seed), base_rate=0.25) for seed in range(120)]
    for name in ("auc", "brier", "log_loss", "brier_skill"):
        spread = np.std([each[name].value for each in drawn])
        assert np.mean([each[name].error for each in drawn]) == pytest.approx(spread, rel=0.2), name


def test_skill_is_over_always_predicting_the_base_rate() -> None:
    label, probability = _sample(500, 2)
    constant = np.full(500, 0.3)
    assert metrics.measure(label, constant, base_rate=0.3)["brier_skill"].value == pytest.approx(0.0)
    assert metrics.measure(label, label.astype(float), base_rate=0.3)["brier_skill"].value == pytest.approx(1.0)
    assert 0 < metrics.measure(label, probability, base_rate=float(label.mean()))["brier_skill"].value < 1


def test_a_mean_over_folds_has_the_error_of_independent_folds() -> None:
    folds = [{"auc": metrics.Measure(0.8, 0.03)}, {"auc": metrics.Measure(0.9, 0.04)}]
    assert metrics.average(folds)["auc"].value == pytest.approx(0.85)
    assert metrics.average(folds)["auc"].error == pytest.approx(0.025)


def test_the_summary_is_flat_and_its_intervals_stay_in_range() -> None:
    flat = metrics.summary({"auc": metrics.Measure(0.99, 0.01), "brier_skill": metrics.Measure(0.0, 0.1)}, "cv_")
    assert flat["cv_auc"] == 0.99
    assert flat["cv_auc_low"] == pytest.approx(0.9704, abs=1e-4)
    assert flat["cv_auc_high"] == 1.0
    assert flat["cv_brier_skill_low"] == pytest.approx(-0.196, abs=1e-3)


@pytest.mark.parametrize(
    ("label", "probability"),
    [([0, 0], [0.1, 0.2]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, 1.2]), ([0, 1], [0.1, math.nan])],
)
def test_what_cannot_be_measured_is_refused(label: list[int], probability: list[float]) -> None:
    with pytest.raises(ValueError, match=r"wanted|must be 0 and 1"):
        metrics.auc(np.array(label), np.array(probability))
