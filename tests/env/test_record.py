"""Constants from settings and back: each checked, each error naming the constant and what is allowed."""

import json
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.env import EnvParams, EnvState, RetentionEnv, population, record, value
from retentionjax.errors import ConfigError


def test_the_record_is_json_and_reads_back_as_the_same_constants() -> None:
    changed = record.from_dict({"risk_ratio": 4, "discount": [0, 0.05, 0.1, 0.3], "horizon_days": 60})
    again = record.from_dict(json.loads(json.dumps(record.to_dict(changed))))
    assert record.to_dict(again) == record.to_dict(changed)
    assert again.horizon_days == 60
    assert isinstance(again.risk_ratio, float)
    np.testing.assert_allclose(again.discount, [0, 0.05, 0.1, 0.3])
    assert again.delays.dtype == np.int32


def test_what_is_not_given_stays_as_it_was() -> None:
    base = EnvParams(contact_cost=2.0)
    changed = record.from_dict({"risk_ratio": 3.0}, base)
    assert (changed.contact_cost, changed.risk_ratio) == (2.0, 3.0)
    assert changed.population is base.population


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("risk_onset", 1.0),
        ("risk_recovery", 0),
        ("risk_ratio", 0),
        ("risk_window_days", -30),
        ("horizon_days", 0),
        ("horizon_days", 30.5),
        ("offer_days", [30, 30, 30, 0]),
        ("effect_days", [30, 30, 30, 29]),
        ("fatigue_window_days", 33),
        ("cooldown_days", 6.5),
        ("cooldown_days", 10**7),
        ("fatigue_cap", 10**12),
        ("contact_cost", -1),
        ("account_cap", math.inf),
        ("contact_effect", math.nan),
        ("appeal", [0, 1, 2, math.inf]),
        ("amount", [0, 0, 0, -1]),
        ("contact_cost", True),
        ("contact_cost", "cheap"),
        ("discount", []),
        ("discount", [0, 0.1, 0.2, 1.2]),
        ("delays", [0, 1, -3]),
        ("delays", 3),
        ("hazard_multiplier", [0.9, 0.8, 0.7, math.nan]),
        ("discount", [0, 0.1, 0.2, "a lot"]),
        ("delays", [0, 1, 2.5]),
        # finite in Python, and none or no number where float32 computes
        ("risk_onset", 1e-46),
        ("risk_recovery", 1 - 1e-9),
        ("risk_ratio", 1e39),
        ("risk_window_days", 10**39),
        ("contact_cost", 1e39),
        ("charge_reference", 1e-46),
        ("accept_risk", 1e39),
        ("fatigue_hazard", 1000),
        ("contact_effect", 1000),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"env.{name}.*allowed"):
        record.from_dict({name: value})


@pytest.mark.parametrize(
    "extreme",
    [
        {"risk_ratio": 1e-3, "risk_onset": 1 - 1e-6, "risk_recovery": 1e-9, "risk_window_days": 1},
        {"risk_ratio": 1e3, "risk_onset": 1e-9, "risk_recovery": 1e-9},
        {"contact_effect": 20, "fatigue_hazard": 2, "hazard_multiplier": [0, 10, 0, 10]},
        {
            "contact_effect": -20,
            "fatigue_hazard": -2,
            "accept_risk": -20,
            "accept_fatigue": 20,
            "charge_reference": 1e12,
        },
        {"contact_cost": 1e9, "account_cap": 1e30, "amount": [1e9] * 4, "cost": [1e9] * 4},
    ],
)
def test_at_the_ends_of_what_is_allowed_days_are_numbers(extreme: dict[str, Any]) -> None:
    customers = population.build([1e-6, 65.0, 1e9], [0, 0.3, 1], [0, 0.1, 1])
    params = record.from_dict(extreme).replace(population=customers)  # type: ignore[attr-defined]
    for found in _campaigns(jax.random.split(jax.random.key(0), 30), value.with_potential(params)):
        assert np.isfinite(found).all()


@jax.jit
@partial(jax.vmap, in_axes=(0, None))
def _campaigns(key: jax.Array, params: EnvParams) -> Any:
    """Twelve days of one customer under random legal actions: all that is seen, earned and spent."""
    env = RetentionEnv(expected_churn=True, shaping=True)

    def day(carry: tuple[EnvState, jax.Array], key: jax.Array) -> Any:
        seen, state, reward, _, _, info = env.step(key, *carry, params)
        action = jax.random.categorical(key, jnp.where(env.action_mask(state, params), 0.0, -jnp.inf))
        return (state, action), (seen, reward, info["costs"], info["discount"], info["value"])

    _, state = env.reset(key, params)
    return jax.lax.scan(day, (state, jnp.int32(1)), jax.random.split(key, 12))[1]


def test_offers_are_as_many_in_every_constant() -> None:
    with pytest.raises(ConfigError, match=r"differ in number: discount 3, amount 4.*allowed: one of each an offer"):
        record.from_dict({"discount": [0, 0.1, 0.2]})


@pytest.mark.parametrize("name", ["cooldwon_days", "population", "potential"])
def test_a_constant_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(ConfigError, match=f"env.{name}.*cooldown_days"):
        record.from_dict({name: 1})
