"""Environment speed: random-policy steps per CPU-second at 4,096 customers, against gymnax CartPole-v1.

One harness for all, in one process: the environment's own auto-resetting `step`, an action drawn for each row each
step, everything inside one compiled scan; compilation excluded, turns taken one after another.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np

from retentionjax.env import EnvParams, Population, RetentionEnv
from retentionjax.env.value import with_potential

ROWS = 4_096
STEPS = 450  # five campaigns
TURNS = 9
POPULATION = 5_634


def run() -> dict[str, float]:
    """Medians over the turns; a ratio is the median of each turn's ratio, with its extremes."""
    params = with_potential(EnvParams(population=customers()))
    contenders = {
        "cartpole": gymnax.make("CartPole-v1"),
        "sampled": (RetentionEnv(), params),
        "expected_shaped": (RetentionEnv(expected_churn=True, shaping=True), params),
    }
    rolls = {name: compiled(env, env_params) for name, (env, env_params) in contenders.items()}
    turns = [{name: _steps_per_cpu_second(roll, turn) for name, roll in rolls.items()} for turn in range(TURNS)]
    figures: dict[str, float] = {}
    for name in ("sampled", "expected_shaped"):
        ratios = [turn[name] / turn["cartpole"] for turn in turns]
        figures |= {
            f"{name}_ratio_to_cartpole": statistics.median(ratios),
            f"{name}_ratio_to_cartpole_low": min(ratios),
            f"{name}_ratio_to_cartpole_high": max(ratios),
        }
    for name in contenders:
        figures[f"{name}_steps_per_cpu_second"] = statistics.median(turn[name] for turn in turns)
    return figures


def customers() -> Population:
    """Drawn customers, as many as Telco's train split has."""
    random = np.random.default_rng(0)
    columns = random.uniform(18, 119, POPULATION), random.beta(1, 3, POPULATION), random.beta(1, 8, POPULATION)
    return Population(*(jnp.asarray(column, jnp.float32) for column in columns))


def compiled(env: Any, params: Any) -> Callable[[jax.Array], jax.Array]:
    """Key -> the sum of all rewards and observations, so that none of them can be left out."""

    @jax.jit
    def roll(key: jax.Array) -> jax.Array:
        first, key = jax.random.split(key)
        _, states = jax.vmap(env.reset, (0, None))(jax.random.split(first, ROWS), params)
        step = jax.vmap(env.step, (0, 0, 0, None))

        def one(carry: tuple[Any, jax.Array], key: jax.Array) -> tuple[tuple[Any, jax.Array], None]:
            states, total = carry
            for_actions, for_steps = jax.random.split(key)
            chosen = jax.random.randint(for_actions, (ROWS,), 0, env.num_actions)
            observed, states, rewards, *_ = step(jax.random.split(for_steps, ROWS), states, chosen, params)
            return (states, total + rewards.sum() + observed.sum()), None

        (_, total), _ = jax.lax.scan(one, (states, jnp.float32(0)), jax.random.split(key, STEPS))
        return total

    roll(jax.random.key(0)).block_until_ready()
    return roll


def _steps_per_cpu_second(roll: Callable[[jax.Array], jax.Array], seed: int) -> float:
    before = time.process_time()
    roll(jax.random.key(seed)).block_until_ready()
    return ROWS * STEPS / (time.process_time() - before)
