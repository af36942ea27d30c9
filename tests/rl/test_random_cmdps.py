"""Random constrained decision processes: one setting meets all of them, every limit kept, near the exact optimum."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.random_cmdp import GAMMA, STATES, STEPS, RandomCMDP, Table, draw, value

from retentionjax import rl

ENV = RandomCMDP()
# A table needs no hidden layer. Rollouts hold whole episodes, so costs are measured in every iteration.
CONFIG = rl.PPOConfig(
    num_iterations=200,
    num_envs=128,
    num_steps=STEPS,
    num_minibatches=8,
    hidden=(),
    gamma=GAMMA,
    cost_gamma=GAMMA,
    discounted_costs=True,
    learning_rate=0.03,
    average_decay=0.9,
    # The multipliers of three tight limits are several sizes of a return: with the default gains they still rise at the
    # end, and the policy has long stopped to explore.
    gains=rl.Gains(proportional=1.0, integral=0.1),
)


@cache
def program() -> Any:
    def run(table: Table, key: jax.Array) -> tuple[jax.Array, rl.IterationMetrics]:
        config = CONFIG.replace(limits=table.limits)
        state, metrics = rl.make_train(ENV, table, config)(key)
        return jax.nn.softmax(rl.policy_logits(rl.policy(config, state, averaged=True), jnp.eye(STATES))), metrics

    # Compiled as users' programs are, whatever the tests' own compile for: it runs for seconds.
    return jax.jit(run, compiler_options={"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True})


def solve(seed: int) -> tuple[float, float]:
    """Share of the optimum's reward, and the largest cost as a share of its limit, of what PPO found."""
    table, best = draw(seed)
    known = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), table).replace(max_steps_in_episode=STEPS)
    policy, metrics = program()(known, jax.random.key(seed))
    rl.require_sound(metrics)
    policy = np.asarray(policy, np.float64)
    found = value(table, policy / policy.sum(-1, keepdims=True))
    share, used = found.reward / best.reward, float((found.costs / table.limits).max())
    prices = np.asarray(metrics.multipliers[-1]).round(2)
    print(f"process {seed}: {share:.3f} of the optimum, {used:.3f} of the limit, prices {prices}")
    return share, used


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_all_thirty_are_solved_by_the_one_setting(seed: int) -> None:
    """The process of the README (`test_readme`) is solved each time that the tests run."""
    share, used = solve(seed)
    assert share >= 0.97
    assert used <= 1.05
