"""The engine's process, forked from `serving.stem`.

By the first socket come bundles to put to work and the end, by the second nothing but decisions (`Writer`). The process
ends when it is told to, or when the service's process is gone; signals are the service's business.
"""

import asyncio
import functools
import os
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import structlog
import uvloop

from retentionjax.bundle import pointer
from retentionjax.decide.program import SIZES
from retentionjax.decide.variants import WordingAuthor
from retentionjax.errors import ConfigError, RetentionJaxError
from serving.engine.contract import Drain, LineupChange, Packet, Scrape, Scraped, Serving, ToEngine, failed
from serving.engine.messages import ApprovedWordings
from serving.engine.proposing import Proposer
from serving.engine.slots import Lineup, Served, Slot
from serving.engine.wire import Link, SocketPipe, frame
from serving.engine.writer import Writer
from serving.ledger import Ledger
from serving.ledger.types import BundleSlot, Clock, SlotName, Slots
from serving.observability import logs
from serving.observability.metrics import Metrics
from serving.settings import Settings, parse

FIRST_SECONDS = 2.0  # between two looks while all goes well
LONGEST_SECONDS = 60.0  # after failure upon failure, each of which doubles the pause
_LOOK_SECONDS = 0.25  # between two looks at whether other bundles serve
_log = structlog.get_logger("serving.engine")


