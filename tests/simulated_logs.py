"""Logs of a randomised campaign, simulated by the environment itself from known effects."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from retentionjax.company import Offer, prior
from retentionjax.effects import belief
from retentionjax.effects.belief import Belief, learnable
from retentionjax.effects.log import Log
from retentionjax.env import EnvParams, RetentionEnv, actions, population
from retentionjax.env.retention import new_customer
from retentionjax.env.types import NO_OFFER

ENV = RetentionEnv(masked=False)
OFFERS = ("hello", "five", "ten", "twenty")
CATALOGUE = {"hello": Offer(), "five": Offer(discount=0.05), "ten": Offer(discount=0.1), "twenty": Offer(discount=0.2)}
PRIOR = prior.resolve(CATALOGUE, {"effect_days": prior.Effect(1)}, median_charge=65.0)
DESIGN = {"none": 0.4, "hello": 0.15, "five": 0.15, "ten": 0.15, "twenty": 0.15}
SHAPES = {
    "random": None,
    "flat": (0.7, 0.7, 0.7, 0.7),
    "globe": (0.88, 0.72, 0.72, 0.74),
    "inverted": (0.7, 0.75, 0.85, 0.95),
    "null": (1.0, 1.0, 1.0, 1.0),
}


def company(customers: int, seed: int = 0, **changed: Any) -> EnvParams:
    """Telco-like customers and the demo's offers, effects as in `EnvParams` unless changed."""
    random = np.random.default_rng(seed)
    people = population.build(
        monthly_charge=random.uniform(20, 110, customers),
        churn_probability=random.beta(1.2, 3.2, customers),
        accept_probability=random.beta(2.0, 16.0, customers),
    )
    return EnvParams(population=people, **changed)


def true_effects(shape: str, random: np.random.Generator) -> dict[str, float]:
    """Drawn from the prior, the hazard multipliers then of the shape that is asked for."""
    z = np.zeros(len(PRIOR), np.float32)
    for name in learnable(PRIOR):
        z[list(PRIOR).index(name)] = random.standard_normal()
    effects = {name: float(value) for name, value in Belief.of(PRIOR).values(z).items()}
    for offer, multiplier in zip(OFFERS, SHAPES[shape] or (), strict=bool(SHAPES[shape])):
        effects[f"hazard_multiplier.{offer}"] = multiplier
    return effects | {"churn_drift": 0.0}


@jax.jit
def _days(key: jax.Array, drawn: jax.Array, params: EnvParams) -> dict[str, jax.Array]:
    """Everyone's days, drawn i32[days, customers] the arm of each day (0 none, 1 + offer), −1 without assignment."""
    people = jnp.arange(drawn.shape[1])
    key, first = jax.random.split(key)
    onset, recovery = params.risk_onset, params.risk_recovery
    elevated = jax.random.uniform(first, people.shape) < onset / (onset + recovery)
    states = jax.vmap(new_customer, (0, 0, None))(people, elevated, params)

    def one_day(before: Any, today: Any) -> Any:
        states, there = before
        arm, key = today
        contact = jnp.where(arm > 0, actions.encode(jnp.maximum(arm - 1, 0), 0, params), 0)
        keys = jax.random.split(key, people.shape[0])
        _, after, _, _, info = jax.vmap(ENV.step_env, (0, 0, 0, None))(keys, states, contact, params)
        stays = there & (info["discount"] > 0)
        seen = {"there": there, "left": there & ~stays, "accepted": info["accepted"]}
        return (after, stays), seen

    keys = jax.random.split(key, drawn.shape[0])
    _, seen = jax.lax.scan(one_day, (states, jnp.ones(people.shape, bool)), (drawn, keys))
    return seen


def simulate(
    params: EnvParams,
    design: Mapping[str, float],
    *,
    days: int = 90,
    every: int = 10,
    seed: int = 0,
    offers: Sequence[str] = OFFERS,
) -> Log:
    """A log in which each customer who is still there is assigned anew every so many days."""
    random = np.random.default_rng([seed, 1])  # other luck than that which made the customers
    size = params.population.size
    chosen = random.choice(len(design), size=(days, size), p=list(design.values()))
    codes = np.array([0 if name == "none" else 1 + list(offers).index(name) for name in design])
    drawn = np.where(np.arange(days)[:, None] % every == 0, codes[chosen], -1)
    horizon = params.replace(horizon_days=10_000)  # its last day is no departure
    seen = {name: np.asarray(each) for name, each in _days(jax.random.key(seed), drawn, horizon).items()}
    day, customer = np.nonzero((drawn >= 0) & seen["there"])
    code = drawn[day, customer]
    share = {0 if name == "none" else 1 + list(offers).index(name): each for name, each in design.items()}
    return Log(
        offers=tuple(offers),
        monthly_charge=np.asarray(params.population.monthly_charge),
        churn_probability=np.asarray(params.population.churn_probability),
        accept_probability=np.asarray(params.population.accept_probability),
        followed_days=np.full(size, days),
        left_day=np.where(seen["left"].any(axis=0), seen["left"].argmax(axis=0), -1),
        customer=customer,
        day=day,
        arm=np.where(code == 0, NO_OFFER, code - 1),
        accepted=seen["accepted"][day, customer],
        propensity=np.array([share[each] for each in code]),
    )


def told(effects: Mapping[str, float], params: EnvParams) -> EnvParams:
    """A company whose true effects are these."""
    shifted = belief.shifted(params.population, effects)
    return belief.believed(effects, OFFERS, params).replace(population=shifted)


START = pd.Timestamp("2026-01-01")
"""Day 0 of a log that is written as files."""


def write(folder: Path, log: Log, facts: Mapping[str, np.ndarray]) -> None:
    """The log as a company would have it: customers.csv with `facts`, contacts.csv, departures.csv of leavers alone."""
    ids = np.array([f"c{number}" for number in range(len(log.monthly_charge))])
    rounded = {name: column.round(3) for name, column in facts.items()}
    customers = {"id": ids, "charge": log.monthly_charge.round(2), **rounded}
    pd.DataFrame(customers).to_csv(folder / "customers.csv", index=False)
    names = np.array([*log.offers, "none"])  # index −1 is the last
    at = START + pd.to_timedelta(log.day, unit="D")
    answer = np.where(log.arm == NO_OFFER, "", log.accepted.astype(int).astype(str))
    table = {"id": ids[log.customer], "at": at, "arm": names[log.arm], "accepted": answer}
    pd.DataFrame(table | {"share": log.propensity}).to_csv(folder / "contacts.csv", index=False)
    left = log.left_day >= 0
    left_on = START + pd.to_timedelta(log.left_day[left], unit="D")
    pd.DataFrame({"id": ids[left], "left_on": left_on}).to_csv(folder / "departures.csv", index=False)
