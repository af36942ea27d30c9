"""Measures of probabilities against scikit-learn, slow definitions, and repeated sampling."""

import math
from collections.abc import Callable, Mapping

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import special, stats
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
    found = metrics.measure(label, inside, base_rate=0.5)
    assert found["brier"].value == pytest.approx(oracle.brier_score_loss(label, inside))
    assert found["log_loss"].value == pytest.approx(oracle.log_loss(label, inside))


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


def test_the_interval_of_auc_is_that_of_delong_where_rows_are_many() -> None:
    """DeLong's is reckoned from the kernel of all pairs, ties included."""
    label, probability = _sample(3_000, 1)
    probability = probability.round(1)
    positive, negative = probability[label == 1], probability[label == 0]
    kernel = (positive[:, None] > negative).astype(float) + 0.5 * (positive[:, None] == negative)
    variance = kernel.mean(1).var(ddof=1) / len(positive) + kernel.mean(0).var(ddof=1) / len(negative)
    found = metrics.measure(label, probability, base_rate=0.25)["auc"]
    for end, side in ((found.low, -1.96), (found.high, 1.96)):
        assert end == pytest.approx(found.value + side * math.sqrt(variance), abs=1e-3)


def test_an_auc_of_one_is_not_certain() -> None:
    label = np.array([0] * 30 + [1] * 3)
    found = metrics.measure(label, np.linspace(0.0, 0.9, 33), base_rate=0.1)["auc"]
    assert found.value == found.high == 1.0
    assert 0.4 < found.low < 0.95


@pytest.mark.parametrize("rows", [100_000, 1_000_000])
def test_a_column_that_tells_many_rows_apart_has_an_auc_of_one_and_is_no_error(rows: int) -> None:
    label = np.repeat([0, 1], rows)
    apart = np.repeat([0.2, 0.8], rows)
    found = metrics.measure(label, apart, base_rate=0.5)["auc"]
    assert (found.value, found.high) == (1.0, 1.0)
    assert 1 - 1e-6 < found.low <= 1.0
    wrong = metrics.measure(label, 1 - apart, base_rate=0.5)["auc"]
    assert (wrong.value, wrong.low) == (0.0, 0.0)
    assert 0.0 <= wrong.high < 1e-6


def test_probabilities_of_half_precision_are_measured_in_double() -> None:
    label, probability = _sample(70_000, 5)
    half = probability.astype(np.float16)
    found = metrics.measure(label, half, base_rate=0.25)
    assert found["log_loss"].value == pytest.approx(oracle.log_loss(label, half.astype(np.float64)))
    assert found["brier"].value == pytest.approx(oracle.brier_score_loss(label, half.astype(np.float64)))
    assert metrics.ece(label, half) == metrics.ece(label, half.astype(np.float64))


def test_copies_of_a_customer_tell_nothing_new() -> None:
    label, probability = _sample(400, 3)
    alone = metrics.measure(label, probability, base_rate=0.25)
    copies = np.repeat(label, 4), np.repeat(probability, 4)
    together = metrics.measure(*copies, base_rate=0.25, who=np.repeat(np.arange(400), 4))
    as_people = metrics.measure(*copies, base_rate=0.25)
    for name, measure in alone.items():
        width, believed = ((each[name].high - each[name].low) for each in (together, as_people))
        assert width == pytest.approx(measure.high - measure.low, rel=0.05), name
        assert believed < 0.6 * width, name


def test_ids_that_are_all_different_are_as_none() -> None:
    label, probability = _sample(400, 3)
    ids = [f"C-{number}" for number in range(400)]
    assert metrics.measure(label, probability, base_rate=0.25, who=ids) == metrics.measure(
        label, probability, base_rate=0.25
    )


# --- coverage, by simulation ----------------------------------------------------------------------------------

