"""Whole runs of PPO, small: what must hold in every one of them."""

import ast
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from meter import Meter, MeterParams

import retentionjax.rl
from retentionjax import rl
from retentionjax.errors import ConfigError, TrainingError
from retentionjax.rl import config as config_module
from retentionjax.rl.networks import Normaliser

ENV, PARAMS = Meter(masked=True), MeterParams(length=7, noise=0.5)
CONFIG = rl.PPOConfig(
    num_iterations=6,
    num_envs=8,
    num_steps=4,
    num_epochs=2,
    num_minibatches=2,
    hidden=(8,),
    normalise_observations=True,
    learning_rate=0.01,
    limits=(2.0, float("inf")),
    gains=rl.Gains.sgd(0.1, initial=0.5),
    average_decay=0.5,
)
Run = tuple[rl.TrainState, rl.IterationMetrics]
TRAIN = jax.jit(lambda config, key: rl.make_train(ENV, PARAMS, config)(key))
INIT = jax.jit(lambda config, key: rl.init(ENV, PARAMS, config, key))
LOGITS = jax.jit(rl.policy_logits)
ONE = jax.jit(lambda config, state: rl.train_iterations(ENV, PARAMS, config, state, 1))


@cache
def example() -> Run:
    state, metrics = TRAIN(CONFIG, jax.random.key(0))
    return state, jax.tree.map(np.asarray, metrics)


def numbers(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)


def assert_same(one: Any, other: Any, **tolerances: float) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), **({"rtol": 0.0} | tolerances))


def test_the_first_minibatch_sees_the_probabilities_that_acted() -> None:
    """Masks, normalised observations and all: the ratio is 1 until the first step of the optimiser."""
    assert example()[1].losses.first_ratio_error.max() < 1e-5
    assert example()[1].losses.approx_kl.max() > 1e-6


def test_runs_in_parts_equal_one_whole_bit_for_bit() -> None:
    state, parts = INIT(CONFIG, jax.random.key(0)), []
    for _ in range(CONFIG.num_iterations):
        state, metrics = ONE(CONFIG, state)
        parts.append(metrics)
    assert_same((state, jax.tree.map(lambda *each: np.concatenate(each), *parts)), example())


def test_seeds_and_numeric_settings_can_be_vmapped() -> None:
    rates, limits = jnp.array([0.01, 0.002]), jnp.array([[2.0, jnp.inf], [1.0, 4.0]])

    def run(rate: jax.Array, limit: jax.Array, key: jax.Array) -> Run:
        return rl.make_train(ENV, PARAMS, replace(CONFIG, learning_rate=rate, limits=limit))(key)

    keys = jnp.stack([jax.random.key(0), jax.random.key(5)])
    together = jax.jit(jax.vmap(run))(rates, limits, keys)
    assert_same(jax.tree.map(lambda x: numbers(x)[0], together), example(), rtol=1e-3, atol=1e-4)
    alone = TRAIN(replace(CONFIG, learning_rate=0.002, limits=(1.0, 4.0)), keys[1])
    assert_same(jax.tree.map(lambda x: numbers(x)[1], together), alone, rtol=1e-3, atol=1e-4)
    seen = np.ones((4, 2), "f4")
    of_both = jax.jit(jax.vmap(lambda state: rl.policy_logits(rl.policy(CONFIG, state), jnp.asarray(seen))))(
        together[0]
    )
    np.testing.assert_allclose(np.asarray(of_both)[1], LOGITS(rl.policy(CONFIG, alone[0]), seen), atol=1e-3)


