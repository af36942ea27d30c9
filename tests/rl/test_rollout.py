"""Acting, and the books of the episodes, in an environment whose every number is known."""

from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from meter import Meter, MeterParams

from retentionjax.errors import ConfigError
from retentionjax.rl import networks, rollout

STEPS, ENVS = 12, 4
METER, MASKED = Meter(), Meter(masked=True)
# Compiling costs seconds and a rollout nothing: all tests share two programs.
START = jax.jit(rollout.start, static_argnums=(0, 2, 3))
COLLECT = jax.jit(rollout.collect, static_argnums=(0, 5))


def always(action: int, *, logits: tuple[float, ...] | None = None) -> networks.PolicyNetwork:
    """A policy of one affine layer that ignores what it sees: one action, or fixed logits."""
    bias = np.float32(logits or 100.0 * np.eye(3)[action])
    layer = networks.Dense(kernel=jnp.asarray(np.zeros((2, 3), "f4")), bias=jnp.asarray(bias))
    return networks.PolicyNetwork(actor=(layer,), normaliser=None, activation="tanh")


def collect(
    env: Meter, params: MeterParams, policy: networks.PolicyNetwork, cost_gamma: float = 1.0
) -> tuple[rollout.Simulation, rollout.Trajectory, rollout.Completed]:
    simulation = START(env, params, ENVS, 2, jax.random.key(0))
    simulation, *told = COLLECT(env, params, policy, simulation, np.full(2, cost_gamma, "f4"), STEPS, jax.random.key(1))
    return (simulation, *jax.tree.map(np.asarray, told))


def test_sizes_are_read_from_the_environment() -> None:
    assert rollout.specify(Meter(), MeterParams()) == rollout.Specification(features=2, actions=3, costs=2)
    cartpole, params = gymnax.make("CartPole-v1")
    assert rollout.specify(cartpole, params) == rollout.Specification(features=4, actions=2, costs=0)


def test_continuous_actions_are_refused() -> None:
    env, params = gymnax.make("Pendulum-v1")
    with pytest.raises(ConfigError, match="Pendulum has no discrete action space"):
        rollout.specify(env, params)


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_completed_episodes_are_summed_and_counted(ending: str) -> None:
    ends = {"length": 5} if ending == "terminated" else {"max_steps_in_episode": 5}
    _, trajectory, completed = collect(METER, MeterParams(**ends, reward=2.0), always(1))
    assert completed.count == 2 * ENVS  # of 5 steps each; 2 steps are left over
    assert completed.length == 5 * completed.count
    assert completed.returns == 5 * 4.0 * completed.count
    np.testing.assert_allclose(completed.costs, 5 * np.array([1.0, 1.0]) * completed.count)
    assert getattr(trajectory, ending).sum() == completed.count
    assert (trajectory.terminated | trajectory.truncated).sum() == completed.count


def test_an_end_that_is_also_the_time_limit_is_a_real_end() -> None:
    _, trajectory, _ = collect(METER, MeterParams(length=5, max_steps_in_episode=5), always(0))
    assert trajectory.terminated.sum() == 2 * ENVS
    assert not trajectory.truncated.any()


def test_sums_go_on_over_the_edge_of_a_rollout() -> None:
    params = MeterParams(length=20)
    simulation, _, completed = collect(METER, params, always(2))
    assert completed.count == 0
    _, _, completed = COLLECT(METER, params, always(2), simulation, np.ones(2, "f4"), STEPS, jax.random.key(2))
    assert completed.count == ENVS
    np.testing.assert_allclose(completed.costs / completed.count, [40.0, 20.0])


def test_survival_discounts_what_follows_it() -> None:
    _, trajectory, completed = collect(METER, MeterParams(length=4, survival=0.5), always(1))
    np.testing.assert_allclose(completed.returns / completed.count, 2 * (1 + 0.5 + 0.25 + 0.125))
    np.testing.assert_allclose(completed.costs / completed.count, [1.875, 1.875])
    assert np.all(trajectory.discount == 0.5)


