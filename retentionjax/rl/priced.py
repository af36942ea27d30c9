"""One policy for every budget: the price of a cost is drawn anew for each episode, shown to the policy and charged.

For each price λ the policy that maximises J_r − λ·J_c is the Lagrangian's inner optimum, so a policy that knows λ holds
the whole frontier of reward against cost: a limit is met by giving it the limit's shadow price, without training
again. Domain randomisation over a multiplier; cf. universal value functions, Schaul et al. 2015.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from retentionjax.rl.leaves import Leaf, Number
from retentionjax.rl.rollout import Environment


@struct.dataclass
class PricedParams:
    """Parameters of the environment within, and the prices that episodes are drawn from, log-uniformly."""

    inner: Any
    low: Number = 0.1  # reward per unit of cost
    high: Number = 10.0


@struct.dataclass
class PricedState:
    """State of the environment within, and the price of this episode."""

    inner: Any
    price: Leaf  # f32[]


class Priced:
    """An environment whose observation ends in a price and whose reward is (r − price · c) / (1 + price).

    Rewards keep their size whatever the price, as `ops.combine_advantages` keeps it; `info["costs"]` stays as it was.

    Args:
        env: with `info["costs"]`.
        cost: index of the priced one.
    """

    def __init__(self, env: Environment, cost: int = 0) -> None:
        self.env, self.cost = env, cost
        if hasattr(env, "action_mask"):
            self.action_mask = self._action_mask

    def reset(self, key: Any, params: PricedParams) -> tuple[Array, PricedState]:
        """A new episode at a new price."""
        key_price, key = jax.random.split(key)
        observation, state = self.env.reset(key, params.inner)
        price = _draw(key_price, params)
        return append(observation, price, params), PricedState(state, price)

    def step(
        self, key: Any, state: PricedState, action: Any, params: PricedParams
    ) -> tuple[Any, Any, Any, Any, Any, dict[Any, Any]]:
        """One step within; where the episode ended, the next has its own price."""
        key_price, key = jax.random.split(key)
        observation, inner, reward, terminated, truncated, info = self.env.step(key, state.inner, action, params.inner)
        reward = (reward - state.price * info["costs"][self.cost]) / (1 + state.price)
        price = jnp.where(terminated | truncated, _draw(key_price, params), state.price)
        info = info | {"final_observation": append(info["final_observation"], state.price, params)}
        return append(observation, price, params), PricedState(inner, price), reward, terminated, truncated, info

    def action_space(self, params: PricedParams) -> Any:
        """As within."""
        return self.env.action_space(params.inner)

    def _action_mask(self, state: PricedState, params: PricedParams) -> Array:
        mask: Array = self.env.action_mask(state.inner, params.inner)  # type: ignore[attr-defined]
        return mask


def append(
    observation: Float[Array, "*batch features"], price: Float[Array, "*batch"], params: PricedParams
) -> Float[Array, "*batch features_and_price"]:
    """The observation with the price's place between `low` (0) and `high` (1), by logarithm; beyond them clipped."""
    place = jnp.log(price / params.low) / jnp.log(params.high / params.low)
    place = jnp.broadcast_to(jnp.clip(place, 0.0, 1.0), observation.shape[:-1])
    return jnp.concatenate([observation, place[..., None].astype(observation.dtype)], -1)


def _draw(key: Any, params: PricedParams) -> Float[Array, ""]:
    return jnp.exp(jax.random.uniform(key, minval=jnp.log(params.low), maxval=jnp.log(params.high)))
