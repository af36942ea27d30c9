"""`retentionjax score` against the loop one writes first: XGBoost and NumPy over pandas batches, in the same process.

Both read the same Parquet file of customers (Telco's and Bank's facts drawn together), decide each on day 0 by the
same models and the same policy network, and write Parquet; compilation excluded, turns taken one after another. Memory
is the peak of a process of its own that scores a few rows, and of one that scores many.

    python scripts/bench.py score
    PYTHONPATH=scripts python -m benchmarks.score 10000000     # memory and speed over so many rows
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.bundle import served
from retentionjax import bundle as bundles
from retentionjax.bundle import Bundle, Contents
from retentionjax.company import Company
from retentionjax.data.sources import load
from retentionjax.env import EnvParams, actions, observation
from retentionjax.env.actions import WAIT
from retentionjax.evaluation import learned
from retentionjax.rl import networks
from retentionjax.score import plan as plans
from retentionjax.score import source
from retentionjax.score.running import Request
from retentionjax.score.running import run as score
from retentionjax.score.scorer import Scorer
from retentionjax.storage import as_path
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import Classifier, fit
from retentionjax.tabular.encoder import Encoder

ROWS, TURNS, SHARD = 100_000, 3, 50_000
FEW, MANY = 100_000, 1_000_000
PIECE = 100_000
PARAMS = EnvParams()
ACTIONS = actions.count(PARAMS)


def run() -> dict[str, float]:
    """Rows a CPU-second of both, the ratio (above 1: ours wins), and the peak memory over few rows and many."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policy, bundle = make(folder / "bundle")
        customers = generate(bundle, folder / "customers.parquet", ROWS)
        figures = compare(policy, bundle, customers, folder)
        for label, rows in (("few", FEW), ("many", MANY)):
            figures |= {f"{label}_{key}": value for key, value in alone(folder, rows).items()}
    figures["ratio_memory_many_to_few"] = figures["many_peak_mb"] / figures["few_peak_mb"]
    figures["ratio_to_numpy_loop"] = figures["rows_per_cpu_second"] / figures["numpy_loop_rows_per_cpu_second"]
    return figures


DEMO = Path(__file__).parents[2] / "experiments/companies/demo.yaml"


def make(folder: Path) -> tuple[learned.Trained, Bundle]:
    """Models of Telco and Bank as the demo trains them, and a policy of the demo's size that learned nothing."""
    tables = {name: load(name) for name in ("telco", "bank")}
    config = BoosterConfig()
    models: dict[str, Classifier] = {}
    for name, table in tables.items():
        schema, frame = table.schema, table.frame
        encoder = Encoder(schema.numeric, schema.categorical, schema.nullable)
        label = frame[str(schema.label)].to_numpy(np.int64)
        models[name] = fit(frame, label, encoder, config, seed=0, folds=2)
    sizes = (observation.size(actions.offers(PARAMS)), ACTIONS, learned.NUM_HEADS, (64, 64), 2.0)
    nets = networks.init_actor_critic(jax.random.key(0), *sizes)
    policy = learned.Trained(learned.ppo(networks.PolicyNetwork(nets.actor, None, "tanh"), 1.0), nets.critic)
    contents = Contents(
        churn=models["telco"],
        churn_schema=tables["telco"].schema,
        acceptance=models["bank"],
        acceptance_schema=tables["bank"].schema,
        decide=served(policy),
        save_policy=lambda target: learned.save(policy, target),
        company=Company.load(DEMO),
        params=PARAMS,
        limits={"campaign_budget": 2.5, "contact": None, "cooldown": 0.0, "fatigue": 0.0},
        multipliers={"campaign_budget": 0.75},
        data={name: table.provenance for name, table in tables.items()},
        metrics={},
        matching={"method": "independent draw"},
        git_commit=None,
    )
    bundles.write(folder, contents)
    return policy, bundles.load(folder)


def generate(bundle: Bundle, path: Path, rows: int) -> Path:
    """A file of `rows` customers, each with the facts of a drawn Telco customer and a drawn Bank client, in pieces."""
    frames = [load(name).frame for name in ("telco", "bank")]
    random = np.random.default_rng(0)
    names = dict.fromkeys((*bundle.schema.features, str(bundle.schema.charge)))
    writer = None
    for first in range(0, rows, PIECE):
        count = min(PIECE, rows - first)
        drawn = [frame.iloc[random.integers(0, len(frame), count)].reset_index(drop=True) for frame in frames]
        columns = pd.concat(drawn, axis=1)
        ids = pa.array([f"C{number:010d}" for number in range(first, first + count)])
        piece = pa.table({"customer_id": ids, **{name: pa.array(columns[name], from_pandas=True) for name in names}})
        writer = writer or pq.ParquetWriter(path, piece.schema)
        writer.write_table(piece)
    if writer is not None:
        writer.close()
    return path


