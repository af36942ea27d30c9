"""The way from a rollout to optimiser steps: joined advantages, minibatches, schedules, the clip of the gradient."""

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
    combine = jax.jit(epochs.combine, static_argnames="shards")
    joined = combine(trajectory, estimates, jnp.array([500.0]), shards=1).advantage
    lagrangian = advantage[..., 0] - 500.0 * advantage[..., 1]
    np.testing.assert_allclose(joined, (lagrangian - lagrangian.mean()) / lagrangian.std(), rtol=1e-3, atol=1e-4)


def test_schedules_are_linear_and_then_hold() -> None:
    values = jax.jit(jax.vmap(lambda iteration: annealed(1.0, 0.2, iteration, 5)))(jnp.arange(8))
    np.testing.assert_allclose(values, [1.0, 0.84, 0.68, 0.52, 0.36, 0.2, 0.2, 0.2], rtol=1e-6)


@pytest.mark.parametrize(("most", "length"), [(0.5, 0.5), (100.0, 5.0)])
def test_gradients_are_clipped_by_their_norm(most: float, length: float) -> None:
    """And not element by element: the direction stays."""
    norm, clipped = epochs._clip(jnp.array([3.0, 4.0]), most)
    assert norm == pytest.approx(5.0)
    np.testing.assert_allclose(clipped, length * np.array([0.6, 0.8]), rtol=1e-5)


def test_the_critic_s_gradient_does_not_shorten_the_actor_s() -> None:
    """Targets a thousand times as large: the actor's step, at a clip that bites, is the same."""
    config = PPOConfig(num_minibatches=1, num_epochs=1, num_envs=ENVS, num_steps=STEPS, max_grad_norm=1e-3)
    start = init_actor_critic(jax.random.key(0), 2, 3, 1, (4,), 0.0)

    @jax.jit
    def actor_after(size: float) -> Any:
        random = jax.random.normal(jax.random.key(1), (STEPS, ENVS, 2))
        flat = jnp.full((STEPS, ENVS), -np.log(3))
        samples = epochs.Samples(random, None, jnp.zeros((STEPS, ENVS), int), flat, random[..., 0], 0 * random, random)
        samples = samples.replace(value=samples.value[..., :1], target=size * samples.target[..., :1])
        learner, _ = epochs.run_epochs(config, epochs.init_learner(start), samples, jnp.int32(0), jax.random.key(2))
        return learner.params.actor

    for one, other in zip(jax.tree.leaves(actor_after(1.0)), jax.tree.leaves(actor_after(1e3)), strict=True):
        np.testing.assert_array_equal(one, other)
