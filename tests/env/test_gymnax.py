"""The contract of gymnax 1.0: what its own tests ask of an environment, its wrappers, and its base class as oracle."""

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from campaigns import SAMPLED, restarting_days, sampled_restarts, synthetic_population
from gymnax import wrappers
from gymnax.environments import environment, spaces
from gymnax.experimental import RolloutWrapper

from retentionjax.env import EnvParams, RetentionEnv, constraints, observation
from retentionjax.env.value import with_potential

MODES = {
    "sampled": RetentionEnv(),
    "expected": RetentionEnv(expected_churn=True),
    "shaped": RetentionEnv(expected_churn=True, shaping=True),
    "unmasked": RetentionEnv(masked=False),
}
ENV = MODES["sampled"]
BATCH = 32


@pytest.fixture(scope="module")
def params() -> EnvParams:
    return with_potential(EnvParams(population=synthetic_population(20)))


@pytest.fixture(params=MODES)
def env(request: pytest.FixtureRequest) -> RetentionEnv:
    return MODES[request.param]


def test_reset_and_step_have_the_declared_shapes_and_types(env: RetentionEnv, params: EnvParams) -> None:
    key, space = jax.eval_shape(lambda: jax.random.key(0)), env.observation_space(params)
    observed, state = jax.eval_shape(env.reset, key, params)
    action = jax.eval_shape(env.action_space(params).sample, key)
    result = jax.eval_shape(env.step, key, state, action, params)
    assert len(result) == 6
    after, next_state, reward, terminated, truncated, info = result
    for array in (observed, after, info["final_observation"]):
        assert (array.shape, array.dtype) == (space.shape, space.dtype)
    assert (reward.shape, reward.dtype) == ((), jnp.float32)
    for flag in (terminated, truncated, info["terminated"], info["truncated"]):
        assert (flag.shape, flag.dtype) == ((), jnp.bool_)
    assert info["costs"].shape == (len(constraints.NAMES),)
    assert info["costs"].dtype == info["discount"].dtype == jnp.float32
    assert jax.tree.structure(state) == jax.tree.structure(next_state)
    for before, later in zip(jax.tree.leaves(state), jax.tree.leaves(next_state), strict=True):
        assert (before.shape, before.dtype, before.weak_type) == (later.shape, later.dtype, later.weak_type)


def test_its_steps_are_made_like_those_of_gymnax_own_environments(params: EnvParams) -> None:
    cart, cart_params = gymnax.make("CartPole-v1")
    key = jax.random.key(0)
    theirs, ours = (
        jax.eval_shape(env.step, key, jax.eval_shape(env.reset, key, constants)[1], 0, constants)
        for env, constants in ((cart, cart_params), (ENV, params))
    )
    assert set(theirs[5]) <= set(ours[5])
    for their, our in zip(theirs[2:5], ours[2:5], strict=True):
        assert (their.shape, their.dtype) == (our.shape, our.dtype)


def test_the_spaces_are_gymnax_spaces(params: EnvParams) -> None:
    assert isinstance(ENV.action_space(params), spaces.Discrete)
    assert ENV.action_space(params).n == ENV.num_actions == 13
    box = ENV.observation_space(params)
    assert box.shape == box.low.shape == box.high.shape == (observation.size(4),) == (16,)
    assert float(box.low.min()) >= -3
    assert float(box.high.max()) <= 3
    assert ENV.name == "Retention-v1"


def test_default_params_are_used_when_none_are_given() -> None:
    observed, state = ENV.reset(jax.random.key(0))
    assert observed.shape == (16,)
    assert float(state.monthly_charge) == 65.0
    assert ENV.step(jax.random.key(0), state, 0)[0].shape == (16,)
    assert ENV.default_params.max_steps_in_episode == 90


def test_a_scanned_vmapped_jitted_rollout_is_the_plain_one(params: EnvParams) -> None:
    env = MODES["shaped"]
    key = jax.random.key(4)

    def roll(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        observed, state = env.reset(key, params)

        def day(carry: object, key: jax.Array) -> tuple[object, jax.Array]:
            _, state = carry
            action = env.action_space(params).sample(key)
            observed, state, reward, *_ = env.step(key, state, action, params)
            return (observed, state), reward

        (observed, _), rewards = jax.lax.scan(day, (observed, state), jax.random.split(key, 20))
        return observed, rewards

    batched = jax.jit(jax.vmap(roll))(jax.random.split(key, BATCH))
    one = jax.random.split(key, BATCH)[3]
    step = jax.jit(env.step_env)  # 20 days of expected churn: no episode ends
    _, state = env.reset(one, params)
    rewards = []
    for step_key in jax.random.split(one, 20):
        action = env.action_space(params).sample(step_key)
        observed, state, reward, *_ = step(jax.random.split(step_key)[0], state, action, params)
        rewards.append(float(reward))
    np.testing.assert_allclose(batched[0][3], observed, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(batched[1][3], rewards, rtol=1e-5, atol=1e-4)


def test_the_faster_step_is_the_step_of_gymnax_base_class() -> None:
    def inherited(*arguments: object) -> object:
        return environment.Environment.step(SAMPLED, *arguments)

    theirs, ours = restarting_days(inherited), sampled_restarts()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), theirs, ours)


