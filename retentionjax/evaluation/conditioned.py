"""A policy conditioned on the multiplier of spend, and the table by which a budget finds its multiplier."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from retentionjax.env.multipliers import MultiplierTable
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation import baselines
from retentionjax.evaluation.rollout import Policy, PolicyInput, for_each, play
from retentionjax.rl import networks
from retentionjax.rl.conditioned import ConditionedParams, append


@struct.dataclass
class ConditionedNetwork:
    """The networks, and the multipliers they were trained on."""

    policy: networks.PolicyNetwork  # observation and the multiplier's place → logits
    critic: networks.MLP  # likewise → [net uplift to come / (1 + multiplier), each cost to come]
    low: Any
    high: Any

    def logits(self, observation: jax.Array, mask: jax.Array, multiplier: jax.Array) -> jax.Array:
        """f32[..., actions], very low where the mask forbids."""
        return networks.policy_logits(self.policy, self._see(observation, multiplier), mask)

    def values(self, observation: jax.Array, multiplier: jax.Array) -> jax.Array:
        """f32[..., 1 + costs]: uplift to come in $, then each cost to come."""
        heads = networks.apply_mlp(self.critic, self._see(observation, multiplier), self.policy.activation)
        uplift = heads[..., 0] * (1 + multiplier) + multiplier * heads[..., 1]
        return jnp.concatenate([uplift[..., None], heads[..., 1:]], -1)

    def _see(self, observation: jax.Array, multiplier: jax.Array) -> jax.Array:
        return append(observation, multiplier, ConditionedParams(None, self.low, self.high))


def at_multiplier(network: ConditionedNetwork, multiplier: float) -> Policy:
    """The policy at one multiplier, to be played; the hyperparameter is the multiplier, so `tuning.spend_exactly` can
    set it."""
    return Policy("any_budget", _act, hyperparameter=multiplier, parameters=network)


@for_each
def _act(policy: Policy, situation: PolicyInput, key: jax.Array) -> jax.Array:
    multiplier = jnp.asarray(policy.hyperparameter, jnp.float32)
    return jax.random.categorical(key, policy.parameters.logits(situation.observation, situation.mask, multiplier))


def tabulate(
    network: ConditionedNetwork,
    params: EnvParams,
    key: jax.Array,
    *,
    multipliers: int,
    replicates: int,
    advance: Callable[[int], object] = lambda rows: None,
) -> MultiplierTable:
    """Plays the policy on the customers of `params` at multipliers spread over its range, with expected churn.

    Under common random numbers at every multiplier. Where noise would have spend rise with the multiplier, it is held.
    """
    env = RetentionEnv(expected_churn=True)
    grid = np.geomspace(float(network.low), float(network.high), multipliers)
    never = np.asarray(play(env, params, baselines.never(), key, replicates=replicates).value, np.float64)
    spends, uplifts = [], []
    for multiplier in grid:
        played = play(env, params, at_multiplier(network, float(multiplier)), key, replicates=replicates)
        spends.append(float(np.mean(played.spend)))
        uplifts.append(float(np.mean(np.asarray(played.value, np.float64) - never)))
        advance(1)
    held = np.minimum.accumulate(spends)
    return MultiplierTable(tuple(map(float, grid)), tuple(map(float, held)), tuple(uplifts))
