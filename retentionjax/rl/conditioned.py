"""One policy for every budget: the multiplier of a cost is drawn anew for each episode, shown to the policy and
charged.

For each multiplier λ the policy that maximises J_r − λ·J_c is the Lagrangian's inner optimum, so a policy that knows λ
holds the whole frontier of reward against cost: a limit is met by giving it the limit's shadow price, without training
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
class ConditionedParams:
    """Parameters of the environment within, and the multipliers that episodes are drawn from, log-uniformly."""

    inner: Any
    low: Number = 0.1  # reward per unit of cost
    high: Number = 10.0


@struct.dataclass
class ConditionedState:
    """State of the environment within, and the multiplier of this episode."""

    inner: Any
    multiplier: Leaf  # f32[]


class ConditionedEnv:
    """An environment whose observation ends in a multiplier and whose reward is (r − multiplier · c) / (1 +
    multiplier).

    Rewards keep their size whatever the multiplier, as `ops.combine_advantages` keeps it; `info["costs"]` stays as it
    was.

    Args:
        env: with `info["costs"]`, the first of which is charged.
    """

    def __init__(self, env: Environment) -> None:
        self.env = env
        if hasattr(env, "action_mask"):
            self.action_mask = self._action_mask

    def reset(self, key: Any, params: ConditionedParams) -> tuple[Array, ConditionedState]:
        """A new episode at a new multiplier."""
        key_multiplier, key = jax.random.split(key)
        observation, state = self.env.reset(key, params.inner)
        multiplier = _draw(key_multiplier, params)
        return append(observation, multiplier, params), ConditionedState(state, multiplier)

    def step(
        self, key: Any, state: ConditionedState, action: Any, params: ConditionedParams
    ) -> tuple[Any, Any, Any, Any, Any, dict[Any, Any]]:
        """One step within; where the episode ended, the next has its own multiplier."""
        key_multiplier, key = jax.random.split(key)
        observation, inner, reward, terminated, truncated, info = self.env.step(key, state.inner, action, params.inner)
        reward = (reward - state.multiplier * info["costs"][0]) / (1 + state.multiplier)
        multiplier = jnp.where(terminated | truncated, _draw(key_multiplier, params), state.multiplier)
        info = info | {"final_observation": append(info["final_observation"], state.multiplier, params)}
        return (
            append(observation, multiplier, params),
            ConditionedState(inner, multiplier),
            reward,
            terminated,
            truncated,
            info,
        )

    def action_space(self, params: ConditionedParams) -> Any:
        """Actions of the environment within."""
        return self.env.action_space(params.inner)

    def _action_mask(self, state: ConditionedState, params: ConditionedParams) -> Array:
        mask: Array = self.env.action_mask(state.inner, params.inner)  # type: ignore[attr-defined]
        return mask


def append(
    observation: Float[Array, "*batch features"], multiplier: Float[Array, "*batch"], params: ConditionedParams
) -> Float[Array, "*batch features_and_multiplier"]:
    """The observation with the multiplier's place between `low` (0) and `high` (1), by logarithm; beyond them
    clipped."""
    place = jnp.log(multiplier / params.low) / jnp.log(params.high / params.low)
    place = jnp.broadcast_to(jnp.clip(place, 0.0, 1.0), observation.shape[:-1])
    return jnp.concatenate([observation, place[..., None].astype(observation.dtype)], -1)


def _draw(key: Any, params: ConditionedParams) -> Float[Array, ""]:
    return jnp.exp(jax.random.uniform(key, minval=jnp.log(params.low), maxval=jnp.log(params.high)))
