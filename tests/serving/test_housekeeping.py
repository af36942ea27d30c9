"""Housekeeping goes on whatever fails, says so and counts it."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from serving import housekeeping
from serving.housekeeping import Housekeeping
from serving.ledger import Ledger, LedgerUnavailable
from serving.observability.metrics import Metrics
from serving.security.gate import Gate
from serving.settings import Settings


class Keeping:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", clock=time.time)
        self.metrics = Metrics()
        gate = Gate(lambda _: None, rate=1.0, burst=1.0, cache_seconds=1.0)
        settings = Settings(bundle="none", database=f"sqlite:///{folder}/ledger.db")
        self.housekeeping = Housekeeping(self.ledger, gate, settings, self.metrics)

    def failures(self) -> list[str]:
        lines = self.metrics.exposition().decode().splitlines()
        return [line for line in lines if line.startswith("retentionjax_housekeeping_failures_total{")]


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Keeping]:
    made = Keeping(tmp_path)
    yield made
    made.ledger.close()


@pytest.mark.parametrize(
    "error", [LedgerUnavailable("gone"), RuntimeError("a defect"), MemoryError(), OSError(28, "full")]
)
def test_a_part_that_fails_is_said_and_counted_and_the_others_have_their_turn(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    purged: list[float] = []

    def fails(*_: Any) -> int:
        raise error

    monkeypatch.setattr(keeping.ledger, "expire", fails)
    monkeypatch.setattr(keeping.ledger, "purge", lambda days: purged.append(days) or 0)
    with structlog.testing.capture_logs() as said:
        keeping.housekeeping.once()
    name = type(error).__name__
    assert [(each["log_level"], each["part"], each["error"]) for each in said] == [("warning", "expire", name)]
    assert keeping.failures() == [f'retentionjax_housekeeping_failures_total{{error="{name}",part="expire"}} 1.0']
    assert purged == [400.0]


def test_the_next_round_comes_after_one_that_failed(keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "EVERY_SECONDS", 0.01)
    rounds: list[int] = []

    def fails(_: float) -> int:
        rounds.append(1)
        raise RuntimeError("again")

    monkeypatch.setattr(keeping.ledger, "expire", fails)

    async def several() -> None:
        running = asyncio.create_task(keeping.housekeeping.run())
        while len(rounds) < 3:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(asyncio.wait_for(several(), 30))
    assert len(keeping.failures()) == 1