class Host:
    """Answers the service: decisions by the writer's thread, everything else on the event loop."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        decisions: socket.socket,
        *,
        sizes: Sequence[int] = SIZES,
        load_writer: Callable[[Served], WordingAuthor] | None = None,
    ) -> None:
        """`sizes` of micro-batches; `load_writer` makes what proposes wordings, by default a bundle's own model."""
        self._ledger, self._settings, self._sizes = ledger, settings, tuple(sizes)
        self._metrics, self._loop = Metrics(), asyncio.get_running_loop()
        self._proposer = (
            Proposer(ledger, settings, self._metrics, load_writer) if settings.messages == "model" else None
        )
        sends = None if self._proposer is None else self._proposer.want
        self._writer = Writer(ledger, settings, self._metrics, SocketPipe(decisions), max(sizes), sends=sends)
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: Slots | None = None
        self._follows_pointer = False
        self.ended = asyncio.Event()
        """Whether the service wants nothing more, or the engine can do nothing more."""
        self.link = Link(ToEngine, self._received, self.ended.set)

    # --- what the service says --------------------------------------------------------------------------------

    def _received(self, packet: Packet) -> None:
        if isinstance(packet, LineupChange):
            self._run(self._change(packet))
        elif isinstance(packet, Scrape):
            self.link.say(Scraped(packet.number, self._metrics.exposition()))
        elif isinstance(packet, Drain):
            self.ended.set()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _change(self, change: LineupChange) -> None:
        try:
            if change.path is None:
                await self.deactivate(change.role)
            else:
                await self.activate(change.path, change.role, change.weight)
        except Exception as error:  # noqa: BLE001 - whoever asked is told, and all is as it was
            _log.warning("a bundle was not put to work", exc_info=error)
            self.link.say(failed(change.number, error))
        else:
            self.link.say(self._serving(change.number))

    def _serving(self, number: int) -> Serving:
        self._told = self._writer.lineup.record
        return Serving(number, self._told, self._follows_pointer)

    async def tell(self) -> None:
        """Says which bundles serve, now and whenever they change; ends all if the writer's thread is gone."""
        while True:
            if self._writer.lineup.record != self._told:
                self.link.say(self._serving(0))
            if not self._writer.alive:
                _log.error("the writer's thread has ended")
                self.ended.set()
            await asyncio.sleep(_LOOK_SECONDS)

    # --- bundles ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Loads and compiles: the bundles that were activated last, or that of the settings on the first start; where
        the settings name a pointer, the bundle that it points to now.

        Raises BundleError where the active one cannot be served; a canary or a shadow that cannot is left out, and
        the log says so.
        """
        path = self._settings.bundle
        self._follows_pointer = await asyncio.to_thread(pointer.pointed_to, path) is not None
        wanted = await asyncio.to_thread(self._wanted)
        if wanted.active is not None and wanted.active.path != path:
            if not self._follows_pointer:
                last = wanted.active.path
                _log.warning("the bundle activated last serves, not that of --bundle", bundle=last, flag=path)
            path = wanted.active.path
        lineup = await self._beside(Lineup(await self._load(path)), wanted)
        with self._ledger.read() as reader:
            approved = reader.approved_variants(None)
        self._writer.start(replace(lineup, wordings=ApprovedWordings(approved)))
        if self._proposer is not None:
            self._proposer.start()
        self._show()
        self._run(follow(self.sync, self._metrics))
        self._run(follow(self.sync_wordings, self._metrics))

    async def activate(self, path: str, role: SlotName, weight: float) -> None:
        """Loads the bundle at `path`, verifies and compiles it, and swaps it in; no decision is dropped.

        An active one ends the canary that it was, if any. Raises BundleError, ConfigError for a canary's weight outside
        (0, 1] or an active one where a pointer says which that is, LedgerUnavailable; then everything is as it was.
        """
        if role == "canary" and not 0 < weight <= 1:
            raise ConfigError(f"weight is {weight!r}; allowed: above 0, up to 1")
        if role == "active" and self._follows_pointer:
            raise ConfigError(
                f"the active bundle is where {self._settings.bundle} points; allowed here: canary, shadow; "
                "`retentionjax bundle promote` and `rollback` move the pointer"
            )
        async with self._changing:
            slot, lineup = await self._load(path), self._writer.lineup
            if role == "shadow":
                lineup = replace(lineup, shadow=slot)
            elif role == "canary":
                lineup = replace(lineup, canary=slot, weight=weight)
            else:
                was_canary = lineup.canary is not None and lineup.canary.served.id == slot.served.id
                lineup = replace(lineup.without_canary() if was_canary else lineup, active=slot)
            await self._swap(lineup)

    async def deactivate(self, role: SlotName) -> None:
        """Ends the canary or the shadow. Raises ConfigError for the active bundle, which can only be replaced."""
        if role == "active":
            raise ConfigError("the active bundle cannot be ended; allowed: canary, shadow")
        async with self._changing:
            lineup = self._writer.lineup
            await self._swap(lineup.without_canary() if role == "canary" else replace(lineup, shadow=None))

    async def sync(self) -> None:
        """Serves what pointer and ledger say is to serve. Raises LedgerUnavailable, BundleError, OSError."""
        async with self._changing:
            wanted, lineup = await asyncio.to_thread(self._wanted), self._writer.lineup
            if wanted.active is None or wanted == lineup.record:
                return
            known = {each.record: each for each in lineup.slots}
            active, canary, shadow = [
                None if each is None else known.get(each) or await self._load(each.path)
                for each in (wanted.active, wanted.canary, wanted.shadow)
            ]
            weight = wanted.canary_weight
            self._writer.replace(Lineup(active or lineup.active, canary, weight, shadow, lineup.wordings))
            self._show()

    async def sync_wordings(self) -> None:
        """Sends the wordings that the ledger says are approved. Raises LedgerUnavailable."""
        if (wordings := await asyncio.to_thread(self._approved)) is not None:
            self._writer.use_wordings(wordings)

    async def _swap(self, lineup: Lineup) -> None:
        await asyncio.to_thread(self._store, lineup.record)
        self._writer.replace(lineup)
        self._show()

    async def _load(self, path: str) -> Slot:
        begun = time.perf_counter()
        _log.info("a bundle is loaded and compiled", bundle=path)
        served = await asyncio.to_thread(functools.partial(Served.load, path, self._sizes))
        if await asyncio.to_thread(self._ledger.ask, lambda reader: reader.kill_switch()) == "baseline":
            await self._compile_rule(served)
        else:
            self._run(self._compile_rule(served))
        _log.info("the bundle is compiled", bundle=path, seconds=round(time.perf_counter() - begun, 1))
        return Slot(path, served)

    async def _compile_rule(self, served: Served) -> None:
        """What decides under the kill switch's `baseline` only, so that nobody waits for it at the start; a switch that
        comes sooner has its decision compile what it needs."""
        for size in self._sizes:  # one by one: a drain waits for one at most
            await asyncio.to_thread(served.decider.warm, (size,), policy=False)

    async def _beside(self, lineup: Lineup, stored: Slots) -> Lineup:
        """A lineup with the canary and the shadow that were there before."""
        found: list[Slot | None] = []
        for name, each in (("canary", stored.canary), ("shadow", stored.shadow)):
            try:
                found.append(None if each is None else await self._load(each.path))
            except (RetentionJaxError, OSError) as error:
                _log.error("a bundle beside the active one cannot be loaded", slot=name, exc_info=error)
                found.append(None)
        canary, shadow = found
        return replace(lineup, canary=canary, weight=0.0 if canary is None else stored.canary_weight, shadow=shadow)

    def _approved(self) -> ApprovedWordings | None:
        """The wordings that may be sent, where they are others than those in use."""
        with self._ledger.read() as reader:
            approved = reader.approved_variants(self._writer.lineup.wordings.version)
        return None if approved is None else ApprovedWordings(approved)

    def _wanted(self) -> Slots:
        """What is to serve: the ledger's slots, but for the active one where a pointer says which that is.

        A canary that was promoted ends, in the ledger too.
        """
        with self._ledger.read() as reader:
            stored = reader.slots()
        pointed = pointer.pointed_to(self._settings.bundle) if self._follows_pointer else None
        if pointed is None:
            return stored
        if stored.canary is not None and stored.canary.bundle_id == pointed.name:
            # Left in the ledger it would come back with a roll-back.
            stored = replace(stored, canary=None, canary_weight=0.0)
            self._store(stored)
        return replace(stored, active=BundleSlot(pointed.name, os.fspath(pointed)))

    def _store(self, slots: Slots) -> None:
        with self._ledger.transaction() as tx:
            tx.set_slots(slots)

    def _show(self) -> None:
        lineup = self._writer.lineup
        slots = {"active": lineup.active, "canary": lineup.canary, "shadow": lineup.shadow}
        serving = {name: each.served.id[:12] for name, each in slots.items() if each is not None}
        self._metrics.bundles(serving)
        _log.info("serving", **serving, canary_weight=lineup.weight)

    async def drain(self) -> None:
        """Ends the threads, after what waits was decided within `drain_seconds`."""
        for task in self._tasks:
            task.cancel()
        self._writer.close()
        if self._proposer is not None:
            self._proposer.stop()
        await asyncio.to_thread(self._writer.join, max(1.0, self._settings.drain_seconds))


async def follow(
    sync: Callable[[], Awaitable[None]], metrics: Metrics, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Calls `sync` again and again until it is cancelled.

    What fails leaves everything as it is, is counted, and is logged once until `sync` succeeds again. Nothing that is
    raised ends it: the client of a bucket may raise anything.
    """
    pause, told = FIRST_SECONDS, set[str]()
    while True:
        await sleep(pause)
        try:
            await sync()
        except Exception as error:  # noqa: BLE001 - see above
            pause = min(2 * pause, LONGEST_SECONDS)
            metrics.follow_failure(type(error).__name__)
            if repr(error) not in told:
                told.add(repr(error))
                known = isinstance(error, RetentionJaxError | OSError)
                tell = _log.warning if known else _log.error
                tell("the bundles that are to serve cannot be followed now", exc_info=error)
        else:
            pause, told = FIRST_SECONDS, set()


async def serve(
    settings: Settings, control: socket.socket, decisions: socket.socket, *, clock: Clock = time.time, **options: Any
) -> None:
    """Serves until the service drains it or is gone. What keeps it from starting is said, not raised; `options` of
    Host."""
    try:
        ledger = await asyncio.to_thread(lambda: Ledger.open(settings.database, clock=clock))
    except RetentionJaxError as error:
        with control, decisions:
            control.sendall(frame(failed(0, error)))
        return
    try:
        host = Host(ledger, settings, decisions, **options)
        await asyncio.get_running_loop().create_unix_connection(lambda: host.link, sock=control)
        try:
            await host.start()
        except Exception as error:  # noqa: BLE001 - said to the service, which raises it
            host.link.say(failed(0, error))
            host.link.close()
            return
        telling = asyncio.create_task(host.tell())
        await host.ended.wait()
        telling.cancel()
        await host.drain()
        host.link.close()
        decisions.close()
    finally:
        await asyncio.to_thread(ledger.close)


def main(control: socket.socket, decisions: socket.socket) -> None:
    """Runs with the settings of the environment."""
    settings = parse([], os.environ)
    logs.configure(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, control, decisions))
