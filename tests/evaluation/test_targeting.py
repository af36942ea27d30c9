"""Qini curves: against closed forms, and against the best that a budget can buy, found by trying everything."""

import itertools

import numpy as np
import pytest

from retentionjax.errors import DataError
from retentionjax.evaluation import targeting
from retentionjax.evaluation.off_policy.log import build


def test_a_perfect_ranking_of_a_half_that_responds_has_a_quarter_of_the_effect():
    """Gain 1 for half of them: the curve is min(φ, ½), the line φ/2, the area between 1/8 = ¼ of the mean effect."""
    effect = np.repeat([1.0, 0.0], 500)
    assert targeting.qini(effect, effect).mean == pytest.approx(0.125)
    assert targeting.qini(-effect, effect).mean == pytest.approx(-0.125)
    curve = targeting.qini_curve(effect, effect, cost=2.0)
    np.testing.assert_allclose(curve.gain, np.minimum(np.linspace(0, 1, 101), 0.5), atol=0.001)
    assert curve.spend[-1] == 2.0


def test_the_coefficient_is_the_area_under_the_curve_less_the_lines():
    random = np.random.default_rng(0)
    predicted, gain = random.normal(size=5_000), random.normal(0.3, 1.0, 5_000)
    curve = targeting.qini_curve(predicted, gain)
    area = np.trapezoid(curve.gain - curve.spend * curve.gain[-1], curve.spend)
    assert targeting.qini(predicted, gain).mean == pytest.approx(area, abs=2e-4)


def test_equal_predictions_make_no_ranking_whatever_the_order_of_the_rows():
    """Constant prediction, rows sorted treated first: no gain over a random order, and half of them gain the mean."""
    random = np.random.default_rng(1)
    treated = np.arange(4_000) < 2_000
    outcome = 0.1 * treated + random.normal(0, 0.3, 4_000)
    gain = np.where(treated, 2.0, -2.0) * outcome
    constant = np.full(4_000, 0.3)
    assert targeting.qini(constant, gain) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
    for top in (True, False):
        assert targeting.share_effect(constant, gain, 0.5, top=top).mean == pytest.approx(gain.mean())
    curve = targeting.qini_curve(constant, gain)
    np.testing.assert_allclose(curve.gain, np.linspace(0, 1, 101) * gain.mean(), atol=1e-12)


def test_predictions_of_any_type_of_number_rank_alike():
    predicted, gain = np.arange(10), np.arange(10.0)
    expected = targeting.qini(predicted.astype(float), gain)
    for kind in (np.uint8, np.int16, np.float32):
        assert tuple(targeting.qini(predicted.astype(kind), gain)) == pytest.approx(tuple(expected)), kind


def test_a_prediction_that_is_no_number_has_no_rank():
    with pytest.raises(DataError, match=r"the prediction of row number 2 is nan; allowed: a number"):
        targeting.share_effect(np.array([0.1, 0.2, np.nan]), np.ones(3), 0.5)


def test_the_order_of_the_rows_changes_nothing():
    random = np.random.default_rng(2)
    predicted, gain = random.integers(0, 4, 1_001).astype(float), random.normal(size=1_001)
    order = random.permutation(1_001)
    pairs = [(predicted, gain), (predicted[order], gain[order])]
    for made in (
        [targeting.qini(*pair) for pair in pairs],
        [targeting.share_effect(*pair, 0.3) for pair in pairs],
        [targeting.share_effect(*pair, 0.3, top=False) for pair in pairs],
        [targeting.qini_curve(*pair).gain for pair in pairs],
        [targeting.qini_curve(*pair).high for pair in pairs],
    ):
        np.testing.assert_allclose(made[0], made[1], atol=1e-12)
    assert targeting.treated(predicted, 0.3).sum() == pytest.approx(0.3 * 1_001)


def test_a_ranking_that_knows_nothing_is_no_better_than_chance():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = targeting.qini(random.random(400), random.normal(1.0, 2.0, 400))
        covered += found.low <= 0 <= found.high
    assert 180 <= covered <= 199


@pytest.mark.parametrize("levels", [3, 1_000])
@pytest.mark.parametrize("noise", [0.05, 1.0])
def test_intervals_hold_the_figures_of_all_customers(levels, noise):
    """Gain = prediction + noise, predictions uniform over `levels` values: Qini = (1 − 1/levels²)/12, and so on."""
    values = (np.arange(levels) + 0.5) / levels
    truth = (1 - 1 / levels**2) / 12
    best = values[::-1][: round(0.3 * levels)].mean() if levels > 3 else (values[2] * 0.3) / 0.3
    covered = np.zeros(2)
    for seed in range(300):
        random = np.random.default_rng(seed)
        predicted = random.choice(values, 300)
        gain = predicted + random.normal(0, noise, 300)
        for place, (found, true) in enumerate(
            ((targeting.qini(predicted, gain), truth), (targeting.share_effect(predicted, gain, 0.3), best))
        ):
            covered[place] += found.low <= true <= found.high
    assert 275 <= covered[0] <= 298  # 0.95 ± 2.5 standard errors of 300
    if noise == 1.0:  # with less, where the share ends is most of the error, and the interval holds it fixed
        assert 275 <= covered[1] <= 298


def test_scores_have_the_value_of_each_action_as_their_mean():
    """Whatever the model says: what was logged corrects it (every action of every customer, by its propensity)."""
    reward = np.array([[1.0, 3.0], [2.0, 6.0]])
    log = build(
        observation=np.zeros((8, 1)),
        propensities=np.tile([0.25, 0.75], (8, 1)),
        action=np.tile([0, 1, 1, 1], 2),
        reward=np.concatenate([row[[0, 1, 1, 1]] for row in reward]),
    )
    scores = targeting.scores(log, np.tile([10.0, -3.0], (8, 1)))
    np.testing.assert_allclose(scores.mean(axis=0), reward.mean(axis=0))


def test_a_multiplier_buys_the_best_that_its_spend_can_buy():
    """Two treatments of different cost: no choice of the same spend or less is predicted to gain more."""
    random = np.random.default_rng(2)
    costs = np.array([0.0, 1.0, 2.5])
    effects = np.concatenate([np.zeros((5, 1)), random.normal(1.0, 1.5, (5, 2))], axis=1)
    every = [np.asarray(choice) for choice in itertools.product(range(3), repeat=5)]
    for multiplier in (0.0, 0.2, 0.5, 1.0, 3.0):
        chosen = targeting.choose(effects, costs, multiplier)
        spend, gain = costs[chosen].sum(), effects[np.arange(5), chosen].sum()
        best = max(effects[np.arange(5), each].sum() for each in every if costs[each].sum() <= spend + 1e-12)
        assert gain == pytest.approx(best)


def test_a_budget_curve_rises_from_nothing_to_everybody_worth_it():
    random = np.random.default_rng(3)
    effects = np.concatenate([np.zeros((300, 1)), random.normal(0.5, 1.0, (300, 2))], axis=1)
    curve = targeting.budget_curve(effects, effects, np.array([0.0, 1.0, 1.0]))
    assert (curve.spend[0], curve.gain[0]) == (0.0, 0.0)
    assert (np.diff(curve.spend) >= 0).all()
    assert (np.diff(curve.gain) >= 0).all()
    assert (np.diff(np.diff(curve.gain[1:]) / np.maximum(np.diff(curve.spend[1:]), 1e-12)) < 1e-6).all()  # concave
    assert curve.gain[-1] == pytest.approx(effects.max(axis=1).mean())
