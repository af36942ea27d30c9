"""That it learns: prices, values and returns whose right size is known."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from meter import Meter, MeterParams

from retentionjax import rl

BANDIT = rl.PPOConfig(
    num_iterations=150,
    num_envs=256,
    num_steps=1,
    num_minibatches=1,
    hidden=(),
    learning_rate=0.05,
    entropy_coef=0.02,
    limits=(0.5, float("inf")),
    gains=rl.Gains(proportional=0.4, integral=0.06, smoothing=0.0),
)

METER = Meter()
TRAIN = jax.jit(lambda params, config, key: rl.make_train(METER, params, config)(key))


@pytest.mark.parametrize("unit", [1.0, 100.0])
def test_the_multiplier_becomes_the_shadow_price(unit: float) -> None:
    """One step, reward unit · (1 + a), cost a, limit ½ on average: one more of cost is worth `unit`, in any unit."""
    _, metrics = TRAIN(MeterParams(length=1, reward=unit), BANDIT, jax.random.key(0))
    last = slice(BANDIT.num_iterations // 2, None)
    np.testing.assert_allclose(metrics.multipliers[last, 0].mean() / unit, 1.0, rtol=0.1)
    np.testing.assert_allclose(metrics.cost[last, 0].mean(), 0.5, rtol=0.1)


def test_a_time_limit_does_not_end_the_value() -> None:
    """Reward 1 for ever, cut into pieces of 5: worth 1/(1 − γ) = 10 and not the 4.1 of five rewards."""
    config = rl.PPOConfig(
        num_iterations=300,
        num_envs=16,
        num_steps=10,
        num_minibatches=1,
        hidden=(16,),
        learning_rate=0.02,
        learning_rate_end=0.002,
        gamma=0.9,
        max_grad_norm=10.0,
        limits=(float("inf"), float("inf")),
        null_action_bias=30.0,
        barrier_coef=0.0,
        barrier_coef_end=0.0,
    )
    params = MeterParams(max_steps_in_episode=5)
    state, _ = TRAIN(params, config, jax.random.key(0))
    value = rl.values(config, state, jnp.array([[time, 1.0] for time in range(5)]))[:, 0]
    np.testing.assert_allclose(value, 10.0, rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config", "bar"),
    [
        ("CartPole-v1", rl.PPOConfig(num_iterations=40, learning_rate=1e-3), 475.0),
        ("Acrobot-v1", rl.PPOConfig(num_iterations=40, learning_rate=1e-3), -90.0),
    ],
)
def test_classic_control_is_solved_by_eight_seeds_at_once(name: str, config: rl.PPOConfig, bar: float) -> None:
    env, params = gymnax.make(name)
    _, metrics = jax.jit(jax.vmap(rl.make_train(env, params, config)))(jax.random.split(jax.random.key(0), 8))
    last = jax.tree.map(lambda x: x[:, -10:].sum(1), metrics.completed)
    returns = np.asarray(last.returns / last.count)
    print(name, returns.round(1), returns.mean())
    assert returns.mean() >= bar
