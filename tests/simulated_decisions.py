"""Logs made in the environment by a policy that acts by propensities: what a campaign would have written down.

With them an estimate can be held against the truth, which `value` plays out.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from retentionjax.env import threefry
from retentionjax.env.dynamics import elevated_share
from retentionjax.env.observation import observe
from retentionjax.env.retention import RetentionEnv, draws_of, new_customer
from retentionjax.env.types import EnvParams, EnvState
from retentionjax.evaluation.off_policy import log as logs
from retentionjax.evaluation.off_policy.log import DecisionLog

Propensities = Callable[[jax.Array, jax.Array], jax.Array]
"""(observations f32[b, 16], masks bool[b, 13]) → probabilities f32[b, 13]; a module-level or jitted function."""


def simulate(
    env: RetentionEnv, params: EnvParams, policy: Propensities, key: jax.Array, *, episodes: int
) -> DecisionLog:
    """`episodes` campaigns of customers drawn uniformly; a decision a day while the customer stays."""
    customer, columns = _simulated(env, params, policy, key, episodes, int(params.horizon_days))
    alive = np.asarray(columns["alive"]).T  # (episodes, days)
    episode, step = np.nonzero(alive)

    def rows(name: str) -> np.ndarray:
        return np.asarray(columns[name]).swapaxes(0, 1)[episode, step]

    return logs.build(
        observation=rows("observation"),
        mask=rows("mask"),
        propensities=_normalised(rows("propensities")),
        action=rows("action"),
        reward=rows("reward"),
        episode=episode,
        step=step,
        customer=np.asarray(customer)[episode],
        where="simulated log",
    )


def probabilities(policy: Propensities, log: DecisionLog) -> np.ndarray:
    """What another policy would have done at each decision of a log; f64[n, 13]."""
    return _normalised(np.asarray(policy(jnp.asarray(log.observation), jnp.asarray(log.mask))))


def value(
    env: RetentionEnv, params: EnvParams, policy: Propensities, key: jax.Array, *, episodes: int
) -> tuple[float, float]:
    """The policy's true value [$ a customer and campaign] with its standard error, by playing it."""
    _, columns = _simulated(env, params, policy, key, episodes, int(params.horizon_days))
    totals = np.asarray((columns["reward"] * columns["alive"]).sum(axis=0), np.float64)
    return float(totals.mean()), float(totals.std(ddof=1) / np.sqrt(episodes))


@partial(jax.jit, static_argnums=(0, 2, 4, 5))
def _simulated(
    env: RetentionEnv, params: EnvParams, policy: Propensities, key: jax.Array, episodes: int, days: int
) -> tuple[jax.Array, dict[str, Any]]:
    """Customer of each episode, and columns of shape (days, episodes, …)."""
    key_who, key_risk, key_days = jax.random.split(key, 3)
    customer = jax.random.randint(key_who, (episodes,), 0, params.population.size)
    elevated = jax.random.uniform(key_risk, (episodes,)) < elevated_share(params)
    state = jax.vmap(new_customer, (0, 0, None))(customer, elevated, params)

    def one_day(carry: tuple[EnvState, jax.Array], key: jax.Array) -> tuple[tuple[EnvState, jax.Array], dict[str, Any]]:
        state, alive = carry
        key_action, key_common = jax.random.split(key)
        observations = jax.vmap(observe, (0, None))(state, params)
        masks = jax.vmap(env.action_mask, (0, None))(state, params)
        chosen = policy(observations, masks)
        action = jax.random.categorical(key_action, jnp.log(chosen), axis=-1)
        draws = draws_of(threefry.split(key_common, episodes))
        _, after, reward, terminated, _ = jax.vmap(env.step_with, (0, 0, 0, None))(draws, state, action, params)
        row = {"observation": observations, "mask": masks, "propensities": chosen, "action": action}
        return (after, alive & ~terminated), {**row, "reward": reward, "alive": alive}

    start = (state, jnp.ones(episodes, bool))
    _, columns = jax.lax.scan(one_day, start, jax.random.split(key_days, days))
    return customer, columns


def _normalised(propensities: np.ndarray) -> np.ndarray:
    """Rows divided by their sums in float64, so that they sum to 1 more closely than a float32 can say."""
    exact = propensities.astype(np.float64)
    return exact / exact.sum(axis=1, keepdims=True)
