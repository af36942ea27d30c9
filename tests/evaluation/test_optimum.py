"""The exact optimum: against a linear program over every state and action, and against the environment itself."""

from dataclasses import asdict, replace

import jax
import jax.numpy as jnp
import numpy as np
import played_optimum
import pytest
from oracles import retention_lp
from oracles.retention_reference import Constants, Customer

from retentionjax.env import population
from retentionjax.env.record import from_dict
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.env.value import expected_never_value
from retentionjax.errors import ConfigError
from retentionjax.evaluation import baselines
from retentionjax.evaluation.baselines import spend_exactly
from retentionjax.evaluation.optimum import Frontier
from retentionjax.evaluation.optimum.account import Account
from retentionjax.evaluation.optimum.frontier import follow
from retentionjax.evaluation.optimum.recursion import CustomerModel, best_campaign, refined
from retentionjax.evaluation.rollout import play

# A week in which everything can happen: two cooldowns, a window that fills and empties, offers that end, an account
# that affords one dear offer or two cheap ones; offers of every kind, one of which protects for longer than it runs.
WEEK = Constants(
    horizon_days=7,
    tail_days=20,
    risk_onset=0.2,
    risk_recovery=0.4,
    contact_cost=0.3,
    discount=(0.0, 0.10, 0.0, 0.20),
    amount=(0.0, 0.0, 0.6, 0.0),
    cost=(0.0, 0.0, 0.0, 1.5),
    offer_days=(3, 3, 1, 2),
    effect_days=(3, 3, 4, 3),
    hazard_multiplier=(0.7, 0.5, 0.3, 0.1),
    appeal=(0.0, 0.8, 0.5, 1.6),
    contact_effect=-0.1,
    contact_effect_days=2,
    cooldown_days=2,
    fatigue_window_days=5,
    fatigue_cap=2,
    account_cap=3.1,
)
PEOPLE = [Customer(65.0, 0.8, 0.3), Customer(100.0, 0.7, 0.5)]


def world(constants: Constants, people: list[Customer]):
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(constants).items()}
    columns = ([getattr(each, name) for each in people] for name in Customer.__dataclass_fields__)
    return from_dict(values).replace(population=population.build(*columns))


@pytest.fixture(scope="module")
def week() -> Frontier:
    return Frontier(world(WEEK, PEOPLE))


@pytest.fixture(scope="module")
def program() -> retention_lp.Program:
    return retention_lp.Program(PEOPLE, WEEK)


@pytest.mark.parametrize("budget", [0.2, 0.7, 1.5, np.inf])
def test_linear_program_over_all_states_and_actions_agrees(week, program, budget):
    expected = program.solve(budget)
    optimum = week.at_budget(min(budget, 1e6), tolerance=1e-9)
    assert optimum.value == pytest.approx(expected.value, abs=1e-6)
    assert optimum.bound == pytest.approx(expected.value, abs=1e-6)
    assert optimum.spend == pytest.approx(expected.spend, abs=1e-5)
    assert optimum.shadow_price == pytest.approx(expected.shadow_price, abs=1e-4)


def test_the_account_cap_costs_something_and_without_it_the_program_agrees():
    """Without a cap more is earned: the classes of the account matter; what they are worth, the other tests say."""
    free = replace(WEEK, account_cap=100.0)
    expected = retention_lp.Program(PEOPLE[:1], free).solve(np.inf).value
    uncapped, capped = (Frontier(world(each, PEOPLE[:1])).at_budget(1e6).value for each in (free, WEEK))
    assert uncapped == pytest.approx(expected, abs=1e-6)
    assert uncapped > capped + 1e-3


def test_never_contacting_is_the_closed_form(week):
    closed = np.asarray(expected_never_value(week.campaign.params))
    np.testing.assert_allclose(week.never.worth[:, 0], closed, rtol=2e-6)
    assert not week.never.worth[:, 1:].any()