def test_discounted_costs_count_later_steps_less() -> None:
    _, _, completed = collect(METER, MeterParams(length=4), always(1), cost_gamma=0.9)
    np.testing.assert_allclose(completed.costs / completed.count, (1 - 0.9**4) / 0.1, rtol=1e-5)
    np.testing.assert_allclose(completed.returns / completed.count, 8.0)  # rewards do not


def test_expected_survival_is_worth_what_sampled_survival_is() -> None:
    """Ending with probability 1 − s, and going on with weight s, have the same expected return and costs."""

    class Mortal(Meter):
        def step_env(self, key: jax.Array, state: Any, action: Any, params: MeterParams) -> Any:
            observation, state, reward, terminated, info = super().step_env(key, state, action, params)
            died = jax.random.uniform(key) > params.survival
            return observation, state, reward, terminated | died, info | {"discount": jnp.float32(1.0)}

    params = MeterParams(length=6, survival=0.8)
    _, _, expected = collect(METER, params, always(1))
    env, many = Mortal(), 20_000
    simulation = START(env, params, many, 2, jax.random.key(0))
    _, sampled, _ = COLLECT(env, params, always(1), simulation, np.ones(2, "f4"), 6, jax.random.key(1))
    first_life = np.cumsum(sampled.terminated, 0) - np.asarray(sampled.terminated) == 0
    returns = (np.asarray(sampled.reward) * first_life).sum(0)
    closed_form = 2 * (1 - 0.8**6) / 0.2
    np.testing.assert_allclose(expected.returns / expected.count, closed_form, rtol=1e-5)
    assert abs(returns.mean() - closed_form) < 4 * returns.std() / np.sqrt(many)


def test_the_observation_before_the_reset_is_kept() -> None:
    _, trajectory, _ = collect(METER, MeterParams(max_steps_in_episode=5), always(0))
    np.testing.assert_array_equal(trajectory.final_observation[:, 0, 0], [1, 2, 3, 4, 5] * 2 + [1, 2])
    np.testing.assert_array_equal(trajectory.observation[:, 0, 0], [0, 1, 2, 3, 4] * 2 + [0, 1])


def test_actions_obey_the_mask_and_their_probabilities_know_it() -> None:
    _, trajectory, _ = collect(MASKED, MeterParams(), always(0, logits=(0.0, 0.0, 3.0)))
    odd = np.arange(STEPS) % 2 == 1
    assert not (np.asarray(trajectory.action)[odd] == 2).any()
    assert (np.asarray(trajectory.action)[~odd] == 2).any()
    np.testing.assert_array_equal(trajectory.mask[:, 0, 2], ~odd)
    np.testing.assert_allclose(trajectory.log_probability[odd], np.log(0.5), rtol=1e-5)


def test_an_environment_without_costs_has_none() -> None:
    env, params = gymnax.make("CartPole-v1")
    simulation = START(env, params, ENVS, 0, jax.random.key(0))
    actor = jax.jit(lambda key: networks.init_actor_critic(key, 4, 2, 1, (), 0.0))(jax.random.key(0)).actor
    policy = networks.PolicyNetwork(actor=actor, normaliser=None, activation="tanh")
    _, trajectory, completed = COLLECT(env, params, policy, simulation, jnp.zeros(0), STEPS, jax.random.key(1))
    assert trajectory.costs.shape == (STEPS, ENVS, 0)
    assert completed.costs.shape == (0,)
    # gymnax returns a discount of 0 at a real end: the next episode must not inherit it.
    assert simulation.episodes.survival.min() == 1.0


def test_images_are_flattened() -> None:
    env, params = gymnax.make("Breakout-MinAtar")
    simulation = START(env, params, ENVS, 0, jax.random.key(0))
    assert simulation.observation.shape == (ENVS, rollout.specify(env, params).features)
