"""Intervals: against SciPy, against theory, and by counting how often they cover."""

import numpy as np
import pytest
import scipy.stats

from retentionjax.errors import DataError
from retentionjax.evaluation import doubt
from retentionjax.evaluation.report import playing
from retentionjax.evaluation.rollout import Episodes
from retentionjax.evaluation.statistics import Bootstrap
from retentionjax.tabular import metrics


def test_interval_of_a_mean_is_scipys():
    values = np.random.default_rng(1).gamma(2.0, 10.0, 500)
    ours = Bootstrap(500, resamples=4000, seed=1).mean(values)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.01)


def test_small_differences_of_large_values_keep_their_digits():
    values = 1e6 + np.random.default_rng(2).normal(0, 1, 400)
    estimate = Bootstrap(400).mean(values)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_episodes_of_one_customer_are_no_extra_customers():
    """A hundred copies of each customer's episode narrow nothing; independent episodes would by ten."""
    values = np.random.default_rng(3).normal(0, 1, (200, 1))
    bootstrap = Bootstrap(200)
    once, copied = bootstrap.mean(values), bootstrap.mean(np.repeat(values, 100, axis=1))
    np.testing.assert_allclose(once, copied, rtol=1e-4)


def test_intervals_cover_the_truth_about_95_times_in_100():
    random = np.random.default_rng(4)
    covered = 0
    for seed in range(200):
        estimate = Bootstrap(150, resamples=400, seed=seed).mean(random.normal(3.0, 2.0, (150, 4)))
        covered += estimate.low <= 3.0 <= estimate.high
    assert 180 <= covered <= 199


def test_ratio_is_of_sums_and_undefined_over_nothing():
    bootstrap = Bootstrap(4)
    assert bootstrap.ratio([1, 2, 3, 4], [2, 2, 2, 4]).mean == pytest.approx(1.0)
    assert np.isnan(bootstrap.ratio([1, 2, 3, 4], [0, 0, 0, 0]).mean)


def test_tail_mean_is_the_mean_of_the_worst_twentieth():
    values = np.random.default_rng(5).exponential(1.0, (400, 50))
    estimate = Bootstrap(400).tail_mean(values, level=0.95)
    assert estimate.mean == pytest.approx(np.sort(values.ravel())[-1000:].mean(), rel=0.002)
    assert estimate.mean == pytest.approx(1 - np.log(0.05), rel=0.05)  # CVaR of the exponential
    assert estimate.low < estimate.mean < estimate.high


def test_rows_of_one_customer_are_drawn_together() -> None:
    values = np.random.default_rng(3).normal(size=300)
    once = Bootstrap(300).mean(values)
    assert Bootstrap([f"c{row}" for row in range(300)]).mean(values) == once
    thrice = Bootstrap(np.repeat(np.arange(300), 3)).mean(np.repeat(values, 3))
    np.testing.assert_allclose(thrice, once, atol=1e-6)
    assert Bootstrap(900).mean(np.repeat(values, 3)).high < once.high - 0.02, "else no harm would be done"


def test_every_judgement_resamples_customers_not_their_rows() -> None:
    """Each customer's row three times over says no more than once."""
    values = np.random.default_rng(4).normal(size=(100, 2))
    rows, who = np.repeat(values, 3, axis=0), np.repeat(np.arange(100), 3)
    played = {"never": np.zeros((300, 2)), "ppo": rows}
    alone = doubt.judge({"never": np.zeros((100, 2)), "ppo": values}, values)
    found = doubt.judge(played, rows, who=who)
    np.testing.assert_allclose(found.uplift["ppo"], alone.uplift["ppo"], atol=1e-6)
    contacted = (values > 0.3).astype(float)

    def treated(contacts: np.ndarray, who: np.ndarray) -> playing.Fairness:
        columns = {**dict.fromkeys(Episodes._fields, contacts), "made": contacts[..., None]}
        return playing.by_group(Episodes(**columns), who % 2, who * 0.0, [True], seed=0, who=who)

    some, all_rows = treated(contacted, np.arange(100)), treated(np.repeat(contacted, 3, axis=0), who)
    for group in ("0", "1"):
        assert all_rows.groups[group].customers == 50
        np.testing.assert_allclose(all_rows.groups[group].contacted, some.groups[group].contacted, atol=1e-9)


