"""Our PPO on CartPole, in the project's environment."""

import sys

import gymnax
import jax
from stopwatch import answer

from retentionjax import rl

ENVS, STEPS, MINIBATCHES, ITERATIONS = map(int, sys.argv[1:])


def main() -> None:
    env, env_params = gymnax.make("CartPole-v1")
    config = rl.PPOConfig(
        num_envs=ENVS, num_steps=STEPS, num_minibatches=MINIBATCHES, num_iterations=ITERATIONS, learning_rate=1e-3
    )
    train = jax.jit(rl.make_train(env, env_params, config))
    answer(lambda: jax.block_until_ready(train(jax.random.key(0))), ENVS * STEPS * ITERATIONS)


main()