def test_the_multiplier_moves_first_and_by_the_episodes_of_this_rollout() -> None:
    """λ_t = clip(λ_{t−1} + rate · u/d · clip((J_t − d)/d, ±1)), u the size of a return, held where no episode ended."""
    metrics = example()[1]
    count, costs = np.asarray(metrics.completed.count), np.asarray(metrics.completed.costs)[:, 0]
    assert (count == 0).any()  # 7-step episodes in rollouts of 4
    assert (count > 0).any()
    price, cost = 0.5, 0.0
    for t in range(CONFIG.num_iterations):
        if count[t]:
            cost = costs[t] / count[t]
            price = max(0.0, price + 0.1 * metrics.units[t, 0] / 2.0 * np.clip((cost - 2.0) / 2.0, -1.0, 1.0))
        np.testing.assert_allclose(metrics.multipliers[t, 0], price, rtol=1e-5)
        np.testing.assert_allclose(metrics.cost[t, 0], cost, rtol=1e-5)
    assert np.all(metrics.multipliers[:, 1] == 0.0)  # its limit is infinite


def test_observation_statistics_are_those_of_all_rollouts() -> None:
    """The times of the steps: all environments in step, so times 0 … 6 and around again."""
    normaliser = example()[0].normaliser
    assert isinstance(normaliser, Normaliser)
    times = np.arange(CONFIG.num_iterations * CONFIG.num_steps) % 7
    np.testing.assert_allclose(normaliser.mean, [times.mean(), 1.0], rtol=1e-5)
    np.testing.assert_allclose(normaliser.variance, [times.var(), 0.0], rtol=1e-4, atol=1e-6)


def test_averaged_parameters_are_the_mean_of_recent_ones() -> None:
    state, _ = ONE(CONFIG, INIT(CONFIG, jax.random.key(0)))
    average = (state.averaged_params.actor, rl.critic(state, averaged=True))
    for _ in range(2):
        state, _ = ONE(CONFIG, state)
        average = jax.tree.map(lambda a, b: 0.5 * a + 0.5 * b, average, (state.params.actor, rl.critic(state)))
    assert_same((state.averaged_params.actor, rl.critic(state, averaged=True)), average, rtol=1e-4, atol=1e-6)
    assert_same(rl.policy(CONFIG, state, averaged=True).actor, state.averaged_params.actor)
    assert_same(rl.policy(CONFIG, state).actor, state.params.actor)


def test_a_mask_is_kept_in_what_is_learned() -> None:
    """At odd times action 2 is illegal: the trained policy with its mask gives it probability 0."""
    state = example()[0]
    logits = LOGITS(rl.policy(CONFIG, state), np.float32([[1.0, 1.0]]), np.array([[True, True, False]]))
    chances = scipy.special.softmax(logits, axis=-1)
    np.testing.assert_allclose(chances.sum(), 1.0, rtol=1e-6)
    assert chances[0, 2] == 0.0


def test_summaries_are_flat_and_never_nan() -> None:
    metrics = jax.tree.map(jnp.asarray, example()[1])
    summary = rl.summarise(metrics)
    assert summary["env_steps"] == 6 * 8 * 4
    assert summary["episode_length"] == 7.0
    assert summary["episode_cost_1"] == 7.0
    assert {"multipliers_0", "explained_variance_2", "value_loss_1", "approx_kl"} <= summary.keys()
    assert all(np.isfinite(list(summary.values())))
    nothing_ended = jax.tree.map(lambda x: x[:1], metrics)
    assert "episode_return" not in rl.summarise(nothing_ended)
    assert all(np.isfinite(list(rl.summarise(nothing_ended).values())))


