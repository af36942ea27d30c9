"""Every constant is a leaf of `EnvParams`: it can be vmapped, alone or together with others, and it matters."""

from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from campaigns import Campaign, play, random_action, synthetic_population

from retentionjax.env import EnvParams, Population, RetentionEnv
from retentionjax.env.value import never_contact_value

CUSTOMERS, DAYS = 64, 12
ENV = RetentionEnv(expected_churn=True)
SWEPT: dict[str, Any] = {  # another value of each constant
    "horizon_days": 10,
    "tail_days": 30,
    "risk_window_days": 60,
    "risk_onset": 0.2,
    "risk_recovery": 0.5,
    "risk_ratio": 2.0,
    "discount": jnp.array([0.0, 0.1, 0.2, 0.4]),
    "amount": jnp.array([0.0, 1.0, 2.0, 4.0]),
    "cost": jnp.array([0.0, 1.0, 2.0, 4.0]),
    "delays": jnp.array([0, 2, 5]),
    "contact_cost": 2.0,
    "offer_days": jnp.array([1, 2, 3, 3]),
    "effect_days": jnp.array([40, 50, 60, 60]),
    "hazard_multiplier": jnp.array([0.5, 0.4, 0.3, 0.2]),
    "appeal": jnp.array([0.5, 0.8, 1.6, 3.2]),
    "accept_risk": -1.0,
    "accept_fatigue": 1.0,
    "fatigue_hazard": 0.6,
    "contact_effect": 0.3,
    "contact_effect_days": 2,
    "cooldown_days": 3,
    "fatigue_window_days": 4,
    "fatigue_cap": 1,
    "account_cap": 5.0,
    "charge_reference": 30.0,
}


def one_campaign(params: EnvParams) -> tuple[Campaign, jax.Array]:
    """Twelve days in which contacts happen, and the ends of those days."""
    start = jnp.arange(CUSTOMERS) % 4 == 0
    campaign = play(ENV, params, random_action, jnp.arange(CUSTOMERS), elevated=start, days=DAYS)
    return campaign, campaign.info["is_last"]


one_jitted_campaign = jax.jit(one_campaign)


@pytest.fixture(scope="module")
def default() -> EnvParams:
    """As those that are swept, no number is of weak type: one program for all."""
    params = EnvParams(horizon_days=DAYS, contact_effect=0.1, population=synthetic_population(CUSTOMERS))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), params)


def test_every_constant_is_swept_here() -> None:
    assert {field.name for field in fields(EnvParams)} - set(SWEPT) == {"population", "potential", "worlds"}


@pytest.fixture(scope="module")
def swept(default: EnvParams) -> Any:
    """All campaigns of a batch of `EnvParams`: the default, then one constant changed in each."""
    each = [default] + [
        default.replace(**{name: jnp.asarray(value, getattr(default, name).dtype)}) for name, value in SWEPT.items()
    ]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each).replace(population=default.population)
    shared = jax.tree.map(lambda _: None, default.population)
    axes = jax.tree.map(lambda _: 0, batch).replace(population=shared)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one_campaign, in_axes=(axes,)))(batch)), each


@pytest.mark.parametrize("name", SWEPT)
def test_a_constant_can_be_swept_and_matters(name: str, swept: Any) -> None:
    results, _ = swept
    i = 1 + list(SWEPT).index(name)
    campaign, _ = results
    is_different = [
        not np.array_equal(leaf[0], leaf[i], equal_nan=True)
        for leaf in jax.tree.leaves((campaign.observations, campaign.masks, campaign.rewards, campaign.info))
    ]
    assert any(is_different), f"{name} changes nothing that a policy can see"


@pytest.mark.parametrize("name", ["horizon_days", "delays", "fatigue_window_days", "risk_ratio"])
def test_a_row_of_a_sweep_is_the_campaign_of_its_constants(name: str, swept: Any) -> None:
    results, each = swept
    i = 1 + list(SWEPT).index(name)
    alone = one_jitted_campaign(each[i])
    row = jax.tree.map(lambda leaf: leaf[i], results)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), alone, row)


def test_one_constant_is_swept_while_the_rest_is_shared(default: EnvParams) -> None:
    """in_axes of None for the population and everything else."""
    ratios = jnp.array([1.0, 6.0, 12.0])
    axes = jax.tree.map(lambda _: None, default).replace(risk_ratio=0)
    reset = jax.jit(jax.vmap(jax.vmap(ENV.reset, in_axes=(0, None)), in_axes=(None, axes)))
    observations, states = reset(jax.random.split(jax.random.key(0), 500), default.replace(risk_ratio=ratios))
    assert observations.shape == (3, 500, 16)
    np.testing.assert_array_equal(states.customer[0], states.customer[2])  # the same keys draw the same people
    spread = np.asarray(observations[:, :, 0] - observations[:, :, 15]).std(axis=1)  # today's risk less the baseline
    assert spread[0] < 1e-6 < spread[1] < spread[2]


def test_populations_are_swept_as_well(default: EnvParams) -> None:
    pair = [synthetic_population(CUSTOMERS, seed=seed) for seed in (1, 2)]
    population = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pair)
    axes = jax.tree.map(lambda _: None, default).replace(population=Population(0, 0, 0))
    reset = jax.jit(jax.vmap(ENV.reset, in_axes=(None, axes)))
    _, states = reset(jax.random.key(3), default.replace(population=population))
    row = int(states.customer[0])
    np.testing.assert_array_equal(states.monthly_charge, [p.monthly_charge[row] for p in pair])


def test_potentials_are_built_under_vmap(default: EnvParams) -> None:
    ratios = jnp.array([1.0, 6.0])

    def table_of(ratio: jax.Array) -> jax.Array:
        return never_contact_value(default.population, default.replace(risk_ratio=ratio))

    tables, alone = jax.jit(lambda ratios: (jax.vmap(table_of)(ratios), [table_of(ratio) for ratio in ratios]))(ratios)
    np.testing.assert_allclose(tables, alone, rtol=1e-6)
