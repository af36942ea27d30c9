"""The README's problem of one's own is run as it is printed."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import retentionjax.rl
from retentionjax import rl
from retentionjax.rl import ppo

README = (Path(retentionjax.rl.__path__[0]) / "README.md").read_text(encoding="utf-8")


(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(example: str, **names: Any) -> dict[str, Any]:
    """The names that the example leaves behind; `names`: what it finds."""
    exec(example, names)
    return names


def test_the_example_is_what_a_training_run_takes_and_gives() -> None:
    """Without its numbers: what is compiled has the right shapes, and what is printed has names."""
    asked = "jax.jit(rl.make_train(env, env.default_params, config))"
    assert asked in EXAMPLE
    names = run(EXAMPLE.replace(asked, asked.replace("jax.jit", "shaped")), shaped=shaped)
    assert names["metrics"].cost.shape == (200, 1)
    assert names["last"].keys() > {"episode_return", "episode_cost_0", "multipliers_0"}
    assert names["orders"].shape == (5,)


def shaped(train: ppo.Train) -> ppo.Train:
    """In place of `jax.jit`: what comes has the shape that it says and is all ones, for nothing is computed; no step of
    it was at fault."""

    def ones(like: jax.ShapeDtypeStruct) -> jax.Array:
        is_key = jnp.issubdtype(like.dtype, jax.dtypes.prng_key)
        return jax.random.key(1) if is_key else jnp.ones(like.shape, like.dtype)

    def call(key: jax.Array) -> tuple[rl.TrainState, rl.IterationMetrics]:
        state, metrics = jax.tree.map(ones, jax.eval_shape(train, key))
        return state, replace(metrics, faults=jnp.zeros_like(metrics.faults))

    return call


@pytest.mark.slow
def test_the_shop_keeps_its_limit_and_sells_what_can_be_sold() -> None:
    """Orders cost nothing, so days are apart from each other: stock up to 1 on some of them, to 2 on the others.

    Demand is Poisson(2): of one unit .135 are left over and .865 sold, of two .541 and 1.459; half a unit a day allows
    the second on nine days of ten, which sells 42 units in 30 days.
    """
    names = run(EXAMPLE)
    none, one = np.exp(-2), 2 * np.exp(-2)
    left, sold = np.array([none, 2 * none + one]), np.array([1 - none, 2 - 2 * none - one])
    best = 30 * np.interp(0.5, left, sold)
    assert names["last"]["episode_return"] >= 0.97 * best
    assert names["last"]["episode_cost_0"] <= 1.05 * 15
    assert names["orders"].argmax() == 2
    assert names["orders"].shape == (5,)
    assert float(names["orders"].sum()) == pytest.approx(1.0, abs=1e-5)