def test_the_frontier_is_concave_and_priced_by_its_slope(week):
    budgets = np.linspace(0.1, 2.0, 9)
    found = [week.at_budget(budget, tolerance=1e-9) for budget in budgets]
    values, multipliers = (np.array([getattr(each, name) for each in found]) for name in ("value", "shadow_price"))
    slopes = np.diff(values) / np.diff(budgets)
    assert (np.diff(multipliers) <= 1e-9).all()
    assert (slopes <= multipliers[:-1] + 1e-6).all()
    assert (slopes >= multipliers[1:] - 1e-6).all()


def test_the_best_of_who_is_left_unsolved_lies_between_what_is_kept_and_the_bound(week):
    exact = week.at_multiplier(0.7).mean
    rough = Frontier(week.campaign.params)
    rough.at_multiplier(0.1)
    rough.at_multiplier(2.0)
    found = rough.at_multiplier(0.7, leave=100.0)  # so much that nobody is solved
    assert found.mean.value - 0.7 * found.mean.spend < exact.value - 0.7 * exact.spend < found.bound.mean()


@pytest.fixture(scope="module")
def weeks() -> Frontier:
    """Five weeks under the default constants, so that windows, offers and accounts meet."""
    people = population.build([80.0, 115.0], [0.6, 0.3], [0.2, 0.4])
    return Frontier(EnvParams(population=people, horizon_days=36))


def test_the_environment_pays_the_optimal_policy_what_it_is_worth(weeks):
    env, params = RetentionEnv(expected_churn=True), weeks.campaign.params
    for multiplier in (0.0, 0.8):
        worth = weeks.at_multiplier(multiplier).mean
        played = play(env, params, played_optimum.policy(weeks, multiplier), jax.random.key(5), replicates=2000)
        for name, exact in (("value", worth.value), ("spend", worth.spend), ("contacts", worth.contacts)):
            sums = np.asarray(getattr(played, name), np.float64)
            error = np.sqrt((sums.var(1) / sums.shape[1]).sum()) / len(sums)
            assert abs(sums.mean() - exact) < 4 * error + 2e-4, (multiplier, name)


@pytest.mark.parametrize("multiplier", [0.0, 0.8])
def test_classes_that_look_less_far_ahead_bound_the_best_from_above_and_their_campaign_from_below(weeks, multiplier):
    for customer in weeks.customers:
        exact, _ = best_campaign(weeks.campaign, customer, multiplier)
        for rough in (customer.rough, looking_ahead_to_one_contact(weeks, customer)):
            bound, choices = best_campaign(weeks.campaign, customer, multiplier, rough)
            worth = follow(weeks.campaign, customer, refined(replace(customer, rough=rough), choices))
            assert worth.value - multiplier * worth.spend - 1e-9 < exact < bound + 1e-9


def looking_ahead_to_one_contact(weeks: Frontier, customer: CustomerModel) -> Account:
    campaign = weeks.campaign
    longest = int(campaign.graph.days.max())
    return Account.of(customer.tariff, campaign.most_contacts, campaign.phase_days, longest, foresight=1)


@pytest.mark.slow
def test_no_rule_beats_the_optimum_at_its_own_spend(weeks):
    env, params, key = RetentionEnv(expected_churn=True), weeks.campaign.params, jax.random.key(6)
    settings = {"between": (0.0, 10.0), "replicates": 500, "steps": 8}
    rule = spend_exactly(baselines.greedy_fatigue(), env, params, 2.0, key=key, **settings)
    played = play(env, params, rule, key, replicates=4000)
    best = weeks.at_budget(float(played.spend.mean()))
    gained = float(played.value.mean()) - best.never
    assert 0.5 * best.uplift < gained < best.uplift + 0.1


def test_constants_under_which_it_would_not_be_exact_are_refused():
    with pytest.raises(ConfigError, match="fatigue_cap is 0"):
        Frontier(EnvParams(fatigue_cap=0))
    with pytest.raises(ConfigError, match="delays are"):
        Frontier(EnvParams(delays=jnp.array([1, 2, 3])))
    with pytest.raises(ConfigError, match="budget is -1"):
        Frontier(EnvParams(horizon_days=3)).at_budget(-1)
