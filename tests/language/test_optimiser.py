"""The optimiser's steps against optax's own AdamW, and the schedules' ends."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from retentionjax.errors import ConfigError
from retentionjax.language import optimiser
from retentionjax.language.optimiser import OptimiserConfig


def test_steps_are_those_of_adamw_behind_a_clip() -> None:
    config = OptimiserConfig(learning_rate=0.1, schedule="constant", weight_decay=0.01, max_grad_norm=0.5)
    reference = optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(0.1, weight_decay=0.01))
    params = {"a": jnp.asarray([0.0, 1.0, 2.0]), "b": jnp.asarray([[1.0, 1.0], [1.0, 1.0]])}
    learner, expected, state = optimiser.init_learner(config, params), params, reference.init(params)

    @jax.jit  # one program for all of it
    def step(number: jax.Array, learner: Any, expected: Any, state: Any) -> Any:
        gradient = jax.tree.map(lambda x: jnp.sin(x + number), params)
        learner, norm = optimiser.apply_gradient(config, 3, learner, gradient)
        updates, state = reference.update(gradient, state, expected)
        return learner, optax.apply_updates(expected, updates), state, norm, optax.tree.norm(gradient)

    for number in range(3):
        learner, expected, state, norm, plain = step(np.float32(number), learner, expected, state)
        assert float(norm) == pytest.approx(float(plain))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), learner.params, expected)


@pytest.mark.parametrize(("schedule", "middle"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_schedules_warm_up_and_come_down(schedule: str, middle: float) -> None:
    config = OptimiserConfig(learning_rate=2.0, schedule=schedule, warmup_steps=10, final_share=0.0)
    rates = [float(optimiser.learning_rate(config, 110, step)) for step in (0, 9, 10, 60, 110)]
    end = 2.0 if schedule == "constant" else 0.0
    np.testing.assert_allclose(rates, [0.2, 2.0, 2.0, 2.0 * middle, end], atol=1e-6)


@pytest.mark.parametrize(
    "fields", [{"learning_rate": 0.0}, {"warmup_steps": -1}, {"final_share": 2.0}, {"b1": 1.0}, {"b2": 1.0}]
)
def test_settings_that_cannot_learn_are_refused_by_name(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        OptimiserConfig(**fields)
