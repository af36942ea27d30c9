"""Trains for some iterations, saving each, as a process that a test can kill: FOLDER ITERATIONS PAUSE."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from meter import Meter, MeterParams

from retentionjax import rl
from retentionjax.checkpoint import Checkpoints

CONFIG = rl.PPOConfig(
    num_iterations=8,
    num_envs=16,
    num_steps=8,
    num_minibatches=4,
    hidden=(16,),
    normalise_observations=True,
    limits=(5.0, float("inf")),
    gains=rl.Gains(0.5, 0.1, 0.2, 0.5, delay=2),
    average_decay=0.9,
)


def main(folder: Path, iterations: int, pause: float) -> None:
    env, params = Meter(masked=True), MeterParams(length=7, noise=0.5)
    iterate = jax.jit(lambda state: rl.train_iteration(env, params, CONFIG, state)[0])
    checkpoints = Checkpoints(folder / "checkpoints")
    state = rl.init(env, params, CONFIG, jax.random.key(0))
    if checkpoints.latest_step() is not None:
        state = checkpoints.restore(state)
    print("starts at", int(state.iteration), flush=True)
    for _ in range(int(state.iteration), iterations):
        state = iterate(state)
        checkpoints.save(int(state.iteration), state)
        print("saved", int(state.iteration), flush=True)
        time.sleep(pause)
    leaves = jax.tree.leaves(replace(state, key=jax.random.key_data(state.key)))
    np.savez(folder / "final.npz", *[np.asarray(leaf) for leaf in leaves])


main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
