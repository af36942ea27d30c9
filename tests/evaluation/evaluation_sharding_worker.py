"""Plays a policy on one device and on eight forced host devices; prints whether the episodes are the same."""

import json
import os

# Compiling is most of the time, and unoptimised code compiles in half of it.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import campaigns
import jax
import numpy as np

from retentionjax.env import EnvParams, RetentionEnv
from retentionjax.evaluation import baselines, rollout
from retentionjax.rl.sharding import device_mesh

rollout.CHUNK = 50


def main() -> None:
    params, key = EnvParams(population=campaigns.synthetic_population(37), horizon_days=20), jax.random.key(3)
    found = {"devices": jax.device_count(), "advanced": 0}

    def advance(episodes: int) -> None:
        found["advanced"] += episodes

    policy = baselines.random(0.7)
    one = rollout.play(RetentionEnv(), params, policy, key, replicates=13, mesh=device_mesh(1))
    many = rollout.play(RetentionEnv(), params, policy, key, replicates=13, advance=advance)
    same = all(np.array_equal(a, b) for a, b in zip(one, many, strict=True))
    found |= {"same": same, "shape": many.made.shape, "contacts": float(many.contacts.sum())}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
