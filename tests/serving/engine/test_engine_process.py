"""The engine's process: what goes over its sockets, and what follows when it does not start or is killed.

Most tests run both ends in one process (`engines.InThisLoop`), so that clock and models can be the test's own; the last
ones here start the real process. One that is stopped and killed under a whole service is in `test_faults`.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import engines
import msgspec
import numpy as np
import pytest
from engines import ask, running

from retentionjax.errors import BundleError, ConfigError, ModelError, RetentionJaxError
from serving.engine import Engine, contract, wire
from serving.engine.contract import Decision, EngineError, EngineLost, Given, NotRunning, Wanted
from serving.engine.situations import Basis
from serving.engine.steps import BatchResult, Steps
from serving.ledger import Ledger, LedgerUnavailable
from serving.observability.metrics import Metrics
from serving.settings import Settings


def read(given: Given) -> Decision:
    return msgspec.json.decode(given.body, type=Decision)


def test_a_dry_run_comes_with_what_explains_it_and_is_not_written(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            given = await engine.decide(ask(dry_run=True))
            assert given.row is not None
            chances = np.frombuffer(given.row.propensities, "<f4")
            assert chances[read(given).action] == pytest.approx(read(given).propensity)
            assert msgspec.json.decode(given.row.basis, type=Basis).facts == engines.FACTS
            with ledger.read() as reader:
                assert reader.decision(given.decision_id) is None

    asyncio.run(main())


class Killable(engines.InThisLoop):
    """Hangs up when it is killed, as a process does."""

    def __init__(self, settings: Settings, *sockets: int, **options: Any) -> None:
        self._ends = [socket.socket(fileno=os.dup(each)) for each in sockets]
        super().__init__(settings, *sockets, **options)
        self._serving.add_done_callback(lambda _: [each.close() for each in self._ends])

    def kill(self) -> None:
        for each in self._ends:
            each.shutdown(socket.SHUT_RDWR)


def test_an_engine_that_leaves_a_decision_unanswered_is_started_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, works = threading.Event(), Steps.run

    def run(steps: Steps, *batch: Any) -> BatchResult:
        if not hangs.is_set():
            hangs.set()
            time.sleep(1.0)  # as long as it lives
        return works(steps, *batch)

    async def main() -> None:
        async with running(folder, tmp_path, deadline_ms=100.0) as (engine, _):
            with pytest.raises(EngineLost):
                await engine.decide(ask())
            await engines.until(lambda: engine.ready)
            assert read(await engine.decide(ask())).customer_id == "C-1"

    monkeypatch.setattr(engines, "InThisLoop", Killable)
    monkeypatch.setattr(Steps, "run", run)
    monkeypatch.setattr("serving.engine.engine._HUNG_SECONDS", 0.1)
    monkeypatch.setattr("serving.engine.engine._LOOK_SECONDS", 0.01)
    asyncio.run(main())


def test_bundles_change_there_and_are_shown_here(folder: Path, other: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, ledger):
            table = await engine.activate(str(other), "canary", 1.0)
            assert table.canary is not None
            assert engine.served(table.canary.served.id) is table.canary.served
            assert read(await engine.decide(ask())).bundle.id == table.canary.served.id
            with ledger.read() as reader:
                assert reader.slots() == table.record
            with pytest.raises(ConfigError, match="weight"):
                await engine.activate(str(other), "canary", 0.0)
            with pytest.raises(BundleError, match="no such folder"):
                await engine.activate(str(tmp_path / "nothing"))
            assert engine.lineup == table
            assert (await engine.deactivate("canary")).canary is None
            assert read(await engine.decide(ask("C-2"))).bundle.slot == "active"

    asyncio.run(main())


def counted(text: str, name: str) -> float:
    """The sum of a metric's series."""
    lines = [line for line in text.splitlines() if line.startswith(f"retentionjax_{name}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_metrics_are_those_of_both_processes(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, _):
            await engine.decide_many([ask(f"C-{number}") for number in range(5)])
            engine._metrics.refusal("made-up")
            give_up, text = time.monotonic() + 60, ""
            while counted(text, "decisions_total") < 5 and time.monotonic() < give_up:  # they are after the answer
                text = (await engine.exposition()).decode()
        assert 'retentionjax_refusals_total{type="made-up"} 1.0' in text
        assert counted(text, "decisions_total") == 5
        assert text.count("# TYPE retentionjax_batch_rows histogram") == 1

    asyncio.run(main())


def test_messages_survive_being_cut_anywhere() -> None:
    draw = Random(0)
    said = [Wanted(number, ask(f"C-{number}"), 0.5) for number in range(50)]
    sent = b"".join(map(wire.frame, said))
    frames, found = wire.Frames(Wanted), list[Wanted]()
    while sent:
        size = draw.choice([1, 2, 3, 50, 1000])
        found += frames.of(sent[:size])
        sent = sent[size:]
    assert found == said


def test_what_cannot_be_sent_costs_the_others_nothing(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with running(folder, tmp_path) as (engine, _):
            asks = [ask("C-1"), ask("half a pair \ud800"), ask("C-2")]
            first, bad, last = await asyncio.gather(*map(engine.decide, asks), return_exceptions=True)
            assert isinstance(bad, UnicodeEncodeError)
            assert isinstance(first, Given)
            assert isinstance(last, Given)

    asyncio.run(main())


def test_an_error_that_nobody_knows_stays_a_defect() -> None:
    found = contract.error_of(contract.failed(1, KeyError("secret")))
    assert isinstance(found, contract.EngineFailed)
    assert "secret" not in str(found)


def test_what_a_user_can_mend_is_no_defect_whatever_its_kind() -> None:
    for error in (RetentionJaxError("gs://bucket/x: no such bucket"), ModelError("damaged")):
        found = contract.error_of(contract.failed(1, error))
        assert isinstance(found, RetentionJaxError)
        assert not isinstance(found, EngineError)
        assert str(found) == str(error)


def test_a_ledger_that_cannot_be_opened_ends_the_start(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("no ledger " * 100)
    settings = engines.settings(folder, tmp_path)

    async def main() -> None:
        engine = engines.engine(settings, Metrics(), clock=engines.Clock())
        with pytest.raises(LedgerUnavailable):
            await engine.start()
        await engine.drain()

    asyncio.run(main())


# --- the real process -----------------------------------------------------------------------------------------


def test_a_bundle_that_cannot_be_served_ends_the_start(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(engines.settings(tmp_path / "nothing", tmp_path), Metrics())
        with pytest.raises(BundleError, match="no such folder"):
            await engine.start()
        await engine.drain()

    asyncio.run(main())


@pytest.mark.slow
def test_an_engine_that_is_killed_is_started_again(folder: Path, tmp_path: Path) -> None:
    settings = engines.settings(folder, tmp_path)

    async def main() -> None:
        ledger = Ledger.open(settings.database, clock=time.time)
        engines.prepare(ledger, start=time.time() - 3600)
        engine = Engine(settings, Metrics())
        await engine.start()
        first = engine.process_id
        assert isinstance(await engine.decide(ask()), Given)
        assert first is not None
        os.kill(first, signal.SIGSTOP)  # so that it cannot answer before it is killed
        await engines.until(lambda: " T " in Path(f"/proc/{first}/stat").read_text())
        assert engine.ready  # as far as the sockets say
        assert not await engine.answers()
        lost = asyncio.ensure_future(engine.decide(ask("C-2")))
        await asyncio.sleep(0.1)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(EngineLost):
            await lost
        with pytest.raises(NotRunning):
            await engine.decide(ask("C-3"))
        await engines.until(lambda: engine.ready)
        assert engine.process_id != first
        assert isinstance(await engine.decide(ask("C-4")), Given)
        assert b'engine_restarts_total{exit_code="-9"} 1.0' in await engine.exposition()
        await engine.drain()
        with ledger.read() as reader:
            assert reader.audit() == []
        ledger.close()

    asyncio.run(main())


@pytest.mark.slow
def test_an_engine_that_starts_again_compiles_nothing(folder: Path, tmp_path: Path) -> None:
    """Counted in a process of its own, by JAX's events: what another process compiled is read."""
    count = """
import collections, sys
import jax
counted = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: counted.update([event.rpartition("/")[2]]))
from serving.engine.slots import Served
Served.load(sys.argv[1], (1,)).decider.warm(policy=False)
print(counted["cache_misses"], counted["cache_hits"])
"""
    kept = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    run = [sys.executable, "-c", count, str(folder)]
    first, again = (
        subprocess.run(run, env={**os.environ, **kept}, check=True, capture_output=True, text=True).stdout.split()
        for _ in range(2)
    )
    assert int(first[0]) > 3
    assert again[0] == "0"
    assert int(again[1]) > 3