def test_plain_ppo_where_there_are_no_costs() -> None:
    env, params = gymnax.make("CartPole-v1")
    config = rl.PPOConfig(num_iterations=2, num_envs=8, num_steps=8, num_minibatches=2, hidden=(8,), shuffle="envs")
    state, metrics = jax.jit(rl.make_train(env, params, config))(jax.random.key(0))
    assert metrics.multipliers.shape == (2, 0)
    assert jax.eval_shape(lambda state: rl.values(config, state, jnp.zeros((5, 4))), state).shape == (5, 1)
    assert metrics.losses.first_ratio_error.max() < 1e-5
    assert "episode_cost_0" not in rl.summarise(metrics)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"limits": (1.0,)}, r"limits has shape \(1,\); the environment has 2 costs"),
        ({"cost_gamma": (0.9, 0.9, 0.9)}, r"cost_gamma has shape \(3,\)"),
        ({"limit_scales": (1.0,)}, r"limit_scales has shape \(1,\)"),
        ({"activation": "gelu"}, "activation is 'gelu'; allowed: tanh"),
        ({"shuffle": "rows"}, "shuffle is 'rows'; allowed: samples, envs"),
        ({"num_steps": 0}, "num_steps is 0; allowed: at least 1"),
        ({"num_minibatches": 5}, "num_minibatches is 5; allowed: a divisor of the 32 samples"),
        ({"num_minibatches": 16, "shuffle": "envs"}, "num_minibatches is 16; allowed: a divisor of the 8 envs"),
        ({"shards": 3}, "shards is 3; allowed: a divisor of num_envs, 8"),
        ({"gains": rl.Gains(delay=0)}, "gains.delay is 0; allowed: at least 1, a whole number"),
        ({"gains": rl.Gains(initial=(1.0, 2.0, 3.0))}, r"gains.initial has shape \(3,\)"),
        ({"gains": rl.Gains(smoothing=1.0)}, "gains.smoothing is 1.0; allowed: a number, at least 0, below 1"),
        ({"gains": rl.Gains(initial=3.0, maximum=2.0)}, "gains.initial is 3.0; allowed: at most gains.maximum, 2.0"),
        ({"limits": (float("nan"), 1.0)}, r"limits is \(nan, 1.0\); allowed: a number, at least 0, inf included"),
        ({"limits": jnp.array([-1.0, 1.0])}, "limits is .*-1.*; allowed: a number, at least 0"),
        ({"learning_rate": -1e-3}, "learning_rate is -0.001; allowed: a number, above 0, finite"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; allowed: a number"),
        ({"learning_rate": "1e-3"}, "learning_rate is '1e-3'; allowed: a number"),
        ({"learning_rate": (1e-3, 1e-4)}, r"learning_rate has shape \(2,\); allowed: a scalar"),
        ({"gamma": [[0.9], [0.9, 0.9]]}, "gamma is .*; allowed: a number"),
    ],
)
def test_settings_that_cannot_run_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rl.make_train(ENV, PARAMS, replace(CONFIG, **wrong))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("num_iterations", 2.5, "at least 1, a whole number"),
        ("num_envs", "8", "at least 1, a whole number"),
        ("num_epochs", True, "at least 1, a whole number"),
        ("num_steps", None, "at least 1, a whole number"),
        ("hidden", 32, "a tuple or list of widths"),
        ("hidden", (0,), "at least 1, a whole number"),
        ("hidden", (32.0,), "at least 1, a whole number"),
        ("normalise_observations", "no", "True or False"),
        ("discounted_costs", None, "True or False"),
        ("gains", {"integral": 0.1}, "Gains"),
    ],
)
def test_static_settings_of_another_type_are_refused(name: str, value: Any, allowed: str) -> None:
    """As whoever runs it without the tests' type checker meets them: "no" would be true, 2.5 iterations 2."""
    wrong = replace(CONFIG)
    object.__setattr__(wrong, name, value)
    with pytest.raises(ConfigError, match=f"{name} is .*; allowed: {allowed}"):
        config_module.check(wrong, 2)


