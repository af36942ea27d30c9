"""Trains the same run mapped on one device and one shard a device of eight; prints the largest differences."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from meter import Meter, MeterParams

from retentionjax import rl

CONFIG = rl.PPOConfig(
    num_iterations=4,
    num_envs=32,
    num_steps=4,
    num_epochs=2,
    num_minibatches=2,
    hidden=(8,),
    normalise_observations=True,
    limits=(1.0, float("inf")),
    gains=rl.Gains(0.5, 0.1),
    shards=8,
)


def main() -> None:
    env, params = Meter(masked=True), MeterParams(length=7, noise=1.0)
    runs = [jax.jit(rl.make_train(env, params, CONFIG, mesh))(jax.random.key(0)) for mesh in (None, rl.device_mesh(8))]
    devices = {shard.device for shard in runs[1][0].simulation.observation.addressable_shards}

    def difference(a: jax.Array, b: jax.Array) -> float:
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        return float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)), initial=0.0))

    names = ("state", "metrics")
    differences = {
        name: max(jax.tree.leaves(jax.tree.map(difference, runs[0][i], runs[1][i]))) for i, name in enumerate(names)
    }
    print(json.dumps(differences | {"devices": len(devices), "price": float(runs[0][1].multipliers[-1, 0])}))


main()
