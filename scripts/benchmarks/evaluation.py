"""Evaluation speed: customer-days a second of whole campaigns on this machine, against gymnax CartPole.

Ours: `evaluation.rollout`, as `evaluate` plays it (observation, mask, decision, day, sums), for the rules `never` and
`threshold` and a PPO-sized network. CartPole: gymnax, a random policy. Per second of wall time with all cores, and per
CPU-second, which a busy machine does not blur; turn by turn, compilation excluded.
"""

import statistics
import time
from collections.abc import Callable

import gymnax
import jax
import jax.numpy as jnp
from benchmarks.env import ROWS, STEPS, compiled, customers

from retentionjax.env import EnvParams, RetentionEnv
from retentionjax.evaluation import baselines, learned
from retentionjax.evaluation.rollout import CHUNK, Policy, play_chunk
from retentionjax.rl import networks

TURNS = 5
DAYS = 90
CLOCKS: dict[str, Callable[[], float]] = {"second": time.perf_counter, "cpu_second": time.process_time}


def run() -> dict[str, float]:
    """Medians over the turns; each ratio is the median of the turns' ratios."""
    params = EnvParams(population=customers())
    turns: dict[str, list[float]] = {}
    contenders: dict[str, Callable[[int], int]] = {
        "never": _ours(params, baselines.never()),
        "threshold": _ours(params, baselines.threshold(0.3)),
        "network": _ours(params, _network()),
        "cartpole": _cartpole(),
    }
    for play in contenders.values():
        play(0)
    for turn in range(TURNS):
        for name, play in contenders.items():
            for clock, speed in _speeds(play, turn + 1).items():
                turns.setdefault(f"{name}_days_per_{clock}", []).append(speed)
    figures: dict[str, float] = {}
    for clock in CLOCKS:
        pairs = zip(turns[f"threshold_days_per_{clock}"], turns[f"cartpole_days_per_{clock}"], strict=True)
        figures[f"threshold_ratio_to_cartpole_per_{clock}"] = statistics.median(one / other for one, other in pairs)
    return figures | {name: statistics.median(each) for name, each in turns.items()}


def _speeds(play: Callable[[int], int], seed: int) -> dict[str, float]:
    before = {clock: now() for clock, now in CLOCKS.items()}
    days = play(seed)
    return {clock: days / (now() - before[clock]) for clock, now in CLOCKS.items()}


def _ours(params: EnvParams, policy: Policy) -> Callable[[int], int]:
    env, rows = RetentionEnv(), jnp.arange(CHUNK, dtype=jnp.int32) % params.population.size

    def play(seed: int) -> int:
        jax.block_until_ready(play_chunk(env, params, policy, jax.random.key(seed), rows, DAYS))
        return CHUNK * DAYS

    return play


def _network() -> Policy:
    nets = networks.init_actor_critic(jax.random.key(0), 16, 13, learned.NUM_HEADS, (64, 64), 2.0)
    return learned.ppo(networks.PolicyNetwork(actor=nets.actor, normaliser=None, activation="tanh"), 4.0)


def _cartpole() -> Callable[[int], int]:
    roll = compiled(*gymnax.make("CartPole-v1"))

    def play(seed: int) -> int:
        roll(jax.random.key(seed)).block_until_ready()
        return ROWS * STEPS

    return play