class Broken(Meter):
    """The meter with one of the things it returns replaced."""

    def __init__(self, **returned: Any) -> None:
        super().__init__()
        self.returned = returned
        if "action_mask" in returned:
            self.action_mask = lambda state, params: returned["action_mask"]

    def step(self, key: jax.Array, state: Any, action: Any, params: Any = None) -> tuple[Any, ...]:
        names = ("observation", "state", "reward", "terminated", "truncated", "info")
        step = dict(zip(names, super().step(key, state, action, params), strict=True))
        step["info"] |= {name: value for name, value in self.returned.items() if name in ("costs", "discount")}
        return tuple((step | {name: value for name, value in self.returned.items() if name in names}).values())


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"terminated": jnp.int32(0)}, r"Broken returns terminated of shape \(\) and type int32; allowed: bool\[\]"),
        ({"truncated": jnp.float32(0)}, r"truncated of shape \(\) and type float32; allowed: bool\[\]"),
        ({"terminated": jnp.zeros(2, bool)}, r"terminated of shape \(2,\)"),
        ({"reward": jnp.zeros(3)}, r"reward of shape \(3,\) and type float32; allowed: a number"),
        ({"costs": jnp.float32(0)}, r"costs of shape \(\) and type float32; allowed: one axis, an entry a constraint"),
        ({"costs": [0.0, 0.0]}, "costs as list; allowed: one axis, an entry a constraint"),
        ({"discount": jnp.ones(2)}, r"discount of shape \(2,\) and type float32; allowed: a number"),
        ({"action_mask": jnp.ones(2, bool)}, r"action_mask of shape \(2,\) and type bool; allowed: bool\[3\]"),
        ({"action_mask": jnp.ones(3)}, r"action_mask of shape \(3,\) and type float32; allowed: bool\[3\]"),
    ],
)
def test_an_environment_that_returns_other_shapes_or_types_is_refused(returned: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rl.make_train(Broken(**returned), PARAMS, CONFIG)


class Silent(Meter):
    """The meter as an environment of an older gymnax returns it, `left_out` missing."""

    def __init__(self, left_out: str) -> None:
        super().__init__()
        self.left_out = left_out

    def step(self, key: jax.Array, state: Any, action: Any, params: Any = None) -> tuple[Any, ...]:
        *rest, truncated, info = super().step(key, state, action, params)
        if self.left_out == "truncated":
            return *rest, info
        return *rest, truncated, {name: value for name, value in info.items() if name != self.left_out}


class Seen(Meter):
    """The meter with other observations."""

    def __init__(self, first: Any, later: Any) -> None:
        super().__init__()
        self.first, self.later = first, later

    def reset(self, key: jax.Array, params: Any = None) -> tuple[Any, Any]:
        return self.first, super().reset(key, params)[1]

    def step(self, key: jax.Array, state: Any, action: Any, params: Any = None) -> tuple[Any, ...]:
        _, *rest, info = super().step(key, state, action, params)
        return self.later, *rest, info | {"final_observation": self.later}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Silent("truncated"), r"Silent.step returns 5 things; allowed: observation, state, reward, terminated, trunc"),
        (
            Silent("final_observation"),
            r"Silent returns no info\['final_observation'\]; allowed: what an episode ended in",
        ),
        (Seen({"a": jnp.zeros(2)}, {"a": jnp.zeros(2)}), "Seen returns observation as dict; allowed: an array"),
        (Seen(jnp.zeros(0), jnp.zeros(0)), "Seen returns an empty observation; allowed: one number or more"),
        (Seen(jnp.zeros(1), jnp.zeros(2)), r"a step's observation of shape \(2,\) .*; allowed: \[1\], as on reset"),
    ],
)
def test_an_environment_that_leaves_something_out_is_refused(env: Meter, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rl.make_train(env, PARAMS, CONFIG)


def test_a_fresh_state_can_be_donated() -> None:
    """A buffer that two leaves shared could not be given away twice."""
    state = rl.init(ENV, PARAMS, CONFIG, jax.random.key(0))
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state.replace(key=None)) if leaf.size]
    assert len(set(buffers)) == len(buffers)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"reward": jnp.float32(jnp.nan)}, "iteration 1: the reward is not finite in 32 of 32 steps"),
        ({"reward": jnp.float32(jnp.inf)}, "iteration 1: the reward is not finite in 32 of 32 steps"),
        ({"costs": jnp.array([jnp.nan, 0.0])}, "iteration 1: a cost is not finite in 32 of 32 steps"),
        ({"discount": jnp.float32(jnp.nan)}, "iteration 1: the discount is not from 0 to 1 in 32 of 32 steps"),
        ({"discount": jnp.float32(1.5)}, "iteration 1: the discount is not from 0 to 1 in 32 of 32 steps"),
        ({"discount": jnp.float32(-0.1)}, "iteration 1: the discount is not from 0 to 1 in 32 of 32 steps"),
        ({"action_mask": jnp.zeros(3, bool)}, "iteration 1: the mask allows no action in 32 of 32 steps"),
    ],
)
def test_what_is_no_number_is_named_by_iteration_and_quantity(returned: dict[str, Any], message: str) -> None:
    """A compiled run cannot raise: its metrics do when they are read."""
    sound = {
        "reward": jnp.float32(0),
        "costs": jnp.zeros(2),
        "discount": jnp.float32(1),
        "action_mask": jnp.ones(3, bool),
    }
    with pytest.raises(TrainingError, match=message):
        rl.summarise(train_broken()(sound | returned))


