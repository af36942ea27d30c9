"""Sampled and expected churn state one objective, shaping moves it by a constant, and luck is common to policies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from campaigns import (
    COHORT,
    COPIES,
    EXPECTED,
    SAMPLED,
    Campaign,
    cohort_params,
    play,
    random_action,
    random_legal,
    wait,
)

from retentionjax.env import EnvParams, RetentionEnv, constraints, value
from retentionjax.errors import ConfigError


@pytest.fixture(scope="module")
def params() -> EnvParams:
    return cohort_params()


@pytest.fixture(scope="module")
def sampled(params: EnvParams) -> Campaign:
    """A contact wherever one is legal, churn sampled."""
    return play(SAMPLED, params, random_legal, COHORT)


@pytest.fixture(scope="module")
def expected(params: EnvParams) -> Campaign:
    """The same policy with common random numbers, churn expected."""
    return play(EXPECTED, params, random_legal, COHORT)


@pytest.fixture(scope="module")
def never(params: EnvParams) -> Campaign:
    return play(EXPECTED, params, wait, COHORT)


@pytest.fixture(scope="module")
def lawless_costs(params: EnvParams) -> list[np.ndarray]:
    """Costs of any action, legal or not, sampled and expected."""
    return [play(env, params, random_action, COHORT).costs for env in (SAMPLED, EXPECTED)]


def score(differences: np.ndarray) -> float:
    """Standard errors between the mean difference and 0."""
    return float(abs(differences.mean()) / (differences.std() / np.sqrt(len(differences))))


def start_potential(params: EnvParams, campaign: Campaign) -> np.ndarray:
    """f64[B], Φ(s₀)"""
    first = jax.tree.map(lambda field: field[0], campaign.states)
    return np.asarray(params.potential[0, first.customer, first.elevated.astype(int)], np.float64)


def test_the_two_modes_walk_the_same_days(sampled: Campaign, expected: Campaign) -> None:
    """Churn is the only luck that differs: days, contacts, acceptances and risk are the same ones."""
    jax.tree.map(np.testing.assert_array_equal, sampled.states, expected.states)
    np.testing.assert_array_equal(sampled.actions, expected.actions)
    np.testing.assert_array_equal(sampled.info["accepted"], expected.info["accepted"])


def test_sampled_and_expected_churn_agree_on_the_value(sampled: Campaign, expected: Campaign) -> None:
    assert score(sampled.values - expected.values) < 4
    assert sampled.info["contact"].sum() > 2 * len(COHORT)  # a contact-heavy policy


@pytest.mark.parametrize("name", constraints.NAMES)
def test_sampled_and_expected_churn_agree_on_every_cost(name: str, lawless_costs: list[np.ndarray]) -> None:
    sampled, expected = (costs[:, constraints.NAMES.index(name)] for costs in lawless_costs)
    assert expected.mean() > 0.1
    assert score(sampled - expected) < 4


def test_expected_churn_has_far_less_variance(sampled: Campaign, expected: Campaign) -> None:
    def noise(campaign: Campaign) -> float:
        """Variance of the value around each customer's own mean."""
        return float(campaign.values.reshape(-1, COPIES).var(axis=1).mean())

    assert noise(expected) < noise(sampled) / 5


@pytest.mark.parametrize("mode", ["sampled", "expected"])
def test_shaping_changes_the_return_by_minus_the_first_potential(
    mode: str, params: EnvParams, request: pytest.FixtureRequest
) -> None:
    campaign = request.getfixturevalue(mode)
    shift = campaign.returns - campaign.values
    assert score(shift + start_potential(params, campaign)) < 4


def test_shaped_waiting_scores_zero_on_every_day_before_a_contact(never: Campaign) -> None:
    np.testing.assert_allclose(never.rewards, 0, atol=2e-4)


def test_never_contact_scores_zero_with_shaping_under_sampled_churn(params: EnvParams) -> None:
    returns = play(SAMPLED, params, wait, COHORT).returns
    assert returns.std() > 10  # $: churn is still luck
    assert score(returns) < 4


