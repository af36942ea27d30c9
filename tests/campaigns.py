"""Play whole campaigns: many customers, one policy, every day recorded.

Compiling a campaign costs seconds and playing it a fraction of one, so tests share the environments, policies and
cohort below: JAX then compiles each combination once a test run.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from retentionjax.env import EnvParams, EnvState, Population, RetentionEnv, dynamics
from retentionjax.env.observation import observe
from retentionjax.env.retention import new_customer
from retentionjax.env.value import with_potential

SAMPLED = RetentionEnv(shaping=True)  # `info["value"]` is the unshaped reward
EXPECTED = RetentionEnv(expected_churn=True, shaping=True)


Policy = Callable[[jax.Array, EnvState, jax.Array], jax.Array]  # (key, state, mask bool[13]) -> action, one customer


class Campaign(NamedTuple):
    """T days of B customers. After a sampled churn the days go on, at weight 0."""

    states: EnvState  # [T, B] in the morning
    observations: jax.Array  # f32[T, B, 16] in the morning
    masks: jax.Array  # bool[T, B, 13]
    actions: jax.Array  # i32[T, B]
    rewards: jax.Array  # f32[T, B]
    info: dict[str, jax.Array]  # [T, B, …]
    weights: jax.Array  # f32[T, B] product of the earlier discounts: P(still there), 0 or 1 if churn is sampled

    @property
    def returns(self) -> np.ndarray:
        """f64[B]: what each customer brought, everything later than a day discounted by P(stay that day)."""
        return np.sum(np.asarray(self.weights * self.rewards, np.float64), axis=0)

    @property
    def values(self) -> np.ndarray:
        """f64[B]: `returns` of the unshaped reward."""
        return np.sum(np.asarray(self.weights * self.info["value"], np.float64), axis=0)

    @property
    def costs(self) -> np.ndarray:
        """f64[B, K]"""
        return np.sum(np.asarray(self.weights[..., None] * self.info["costs"], np.float64), axis=0)


def wait(key: jax.Array, state: EnvState, mask: jax.Array) -> jax.Array:
    return jnp.int32(0)


def random_legal(key: jax.Array, state: EnvState, mask: jax.Array) -> jax.Array:
    """Any legal action, a contact wherever one is legal."""
    contact = mask.at[0].set(~mask[1:].any())
    return jax.random.categorical(key, jnp.where(contact, 0.0, -jnp.inf))


def random_action(key: jax.Array, state: EnvState, mask: jax.Array) -> jax.Array:
    """Any action, legal or not."""
    return jax.random.randint(key, (), 0, 13)


def synthetic_population(size: int, seed: int = 0) -> Population:
    """Telco-like charges and risks, Bank-like acceptance."""
    random = np.random.default_rng(seed)
    return Population(
        jnp.asarray(random.uniform(18, 119, size), jnp.float32),
        jnp.asarray(np.clip(random.beta(0.8, 2.2, size), 1e-4, 1 - 1e-4), jnp.float32),
        jnp.asarray(np.clip(random.beta(1, 8, size), 1e-4, 1 - 1e-4), jnp.float32),
    )


COPIES = 8
COHORT = np.repeat(np.arange(200), COPIES)  # i32[1600], rows of `cohort_params().population`


@cache
def cohort_params() -> EnvParams:
    return with_potential(EnvParams(population=synthetic_population(200)))


def play(
    env: RetentionEnv,
    params: EnvParams,
    policy: Policy,
    customers: Any,
    *,
    seed: int = 0,
    policy_seed: int = 0,
    elevated: Any = None,
    days: int | None = None,
) -> Campaign:
    """One episode for each row of the population in i32[B] `customers`; policies with one seed meet the same draws.

    `elevated`: bool[B], the risk state of the first morning; drawn from the stationary distribution by default.
    `days`: T, the horizon by default. With both given, `play` can be vmapped over `params`.
    """
    if elevated is None:
        chance = np.asarray(dynamics.elevated_share(params))
        elevated = np.random.default_rng(seed).random(np.shape(customers)) < chance
    states = _first_morning(jnp.asarray(customers), jnp.asarray(elevated), params)
    keys = jax.random.key(seed), jax.random.key(policy_seed + 1_000)
    # Unoptimised code compiles in half the time; inside another jit its own options apply.
    play_days = _days if isinstance(jnp.asarray(states.time), jax.core.Tracer) else _jitted_days
    return play_days(env, policy, int(params.horizon_days) if days is None else days, params, states, *keys)


@jax.jit
def _first_morning(customers: jax.Array, elevated: jax.Array, params: EnvParams) -> EnvState:
    return jax.vmap(new_customer, (0, 0, None))(customers, elevated, params)


def _days(
    env: RetentionEnv, policy: Policy, days: int, params: EnvParams, states: EnvState, luck: jax.Array, own: jax.Array
) -> Campaign:
    size = states.time.shape[0]

    def day(carry: tuple[EnvState, jax.Array], keys: jax.Array) -> tuple[tuple[EnvState, jax.Array], Campaign]:
        states, weights = carry
        masks = jax.vmap(env.action_mask, (0, None))(states, params)
        chosen = jax.vmap(policy)(jax.random.split(keys[1], size), states, masks)
        observed = jax.vmap(observe, (0, None))(states, params)
        step = jax.vmap(env.step_env, (0, 0, 0, None))
        _, after, rewards, _, info = step(jax.random.split(keys[0], size), states, chosen, params)
        record = Campaign(states, observed, masks, chosen, rewards, info, weights)
        return (after, weights * info["discount"]), record

    keys = jnp.stack([jax.random.split(luck, days), jax.random.split(own, days)], axis=1)
    return jax.lax.scan(day, (states, jnp.ones(size)), keys)[1]


_jitted_days = jax.jit(_days, static_argnums=(0, 1, 2))


class Restarts(NamedTuple):
    """T days of B customers through the auto-resetting `step`, any action."""

    states: EnvState  # [T, B] in the morning
    actions: jax.Array  # i32[T, B]
    results: tuple[Any, ...]  # what `step` returned, [T, B, …]


def restarting_days(step: Callable[..., Any], days: int = 200, size: int = 64) -> Restarts:
    """`step` is `SAMPLED.step` or one to compare with it."""
    params = cohort_params()

    def run(key: jax.Array) -> Restarts:
        _, states = jax.vmap(SAMPLED.reset, (0, None))(jax.random.split(key, size), params)

        def day(states: EnvState, key: jax.Array) -> tuple[EnvState, Restarts]:
            chosen = jax.random.randint(key, (size,), 0, 13)
            results = jax.vmap(step, (0, 0, 0, None))(jax.random.split(key, size), states, chosen, params)
            return results[1], Restarts(states, chosen, results)

        return jax.lax.scan(day, states, jax.random.split(key, days))[1]

    return jax.jit(run)(jax.random.key(0))


@cache
def sampled_restarts() -> Restarts:
    return restarting_days(SAMPLED.step)
