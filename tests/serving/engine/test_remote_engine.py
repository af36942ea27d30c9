"""The engine in another process: the same answers and refusals as in this one, and what follows when it is killed.

Most tests here run both ends in one process, over the same sockets, so that clock and models can be the test's own; the
last ones start the real process.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import bundles
import engines
import msgspec
import numpy as np
import pytest
from engines import ask

from retentionjax.data.messages import grammar
from retentionjax.errors import BundleError, ConfigError
from retentionjax.shield import Brief
from serving.engine import process, remote, wire
from serving.engine.answer import Decision
from serving.engine.basis import Basis
from serving.engine.models import Models
from serving.engine.remote import RemoteEngine
from serving.engine.request import (
    EngineLost,
    Given,
    KeyReused,
    NoCampaign,
    NotRunning,
    Overloaded,
    WrongFacts,
)
from serving.ledger import Ledger, LedgerUnavailable
from serving.ledger.types import BundleSlot
from serving.observability.metrics import Metrics
from serving.settings import Settings


class InThisLoop:
    """Stands for the other process, which this cannot show to be another one."""

    def __init__(self, settings: Settings, *sockets: int, **options: Any) -> None:
        control, decisions = (socket.socket(fileno=os.dup(each)) for each in sockets)
        self._serving = asyncio.get_running_loop().create_task(process.serve(settings, control, decisions, **options))

    def wait(self, _seconds: float | None = None) -> int:
        return 0

    def kill(self) -> None:
        self._serving.cancel()


@contextlib.asynccontextmanager
async def apart(bundle: Path, folder: Path, **changed: Any) -> AsyncIterator[tuple[RemoteEngine, Ledger]]:
    options = {"clock": engines.Clock(), "sizes": engines.SIZES, "models": changed.pop("models", None)}
    settings = engines.settings(bundle, folder, engine="process", **changed)
    ledger = Ledger.open(settings.database, clock=options["clock"])
    engines.prepare(ledger, start=options["clock"]() - 3600)
    engine = RemoteEngine(settings, Metrics())
    with mock.patch.object(remote, "_process", lambda *given: InThisLoop(*given, **options)):
        await engine.start()
        try:
            yield engine, ledger
        finally:
            await engine.drain()
            ledger.close()


async def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """Waits, for so long at most."""
    give_up = time.monotonic() + seconds
    while not true() and time.monotonic() < give_up:  # noqa: ASYNC110 - nobody sets an event
        await asyncio.sleep(0.05)


def read(given: Given) -> Decision:
    return msgspec.json.decode(given.body, type=Decision)


def test_what_is_answered_is_in_the_ledger(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with apart(folder, tmp_path) as (engine, ledger):
            found = await engine.decide_many([ask(f"C-{number}") for number in range(40)])
            assert len({each.decision_id for each in found if isinstance(each, Given)}) == 40
            with ledger.read() as reader:
                for number, each in enumerate(found):
                    assert isinstance(each, Given)
                    recorded = reader.decision(each.decision_id)
                    assert recorded is not None
                    assert (recorded.customer_id, recorded.response) == (f"C-{number}", each.body)
                assert reader.audit(cooldown_days=7) == []

    asyncio.run(main())


def test_a_dry_run_comes_with_what_explains_it_and_is_not_written(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with apart(folder, tmp_path) as (engine, ledger):
            given = await engine.decide(ask(dry_run=True))
            assert given.row is not None
            chances = np.frombuffer(given.row.propensities, "<f4")
            assert chances[read(given).action] == pytest.approx(read(given).propensity)
            assert msgspec.json.decode(given.row.basis, type=Basis).facts == engines.FACTS
            with ledger.read() as reader:
                assert reader.decision(given.decision_id) is None

    asyncio.run(main())


def test_refusals_keep_their_kind(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with apart(folder, tmp_path) as (engine, _):
            with pytest.raises(WrongFacts) as wrong:
                await engine.decide(ask(facts={**engines.FACTS, "tenure": "six", "shoe_size": 43}))
            assert {each.name: each.value for each in wrong.value.wrong} == {"tenure": "six", "shoe_size": 43}
            with pytest.raises(NoCampaign, match=r"^nowhere$"):
                await engine.decide(ask(campaign_id="nowhere"))
            first = await engine.decide(ask(idempotency=("key", "once", "a")))
            again = await engine.decide(ask(idempotency=("key", "once", "a")))
            assert (again.body, again.replayed) == (first.body, True)
            with pytest.raises(KeyReused):
                await engine.decide(ask(idempotency=("key", "once", "b")))

    asyncio.run(main())


def test_more_than_the_queue_holds_is_refused(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with apart(folder, tmp_path, queue_size=3) as (engine, _):
            found = await engine.decide_many([ask(f"C-{number}") for number in range(10)])
            assert sum(isinstance(each, Given) for each in found) == 3
            assert sum(isinstance(each, Overloaded) and each.retry_after > 0 for each in found) == 7

    asyncio.run(main())


def test_bundles_change_there_and_are_shown_here(folder: Path, other: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with apart(folder, tmp_path) as (engine, ledger):
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
            assert engine.table == table
            assert (await engine.deactivate("canary")).canary is None
            assert read(await engine.decide(ask("C-2"))).bundle.slot == "active"

    asyncio.run(main())


def test_a_change_that_another_process_made_is_shown(folder: Path, other: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with apart(folder, tmp_path) as (engine, ledger):
            served = engines.load(str(other), engines.SIZES)
            with ledger.transaction() as tx:
                tx.set_slots(dataclasses.replace(engine.table.record, shadow=BundleSlot(served.id, str(other))))
            await until(lambda: engine.table.shadow is not None)
            assert engine.table.shadow is not None
            assert engine.table.shadow.served.id == served.id

    asyncio.run(main())


def counted(text: str, name: str) -> float:
    """The sum of a metric's series."""
    lines = [line for line in text.splitlines() if line.startswith(f"retentionjax_{name}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_metrics_are_those_of_both_processes(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with apart(folder, tmp_path) as (engine, _):
            await engine.decide_many([ask(f"C-{number}") for number in range(5)])
            engine._metrics.refusal("made-up")
            give_up, text = time.monotonic() + 60, ""
            while counted(text, "decisions_total") < 5 and time.monotonic() < give_up:  # they are after the answer
                text = (await engine.exposition()).decode()
        assert 'retentionjax_refusals_total{type="made-up"} 1.0' in text
        assert counted(text, "decisions_total") == 5
        assert text.count("# TYPE retentionjax_batch_rows histogram") == 1

    asyncio.run(main())


def test_a_message_that_comes_later_is_in_the_answer_and_in_the_ledger(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    bundle = bundles.make_writing(tmp_path_factory.mktemp("served") / "writing")

    def write(brief: Brief, seed: int) -> str:
        return grammar.write(grammar.draft(brief, "train", Random(seed)))

    async def main() -> None:
        models = Models(engines.settings(bundle, tmp_path, messages="model"), Metrics(), load=lambda _: write)
        async with apart(bundle, tmp_path, messages="model", models=models) as (engine, ledger):
            found = [await engine.decide(ask(f"C-{number}")) for number in range(12)]
            contacts = [(each, read(each).message) for each in found if read(each).message is not None]
            assert {message.source for _, message in contacts if message is not None} == {"model"}
            with ledger.read() as reader:
                for each, _ in contacts:
                    recorded = reader.decision(each.decision_id)
                    assert recorded is not None
                    assert recorded.response == each.body

    asyncio.run(main())


def test_after_the_end_nothing_is_taken(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with apart(folder, tmp_path) as (engine, _):
            under_way = [asyncio.ensure_future(engine.decide(ask(f"C-{number}"))) for number in range(20)]
            await asyncio.sleep(0)
            await engine.drain()
            assert all(isinstance(each.result(), Given) for each in under_way)
            with pytest.raises(NotRunning):
                await engine.decide(ask())
            assert not engine.ready

    asyncio.run(main())


def test_messages_survive_being_cut_anywhere() -> None:
    draw = Random(0)
    said = [wire.Wanted(number, ask(f"C-{number}"), 0.5) for number in range(50)]
    sent = b"".join(map(wire.frame, said))
    frames, found = wire.Frames(wire.Wanted), list[wire.Wanted]()
    while sent:
        size = draw.choice([1, 2, 3, 50, 1000])
        found += frames.of(sent[:size])
        sent = sent[size:]
    assert found == said


def test_what_cannot_be_sent_costs_the_others_nothing(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with apart(folder, tmp_path) as (engine, _):
            asks = [ask("C-1"), ask("half a pair \ud800"), ask("C-2")]
            first, bad, last = await asyncio.gather(*map(engine.decide, asks), return_exceptions=True)
            assert isinstance(bad, UnicodeEncodeError)
            assert isinstance(first, Given)
            assert isinstance(last, Given)

    asyncio.run(main())


def test_an_error_that_nobody_knows_stays_a_defect() -> None:
    found = wire.error_of(wire.failed(1, KeyError("secret")))
    assert isinstance(found, wire.EngineFailed)
    assert "secret" not in str(found)


# --- the real process -----------------------------------------------------------------------------------------


def test_a_bundle_that_cannot_be_served_ends_the_start(folder: Path, tmp_path: Path) -> None:
    async def main() -> None:
        engine = RemoteEngine(engines.settings(tmp_path / "nothing", tmp_path, engine="process"), Metrics())
        with pytest.raises(BundleError, match="no such folder"):
            await engine.start()
        await engine.drain()

    asyncio.run(main())


def test_a_ledger_that_cannot_be_opened_ends_the_start(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    settings = engines.settings(folder, tmp_path / "file", engine="process")

    async def main() -> None:
        engine = RemoteEngine(settings, Metrics())
        with pytest.raises(LedgerUnavailable):
            await engine.start()
        await engine.drain()

    asyncio.run(main())


def test_an_engine_that_is_killed_is_started_again(folder: Path, tmp_path: Path) -> None:
    settings = engines.settings(folder, tmp_path, engine="process")

    async def main() -> None:
        ledger = Ledger.open(settings.database, clock=time.time)
        engines.prepare(ledger, start=time.time() - 3600)
        engine = RemoteEngine(settings, Metrics())
        await engine.start()
        first = engine.process_id
        assert isinstance(await engine.decide(ask()), Given)
        assert first is not None
        os.kill(first, signal.SIGSTOP)  # so that it cannot answer before it is killed
        lost = asyncio.ensure_future(engine.decide(ask("C-2")))
        await asyncio.sleep(0.1)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(EngineLost):
            await lost
        with pytest.raises(NotRunning):
            await engine.decide(ask("C-3"))
        await until(lambda: engine.ready)
        assert engine.process_id != first
        assert isinstance(await engine.decide(ask("C-4")), Given)
        assert b'engine_restarts_total{exit_code="-9"} 1.0' in await engine.exposition()
        await engine.drain()
        with ledger.read() as reader:
            assert reader.audit() == []
        ledger.close()

    asyncio.run(main())
