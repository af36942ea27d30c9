"""A policy beside the exact optimum, and the frontier's picture."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import played_optimum
import pytest
from etils import epath

from retentionjax.env import population
from retentionjax.env.types import EnvParams
from retentionjax.evaluation import baselines, frontier, optimum
from retentionjax.evaluation.frontier import Point
from retentionjax.evaluation.optimum.account import Account, Tariff

REPLICATES = 2000  # everywhere: so each policy is compiled once
FORTNIGHT = EnvParams(population=population.build([60.0, 110.0], [0.6, 0.4], [0.3, 0.4]), horizon_days=14)


def test_the_optimum_itself_attains_all_of_it():
    best = played_optimum.policy(optimum.Frontier(FORTNIGHT), 0.7)
    regret = optimum.measure(FORTNIGHT, best, 2.0, jax.random.key(0), replicates=REPLICATES, multiplier=0.7)
    assert regret.share.low <= 1.0 <= regret.share.high
    assert regret.share.high - regret.share.low < 0.5
    assert regret.at_spend.spend == pytest.approx(regret.spend, abs=1e-6)
    assert regret.at_limit.budget == 2.0
    assert json.loads(json.dumps(regret.to_dict()))["at_limit"]["uplift"] == pytest.approx(regret.at_limit.uplift)
    words = optimum.sentences(regret, 0.75, "EUR")
    assert regret.shadow_price == regret.at_limit.shadow_price  # these customers are all there are
    assert f"the next unit of budget returns {regret.shadow_price:.2f} (learned: 0.75)" in words


def test_a_sample_that_spends_more_than_all_is_given_as_much_more_before_its_multiplier_is_read():
    """Which estimates the multiplier of all customers better: see `measure`."""
    policy, key = baselines.greedy_fatigue().replace(hyperparameter=0.7), jax.random.key(0)
    found = optimum.measure(FORTNIGHT, policy, 1.0, key, replicates=REPLICATES, multiplier=0.7, spend_of_all=0.5)
    assert found.spend > 1.0
    shifted = optimum.Frontier(FORTNIGHT).at_budget(1.0 + found.spend - 0.5, guess=0.7)
    assert found.shadow_price == pytest.approx(shifted.shadow_price, abs=1e-6)
    assert found.shadow_price < found.at_limit.shadow_price
    assert found.at_limit.budget == 1.0


def test_who_never_contacts_attains_nothing():
    key = jax.random.key(0)
    regret = optimum.measure(FORTNIGHT, baselines.never(), 2.0, key, replicates=REPLICATES, multiplier=0.7)
    assert (regret.share.mean, regret.spend) == (0.0, 0.0)


def test_where_nothing_can_be_gained_a_policy_that_pays_for_it_attains_nothing():
    """Not minus some billion per cent."""
    dear, key = FORTNIGHT.replace(contact_cost=60.0, account_cap=1e3), jax.random.key(0)
    policy = baselines.threshold(0.5)
    regret = optimum.measure(dear, policy, 99.0, key, replicates=REPLICATES, multiplier=0.7)
    assert regret.uplift.high < 0 < regret.spend
    assert regret.at_spend.uplift == pytest.approx(0, abs=0.2)
    assert regret.share == (0.0, 0.0, 0.0)


def test_a_sample_is_spread_over_the_risks():
    risk = np.random.default_rng(1).random(1000)
    rows = optimum.spread(risk, 50, seed=3)
    assert len(set(rows)) == 50
    np.testing.assert_allclose(np.sort(risk[rows]), (np.arange(50) + 0.5) / 50, atol=0.06)
    assert set(optimum.spread(risk[:5], 50, seed=3)) == set(range(5))
    assert list(optimum.spread(risk, 50, seed=4)) != list(rows)


def test_points_of_a_rule_lie_below_the_exact_frontier_and_make_a_picture(tmp_path):
    scene = frontier.scene_of(FORTNIGHT, jax.random.key(2), REPLICATES)
    points = frontier.curve(scene, baselines.greedy_fatigue(), [0.2, 2.0])
    exact = optimum.Frontier(FORTNIGHT)
    for point in points:
        best = exact.at_budget(point.spend)
        assert point.uplift < best.uplift + 0.3
        assert exact.gain_bound(point.spend) == pytest.approx(best.bound - best.never)
    assert points[0].spend > points[1].spend
    line = [
        Point(each.multiplier, each.mean.spend, each.mean.value - exact.never.mean.value) for each in exact.tangents()
    ]
    frontier.picture(line, {"any_budget": points, "greedy": points}, points[:1], 1.0, "EUR", epath.Path(tmp_path))
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_where_the_optimum_is_not_to_be_had_it_is_said_at_once():
    """Without a contact today the recursion would be of another world; contacts on any of 32 days make 2³² memories."""
    later = FORTNIGHT.replace(delays=jnp.array([1, 2]))
    with pytest.raises(optimum.UnsolvableError, match=r"delays are \[1 2\]; allowed: one of them 0") as refused:
        optimum.measure(later, baselines.never(), 2.0, jax.random.key(0), replicates=1, multiplier=0.7)
    assert optimum.unsolved(refused.value).startswith("The exact optimum was not looked for: ")
    assert optimum.within_time(EnvParams(), 16) == 16
    with pytest.raises(optimum.UnsolvableError, match="too much to remember"):
        optimum.within_time(EnvParams(cooldown_days=1, fatigue_window_days=32, fatigue_cap=32), 16)


def test_without_a_budget_the_next_unit_of_it_brings_nothing():
    key = jax.random.key(0)
    regret = optimum.measure(FORTNIGHT, baselines.never(), np.inf, key, replicates=REPLICATES, multiplier=0.0)
    assert regret.shadow_price == 0.0
    assert regret.to_dict()["at_limit"]["budget"] is None  # as JSON has it
    assert "Shadow price without a limit: the next unit of budget returns 0.00." in optimum.sentences(
        regret, None, "EUR"
    )


def test_an_account_that_never_binds_has_one_class_however_many_offers_there_are():
    """20 offers and nine contacts make ten million sums, which forbid nothing."""
    costs = tuple(np.random.default_rng(0).uniform(1, 25, 20).tolist())
    most = np.minimum(np.arange(91), 9)
    free = Account.of(Tariff(0.5, costs, 1e9), most, 7, 10)
    assert {len(phase.used) for phase in free.phases} == {1}
    with pytest.raises(optimum.UnsolvableError, match="account cap"):
        Account.of(Tariff(0.5, costs, 150.0), most, 7, 10)
