"""The JAX forest against XGBoost's own prediction with one thread: one row at a time, and 65,536 rows at once.

Both predict the same encoded rows with the same trees (100 of depth 6, and 100 of depth 4, on Telco and Bank). One
row: wall time of a compiled call, dispatch included, against Booster.inplace_predict. Many rows: CPU time. All in a
process of its own that has one core; rounds alternate between the two, and the best round of each counts, so that a
busy machine hits both alike.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from retentionjax.data import load
from retentionjax.tabular import forest
from retentionjax.tabular.boosting import BoosterConfig, score, train
from retentionjax.tabular.encoder import Encoder

ROUNDS_OF_ONE, CALLS = 60, 20
ROUNDS_OF_MANY = 7
MANY = 65_536
DEEP = BoosterConfig(trees=100, depth=6, learning_rate=0.1, minimum_leaf_weight=1.0)
SHAPES = {"100x6": DEEP, "100x4": BoosterConfig(trees=100, depth=4)}


def run() -> dict[str, float]:
    """Microseconds a row at batch 1, rows a CPU-second at batch 65,536, and the ratios (above 1: the forest wins)."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _take_one_core) as alone:
        return alone.submit(_measure).result()


def _take_one_core() -> None:
    """Before JAX starts its threads: it makes as many as the process has cores."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _measure() -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in ("telco", "bank"):
        table = load(name)
        schema = table.schema
        encoder = Encoder(schema.numeric, schema.categorical, schema.nullable)
        x = encoder.encode(table.frame)
        for shape, config in SHAPES.items():
            measured = _compare(x, table.frame[schema.label].to_numpy(np.int64), encoder.types, config)
            figures |= {f"{name}_{shape}_{key}": value for key, value in measured.items()}
    return figures


def _compare(x: np.ndarray, label: np.ndarray, types: list[str], config: BoosterConfig) -> dict[str, float]:
    booster = train(x, label, types, config, seed=42)
    predict = jax.jit(forest.predict)
    compiled = forest.compile(booster)
    many = np.resize(x, (MANY, x.shape[1]))
    one_device, many_device = jnp.asarray(many[:1]), jnp.asarray(many)
    difference = float(np.abs(np.asarray(predict(compiled, x)) - score(booster, x)).max())

    def forest_once() -> None:
        for _ in range(CALLS):
            predict(compiled, one_device).block_until_ready()

    def booster_once() -> None:
        for _ in range(CALLS):
            booster.inplace_predict(many[:1])

    one = _best([forest_once, booster_once], ROUNDS_OF_ONE, time.perf_counter)
    bulk = _best(
        [lambda: predict(compiled, many_device).block_until_ready(), lambda: booster.inplace_predict(many)],
        ROUNDS_OF_MANY,
        time.process_time,
    )
    return {
        "ratio_batch_1": one[1] / one[0],
        "ratio_batch_65536": bulk[1] / bulk[0],
        "forest_microseconds": one[0] / CALLS * 1e6,
        "xgboost_microseconds": one[1] / CALLS * 1e6,
        "forest_rows_per_cpu_second": MANY / bulk[0],
        "xgboost_rows_per_cpu_second": MANY / bulk[1],
        "largest_difference_e9": difference * 1e9,
    }


def _best(calls: list[Callable[[], object]], rounds: int, clock: Callable[[], float]) -> list[float]:
    """Least time of each call over alternating rounds, after one that compiles."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for place, call in enumerate(calls):
            start = clock()
            call()
            if number:
                times[place].append(clock() - start)
    return [min(each) for each in times]