_World = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def _binormal(rows: int, share: float, auc: float, spread: float = 1.0) -> _World:
    """Normal scores (squeezed into (0, 1)) of two classes whose AUC is `auc`."""
    apart = stats.norm.ppf(auc) * math.sqrt(1 + spread**2)

    def draw(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        label = np.arange(rows) < max(2, random.binomial(rows, share))
        score = np.where(label, random.normal(apart, spread, rows), random.normal(size=rows))
        return label.astype(np.int64), special.expit(score)

    return draw


def _miscalibrated(rows: int, slope: float, shift: float, b: float = 5.0) -> _World:
    """Predictions of Beta(2, b) whose true log-odds are slope · log-odds + shift: 1 and 0 is calibrated."""

    def draw(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        predicted = random.beta(2, b, rows)
        true = special.expit(slope * special.logit(predicted) + shift)
        return (random.random(rows) < true).astype(np.int64), predicted

    return draw


def _coverages(world: _World, truths: Mapping[str, float], times: int) -> dict[str, float]:
    """Share of samples whose interval holds the truth."""
    held = dict.fromkeys(truths, 0)
    for seed in range(times):
        label, probability = world(np.random.default_rng(seed))
        found = metrics.measure(label, probability, base_rate=0.25, seed=seed)
        for name, truth in truths.items():
            held[name] += found[name].low <= truth <= found[name].high
    return {name: each / times for name, each in held.items()}


def _coverage(name: str, world: _World, truth: float, times: int) -> float:
    return _coverages(world, {name: truth}, times)[name]


_AUC = [(200, 0.02, 0.80), (60, 0.3, 0.96), (1_000, 0.1, 0.80), (100, 0.1, 0.50), (400, 0.05, 0.75)]
_SHAPES = [(1.0, 0.0), (1.0, 0.3), (1.5, 0.5), (1.0, 1.0)]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("rows", "share", "auc"), _AUC[:3])
def test_the_interval_of_auc_holds_the_truth(rows: int, share: float, auc: float) -> None:
    """Nominal 0.95; 200 samples know it to ± 0.03."""
    assert _coverage("auc", _binormal(rows, share, auc), auc, 200) >= 0.91


@pytest.mark.usefixtures("unchecked")
def test_the_interval_of_auc_holds_the_truth_where_customers_have_many_rows() -> None:
    """Scores and labels of a customer's eight rows go together; taken for eight people, 0.77 of intervals held it."""
    held, customers, times = 0, np.repeat(np.arange(100), 8), 200

    def draw(random: np.random.Generator, people: int) -> tuple[np.ndarray, np.ndarray]:
        readiness = np.repeat(random.normal(size=people), 8)
        noise = random.normal(size=(2, len(readiness))) * 0.7
        return (readiness + noise[0] > 1).astype(np.int64), special.expit(readiness + noise[1])

    truth = metrics.auc(*draw(np.random.default_rng(0), 50_000))
    for seed in range(times):
        label, probability = draw(np.random.default_rng(seed), 100)
        found = metrics.measure(label, probability, base_rate=0.25, who=customers)["auc"]
        held += found.low <= truth <= found.high
    assert held / times >= 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("spread", [0.5, 1.0, 1.5])
@pytest.mark.parametrize(("rows", "share", "auc"), _AUC)
def test_the_interval_of_auc_holds_the_truth_at_any_spread(rows: int, share: float, auc: float, spread: float) -> None:
    assert 0.92 <= _coverage("auc", _binormal(rows, share, auc, spread), auc, 1_000) <= 0.995


def _true_ece(slope: float, shift: float) -> float:
    predicted = (np.arange(200_000) + 0.5) / 200_000
    density = stats.beta.pdf(predicted, 2, 5)
    gap = special.expit(slope * special.logit(predicted) + shift) - predicted
    return float(np.abs(np.bincount(metrics.bin_of(predicted), gap * density)).sum() / density.sum())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("slope", "shift"), _SHAPES[::2])
def test_the_interval_of_the_calibration_error_holds_the_truth_zero_included(slope: float, shift: float) -> None:
    truth = _true_ece(slope, shift)
    assert _coverage("ece", _miscalibrated(1_000, slope, shift), truth, 200) >= 0.90


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("rows", [200, 1_000, 5_000])
@pytest.mark.parametrize(("slope", "shift"), _SHAPES)
def test_the_interval_of_the_calibration_error_holds_at_any_size(slope: float, shift: float, rows: int) -> None:
    assert _coverage("ece", _miscalibrated(rows, slope, shift), _true_ece(slope, shift), 1_000) >= 0.90


@pytest.mark.usefixtures("unchecked")
def test_the_calibration_error_of_a_calibrated_model_is_nearer_to_zero_than_the_plain_one() -> None:
    plain, found = [], []
    for seed in range(50):
        label, probability = _miscalibrated(1_000, 1.0, 0.0)(np.random.default_rng(seed))
        plain.append(metrics.ece(label, probability))
        found.append(metrics.measure(label, probability, base_rate=0.25)["ece"].value)
    assert np.mean(found) < 0.8 * np.mean(plain)


@pytest.mark.usefixtures("unchecked")
def test_the_intervals_of_means_hold_the_truth() -> None:
    """Brier score, log-loss and skill of calibrated predictions; the truth by integration."""
    p = stats.beta.ppf((np.arange(200_000) + 0.5) / 200_000, 2, 5)
    brier, base = (p * (1 - p)).mean(), (0.25**2 * (1 - p) + 0.75**2 * p).mean()
    truths = {"brier": brier, "log_loss": special.entr(p).mean() + special.entr(1 - p).mean()}
    found = _coverages(_miscalibrated(200, 1.0, 0.0), {**truths, "brier_skill": 1 - brier / base}, 120)
    assert min(found.values()) >= 0.91, found


def test_skill_is_over_always_predicting_the_base_rate() -> None:
    label, probability = _sample(500, 2)
    constant = np.full(500, 0.3)
    assert metrics.measure(label, constant, base_rate=0.3)["brier_skill"].value == pytest.approx(0.0)
    assert metrics.measure(label, label.astype(float), base_rate=0.3)["brier_skill"].value == pytest.approx(1.0)
    assert 0 < metrics.measure(label, probability, base_rate=float(label.mean()))["brier_skill"].value < 1


def test_a_mean_over_folds_has_the_error_of_independent_folds() -> None:
    folds = [{"auc": metrics.Measure(0.8, 0.74, 0.83)}, {"auc": metrics.Measure(0.9, 0.82, 0.94)}]
    found = metrics.average(folds)["auc"]
    assert found.value == pytest.approx(0.85)
    assert (found.low, found.high) == pytest.approx((0.85 - 0.05, 0.85 + 0.025))


def test_the_summary_is_flat_and_its_intervals_stay_in_range() -> None:
    measures = {"auc": metrics.Measure(0.99, 0.97, 1.01), "brier_skill": metrics.Measure(0.0, -0.2, 0.2)}
    flat = metrics.summary(measures, "cv_")
    assert flat["cv_auc"] == 0.99
    assert flat["cv_auc_low"] == 0.97
    assert flat["cv_auc_high"] == 1.0
    assert flat["cv_brier_skill_low"] == -0.2


@pytest.mark.parametrize(
    ("label", "probability"),
    [([0, 0], [0.1, 0.2]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, 1.2]), ([0, 1], [0.1, math.nan])],
)
def test_what_cannot_be_measured_is_refused(label: list[int], probability: list[float]) -> None:
    with pytest.raises(ValueError, match=r"wanted|must be 0 and 1"):
        metrics.auc(np.array(label), np.array(probability))