def test_an_ended_episode_restarts_with_a_new_customer_on_day_0() -> None:
    before, _, (observed, after, _, terminated, truncated, info) = sampled_restarts()
    ended = np.asarray(terminated)
    assert ended.sum() > 20
    assert not truncated.any()
    assert (np.asarray(after.time)[ended] == 0).all()
    np.testing.assert_array_equal(after.time[~ended], before.time[~ended] + 1)
    assert len(set(np.asarray(after.customer)[ended].tolist())) > 5
    assert (np.asarray(after.account_used)[ended] == 0).all()
    final_day = np.asarray(info["final_observation"])[..., observation.names(4).index("day")]
    np.testing.assert_allclose(final_day, (before.time + 1) / 90, rtol=1e-6)
    assert (np.asarray(observed)[ended][:, observation.names(4).index("day")] == 0).all()
    np.testing.assert_array_equal(observed[~ended], info["final_observation"][~ended])


def test_every_observation_lies_in_the_space(params: EnvParams) -> None:
    observed, *_, info = sampled_restarts().results
    contains = jax.jit(jax.vmap(jax.vmap(SAMPLED.observation_space(params).contains)))
    assert contains(observed).all()
    assert contains(info["final_observation"]).all()


def test_steps_repeat_with_their_keys_and_differ_without(params: EnvParams) -> None:
    _, state = ENV.reset(jax.random.key(0), params)
    keys = jax.random.split(jax.random.key(2), 300)
    steps = jax.jit(jax.vmap(lambda key: ENV.step_env(key, state, 1, params)[1]))
    after = steps(keys.at[1].set(keys[0]))
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf[0], leaf[1]), after)
    assert 0 < (np.asarray(after.offer) >= 0).mean() < 0.6  # some accept


def test_a_reset_draws_customers_uniformly_and_risk_from_its_stationary_distribution(params: EnvParams) -> None:
    n = 20_000
    _, states = jax.jit(jax.vmap(ENV.reset, (0, None)))(jax.random.split(jax.random.key(0), n), params)
    counts = np.bincount(states.customer, minlength=20)
    assert len(counts) == 20
    chi_square = ((counts - n / 20) ** 2 / (n / 20)).sum()
    assert chi_square < 50  # 19 degrees of freedom: P < 1e-4
    share = (1 / 45) / (1 / 45 + 1 / 7)
    assert abs(np.asarray(states.elevated).mean() - share) < 4 * np.sqrt(share * (1 - share) / n)


def test_gymnax_log_wrapper_counts_episodes(params: EnvParams) -> None:
    wrapped = wrappers.LogWrapper(MODES["expected"])
    _, state = wrapped.reset(jax.random.key(0), params)

    def day(state: object, key: jax.Array) -> tuple[object, object]:
        _, state, *_, info = wrapped.step(key, state, 0, params)
        return state, info

    _, info = jax.lax.scan(day, state, jax.random.split(jax.random.key(1), 91))
    assert info["returned_episode"][89]
    assert int(info["returned_episode_lengths"][89]) == 90


def test_gymnax_gym_wrappers_step_it(params: EnvParams) -> None:
    single = wrappers.GymnaxToGymWrapper(ENV, params, seed=3)
    assert isinstance(single, gymnasium.Env)
    assert single.action_space == gymnasium.spaces.Discrete(13)
    observed, _ = single.reset(seed=7)
    assert single.observation_space.contains(np.asarray(observed))
    observed, *_ = single.step(single.action_space.sample())
    assert single.observation_space.contains(np.asarray(observed))
    vector = wrappers.GymnaxToVectorGymWrapper(ENV, 4, params, seed=3)
    observed, _ = vector.reset()
    assert observed.shape == (4, 16)
    assert vector.step(vector.action_space.sample())[1].shape == (4,)


def test_gymnax_rollout_wrapper_plays_whole_episodes(params: EnvParams) -> None:
    rollout = RolloutWrapper(env=ENV, env_params=params)
    assert rollout.input_shape == (16,)
    keys = jax.random.split(jax.random.key(0), 3)
    observed, action, reward, _, done, returns = rollout.batch_rollout(keys, None)
    assert observed.shape == (3, 90, 16)
    assert action.shape == reward.shape == done.shape == (3, 90)
    first = np.asarray(done).argmax(axis=1)
    for i, last in enumerate(first):
        assert float(returns[i, 0]) == pytest.approx(float(reward[i, : last + 1].sum()), rel=1e-4)
