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

AT_ONCE = 8


class Feed:
    """A pipe by which new customers come, `AT_ONCE` at a time, and the bytes that Python holds are noted every so many
    `batches`."""

    writer: Writer

    def __init__(self, batches: int) -> None:
        self.given, self.batches = 0, batches
        self.held: list[int] = []

    def receive(self, seconds: float | None) -> bytes:
        if seconds is not None:
            return b""
        if self.given and self.given % (AT_ONCE * self.batches) == 0:
            tracemalloc.start()  # not before: what is done for the first time is slow enough without
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


@pytest.mark.parametrize(
    ("batches", "kept"),
    [
        (10, 200),  # of few decisions what comes and goes counts: the answer kept of each would be more
        pytest.param(100, 20, marks=pytest.mark.slow),  # a field kept of each would be more
    ],
)
def test_decisions_leave_nothing_in_memory(
    folder: Path, served: Served, tmp_path: Path, batches: int, kept: int
) -> None:
    """`kept`: bytes a decision that are not yet called a leak."""
    settings, feed = engines.settings(folder, tmp_path), Feed(batches)
    ledger = Ledger.open(settings.database, clock=engines.Clock())
    engines.prepare(ledger, dollars=1e6, customers=64, start=engines.MIDDAY - 3600)
    feed.writer = Writer(ledger, settings, Metrics(), feed, AT_ONCE)
    feed.writer.lineup = Lineup(Slot(str(folder), served))
    try:
        feed.writer.run()
    finally:
        tracemalloc.stop()
        ledger.close()
    assert feed.given == 4 * AT_ONCE * batches
    _, first, second, third = feed.held
    assert max(second, third) - first < kept * AT_ONCE * batches
