"""Training under doubt: CPU of an iteration whose episodes draw their effects from 128 worlds, against fixed effects.

The demo's size (1,024 environments, 90 days) on simulated customers, turn by turn, compilation excluded.
"""

import statistics
import time
from typing import Any

import jax
import numpy as np

from experiments.hidden import ENV, Trainer, people, settings
from retentionjax.effects import belief, draws_to_params
from retentionjax.effects.simulation import OFFERS, PRIOR
from retentionjax.env import EnvParams, worlds
from retentionjax.env.value import with_potential
from retentionjax.rl import ppo

TURNS, ITERATIONS, WORLDS = 7, 2, 128


def run() -> dict[str, float]:
    """Medians over the turns; the ratio is the median of the turns' ratios."""
    trainer, known = Trainer(settings(200, 1024)), people(2_000, 0)
    states: dict[str, tuple[EnvParams, Any]] = {}
    for name, params in (("fixed", known), ("doubted", _doubted(known))):
        params = with_potential(params)
        state = ppo.init(ENV, params, trainer.settings, jax.random.key(0))
        states[name] = params, trainer.iterate(params, state)[0]
    turns: dict[str, list[float]] = {name: [] for name in states}
    for _ in range(TURNS):
        for name, (params, state) in states.items():
            before = time.process_time()
            for _ in range(ITERATIONS):
                state, metrics = trainer.iterate(params, state)
            jax.block_until_ready(metrics)
            turns[name].append((time.process_time() - before) / ITERATIONS)
            states[name] = params, state
    ratios = [doubted / fixed for doubted, fixed in zip(turns["doubted"], turns["fixed"], strict=True)]
    seconds = {f"{name}_cpu_seconds_an_iteration": statistics.median(each) for name, each in turns.items()}
    return {"doubted_cpu_ratio_to_fixed": statistics.median(ratios), **seconds}


def _doubted(known: EnvParams) -> EnvParams:
    prior = belief.Belief.of(PRIOR)
    z = np.random.default_rng(0).standard_normal((WORLDS, len(prior.names)))
    return worlds.believing(known, draws_to_params(prior.values(z.astype(np.float32)), list(OFFERS), known))