@cache
def train_broken() -> Any:
    """A program for whatever is wrong: what the environment returns → metrics of two iterations."""
    short = CONFIG.replace(num_iterations=2)  # type: ignore[attr-defined]
    return jax.jit(lambda returned: rl.make_train(Broken(**returned), PARAMS, short)(jax.random.key(0))[1])


def test_what_is_no_number_ends_a_run_that_is_not_compiled() -> None:
    short = CONFIG.replace(num_iterations=2)  # type: ignore[attr-defined]
    train = rl.make_train(Broken(reward=jnp.float32(jnp.nan)), PARAMS, short)
    with pytest.raises(TrainingError, match="iteration 1: the reward is not finite in 32 of 32 steps"):
        train(jax.random.key(0))


def test_a_step_too_long_is_an_error_of_its_iteration() -> None:
    metrics = example()[1]
    with pytest.raises(TrainingError, match=r"iteration 3: parameters are not finite$"):
        rl.require_sound(replace(metrics, faults=jnp.asarray(metrics.faults).at[2:, -2].set(1.0)))


class Endless(Meter):
    """Tells the probability to survive, and never ends."""

    def step(self, key: jax.Array, state: Any, action: Any, params: Any = None) -> tuple[Any, ...]:
        observation, state, reward, terminated, _, info = super().step(key, state, action, params)
        never = jnp.zeros_like(terminated)
        return observation, state, reward, never, never, info


@pytest.mark.parametrize("limit", [1.0, np.inf])
def test_limits_of_episodes_that_never_end_are_no_silent_leave(limit: float) -> None:
    """Costs are those of finished episodes: without one, every multiplier would stay where it began."""
    limits = (limit, np.inf)
    short = CONFIG.replace(num_iterations=2, limits=limits)  # type: ignore[attr-defined]
    metrics = jax.jit(rl.make_train(Endless(), PARAMS, short))(jax.random.key(0))[1]
    if np.isfinite(limit):
        with pytest.raises(TrainingError, match=r"iteration 2: no episode has ended .* no limit was in force$"):
            rl.summarise(metrics)
    else:
        assert rl.summarise(metrics)["episodes"] == 0


def test_nothing_is_drawn_where_nothing_is_legal() -> None:
    """No probability instead of an even one over what is forbidden; a mask of another length is refused."""
    state = example()[0]
    nothing = np.asarray(LOGITS(rl.policy(CONFIG, state), np.ones((2, 2), "f4"), np.array([[False] * 3, [True] * 3])))
    assert np.isnan(scipy.special.softmax(nothing[0])).all()
    assert np.isfinite(nothing[1]).all()
    with pytest.raises(ConfigError, match="the mask has 2 entries; allowed: 3, one an action"):
        rl.policy_logits(rl.policy(CONFIG, state), jnp.ones((4, 2)), jnp.ones((4, 2), bool))


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(TypeError, match="lerning_rate"):
        rl.PPOConfig(lerning_rate=1e-3)


CHECKS = {"check", "check_ranges", "_check_static", "_check_shapes"}


@pytest.mark.parametrize(("config", "name"), [(rl.PPOConfig, "config"), (rl.Gains, "gains")])
def test_every_setting_is_read_by_the_program(config: type, name: str) -> None:
    """Outside the check of settings, which reads them without obeying them."""
    read = set()
    for path in Path(retentionjax.rl.__path__[0]).glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef) or function.name in CHECKS:
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == name:
                    read.add(node.attr)
    assert {field.name for field in fields(config)} - read == set()
