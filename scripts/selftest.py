#!/usr/bin/env python3
"""Does this machine compute, and how fast: `python scripts/selftest.py [--seconds 60] [--json FILE]`.

Three figures, each on the accelerator and beside it on this machine's CPU: steps of the environment a second, steps a
second of PPO training on it, tokens a second of the sampler. Without an accelerator, the CPU's alone. Compilation is
reported apart. The time is shared evenly; a figure takes at least one round, so a slow CPU takes longer.
"""

import own_environment  # noqa: F401 - goes on in .venv, before what is installed there is imported

# isort: split
import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from retentionjax import rl
from retentionjax.env import EnvParams, Population, RetentionEnv
from retentionjax.env.value import with_potential
from retentionjax.language import hub, sampler, stepwise
from retentionjax.language.sampler import SamplingConfig

ENVS, STEPS = 2_048, 64  # of the environment and of a PPO iteration
TEXTS, PROMPT, NEW = 64, 32, 64  # of the random model `tiny`, 64 wide, 4 layers
Round = Callable[[], Any]


def rounds() -> dict[str, tuple[Callable[[], Round], int, str]]:
    """Rounds by name: what makes one, the units it does, and their word. Made inside the device it is to run on."""
    return {
        "environment": (environment, ENVS * STEPS, "steps"),
        "ppo": (ppo, ENVS * STEPS, "steps"),
        "sampler": (sampling, TEXTS * NEW, "tokens"),
    }


def environment() -> Round:
    env, params = RetentionEnv(), customers()

    @jax.jit
    def roll(key: jax.Array) -> jax.Array:
        first, key = jax.random.split(key)
        _, state = jax.vmap(env.reset, (0, None))(jax.random.split(first, ENVS), params)

        def step(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            keys = jax.random.split(key, 2 * ENVS)
            actions = jax.vmap(env.action_space(params).sample)(keys[:ENVS])
            _, carry, reward, *_ = jax.vmap(env.step, (0, 0, 0, None))(keys[ENVS:], carry, actions, params)
            return carry, reward.sum()

        return jax.lax.scan(step, state, jax.random.split(key, STEPS))[1].sum()

    return lambda: roll(jax.random.key(0))


def ppo() -> Round:
    env, params = RetentionEnv(expected_churn=True, shaping=True), with_potential(customers())
    config = rl.PPOConfig(
        num_iterations=1, num_envs=ENVS, num_steps=STEPS, num_minibatches=16, limits=(2.5, float("inf"), 0.0, 0.0)
    )
    iterate = jax.jit(lambda state: rl.train_iteration(env, params, config, state)[0])
    state = rl.init(env, params, config, jax.random.key(0))
    return lambda: iterate(state)


def sampling() -> Round:
    on_cpu = jax.config.jax_default_device.platform == "cpu"
    model = stepwise.take_apart(hub.load("tiny").decoder, apart=on_cpu)
    tokens = np.random.default_rng(0).integers(10, 400, (TEXTS, PROMPT), np.int32)
    mask, keys = np.ones(tokens.shape, bool), sampler.keys_of(np.arange(TEXTS))
    config = SamplingConfig(max_new_tokens=NEW, eos=None)
    return lambda: sampler.sample(model, None, tokens, mask, keys, config=config)


def customers() -> EnvParams:
    random = np.random.default_rng(0)
    columns = random.uniform(18, 119, 5_634), random.beta(1, 3, 5_634), random.beta(1, 8, 5_634)
    return EnvParams(population=Population(*(jnp.asarray(column, jnp.float32) for column in columns)))


def measure(make: Callable[[], Round], units: int, device: jax.Device, seconds: float) -> dict[str, float]:
    """Units a second on `device`, over as many rounds as fit into `seconds`, at least one after the compiling one."""
    with jax.default_device(device):
        started = time.perf_counter()
        once = make()
        jax.block_until_ready(once())
        compiled = time.perf_counter() - started
        count, started = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - started + compiled < seconds:
            jax.block_until_ready(once())
            count += 1
        return {"per_second": units * count / (time.perf_counter() - started), "first_round_seconds": compiled}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all figures together (60)")
    parser.add_argument("--expect", choices=("cpu", "gpu", "tpu"), help="fail unless JAX finds this kind of device")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    found = jax.devices()
    print(f"JAX {jax.__version__} on {found[0].platform}: {', '.join(str(device.device_kind) for device in found)}")
    if arguments.expect and found[0].platform != arguments.expect:
        print(f"error: JAX computes on {found[0].platform}, not on {arguments.expect}", file=sys.stderr)
        return 1
    devices = [found[0]] if found[0].platform == "cpu" else [found[0], jax.devices("cpu")[0]]
    share = arguments.seconds / (3 * len(devices))
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, (make, units, word) in rounds().items():
        figures[name] = {device.platform: measure(make, units, device, share) for device in devices}
        shown = [f"{each['per_second']:>14,.0f} {word}/s on {on}" for on, each in figures[name].items()]
        first = figures[name][found[0].platform]["first_round_seconds"]
        print(f"{name:<12}{', '.join(shown)}  (first round, with compiling, {first:.1f} s)", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print("self-test: OK")
    return 0


if __name__ == "__main__":
    sys.exit(main())
