"""From a rollout to optimiser steps: prices, minibatches, schedules, the clip of the gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.rl import PPOConfig, epochs, ops
from retentionjax.rl.advantages import Estimates
from retentionjax.rl.config import annealed
from retentionjax.rl.networks import init_actor_critic
from retentionjax.rl.rollout import Trajectory

STEPS, ENVS = 6, 8


def numbered_samples() -> epochs.Samples:
    """Samples that know their time (action) and environment (log-probability)."""
    time, env = jnp.meshgrid(jnp.arange(STEPS), jnp.arange(ENVS), indexing="ij")
    blank = jnp.zeros((STEPS, ENVS, 1))
    return epochs.Samples(
        features=blank,
        mask=None,
        action=time,
        log_probability=env.astype(jnp.float32),
        advantage=blank[..., 0],
        value=blank,
        target=blank,
    )


def dealt(shuffle: str, units: int) -> tuple[np.ndarray, np.ndarray]:
    config = PPOConfig(shuffle=shuffle, num_minibatches=4)

    @jax.jit
    def batches_of(samples: epochs.Samples) -> epochs.Samples:
        return epochs._minibatches(config, samples, ops.deals(jax.random.key(0), units, 4, 2)[1])

    batches = batches_of(numbered_samples())
    return np.asarray(batches.action), np.asarray(batches.log_probability)


@pytest.mark.parametrize(("shuffle", "units"), [("samples", STEPS * ENVS), ("envs", ENVS)])
def test_minibatches_hold_every_sample_once_and_its_columns_together(shuffle: str, units: int) -> None:
    time, env = dealt(shuffle, units)
    assert time.shape == (4, STEPS * ENVS // 4)
    assert sorted(zip(time.ravel(), env.ravel(), strict=True)) == [(t, e) for t in range(STEPS) for e in range(ENVS)]


def test_shuffled_environments_stay_whole() -> None:
    time, env = dealt("envs", ENVS)
    for times, envs in zip(time, env, strict=True):
        assert [sorted(times[envs == e]) for e in set(envs)] == [list(range(STEPS))] * 2


def test_only_the_joined_advantage_is_standardised() -> None:
    """The costs' advantages keep their unit: joined at λ in reward per cost, and scaled together afterwards."""
    random = np.random.default_rng(0)
    advantage = random.normal(3.0, [[[100.0, 0.1]]], (STEPS, ENVS, 2)).astype(np.float32)
    trajectory: Any = Trajectory(*[None] * 10)
    estimates = Estimates(features=None, advantage=jnp.asarray(advantage), value=None, target=None)
    price = jax.jit(epochs.price, static_argnames="shards")
    joined = price(trajectory, estimates, jnp.array([500.0]), shards=1).advantage
    lagrangian = advantage[..., 0] - 500.0 * advantage[..., 1]
    np.testing.assert_allclose(joined, (lagrangian - lagrangian.mean()) / lagrangian.std(), rtol=1e-3, atol=1e-4)


def test_schedules_are_linear_and_then_hold() -> None:
    config = PPOConfig(num_iterations=10, annealing=0.5)
    values = jax.jit(jax.vmap(lambda iteration: annealed(config, 1.0, 0.2, iteration)))(jnp.arange(8))
    np.testing.assert_allclose(values, [1.0, 0.84, 0.68, 0.52, 0.36, 0.2, 0.2, 0.2], rtol=1e-6)


def test_gradients_are_clipped_by_their_global_norm() -> None:
    """And not element by element: the direction stays."""
    config = PPOConfig(max_grad_norm=0.5)
    gradient = jnp.arange(1.0, 10.0)

    @jax.jit
    def updated(key: jax.Array) -> Any:
        learner = epochs.init_learner(init_actor_critic(key, 2, 2, 1, (), 0.0), config)
        return epochs._optimiser(config).update(gradient, learner.opt_state)[1]

    after = updated(jax.random.key(0))
    first_moment = after[1].mu
    np.testing.assert_allclose(first_moment, 0.1 * 0.5 * gradient / jnp.linalg.norm(gradient), rtol=1e-5)
