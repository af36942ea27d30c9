"""Where shards are scored: here, in threads, or on a Ray cluster. The output is the same to the last byte."""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
from etils import epath

from retentionjax import storage
from retentionjax.bundle import Bundle, load
from retentionjax.errors import ConfigError
from retentionjax.score.plan import Plan, Shard
from retentionjax.score.scorer import Scorer

ENGINES = ("local", "ray")
Done = Callable[[int], object]
"""Called with the rows of each finished shard."""


def local(
    bundle: Bundle,
    plan: Plan,
    shards: Sequence[Shard],
    files: Mapping[str, epath.Path],
    folder: epath.Path,
    done: Done,
    *,
    workers: int,
) -> None:
    """Scores in `workers` threads of this process; the first error stops what has not begun."""
    scorer = Scorer(bundle, plan)
    scorer.warm()
    with ThreadPoolExecutor(workers) as pool:
        waiting = {
            pool.submit(scorer.score, shard, files[plan.sources[shard.source].name], folder): shard for shard in shards
        }
        try:
            for finished in as_completed(waiting):
                finished.result()
                done(waiting[finished].rows)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def ray(
    bundle: Bundle,
    plan: Plan,
    shards: Sequence[Shard],
    files: Mapping[str, epath.Path],
    folder: epath.Path,
    done: Done,
    *,
    workers: int,
) -> None:
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
    arguments = (
        str(bundle.folder),
        plan,
        {name: os.fspath(path if storage.is_cloud(path) else path.resolve()) for name, path in files.items()},
        os.fspath(folder if storage.is_cloud(folder) else folder.resolve()),
    )
    scored = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Worker, fn_constructor_args=arguments, batch_size=1, concurrency=workers
    )
    for batch in scored.iter_batches(batch_size=1):
        done(int(batch["rows"].sum()))


class _Worker:
    """A process of the cluster: the bundle loaded and compiled once, then shard after shard."""

    def __init__(self, bundle: str, plan: Plan, files: Mapping[str, str], folder: str) -> None:
        self._plan, self._shards = plan, plan.shards
        self._scorer = Scorer(load(bundle), plan)
        self._files = {name: storage.as_path(path) for name, path in files.items()}
        self._folder = storage.as_path(folder)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shards = [self._shards[int(number)] for number in batch["number"]]
        for shard in shards:
            self._scorer.score(shard, self._files[self._plan.sources[shard.source].name], self._folder)
        return {"rows": np.array([shard.rows for shard in shards])}
