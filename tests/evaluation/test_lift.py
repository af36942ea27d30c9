"""Lift against a hold-out: many campaigns looked at daily, a fixed-sample interval, by hand, and broken ratios."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from simulated_holdouts import DAYS, campaign

from retentionjax.errors import DataError
from retentionjax.evaluation import lift


@functools.cache
def without_effect(campaigns: int) -> tuple[lift.Lift, ...]:
    return tuple(lift.measure(campaign(seed, size=400), DAYS) for seed in range(campaigns))


def misses(path: lift.Path, truth: np.ndarray) -> np.ndarray:
    return (path.low > truth) | (path.high < truth)


@pytest.mark.parametrize("campaigns", [300, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", ["departures", "dollars"])
def test_daily_looks_at_campaigns_without_effect_see_one_in_at_most_5_percent(what: str, campaigns: int) -> None:
    paths = [getattr(each, what) for each in without_effect(campaigns)]
    assert np.mean([misses(path, np.zeros(len(DAYS))).any() for path in paths]) <= 0.05
    fixed = [(np.abs(path.mean) > 1.96 * path.standard_error)[~np.isnan(path.low)].any() for path in paths]
    assert np.mean(fixed) > 0.08  # what an interval for one look does: the danger is real


def test_interval_covers_a_true_effect_where_one_stops_as_soon_as_it_looks_good() -> None:
    true = {"departures": [], "dollars": []}
    for seed in range(4):
        large = lift.measure(campaign(9000 + seed, size=20_000, share=0.5, hazard_ratio=0.5, spend=2.0), DAYS)
        for what, found in true.items():
            found.append(getattr(large, what).mean)
    covered = []
    for seed in range(100):
        found = lift.measure(campaign(seed, hazard_ratio=0.5, spend=2.0), DAYS)
        for what, means in true.items():
            path = getattr(found, what)
            seen = np.flatnonzero((path.low > 0) | (path.high < 0))
            stop = seen[0] if len(seen) else len(DAYS) - 1
            covered.append(not misses(path, np.mean(means, axis=0))[stop])
    assert np.mean(covered) >= 0.95


def test_a_real_effect_is_seen_and_has_its_sign() -> None:
    found = lift.measure(campaign(1, size=6000, hazard_ratio=0.6), DAYS)
    assert found.departures.last.high < 0 < found.dollars.last.low
    assert found.departures.last.is_seen


def test_adjusting_for_a_risk_that_predicts_makes_intervals_a_fifth_narrower() -> None:
    widths = []
    for seed in range(20):
        customers = campaign(seed, size=3000, spread=3.0)
        pair = [lift.measure(customers, DAYS, adjust=adjust) for adjust in (True, False)]
        widths.append([[np.ptp([p.last.low, p.last.high]) for p in (each.departures, each.dollars)] for each in pair])
    adjusted, plain = np.mean(widths, axis=0)
    assert (adjusted <= 0.8 * plain).all()


def test_centre_is_that_of_welchs_t_interval_without_adjustment() -> None:
    customers = campaign(3, size=4000)
    found = lift.measure(customers, DAYS, adjust=False)
    left = customers.left <= DAYS[-1]
    t = stats.ttest_ind(left[~customers.held], left[customers.held], equal_var=False)
    low, high = t.confidence_interval(0.95)
    assert found.departures.last.mean == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    assert found.departures.standard_error[-1] == pytest.approx((high - low) / 2 / 1.96, rel=0.03)
    assert 1.4 < (found.departures.last.high - found.departures.last.low) / (high - low) < 1.7


def test_dollars_are_charges_for_the_days_there_less_what_was_spent() -> None:
    held = np.tile([False, True], 4)
    customers = lift.FollowedCustomers(
        held=held,
        held_share=np.full(8, 0.5),
        entered=np.zeros(8),
        left=np.where(held, 15.0, np.inf),
        known_until=np.full(8, 30.0),
        risk=np.full(8, 0.2),
        charge=np.full(8, 60.0),
        spend=lift.Payments(np.array([0, 2]), np.array([1.0, 40.0]), np.array([4.0, 100.0])),
    )
    found = lift.measure(customers, np.array([30.0]), adjust=False)
    assert found.departures.last.mean == pytest.approx(-1)
    assert found.revenue.last.mean == pytest.approx(60 - 30)
    assert found.spend.last.mean == pytest.approx(4 / 4)  # the second payment comes after the last day
    assert found.dollars.last.mean == pytest.approx(29)
    assert np.isnan(found.departures.last.low)  # four departures are not enough for an interval


def test_what_customers_paid_replaces_their_charges() -> None:
    customers = campaign(4)
    paid = np.flatnonzero(~customers.held)
    found = lift.measure(
        replace(customers, revenue=lift.Payments(paid, np.full(len(paid), 59.0), np.ones(len(paid)))), DAYS
    )
    assert found.revenue.mean[-2] == pytest.approx(1.0, abs=0.2)
    assert found.revenue.mean[-3] == 0


def test_whoever_is_not_heard_of_is_neither_kept_nor_lost() -> None:
    customers = campaign(5)
    silent = np.isinf(customers.left) & (np.arange(len(customers.held)) % 3 == 0)
    found = lift.measure(replace(customers, known_until=np.where(silent, -np.inf, customers.known_until)), DAYS)
    assert found.unknown == (int((silent & ~customers.held).sum()), int((silent & customers.held).sum()))
    assert found.customers[:, -1].sum() == (~silent).sum()


def test_no_interval_before_twenty_departures_on_either_side() -> None:
    found = lift.measure(campaign(6), DAYS)
    ready = found.left.min(axis=0) >= lift.ENOUGH
    assert not ready[0]
    assert ready[-1]
    assert (np.isnan(found.departures.low) == ~ready).all()


def test_blocks_of_days_give_what_all_days_give_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    customers = campaign(8, spend=1.0)
    whole = lift.measure(customers, DAYS)
    monkeypatch.setattr(lift, "_CELLS", 7 * len(customers.held))
    assert np.allclose(lift.measure(customers, DAYS).dollars.high, whole.dollars.high, equal_nan=True)


def test_a_side_of_which_nothing_is_known_is_an_error() -> None:
    customers = campaign(2)
    silent = replace(
        customers,
        left=np.where(customers.held, np.inf, customers.left),
        known_until=np.where(customers.held, -np.inf, customers.known_until),
    )
    with pytest.raises(DataError, match="no customer held out is known on day 60"):
        lift.measure(silent, DAYS)
    with pytest.raises(DataError, match="held_share is 0; allowed: above 0, below 1"):
        replace(customers, held_share=np.zeros(len(customers.held)))


def test_a_broken_ratio_is_found_and_a_sound_one_seldom_called_broken() -> None:
    random = np.random.default_rng(0)
    share = np.where(np.arange(20_000) < 5000, 0.05, 0.1)  # the share was changed on the way
    held = random.random(20_000) < share
    assert lift.sample_ratio(held, share).p > 0.05
    lost = held & (random.random(20_000) < 0.2)  # a fifth of those held out never arrives
    assert lift.sample_ratio(held[~lost], share[~lost]).p < 0.001


def test_the_ratio_may_be_looked_at_as_often_as_one_likes() -> None:
    random = np.random.default_rng(1)
    looks = range(200, 3001, 200)
    alarms = 0
    for _ in range(200):
        held = random.random(3000) < 0.1
        alarms += any(lift.sample_ratio(held[:size], np.full(size, 0.1)).p < 0.05 for size in looks)
    assert alarms / 200 <= 0.05


def test_as_much_more_evidence_as_a_difference_needs() -> None:
    assert lift.times_needed(lift.Difference(0.0, -3.0, 3.0), 1.5) == pytest.approx(4)
    assert lift.times_needed(lift.Difference(0.0, -1.0, 1.0), 2.0) == 1


def test_how_much_evidence_is_needed_is_unknown_while_there_is_no_interval() -> None:
    assert np.isnan(lift.times_needed(lift.Difference(0.0, np.nan, np.nan), 1.0))


def paid(customer: int = 0, day: float = 3.0, amount: float = 1.0) -> lift.Payments:
    return lift.Payments(np.array([customer]), np.array([day]), np.array([amount]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"entered": np.nan}, "entered is nan; allowed: a finite day"),
        ({"left": np.nan}, "left is nan; allowed: a day, or inf"),
        ({"known_until": np.nan}, "known_until is nan"),
        ({"charge": np.inf}, r"charge is inf; allowed: within ±1e\+30, or none"),
        ({"risk": np.inf}, "risk is inf; allowed: a finite number, or none"),
        ({"held_share": np.nan}, "held_share is nan; allowed: above 0, below 1"),
        ({"spend": paid(amount=np.nan)}, "a payment's amount is nan"),
        ({"revenue": paid(amount=1e200)}, r"a payment's amount is 1e\+200"),
        ({"spend": paid(customer=10**6)}, "a payment's customer is 1e\\+06; allowed: 0 to"),
        ({"revenue": paid(customer=-1)}, "a payment's customer is -1; allowed: 0 to"),
        ({"spend": paid(day=np.nan)}, "a payment's day is nan"),
    ],
)
def test_what_no_difference_can_be_made_of_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    """Else one such number makes every figure of a campaign none, and no alarm rings."""
    customers = campaign(6)
    for name, value in changes.items():
        if isinstance(value, float):
            column = getattr(customers, name).copy()
            column[7] = value
            changes = {name: column}
    with pytest.raises(DataError, match=words):
        replace(customers, **changes)


@pytest.mark.parametrize("days", [[], [3.0, 2.0], [1.0, 1.0], [np.nan]])
def test_days_must_increase(days: list[float]) -> None:
    with pytest.raises(DataError, match=r"days are .* allowed: one or more, finite, each after the last"):
        lift.measure(campaign(6), np.array(days))