def test_the_shaped_return_of_a_contact_policy_is_its_uplift(expected: Campaign, never: Campaign) -> None:
    assert score(expected.returns - (expected.values - never.values)) < 4


def test_expected_churn_never_ends_before_the_horizon_and_then_ends(params: EnvParams) -> None:
    terminated = jax.jit(lambda time: ended(EXPECTED, params, time))(jnp.arange(90))
    np.testing.assert_array_equal(terminated, np.arange(90) == 89)


def ended(env: RetentionEnv, params: EnvParams, times: jax.Array) -> jax.Array:
    _, state = env.reset(jax.random.key(0), params)
    return jax.vmap(lambda time: env.step_env(jax.random.key(1), state.replace(time=time), 0, params)[3])(times)


def test_the_horizon_terminates_and_never_truncates(params: EnvParams) -> None:
    _, state = EXPECTED.reset(jax.random.key(0), params)
    last = state.replace(time=jnp.int32(89))
    *_, terminated, truncated, info = EXPECTED.step(jax.random.key(1), last, 0, params)
    assert terminated
    assert info["is_last"]
    assert not truncated
    assert float(info["value"]) > 10 * float(last.monthly_charge) / 30  # one day's charge and the residual value


def test_the_risk_keeps_its_stationary_share_day_after_day(never: Campaign) -> None:
    share = (1 / 45) / (1 / 45 + 1 / 7)
    error = np.sqrt(share * (1 - share) / len(COHORT))
    assert np.abs(np.asarray(never.states.elevated).mean(axis=1) - share).max() < 4.5 * error


def test_policies_with_the_same_keys_meet_the_same_risk(expected: Campaign, never: Campaign) -> None:
    np.testing.assert_array_equal(expected.states.elevated, never.states.elevated)


def test_policies_with_the_same_keys_churn_on_the_same_day_where_contact_changes_nothing(params: EnvParams) -> None:
    """With contacts that move no hazard, a customer's last day depends on the luck alone."""
    inert = params.replace(hazard_multiplier=jnp.array([1.0] * 4), fatigue_hazard=0.0)
    weights = [play(SAMPLED, inert, policy, COHORT).weights for policy in (wait, random_legal)]
    np.testing.assert_array_equal(*weights)
    assert 0.1 < weights[0][-1].mean() < 0.9


def test_a_lower_hazard_keeps_every_customer_at_least_as_long_under_the_same_luck(params: EnvParams) -> None:
    kind = params.replace(hazard_multiplier=jnp.array([0.5] * 4), fatigue_hazard=0.0)
    alone, kept = (play(SAMPLED, kind, policy, COHORT).weights.sum(axis=0) for policy in (wait, random_legal))
    assert (kept >= alone).all()
    assert (kept > alone).any()


def test_shaping_without_its_table_is_an_error() -> None:
    bare = EnvParams()
    _, state = SAMPLED.reset(jax.random.key(0), bare)
    with pytest.raises(ValueError, match="with_potential"):
        SAMPLED.step(jax.random.key(1), state, 0, bare)


def test_a_table_of_other_customers_is_an_error(params: EnvParams) -> None:
    other = params.replace(population=params.population.take(np.arange(3)))
    env = RetentionEnv(shaping=True)
    _, state = env.reset(jax.random.key(0), other)
    with pytest.raises(ConfigError, match=r"env\.potential is of \d+ customers; allowed: the population's 3"):
        env.step(jax.random.key(1), state, 0, other)


def test_a_table_of_a_shorter_horizon_gives_no_number_where_it_ends() -> None:
    longer = value.with_potential(EnvParams(horizon_days=2)).replace(horizon_days=4)
    env = RetentionEnv(shaping=True, expected_churn=True)
    _, state = env.reset(jax.random.key(0), longer)
    rewards = []
    for _ in range(4):
        _, state, reward, _, _, _ = env.step(jax.random.key(1), state, 0, longer)
        rewards.append(float(reward))
    assert np.isfinite(rewards).tolist() == [True, True, False, False]