def compare(policy: learned.Trained, bundle: Bundle, customers: Path, folder: Path) -> dict[str, float]:
    """Rows a CPU-second of both, the best of a few alternating turns."""
    files = source.find(customers)
    sources = source.describe(files)
    plan = plans.Plan(bundle.manifest.id, synthetic=False, rows_per_shard=SHARD, sources=sources)
    scorer = Scorer(bundle, plan, files, as_path(folder / "out"))
    scorer.warm()
    weights = [(np.asarray(layer.kernel), np.asarray(layer.bias)) for layer in policy.policy.parameters.actor]
    times: dict[str, list[float]] = {"ours": [], "loop": []}
    for _ in range(TURNS):
        shutil.rmtree(folder / "out", ignore_errors=True)
        started = time.process_time()
        for shard in plan.shards:
            scorer.score(shard)
        times["ours"].append(time.process_time() - started)
        started = time.process_time()
        numpy_loop(bundle, weights, customers, folder / "loop.parquet")
        times["loop"].append(time.process_time() - started)
    return {
        "rows_per_cpu_second": ROWS / min(times["ours"]),
        "numpy_loop_rows_per_cpu_second": ROWS / min(times["loop"]),
    }


def numpy_loop(bundle: Bundle, weights: list[tuple[np.ndarray, np.ndarray]], customers: Path, out: Path) -> None:
    """The plain way: batches as pandas, both models by XGBoost, observation, network and draw by NumPy."""
    random, params, writer = np.random.default_rng(0), bundle.params, None
    offers, categorical = np.asarray(params.discount), bundle.schema.categorical
    for rows in pq.ParquetFile(customers).iter_batches(65_536):
        frame = rows.to_pandas()
        for name, allowed in categorical.items():
            frame[name] = pd.Categorical(frame[name], categories=list(allowed))
        charge = frame[str(bundle.schema.charge)].to_numpy()
        churn = bundle.churn.predict(frame).clip(1e-4, 1 - 1e-4)
        accept = bundle.acceptance.predict(frame).clip(1e-4, 1 - 1e-4)
        seen = fresh_observation(churn, accept, charge, offers)
        mask = np.ones((len(frame), ACTIONS), bool)
        mask[:, 1:] = np.repeat(offers * charge[:, None] + 0.5 <= 30.0, 3, axis=1)
        hidden = seen
        for kernel, bias in weights[:-1]:
            hidden = np.tanh(hidden @ kernel + bias)
        logits = np.where(mask, hidden @ weights[-1][0] + weights[-1][1], -1e9)
        logits[:, WAIT] += 1.0
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        propensities = shifted / shifted.sum(axis=1, keepdims=True)
        action = (propensities.cumsum(axis=1) < random.random((len(frame), 1))).sum(axis=1)
        columns = {"customer_id": rows.column("customer_id"), "churn_probability": churn, "action": action}
        piece = pa.table({**columns, **{f"p{place}": propensities[:, place] for place in range(ACTIONS)}})
        writer = writer or pq.ParquetWriter(out, piece.schema, compression="zstd")
        writer.write_table(piece)
    if writer is not None:
        writer.close()


def fresh_observation(churn: np.ndarray, accept: np.ndarray, charge: np.ndarray, offers: np.ndarray) -> np.ndarray:
    """Observation of customers never contacted, on the first day, in a calm period (see `env.observation`)."""
    seen = np.zeros((len(churn), observation.size(actions.offers(PARAMS))), np.float32)
    average, share = 1 - (1 - churn) ** (1 / 30), (1 / 45) / (1 / 45 + 1 / 7)
    calm = average / (1 - share + 6.0 * share)
    seen[:, 0] = 1 - (1 - calm) ** 30
    seen[:, 1:5] = 1 / (1 + np.exp(-(np.log(accept / (1 - accept))[:, None] + 8.0 * offers)))
    seen[:, 5], seen[:, 8], seen[:, 10], seen[:, 15] = 1.0, 1.0, np.log(charge / 65.0), churn
    return seen


def alone(folder: Path, rows: int) -> dict[str, float]:
    """Peak memory and speed of scoring so many rows, in a process that does nothing else."""
    customers = folder / f"customers_{rows}.parquet"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(_generate, str(folder / "bundle"), customers, rows).result()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        figures: dict[str, float] = pool.submit(_score, str(folder / "bundle"), customers).result()
    customers.unlink()
    return figures


def _generate(bundle: str, customers: Path, rows: int) -> None:
    generate(bundles.load(bundle), customers, rows)


def _score(bundle: str, customers: Path) -> dict[str, float]:
    started, out = time.process_time(), customers.with_suffix(".out")
    result = score(Request(bundle, customers, out))
    cpu = time.process_time() - started
    figures = {
        "rows": float(result.count.rows),
        "peak_mb": _peak_mb(),
        "rows_per_second": result.rows_now / result.seconds,
        "rows_per_cpu_second_all_included": result.rows_now / cpu,
        "output_bytes_per_row": sum(part.stat().st_size for part in out.glob("part-*")) / result.count.rows,
    }
    shutil.rmtree(out)
    return figures


def _peak_mb() -> float:
    """Peak memory of this process alone (Linux); `ru_maxrss` would count what the parent held before the start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main(rows: int) -> None:
    """Prints the figures of `alone`."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        make(Path(name) / "bundle")
        for key, value in alone(Path(name), rows).items():
            print(f"{key:<36}{value:>16,.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
