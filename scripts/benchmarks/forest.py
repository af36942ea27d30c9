"""The JAX forest against XGBoost's own prediction with one thread: one row at a time, and 65,536 rows at once.

All predict the same encoded rows with the same trees: 100 of depth 6 and 100 of depth 4 on Telco and Bank, which hold
few distinct splits, and on made-up rows of 20 columns, half of them continuous, 100 of depth 4, 6, 8 and 10, which
hold 2,066 at depth 6 and 2,511 at depth 8. One row: wall time of a compiled call with its dispatch. Many
rows: CPU time. All in a process of its own that has one core; rounds alternate between the peers, and the best round
of each counts, so that a busy machine hits all alike. Where `tl2cgen` is installed and finds a C compiler, the
trees compiled to C are a peer too (`…_tl2cgen_…`); it reads no categorical splits of XGBoost, so on made-up rows only.
"""

import importlib.util
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xgboost

from retentionjax.data.sources import load
from retentionjax.tabular import forest
from retentionjax.tabular.boosting import BoosterConfig, score, train
from retentionjax.tabular.encoder import Encoder
from retentionjax.tabular.ensemble import read_ensemble

ROUNDS_OF_ONE, CALLS = 60, 20
ROUNDS_OF_MANY = 7
MANY = 65_536
DEEP = BoosterConfig(trees=100, depth=6, learning_rate=0.1, minimum_leaf_weight=1.0)
SHAPES = {"100x6": DEEP, "100x4": BoosterConfig(trees=100, depth=4)}
MADE_UP_ROWS, MADE_UP_DEPTHS = 20_000, (4, 6, 8, 10)
Peers = dict[str, Callable[[np.ndarray], object]]


def run() -> dict[str, float]:
    """Microseconds a row at batch 1, rows a CPU-second at batch 65,536, and the ratios (above 1: the forest wins)."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _take_one_core) as alone:
        return alone.submit(_measure).result()


def _take_one_core() -> None:
    """Keeps to one core. Called before JAX starts its threads: it makes as many as the process has cores."""
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
    x, label = _made_up()
    for depth in MADE_UP_DEPTHS:
        config = BoosterConfig(trees=100, depth=depth, learning_rate=0.3, minimum_leaf_weight=1.0)
        measured = _compare(x, label, ["q"] * x.shape[1], config)
        figures |= {f"made_up_100x{depth}_{key}": value for key, value in measured.items()}
    return figures


def _made_up() -> tuple[np.ndarray, np.ndarray]:
    """Twenty columns, half of them continuous, and a label that depends on some of them."""
    random = np.random.default_rng(0)
    x = random.normal(size=(MADE_UP_ROWS, 20)).astype(np.float32)
    x[:, 10:] = random.integers(0, 5, (MADE_UP_ROWS, 10))
    score = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * x[:, 12] + np.sin(3 * x[:, 3]) + random.normal(size=MADE_UP_ROWS)
    return x, (score > 0).astype(np.int64)


def _peers(booster: xgboost.Booster, types: list[str]) -> Peers:
    """Other predictors of the same trees, by name."""
    peers: Peers = {"xgboost": booster.inplace_predict}
    if "c" in types or importlib.util.find_spec("tl2cgen") is None:
        return peers
    import tl2cgen
    import treelite

    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/trees.so"
        model = treelite.frontend.from_xgboost(booster)
        tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params={"parallel_comp": 8})
        compiled = tl2cgen.Predictor(library, nthread=1)
    return peers | {"tl2cgen": lambda rows: compiled.predict(tl2cgen.DMatrix(rows))}


def _compare(x: np.ndarray, label: np.ndarray, types: list[str], config: BoosterConfig) -> dict[str, float]:
    booster = train(x, label, types, config, seed=42)
    predict = jax.jit(forest.predict)
    compiled, trees = forest.compile(booster), read_ensemble(booster).trees
    many = np.resize(x, (MANY, x.shape[1]))
    one_device, many_device = jnp.asarray(many[:1]), jnp.asarray(many)
    difference = float(np.abs(np.asarray(predict(compiled, x)) - score(booster, x)).max())

    def forest_once() -> None:
        for _ in range(CALLS):
            predict(compiled, one_device).block_until_ready()

    def peer_once(predict_rows: Callable[[np.ndarray], object]) -> None:
        for _ in range(CALLS):
            predict_rows(many[:1])

    peers = _peers(booster, types)
    one = _best([forest_once, *(partial(peer_once, peer) for peer in peers.values())], ROUNDS_OF_ONE, time.perf_counter)
    every: list[Callable[[], object]] = [lambda: predict(compiled, many_device).block_until_ready()]
    every += [partial(predict_rows, many) for predict_rows in peers.values()]
    bulk = _best(every, ROUNDS_OF_MANY, time.process_time)
    splits = {(node.feature, node.threshold, node.members) for tree in trees for node in tree.splits.values()}
    figures = {
        "distinct_splits": float(len(splits)),
        "forest_microseconds": one[0] / CALLS * 1e6,
        "forest_rows_per_cpu_second": MANY / bulk[0],
        "largest_difference_e9": difference * 1e9,
    }
    for place, name in enumerate(peers, 1):
        figures |= {
            f"{name}_ratio_batch_1": one[place] / one[0],
            f"{name}_ratio_batch_65536": bulk[place] / bulk[0],
            f"{name}_microseconds": one[place] / CALLS * 1e6,
            f"{name}_rows_per_cpu_second": MANY / bulk[place],
        }
    return figures


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
