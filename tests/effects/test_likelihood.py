"""The forward filter against the sum over every path of the hidden risk state."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from simulated_logs import company, simulate

from retentionjax.effects import likelihood
from retentionjax.effects.likelihood import Lane
from retentionjax.env import EnvParams
from retentionjax.env.types import NO_OFFER

DAYS = 8
PARAMS = EnvParams(
    risk_onset=0.2,
    risk_recovery=0.35,
    contact_effect=-0.3,
    contact_effect_days=3,
    fatigue_hazard=0.4,
    fatigue_window_days=5,
    offer_days=jnp.array([2, 2, 2, 2]),
    effect_days=jnp.array([2, 3, 4, 3]),
)
CUSTOMERS = jax.jit(likelihood.customers)
KAPPA, APPEAL = (0.90, 0.75, 0.60, 0.45), (0.0, 0.4, 0.8, 1.6)


def path_probability(path: tuple[int, ...], lane: Lane) -> float:
    """P(path of z, answers, staying or leaving) of one customer, written down from the model's definition."""
    p, b = float(lane.churn_probability), float(lane.accept_probability)
    share = 0.2 / 0.55
    calm = (1 - (1 - p) ** (1 / 30)) / (1 - share + 6 * share)
    probability = share if path[0] else 1 - share
    contacts: list[int] = []
    running, until = NO_OFFER, -1
    for day in range(int(lane.observed_days)):
        z, offer = path[day], int(lane.offer[day])
        if day:
            rise, fall = (0.2, 0.35)
            before = path[day - 1]
            probability *= (fall, 1 - fall)[z] if before else (1 - rise, rise)[z]
        if offer != NO_OFFER:
            earlier = sum(day - then < 5 for then in contacts)
            odds = np.log(b / (1 - b)) + APPEAL[offer] + z - 0.2 * earlier
            accepts = 1 / (1 + np.exp(-odds))
            probability *= accepts if lane.accepted[day] else 1 - accepts
            contacts.append(day)
            if lane.accepted[day]:
                running, until = offer, day + int(PARAMS.effect_days[offer])
        kappa = KAPPA[running] if running != NO_OFFER and day < until else 1.0
        recent = any(day - then < 3 for then in contacts)
        crowd = max(0, sum(day - then < 5 for then in contacts) - 1)
        stays = (1 - min(0.9, calm * (6 if z else 1))) ** (kappa * np.exp(-0.3 * recent + 0.4 * crowd))
        is_last = day == int(lane.observed_days) - 1
        probability *= 1 - stays if is_last and lane.left else stays
    return float(probability)


def a_customer(seed: int, *, asked: bool = True) -> Lane:
    random = np.random.default_rng(seed)
    offer = np.where(random.random(DAYS) < 0.5, random.integers(0, 4, DAYS), NO_OFFER).astype(np.int8)
    return Lane(
        monthly_charge=jnp.float32(60.0),
        churn_probability=jnp.float32(random.uniform(0.1, 0.9)),
        accept_probability=jnp.float32(random.uniform(0.05, 0.6)),
        offer=jnp.asarray(offer),
        accepted=jnp.asarray((offer != NO_OFFER) & (random.random(DAYS) < 0.5)),
        observed_days=jnp.int32(random.integers(1, DAYS + 1)),
        left=jnp.asarray(bool(random.random() < 0.5)),
        asked=jnp.asarray(asked),
    )


def everything(lane: Lane) -> float:
    paths = itertools.product((0, 1), repeat=int(lane.observed_days))
    return sum(path_probability(path, lane) for path in paths)


@pytest.mark.parametrize("seed", range(12))
def test_the_filter_equals_the_sum_over_every_path_of_the_risk(seed: int) -> None:
    lane = a_customer(seed)
    found = CUSTOMERS(lane, PARAMS).log_likelihood
    np.testing.assert_allclose(found, np.log(everything(lane)), rtol=2e-5, atol=2e-5)


def test_what_was_applied_without_asking_says_nothing_by_being_accepted() -> None:
    lane = a_customer(3)
    asked, applied = (
        float(CUSTOMERS(lane._replace(asked=jnp.asarray(value)), PARAMS).log_likelihood) for value in (True, False)
    )
    assert (lane.offer != NO_OFFER).any()
    assert asked < applied


def test_a_customer_of_whom_nothing_was_seen_says_nothing() -> None:
    seen = CUSTOMERS(a_customer(1)._replace(observed_days=jnp.int32(0)), PARAMS)
    assert float(seen.log_likelihood) == 0


def test_predicted_departures_add_up_to_those_of_the_simulator() -> None:
    params = company(2000, effect_days=jnp.full(4, 30))
    log = simulate(params, {"none": 0.4, "five": 0.3, "twenty": 0.3}, days=40)
    lanes = log.lanes()
    leaving = np.asarray(CUSTOMERS(lanes, params).leaving, np.float64)
    there = np.arange(log.days)[:, None] < log.observed_days
    expected = (leaving * there).sum()
    assert abs((log.left_day >= 0).sum() - expected) < 3 * np.sqrt(expected)
