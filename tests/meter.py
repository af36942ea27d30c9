"""A small environment whose every number is known: it counts, pays what the action says, and ends on time."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces


@struct.dataclass
class MeterState(environment.EnvState):
    time: jax.Array  # i32[], steps taken in the episode


@struct.dataclass
class MeterParams(environment.EnvParams):
    length: float = 1000  # terminates after so many steps
    max_steps_in_episode: float = 1000  # truncates after so many
    reward: float = 1.0  # a step, and as much again for each unit of the action
    noise: float = 0.0  # standard deviation added to the reward
    survival: float = 1.0  # returned as the discount


class Meter(environment.Environment[MeterState, MeterParams]):
    """Actions 0, 1, 2; costs: the action, and one a step. Action 2 is illegal at odd times where `masked`."""

    def __init__(self, *, masked: bool = False) -> None:
        super().__init__()
        if masked:
            self.action_mask = lambda state, params: jnp.arange(3) < 3 - state.time % 2

    @property
    def default_params(self) -> MeterParams:
        return MeterParams()

    def step_env(
        self, key: jax.Array, state: MeterState, action: Any, params: MeterParams
    ) -> tuple[jax.Array, MeterState, jax.Array, jax.Array, dict[Any, Any]]:
        reward = params.reward * (1.0 + action) + params.noise * jax.random.normal(key)
        state = MeterState(time=state.time + 1)
        info = {"costs": jnp.array([action, 1.0], jnp.float32), "discount": jnp.float32(params.survival)}
        return self.get_obs(state), state, reward, state.time >= params.length, info

    def reset_env(self, key: jax.Array, params: MeterParams) -> tuple[jax.Array, MeterState]:
        state = MeterState(time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(self, state: MeterState, params: Any = None, key: Any = None) -> jax.Array:
        return jnp.stack([jnp.float32(state.time), jnp.float32(1.0)])

    def action_space(self, params: MeterParams) -> spaces.Discrete:
        return spaces.Discrete(3)

    def observation_space(self, params: MeterParams) -> spaces.Box:
        return spaces.Box(0, 1000, (2,), jnp.float32)
