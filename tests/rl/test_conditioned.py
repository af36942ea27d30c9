"""The multiplier of a cost in the observation and in the reward."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment, spaces

from retentionjax import rl
from retentionjax.rl import rollout
from retentionjax.rl.conditioned import ConditionedEnv, ConditionedParams, append

WORTH = 2.0  # of action 1, which costs 1


@struct.dataclass
class ShopState(environment.EnvState):
    time: Any


class Shop(environment.Environment[ShopState, environment.EnvParams]):
    """Two steps: buy (reward 2, cost 1) or not. At a multiplier below 2 buying pays, above it does not."""

    @property
    def default_params(self):
        return environment.EnvParams(max_steps_in_episode=2)

    def step_env(self, key, state, action, params):
        state = ShopState(time=state.time + 1)
        costs = jnp.asarray(action, jnp.float32)[None]
        return self.get_obs(state), state, WORTH * costs[0], state.time >= 2, {"costs": costs}

    def reset_env(self, key, params):
        state = ShopState(time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(self, state, params=None, key=None):
        return jnp.asarray(state.time, jnp.float32)[None]

    def action_space(self, params):
        return spaces.Discrete(2)

    def observation_space(self, params):
        return spaces.Box(0, 2, (1,), jnp.float32)


SHOP = Shop()
PARAMS = ConditionedParams(SHOP.default_params, low=0.5, high=8.0)


def test_multiplier_stays_within_an_episode_and_is_drawn_for_the_next():
    env = ConditionedEnv(SHOP)
    _, state = env.reset(jax.random.key(0), PARAMS)
    multipliers = [float(state.multiplier)]
    for index in range(6):
        observation, state, reward, *_, info = env.step(jax.random.key(index), state, jnp.int32(1), PARAMS)
        assert reward == pytest.approx((WORTH - multipliers[-1]) / (1 + multipliers[-1]), rel=1e-5)
        place = append(jnp.zeros(1), jnp.float32(multipliers[-1]), PARAMS)[-1]
        assert info["final_observation"][-1] == pytest.approx(float(place))
        multipliers.append(float(state.multiplier))
        assert observation[-1] == pytest.approx(float(append(jnp.zeros(1), state.multiplier, PARAMS)[-1]))
    assert multipliers[0] == multipliers[1] != multipliers[2] == multipliers[3] != multipliers[4]
    assert all(0.5 <= multiplier <= 8.0 for multiplier in multipliers)


def test_the_range_of_multipliers_is_seen_as_zero_to_one():
    multipliers = jnp.array([0.1, 0.5, 2.0, 8.0, 100.0])
    places = append(jnp.zeros((5, 3)), multipliers, PARAMS)
    assert places.shape == (5, 4)
    np.testing.assert_allclose(places[:, -1], [0, 0, 0.5, 1, 1], atol=1e-6)


def test_one_policy_learns_to_buy_below_the_worth_and_not_above():
    config = rl.PPOConfig(
        num_iterations=40, num_envs=256, num_steps=8, num_minibatches=4, hidden=(32,), learning_rate=0.01,
        gamma=1.0, entropy_coef=0.0, limits=(float("inf"),), null_action_bias=1.0,
    )  # fmt: skip
    env = ConditionedEnv(SHOP)
    assert rollout.specify(env, PARAMS).costs == 1
    state, metrics = jax.jit(rl.make_train(env, PARAMS, config))(jax.random.key(1))
    assert not metrics.multipliers.any()
    seen = append(jnp.zeros((4, 1)), jnp.array([0.6, 1.4, 2.8, 7.0]), PARAMS)
    buys = jax.nn.softmax(rl.policy_logits(rl.policy(config, state), seen))[:, 1]
    np.testing.assert_allclose(buys, [1, 1, 0, 0], atol=0.1)
