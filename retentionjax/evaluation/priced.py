"""A policy conditioned on the price of spend, and the table by which a budget finds its price."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from retentionjax.env.prices import Prices
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation import baselines
from retentionjax.evaluation.rollout import Policy, Situation, for_each, play
from retentionjax.rl import networks
from retentionjax.rl.priced import PricedParams, append


@struct.dataclass
class PricedNetwork:
    """The networks, and the prices they were trained on."""

    policy: networks.Policy  # observation and the price's place → logits
    critic: networks.MLP  # likewise → [net uplift to come / (1 + price), each cost to come]
    low: Any
    high: Any

    def logits(self, observation: jax.Array, mask: jax.Array, price: jax.Array) -> jax.Array:
        """f32[..., actions], very low where the mask forbids."""
        return networks.policy_logits(self.policy, self._see(observation, price), mask)

    def values(self, observation: jax.Array, price: jax.Array) -> jax.Array:
        """f32[..., 1 + costs]: uplift to come in $, then each cost to come."""
        heads = networks.apply_mlp(self.critic, self._see(observation, price), self.policy.activation)
        uplift = heads[..., 0] * (1 + price) + price * heads[..., 1]
        return jnp.concatenate([uplift[..., None], heads[..., 1:]], -1)

    def _see(self, observation: jax.Array, price: jax.Array) -> jax.Array:
        return append(observation, price, PricedParams(None, self.low, self.high))


def at_price(network: PricedNetwork, price: float) -> Policy:
    """The policy at one price, to be played; the hyperparameter is the price, so `tuning.spend_exactly` can set it."""
    return Policy("priced", _act, hyperparameter=price, parameters=network)


@for_each
def _act(policy: Policy, situation: Situation, key: jax.Array) -> jax.Array:
    price = jnp.asarray(policy.hyperparameter, jnp.float32)
    return jax.random.categorical(key, policy.parameters.logits(situation.observation, situation.mask, price))


def tabulate(
    network: PricedNetwork,
    params: EnvParams,
    key: jax.Array,
    *,
    prices: int,
    replicates: int,
    advance: Callable[[int], object] = lambda rows: None,
) -> Prices:
    """Plays the policy on the customers of `params` at prices spread over its range, with expected churn.

    Under common random numbers at every price. Where noise would have spend rise with the price, it is held.
    """
    env = RetentionEnv(expected_churn=True)
    grid = np.geomspace(float(network.low), float(network.high), prices)
    never = np.asarray(play(env, params, baselines.never(), key, replicates=replicates).value, np.float64)
    spends, uplifts = [], []
    for price in grid:
        played = play(env, params, at_price(network, float(price)), key, replicates=replicates)
        spends.append(float(np.mean(played.spend)))
        uplifts.append(float(np.mean(np.asarray(played.value, np.float64) - never)))
        advance(1)
    held = np.minimum.accumulate(spends)
    return Prices(tuple(map(float, grid)), tuple(map(float, held)), tuple(uplifts))
