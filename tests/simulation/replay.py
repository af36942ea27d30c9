"""Histories from their seeds: `python -m simulation.replay SEED [LAST]`, with all that happened in one that fails."""

import functools
import logging
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import bundles
import structlog
from simulation.books import Broken
from simulation.history import History

from serving.engine.slots import Served
from serving.ledger import Ledger

SIZES = (1, 8)
COMMAND = "PYTHONPATH=.:tests python -m simulation.replay"


@functools.cache
def blank() -> bytes:
    """The file of a ledger in which nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        Ledger.open(f"sqlite:///{folder}/ledger.db", clock=lambda: 0.0).close()
        return Path(folder, "ledger.db").read_bytes()


def failure(seed: int, served: Served) -> str:
    """What broke in the history of a seed, with all that happened; empty if nothing did."""
    history = History(seed, served, blank())
    try:
        history.run()
    except (Broken, Exception) as broken:  # noqa: BLE001 - nothing is allowed to be raised
        return "\n".join([*history.trace, f"seed {seed}: {broken!r}", f"replay: {COMMAND} {seed}"])
    return ""


def quiet() -> None:
    """Leaves out what the engine logs, which is much where so much fails."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def main() -> int:
    first, last = int(sys.argv[1]), int(sys.argv[-1])
    if first < last:
        quiet()
    with tempfile.TemporaryDirectory() as folder:
        return search(range(first, last + 1), Served.load(str(bundles.make_checked(Path(folder, "bundle"))), SIZES))


def search(seeds: Iterable[int], served: Served) -> int:
    """The exit code: 1 at the first history that fails, which is printed."""
    for seed in seeds:
        if found := failure(seed, served):
            print(found)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
