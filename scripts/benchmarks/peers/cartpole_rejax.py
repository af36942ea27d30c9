"""rejax's PPO on CartPole, in the peers' environment. Its evaluation is left out: only training is timed."""

import sys

import jax
from rejax import PPO
from stopwatch import answer

ENVS, STEPS, MINIBATCHES, ITERATIONS = map(int, sys.argv[1:])
TOTAL = ENVS * STEPS * ITERATIONS


def main() -> None:
    algorithm = PPO.create(
        env="CartPole-v1",
        agent_kwargs={"hidden_layer_sizes": (64, 64), "activation": "tanh"},
        num_envs=ENVS,
        num_steps=STEPS,
        num_minibatches=MINIBATCHES,
        num_epochs=4,
        total_timesteps=TOTAL,
        eval_freq=TOTAL,
        skip_initial_evaluation=True,
        learning_rate=1e-3,
        max_grad_norm=0.5,
    )
    algorithm = algorithm.replace(eval_callback=lambda _algorithm, state, _key: state.global_step)
    train = jax.jit(algorithm.train)
    answer(lambda: jax.block_until_ready(train(jax.random.PRNGKey(0))), TOTAL)


main()
