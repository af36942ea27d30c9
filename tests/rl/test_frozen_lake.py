"""Lagrangian PPO against the exact constrained optimum of slippery FrozenLake 8×8, the cost of entering a hole being 1.

The constrained optimum randomises, and PPO's last iterate swings about it; so what is judged is the policy averaged
over the last quarter of the iterations, as a mixture (of occupancies), evaluated exactly by the transition table.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.frozen_lake import FrozenLake, occupancy, read_table, solve_by_linear_program

from retentionjax import rl

SEEDS = 5
ITERATIONS = 400


def settings(limit: float) -> rl.PPOConfig:
    return rl.PPOConfig(
        num_iterations=ITERATIONS,
        num_envs=2048,
        num_steps=32,
        num_minibatches=4,
        hidden=(),  # one row of logits a state: the table itself
        learning_rate=0.05,
        learning_rate_end=0.005,
        entropy_coef=0.025,
        entropy_coef_end=0.002,
        annealing=0.5,
        gae_lambda=0.8,
        cost_gamma=0.99,
        discounted_costs=True,
        limits=jnp.array([limit]),
        gains=rl.Gains(proportional=0.1, integral=0.03, maximum=20.0),
    )


def trained(limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Policies [seeds, iterations, states, actions] and multipliers [seeds, iterations]."""
    env = FrozenLake(read_table("8x8"))
    params, config, states = env.default_params, settings(limit), jnp.eye(64)

    def run(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def iterate(state: rl.TrainState, _: None) -> tuple[rl.TrainState, tuple[jax.Array, jax.Array]]:
            state, metrics = rl.train_iteration(env, params, config, state)
            policy = jax.nn.softmax(rl.policy_logits(rl.policy(config, state), states))
            return state, (policy, metrics.multipliers[0])

        return jax.lax.scan(iterate, rl.init(env, params, config, key), None, length=ITERATIONS)[1]

    policies, multipliers = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), SEEDS))
    return np.asarray(policies, np.float64), np.asarray(multipliers)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("limit", [0.05, 0.02])
def test_the_averaged_policy_is_near_the_exact_constrained_optimum(limit: float) -> None:
    table = read_table("8x8")
    optimum = solve_by_linear_program(table, limit)
    policies, multipliers = trained(limit)
    last = slice(3 * ITERATIONS // 4, ITERATIONS)
    policies /= policies.sum(-1, keepdims=True)
    mixtures = [np.mean([occupancy(table, policy) for policy in seed[last]], axis=0) for seed in policies]
    rewards = np.array([(mixture * table.reward).sum() for mixture in mixtures]) / optimum.reward
    costs = np.array([(mixture * table.cost).sum() for mixture in mixtures]) / limit
    prices = multipliers[:, last].mean(axis=1) / optimum.multiplier
    print(f"limit {limit}: J_r/J_r* {rewards.round(3)}, J_c/d {costs.round(3)}, λ/λ* {prices.round(3)}")
    assert rewards.min() >= 0.97
    assert costs.max() <= 1.1
    assert prices.mean() == pytest.approx(1.0, abs=0.25)
