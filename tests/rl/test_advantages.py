"""Advantages of a rollout against a plain loop, with a critic simple enough to read."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.rl import PPOConfig
from retentionjax.rl.advantages import estimate_advantages
from retentionjax.rl.networks import ActorCritic, Dense, Normaliser
from retentionjax.rl.rollout import Trajectory

STEPS, ENVS, FEATURES, COSTS = 9, 5, 3, 2
CONFIG = PPOConfig(gamma=0.9, gae_lambda=0.8, cost_gamma=(1.0, 0.7), cost_gae_lambda=0.6, limits=(1.0, 1.0))
ESTIMATE = jax.jit(estimate_advantages, static_argnums=0)
GAMMA, DECAY = np.array([0.9, 1.0, 0.7]), np.array([0.8, 0.6, 0.6])


def random_trajectory(truncation_rate: float) -> Trajectory:
    random = np.random.default_rng(7)
    terminated = random.random((STEPS, ENVS)) < 0.15
    normal = lambda *shape: jnp.asarray(random.normal(size=(STEPS, ENVS, *shape)), jnp.float32)  # noqa: E731
    return Trajectory(
        observation=normal(FEATURES),
        mask=None,
        action=jnp.zeros((STEPS, ENVS), jnp.int32),
        log_probability=normal(),
        reward=normal(),
        costs=normal(COSTS),
        discount=jnp.asarray(random.uniform(0.7, 1.0, (STEPS, ENVS)), jnp.float32),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray((random.random((STEPS, ENVS)) < truncation_rate) & ~terminated),
        final_observation=normal(FEATURES),
    )


def plain_advantages(trajectory: Trajectory, last: np.ndarray, value: Any) -> np.ndarray:
    """Step by step, backwards, one environment at a time."""
    t = jax.tree.map(np.asarray, trajectory)
    advantages = np.zeros((STEPS, ENVS, 1 + COSTS))
    for env in range(ENVS):
        later = np.zeros(1 + COSTS)
        for step in reversed(range(STEPS)):
            if t.truncated[step, env]:
                reached, later = value(t.final_observation[step, env]), 0.0
            elif t.terminated[step, env]:
                reached, later = 0.0, 0.0
            else:
                reached = value(t.observation[step + 1, env] if step + 1 < STEPS else last[env])
            discount = GAMMA * t.discount[step, env]
            gains = np.array([t.reward[step, env], *t.costs[step, env]])
            delta = gains + discount * reached - value(t.observation[step, env])
            later = delta + discount * DECAY * later
            advantages[step, env] = later
    return advantages


@pytest.mark.parametrize("truncation_rate", [0.0, 0.2, 1.0])
def test_an_episode_cut_off_is_worth_the_value_of_its_final_observation(truncation_rate: float) -> None:
    """And not zero, nor that of the observation after the reset; however many of them there are."""
    random = np.random.default_rng(3)
    kernel, bias = random.normal(size=(FEATURES, 1 + COSTS)), random.normal(size=1 + COSTS)
    mean, deviation = random.normal(size=FEATURES), np.array([0.5, 1.0, 2.0])
    trajectory, last = random_trajectory(truncation_rate), random.normal(size=(ENVS, FEATURES))
    critic = (Dense(kernel=jnp.asarray(kernel, jnp.float32), bias=jnp.asarray(bias, jnp.float32)),)
    normaliser = Normaliser(
        count=jnp.float32(10), mean=jnp.asarray(mean, jnp.float32), variance=jnp.asarray(deviation**2, jnp.float32)
    )
    estimates = ESTIMATE(
        CONFIG, ActorCritic(actor=critic, critic=critic), normaliser, trajectory, jnp.asarray(last, jnp.float32)
    )

    def value(observation: np.ndarray) -> np.ndarray:
        return (observation - mean) / deviation @ kernel + bias

    expected = plain_advantages(trajectory, last, value)
    np.testing.assert_allclose(estimates.advantage, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(estimates.target, expected + value(trajectory.observation), rtol=1e-3, atol=1e-3)
