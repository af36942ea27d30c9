"""Running a request to a finished output folder: plan → what is missing of it → score → summary."""

import importlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from etils import epath

from retentionjax import storage
from retentionjax.bundle import load
from retentionjax.decide.facts import Facts
from retentionjax.errors import ConfigError, DataError
from retentionjax.score.plan import NAME, SETTINGS, InputFile, Plan, ScoreSettings, Shard, settle
from retentionjax.score.scorer import NOTHING, Count, Scorer, check, read_count
from retentionjax.score.source import ScoredFile, describe, find
from retentionjax.tracking import duration, progress

SUMMARY = "summary.json"
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Request(ScoreSettings):
    """What is asked for."""

    bundle: str | os.PathLike[str]
    customers: str | os.PathLike[str]
    out: str | os.PathLike[str]
    engine: str = "local"
    workers: int = 2
    """Shards scored at once: threads here, processes on a cluster."""

    def __post_init__(self) -> None:
        """Refuses an unknown engine, no workers, and settings that cannot be."""
        super().__post_init__()
        if self.engine not in ENGINES:
            raise ConfigError(f"engine is {self.engine!r}; allowed: {', '.join(ENGINES)}")
        if self.workers < 1:
            raise ConfigError(f"workers is {self.workers}; allowed: 1 or more")


@dataclass(frozen=True)
class Result:
    """What lies in the output folder."""

    count: Count
    parts: int
    synthetic: bool
    advice: str
    """Why the bundle contacts nobody, and what to do; empty where it may."""
    currency: str
    numbered: bool
    """Some file has no ids: its rows are called by their numbers, from 0."""
    rows_now: int
    """Rows read in this call; the others were done before."""
    seconds: float
    """Seconds of scoring in this call, without loading, hashing and compiling."""

    @property
    def speed(self) -> str:
        """The result in words."""
        if not self.rows_now:
            return "all done before"
        return f"{self.rows_now:,} rows in {duration(self.seconds)}, {self.rows_now / self.seconds:,.0f} rows/s"


def run(request: Request) -> Result:
    """Scores what is not scored yet. Raises DataError, ConfigError or BundleError; what is finished then stays."""
    bundle = load(request.bundle)
    horizon = int(bundle.params.horizon_days)
    if not 0 <= request.day < horizon:
        raise ConfigError(f"--day is {request.day}; allowed: 0 to {horizon - 1}, the days of the campaign")
    files = find(request.customers, bundle.company.customers.reading)
    sources, facts = describe(files), Facts.of(bundle)
    for source in files.values():
        check(facts, request.usual, source)
    numbered = any(facts.lacks_ids(source.columns.names) for source in files.values())
    manifest = bundle.manifest
    asked = {name: getattr(request, name) for name in SETTINGS}
    plan = Plan(bundle=manifest.id, synthetic=manifest.synthetic, sources=sources, **asked)
    folder = storage.as_path(request.out)
    with storage.only_one(folder):
        settle(plan, folder)
        pending = [shard for shard in plan.shards if read_count(folder / shard.part, plan, shard) is None]
        rows_now = sum(shard.rows for shard in pending)
        started = time.monotonic()
        if pending:
            engine = local if request.engine == "local" else ray
            try:
                with progress("score", rows_now, "rows") as bar:
                    engine(Scorer(bundle, plan, files, folder), pending, bar.advance, workers=request.workers)
            except BaseException:
                if not any((folder / shard.part).exists() for shard in plan.shards):
                    (folder / NAME).unlink()  # nothing holds to this plan: the mended command may have another
                raise
        seconds = time.monotonic() - started
        count = _total(plan, folder, plan.shards)
        storage.write_json(folder / SUMMARY, {"plan": plan.id, "synthetic": plan.synthetic, **asdict(count)})
    told = manifest.advice, bundle.company.currency
    return Result(count, len(plan.shards), plan.synthetic, *told, numbered, rows_now, seconds)


def _total(plan: Plan, folder: epath.Path, shards: tuple[Shard, ...]) -> Count:
    """Total of all parts, each of which must be there, and account for every row of its shard."""
    total = NOTHING
    for shard in shards:
        count = read_count(folder / shard.part, plan, shard)
        if count is None or count.rows + count.rejected != shard.rows:
            raise RuntimeError(f"{folder / shard.part}: {count} of a shard of {shard.rows} rows")
        total += count
    return total


Done = Callable[[int], object]
"""Called with the rows of each finished shard."""


def local(scorer: Scorer, shards: Sequence[Shard], done: Done, *, workers: int) -> None:
    """Scores in `workers` threads of this process; the first error stops what has not begun."""
    scorer.warm()
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(scorer.score, shard): shard for shard in shards}
        try:
            for finished in as_completed(waiting):
                finished.result()
                done(waiting[finished].rows)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def ray(scorer: Scorer, shards: Sequence[Shard], done: Done, *, workers: int) -> None:
    """Scores by Ray Data: a row a shard, `map_batches` over actors that each load the bundle once.

    Every machine must reach the same paths (a bucket or a shared disk) and have this package installed. A cluster
    that runs already is used; otherwise Ray starts here with `workers` processors. Raises ConfigError without the
    extra `ray`.
    """
    try:
        cluster: Any = importlib.import_module("ray")  # an extra, without types, and seconds to import
        data: Any = importlib.import_module("ray.data")
    except ImportError:
        raise ConfigError("--engine ray needs the extra ray: bash scripts/setup.sh ray") from None
    if not cluster.is_initialized():
        address = os.environ.get("RAY_ADDRESS")
        own = {} if address else {"num_cpus": workers}
        cluster.init(address=address, include_dashboard=False, log_to_driver=False, **own)
    rows = [{"number": shard.number} for shard in shards]
    files = {name: source.anywhere for name, source in scorer.files.items()}
    arguments = str(scorer.bundle.folder), scorer.plan, files, storage.absolute(scorer.folder)
    scored = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Worker, fn_constructor_args=arguments, batch_size=1, concurrency=workers
    )
    for batch in scored.iter_batches(batch_size=1):
        done(int(batch["rows"].sum()))


class _Worker:
    """A process of the cluster: the bundle loaded and compiled once, then shard after shard."""

    def __init__(self, bundle: str, plan: Plan, files: Mapping[str, ScoredFile], folder: str) -> None:
        self._scorer = Scorer(load(bundle), plan, files, storage.as_path(folder))
        self._shards = plan.shards

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shards = [self._shards[int(number)] for number in batch["number"]]
        for shard in shards:
            planned = self._scorer.plan.sources[shard.source]
            _check_unchanged(self._scorer.files[planned.name], planned)
            self._scorer.score(shard)
        return {"rows": np.array([shard.rows for shard in shards])}


def _check_unchanged(source: ScoredFile, planned: InputFile) -> None:
    """Refuses other rows than those of the plan: each worker asks a query or an address anew, and where the order
    differs, one customer would be decided about twice and another never. Raises DataError."""
    if not source.is_read_in_place and source.sha256 != planned.sha256:
        raise DataError(
            f"{source}: other rows, or in another order, than when the run began; allowed: the same each time it is "
            "read, such as those of a query with ORDER BY"
        )
