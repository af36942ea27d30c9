"""Hidden companies and their logs, simulated by the environment itself from effects that only the simulator knows."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from retentionjax.company import prior
from retentionjax.company.offers import NONE, Offer
from retentionjax.effects import belief
from retentionjax.effects.log import Log
from retentionjax.env import actions, dynamics, population
from retentionjax.env.retention import RetentionEnv, new_customer
from retentionjax.env.types import NO_OFFER, EnvParams, Population

OFFERS = {"hello": Offer(), "five": Offer(discount=0.05), "ten": Offer(discount=0.1), "twenty": Offer(discount=0.2)}
"""The demo's, by name."""
PRIOR = prior.resolve(OFFERS, {"effect_days": prior.Effect(1)}, median_charge=65.0)
DESIGN = {"none": 0.4, "hello": 0.15, "five": 0.15, "ten": 0.15, "twenty": 0.15}
SHAPES: Mapping[str, tuple[float, ...] | None] = {
    "random": None,
    "flat": (0.7, 0.7, 0.7, 0.7),
    "globe": (0.88, 0.72, 0.72, 0.74),
    "inverted": (0.7, 0.75, 0.85, 0.95),
    "null": (1.0, 1.0, 1.0, 1.0),
}
"""Hazard multipliers of `OFFERS`; None: as drawn from the prior. `null`: offers do nothing."""
_ENV = RetentionEnv(masked=False)
_FOREVER = 10_000  # days: the last day of a campaign is no departure


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
    for name in belief.learnable(PRIOR):
        z[list(PRIOR).index(name)] = random.standard_normal()
    effects = {name: float(value) for name, value in belief.Belief.of(PRIOR).values(jnp.asarray(z)).items()}
    for offer, multiplier in zip(OFFERS, SHAPES[shape] or (), strict=bool(SHAPES[shape])):
        effects[f"hazard_multiplier.{offer}"] = multiplier
    return effects | {"churn_drift": 0.0}


def told(effects: Mapping[str, float], params: EnvParams) -> EnvParams:
    """The company as it truly is: its effects, and its scores shifted to what they should have said."""
    shifted = belief.shifted(params.population, effects)
    truth: EnvParams = belief.believed(effects, list(OFFERS), params).replace(population=shifted)  # type: ignore[attr-defined]
    return truth


def simulate(
    params: EnvParams,
    design: Mapping[str, float],
    *,
    offers: Sequence[str] = tuple(OFFERS),
    days: int = 90,
    every: int = 10,
    scores: Population | None = None,
    seed: int = 0,
) -> Log:
    """A log in which each customer who is still there is assigned anew every so many days.

    `params` are the truth, with the customers as its population; `design` gives the arms' propensities by name, `none`
    among them. `scores` are what the company's models say of these customers; the truth where None. Logs of one `seed`
    share their luck, whatever the effects: such companies are not independent of each other.
    """
    random = np.random.default_rng([seed, 1])  # other luck than that which made the customers
    size = params.population.size
    chosen = random.choice(len(design), size=(days, size), p=list(design.values()))
    codes = np.array([0 if name == NONE else 1 + list(offers).index(name) for name in design])
    drawn = np.where(np.arange(days)[:, None] % every == 0, codes[chosen], -1)
    horizon = params.replace(horizon_days=_FOREVER)  # type: ignore[attr-defined]
    seen = {name: np.asarray(each) for name, each in _days(jax.random.key(seed), drawn, horizon).items()}
    day, customer = np.nonzero((drawn >= 0) & seen["there"])
    code = drawn[day, customer]
    share = {0 if name == NONE else 1 + list(offers).index(name): each for name, each in design.items()}
    scores = params.population if scores is None else scores
    return Log(
        offers=tuple(offers),
        monthly_charge=np.asarray(scores.monthly_charge),
        churn_probability=np.asarray(scores.churn_probability),
        accept_probability=np.asarray(scores.accept_probability),
        followed_days=np.full(size, days),
        left_day=np.where(seen["left"].any(axis=0), seen["left"].argmax(axis=0), -1),
        customer=customer,
        day=day,
        arm=np.where(code == 0, NO_OFFER, code - 1),
        accepted=seen["accepted"][day, customer],
        propensity=np.array([share[each] for each in code]),
    )


@jax.jit
def _days(key: jax.Array, drawn: Int[jax.Array, "days customers"], params: EnvParams) -> dict[str, jax.Array]:
    """Everyone's days; `drawn` the arm of each day (0 none, 1 + offer), −1 without an assignment."""
    people = jnp.arange(drawn.shape[1])
    key, first = jax.random.split(key)
    elevated = jax.random.uniform(first, people.shape) < dynamics.elevated_share(params)
    states = jax.vmap(new_customer, (0, 0, None))(people, elevated, params)

    def one_day(before: Any, today: Any) -> Any:
        states, there = before
        arm, key = today
        contact = jnp.where(arm > 0, actions.encode(jnp.maximum(arm - 1, 0), 0, params), 0)
        keys = jax.random.split(key, people.shape[0])
        _, after, _, _, info = jax.vmap(_ENV.step_env, (0, 0, 0, None))(keys, states, contact, params)
        stays = there & (info["discount"] > 0)
        seen = {"there": there, "left": there & ~stays, "accepted": info["accepted"]}
        return (after, stays), seen

    keys = jax.random.split(key, drawn.shape[0])
    _, seen = jax.lax.scan(one_day, (states, jnp.ones(people.shape, bool)), (drawn, keys))
    found: dict[str, jax.Array] = seen
    return found