def _capped_spend(random, shape):
    return np.where(random.random(shape) < 0.7, 0.0, np.minimum(30.0, random.gamma(1.5, 4.0, shape)))


SKEWED = {
    "lognormal": (lambda random, shape: random.lognormal(0.0, 1.0, shape), 8.5586),  # e^½ Φ(1 − z₀.₉₅)/0.05
    "exponential": (lambda random, shape: random.exponential(1.0, shape), 1 - np.log(0.05)),
    "spend": (_capped_spend, 14.62),  # by 4 M draws
}


def _tail_coverage(name, customers, times):
    draw, truth = SKEWED[name]
    held = 0
    for seed in range(times):
        values = draw(np.random.default_rng([seed, customers]), (customers, 1))
        found = Bootstrap(customers, resamples=400, seed=seed).tail_mean(values)
        held += found.low <= truth <= found.high
    return held / times


@pytest.mark.parametrize("name", SKEWED)
def test_the_interval_of_a_tail_mean_holds_the_truth_with_few_customers(name):
    assert _tail_coverage(name, 100, 200) >= 0.91


@pytest.mark.slow
@pytest.mark.parametrize("customers", [100, 200, 1_000])
@pytest.mark.parametrize("name", SKEWED)
def test_the_interval_of_a_tail_mean_holds_the_truth(name, customers):
    assert 0.92 <= _tail_coverage(name, customers, 1_000) <= 0.99


def test_a_tail_that_resamples_miss_has_no_interval_and_one_without_excess_no_width():
    few = Bootstrap(20).tail_mean(np.random.default_rng(0).lognormal(size=20))
    assert np.isnan([few.low, few.high]).all()
    assert Bootstrap(30).tail_mean(np.zeros(30)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("spenders", [1, 2, 3])
def test_a_tail_that_few_customers_reach_has_no_interval_or_one_of_their_size(spenders):
    """Resamples without any of them are a twentieth or more: rounding in their spread is no evidence."""
    values = np.zeros((100, 1))
    values[:spenders, 0] = [30.0, 12.5, 7.0][:spenders]
    found = Bootstrap(100).tail_mean(values)
    assert np.isnan([found.low, found.high]).all()


def test_rows_of_one_customer_narrow_no_interval_of_a_tail_mean():
    values = np.random.default_rng(7).gamma(1.5, 4.0, (300, 2))
    once = Bootstrap(300).tail_mean(values)
    thrice = Bootstrap(np.repeat(np.arange(300), 3)).tail_mean(np.repeat(values, 3, axis=0))
    np.testing.assert_allclose(thrice, once, rtol=0.02)


def test_of_one_customer_there_is_no_interval_and_of_none_no_statistic():
    alone = Bootstrap(1)
    for found in (alone.mean([3.0]), alone.tail_mean([3.0]), alone.ratio([3.0], [1.0])):
        assert found.mean == 3.0
        assert np.isnan([found.low, found.high]).all()
    with pytest.raises(DataError, match="allowed: one customer or more"):
        Bootstrap(0)


def test_a_number_of_customers_may_be_numpys() -> None:
    assert Bootstrap(np.int64(20)).mean(np.arange(20.0)) == Bootstrap(20).mean(np.arange(20.0))


def test_rows_of_nobody_in_particular_are_taken_for_one_customers() -> None:
    """The safer way: as many customers as are known to be others."""
    values = np.random.default_rng(8).normal(size=60)
    who = np.array([None if row >= 40 else f"c{row}" for row in range(60)], object)
    named = np.array([name or "nobody" for name in who], object)
    assert Bootstrap(who).mean(values) == Bootstrap(named).mean(values)
    label, probability = (values > 0).astype(np.int64), np.full(60, 0.5)
    found, expected = (metrics.measure(label, probability, base_rate=0.5, who=each) for each in (who, named))
    assert found == expected
