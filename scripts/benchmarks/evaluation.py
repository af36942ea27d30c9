"""Evaluation speed: customer-days a second of whole campaigns on this machine, against NumPy and gymnax CartPole.

Ours: `evaluation.rollout`, as `evaluate` plays it (observation, mask, decision, day, sums), for the rules `never` and
`threshold` and a PPO-sized network. NumPy: the same environment, rule and sums, vectorised over customers, written
for this benchmark (`peers/numpy_retention.py`) and first held against ours in expectation. CartPole: gymnax, a random
policy. Per second of wall time with all cores, and per CPU-second, which a busy machine does not blur; turn by turn,
compilation excluded.
"""

import statistics
import time
from collections.abc import Callable

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.env import ROWS, STEPS, compiled, customers
from benchmarks.peers import numpy_retention

from retentionjax.env import EnvParams, RetentionEnv
from retentionjax.evaluation import baselines, learned
from retentionjax.evaluation.rollout import CHUNK, Policy, play_chunk
from retentionjax.rl import networks

TURNS = 5
DAYS = 90
RISK = 0.3
CLOCKS: dict[str, Callable[[], float]] = {"second": time.perf_counter, "cpu_second": time.process_time}


def run() -> dict[str, float]:
    """Medians over the turns; each ratio is the median of the turns' ratios."""
    params = EnvParams(population=customers())
    rule = baselines.threshold(RISK)
    peer = numpy_retention.Campaign.of(params)
    _same_in_expectation(params, rule, peer)
    turns: dict[str, list[float]] = {}
    contenders: dict[str, Callable[[int], int]] = {
        "never": _ours(params, baselines.never()),
        "threshold": _ours(params, rule),
        "network": _ours(params, _network()),
        "numpy_never": lambda seed: peer.play(_rows(), 2.0, seed).size * DAYS,
        "numpy_threshold": lambda seed: peer.play(_rows(), RISK, seed).size * DAYS,
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
        for name, other in (("never", "numpy_never"), ("threshold", "numpy_threshold"), ("threshold", "cartpole")):
            pairs = zip(turns[f"{name}_days_per_{clock}"], turns[f"{other}_days_per_{clock}"], strict=True)
            key = f"{name}_ratio_to_{other.partition('_')[0]}_per_{clock}"
            figures[key] = statistics.median(ours / theirs for ours, theirs in pairs)
    return figures | {name: statistics.median(each) for name, each in turns.items()}


def _speeds(play: Callable[[int], int], seed: int) -> dict[str, float]:
    before = {clock: now() for clock, now in CLOCKS.items()}
    days = play(seed)
    return {clock: days / (now() - before[clock]) for clock, now in CLOCKS.items()}


def _rows() -> np.ndarray:
    return np.arange(CHUNK) % 5_634


def _ours(params: EnvParams, policy: Policy) -> Callable[[int], int]:
    env, rows = RetentionEnv(), jnp.asarray(_rows(), jnp.int32)

    def play(seed: int) -> int:
        jax.block_until_ready(play_chunk(env, params, policy, jax.random.key(seed), rows, DAYS))
        return CHUNK * DAYS

    return play


def _network() -> Policy:
    nets = networks.init_actor_critic(jax.random.key(0), 16, 13, learned.NUM_HEADS, (64, 64), 2.0)
    return learned.ppo(networks.PolicyNetwork(actor=nets.actor, normaliser=None, activation="tanh"), 4.0)


def _same_in_expectation(params: EnvParams, rule: Policy, peer: numpy_retention.Campaign) -> None:
    """Mean value, spend and contacts of the rule agree within four standard errors, or the comparison is void."""
    ours, theirs = [], []
    for seed in range(4):
        episodes, _ = play_chunk(
            RetentionEnv(), params, rule, jax.random.key(seed), jnp.asarray(_rows(), jnp.int32), DAYS
        )
        ours.append(np.stack([episodes.value, episodes.spend, episodes.contacts]))
        played = peer.play(_rows(), RISK, seed)
        theirs.append(np.stack([played.value, played.spend, played.contacts]))
    one, other = np.concatenate(ours, axis=1), np.concatenate(theirs, axis=1)
    error = np.sqrt((one.var(axis=1) + other.var(axis=1)) / one.shape[1])
    scores = (one.mean(axis=1) - other.mean(axis=1)) / error
    if np.abs(scores).max() > 4:
        raise SystemExit(f"the NumPy environment differs from ours: z of value, spend, contacts {scores.round(1)}")


def _cartpole() -> Callable[[int], int]:
    roll = compiled(*gymnax.make("CartPole-v1"))

    def play(seed: int) -> int:
        roll(jax.random.key(seed)).block_until_ready()
        return ROWS * STEPS

    return play
