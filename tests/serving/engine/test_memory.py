"""What decisions leave in memory: nothing, however many there were."""

import gc
import tracemalloc
from pathlib import Path

import engines
import pytest

from serving.engine.contract import Wanted
from serving.engine.slots import Lineup, Served, Slot
from serving.engine.wire import frame
from serving.engine.writer import Writer
from serving.ledger import Ledger
from serving.observability.metrics import Metrics

AT_ONCE, BATCHES = 8, 100


class Feed:
    """A pipe by which new customers come, `AT_ONCE` at a time, and the bytes that Python holds are noted in between."""

    writer: Writer

    def __init__(self) -> None:
        self.given = 0
        self.held: list[int] = []

    def receive(self, seconds: float | None) -> bytes:
        if seconds is not None:
            return b""
        if self.given % (AT_ONCE * BATCHES) == 0:
            gc.collect()
            self.held.append(tracemalloc.get_traced_memory()[0])
        if len(self.held) == 4:
            self.writer.close()
            return b""
        self.given += AT_ONCE
        numbers = range(self.given - AT_ONCE, self.given)
        asks = [engines.ask(f"C-{each}", idempotency=("key", str(each), "digest")) for each in numbers]
        return b"".join(
            frame(Wanted(number, ask, self.writer._monotonic())) for number, ask in zip(numbers, asks, strict=True)
        )

    def send(self, data: bytes) -> None:
        pass

    def wake(self) -> None:
        pass


@pytest.mark.slow
def test_decisions_leave_nothing_in_memory(folder: Path, served: Served, tmp_path: Path) -> None:
    settings, feed = engines.settings(folder, tmp_path), Feed()
    ledger = Ledger.open(settings.database, clock=engines.Clock())
    engines.prepare(ledger, dollars=1e6, customers=64, start=engines.MIDDAY - 3600)
    feed.writer = Writer(ledger, settings, Metrics(), feed, AT_ONCE)
    feed.writer.lineup = Lineup(Slot(str(folder), served))
    tracemalloc.start()
    try:
        feed.writer.run()
    finally:
        tracemalloc.stop()
        ledger.close()
    assert feed.given == 3 * AT_ONCE * BATCHES
    _, first, second, third = feed.held
    assert max(second, third) - first < 20 * AT_ONCE * BATCHES  # a field kept of each decision would be more
