"""What a contact is worth, against closed forms and against campaigns played in the environment."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from campaigns import EXPECTED, cohort_params, play, wait

from retentionjax.env import EnvParams, EnvState, Population, actions
from retentionjax.env.retention import new_customer
from retentionjax.env.value import ContactValue, contact_gain, contact_value, never_contact_value

PEOPLE = Population(jnp.array([80.0, 25.0]), jnp.array([0.5, 0.08]), jnp.array([0.3, 0.1]))


START = jax.jit(new_customer)


def valued(state: Any, params: EnvParams) -> ContactValue:
    value = contact_value(state, params, days=int(params.horizon_days))
    return ContactValue(*(np.asarray(each, np.float64) for each in value))


@cache
def potential() -> np.ndarray:
    """What PEOPLE are worth without contact, by day, customer and risk state."""
    return np.asarray(never_contact_value(PEOPLE, EnvParams(population=PEOPLE)))


@pytest.mark.parametrize("elevated", [False, True])
@pytest.mark.parametrize("day", [0, 40, 89])
@pytest.mark.parametrize("customer", [0, 1])
def test_never_contacting_again_is_worth_the_shaping_potential(elevated: bool, day: int, customer: int) -> None:
    params = EnvParams(population=PEOPLE)
    state: Any = START(jnp.int32(customer), jnp.asarray(elevated), params).replace(time=jnp.int32(day))
    expected = potential()[day, customer, int(elevated)]
    assert valued(state, params).never == pytest.approx(float(expected), rel=1e-4)


HISTORIES: list[dict[str, Any]] = [
    {},
    {"time": jnp.int32(80)},
    {
        "time": jnp.int32(30),
        "contact_history": jnp.uint32(1 << 9),
        "offer": jnp.int32(2),
        "protection_days_left": jnp.int32(20),
    },
]


@pytest.mark.parametrize("history", HISTORIES)
def test_without_risk_states_and_fatigue_the_gain_is_the_closed_form(history: dict[str, Any]) -> None:
    params = EnvParams(population=PEOPLE, risk_ratio=1.0, fatigue_hazard=0.0)
    state: EnvState = START(jnp.int32(0), jnp.asarray(False), params).replace(**history)  # type: ignore[attr-defined]
    gain, spend = jax.jit(contact_gain)(state, params, foresees_fatigue=jnp.asarray(False))
    np.testing.assert_allclose(valued(state, params).gain, gain, atol=2e-3)
    np.testing.assert_allclose(valued(state, params).spend, spend, atol=2e-3)


def contact_once(key: Any, state: EnvState, mask: Any) -> Any:
    return jnp.where(state.time == 0, actions.encode(3, 0, EnvParams()), actions.WAIT)


@pytest.mark.parametrize("elevated", [False, True])
def test_gain_and_cost_are_the_average_of_campaigns_played(elevated: bool) -> None:
    params, copies = cohort_params(), 6000
    riskiest = int(
        np.argmax(np.asarray(params.population.churn_probability < 0.8) * params.population.churn_probability)
    )
    who, states = np.full(copies, riskiest), np.full(copies, elevated)
    once, never = (play(EXPECTED, params, policy, who, elevated=states) for policy in (contact_once, wait))
    state = START(jnp.int32(riskiest), jnp.asarray(elevated), params)
    found = valued(state, params)
    for played, expected in (
        (once.values - never.values, found.gain[3]),
        (once.costs[:, 0] - never.costs[:, 0], found.spend[3]),
    ):
        assert abs(played.mean() - expected) < 4 * played.std() / np.sqrt(copies) + 1e-3


def test_a_second_contact_tires_as_long_as_the_first_is_in_the_window() -> None:
    params = EnvParams(population=PEOPLE)
    fresh: Any = START(jnp.int32(0), jnp.asarray(False), params).replace(time=jnp.int32(40))
    old, recent = (fresh.replace(contact_history=jnp.uint32(1 << day)) for day in (30, 8))
    assert valued(old, params).gain[3] == pytest.approx(valued(fresh, params).gain[3])
    assert valued(recent, params).gain[3] < valued(fresh, params).gain[3] - 1
