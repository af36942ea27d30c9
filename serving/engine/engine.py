"""The engine as the service sees it: decisions are made in another process, on another core, than requests are read.

Python runs one thread of a process at a time; in one process the two would wait for each other.

`await engine.start()` starts it, `await engine.decide(Ask(…))` answers, `await engine.drain()` ends it.
"""

import asyncio
import contextlib
import functools
import socket
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from retentionjax.env.types import EnvParams
from retentionjax.errors import BundleError
from serving.engine.contract import (
    Ask,
    Drain,
    EngineError,
    EngineLost,
    Given,
    LineupChange,
    NotRunning,
    Packet,
    Scrape,
    Scraped,
    Serving,
    ToService,
)
from serving.engine.slots import Lineup, Served, Slot
from serving.engine.wire import Link, Questions
from serving.ledger import LedgerUnavailable
from serving.ledger.types import BundleSlot, SlotName
from serving.observability.metrics import Metrics
from serving.settings import Settings
from serving.stem import Process, Stem

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 60.0  # seconds before an engine that ended is started again
_ANSWER_SECONDS = 3.0  # the engine may take to say how it is
_MARGIN = 5.0  # seconds that the engine may take to end beyond the time to drain
_HUNG_SECONDS = 60.0
"""Beyond its deadline that a decision may wait: by then each wait of the engine's for a database is over, and what it
may still have to compile is compiled."""
_LOOK_SECONDS = 1.0
_AT_ONCE = 128
"""Decisions of one batch request that are in the queue at a time, so that it leaves room for the others."""
_log = structlog.get_logger("serving.engine")


class Engine(Questions):
    """One of each worker process. The bundles are here too, uncompiled, for whoever explains."""

    def __init__(
        self, settings: Settings, metrics: Metrics, start_process: Callable[..., Process] | None = None
    ) -> None:
        """`start_process(settings, control, decisions)`: what runs `serving.engine.process.serve` at these sockets;
        None: a stem of the engine's own."""
        super().__init__(settings.queue_size)
        self._settings, self._metrics = settings, metrics
        self._start_process = start_process or Stem(settings)
        self._control: Link | None = None
        self._process: Process | None = None
        self._lineup: Lineup | None = None
        self._showing = asyncio.Lock()
        self._shows: set[asyncio.Task[Lineup]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        self.follows_pointer = False
        """Whether a pointer, the settings' bundle, says which the active bundle is."""

    # --- what is asked ----------------------------------------------------------------------------------------

    async def decide_many(self, asks: Sequence[Ask]) -> list[Given | Exception]:
        """Many decisions, each answered or refused by itself, in their order."""
        found: list[Given | BaseException] = []
        for start in range(0, len(asks), _AT_ONCE):
            some = asks[start : start + _AT_ONCE]
            found += await asyncio.gather(*(self.decide(each) for each in some), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, EngineError | LedgerUnavailable):
                raise each
        return found  # type: ignore[return-value]  # what is no Exception was raised

    async def activate(self, path: str, role: SlotName = "active", weight: float = 0.0) -> Lineup:
        """Puts the bundle at `path` to work; see `process.Host.activate`."""
        lineup: Lineup = await self._ask(LineupChange(next(self._numbers), path, role, weight), self._control)
        return lineup

    async def deactivate(self, role: SlotName) -> Lineup:
        """Ends the canary or the shadow. Raises ConfigError for the active bundle, which can only be replaced."""
        lineup: Lineup = await self._ask(LineupChange(next(self._numbers), None, role, 0.0), self._control)
        return lineup

    async def exposition(self) -> bytes:
        """Metrics of both processes, in Prometheus' text format; of this one alone while the engine is not there."""
        scraped = await self._scraped() or b""
        return await asyncio.to_thread(self._metrics.exposition, scraped)  # 0.1 s of a thousand campaigns

    async def answers(self) -> bool:
        """Whether decisions are made at once: an engine that was stopped or hangs says nothing within seconds."""
        return self._up and await self._scraped() is not None

    async def _scraped(self) -> bytes | None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                scraped: Scraped = await self._ask(Scrape(next(self._numbers)), self._control)
        except (NotRunning, EngineLost, TimeoutError):
            return None
        return scraped.text

    # --- what is known ----------------------------------------------------------------------------------------

    @property
    def lineup(self) -> Lineup:
        """The bundles that serve. Raises NotRunning before `start`."""
        if self._lineup is None:
            raise NotRunning("no bundle is loaded yet")
        return self._lineup

    @property
    def active(self) -> Served:
        """The active bundle. Raises NotRunning before `start`."""
        return self.lineup.active.served

    def served(self, bundle_id: str) -> Served | None:
        """The bundle of that id, if it serves in some slot."""
        return next((each.served for each in self.lineup.slots if each.served.id == bundle_id), None)

    @property
    def params(self) -> EnvParams:
        """Constants of the active bundle."""
        return self.lineup.active.served.bundle.params

    @property
    def price(self) -> float:
        """$ of value that a $ of budget is worth elsewhere, as the active bundle was trained to."""
        return self.lineup.active.served.price

    @property
    def ready(self) -> bool:
        """Whether the engine answers, every size of batch of every bundle that serves compiled."""
        return self._up

    @property
    def process_id(self) -> int | None:
        """Id of the engine's process; None before `start`."""
        return None if self._process is None else self._process.pid

    # --- to and fro -------------------------------------------------------------------------------------------

    def _received(self, packet: Packet) -> None:
        if not isinstance(packet, Serving):
            self._answered(packet)
            return
        future = self._asked.pop(packet.number, None)
        showing = asyncio.ensure_future(self._show(packet))
        self._shows.add(showing)
        showing.add_done_callback(self._shows.discard)
        showing.add_done_callback(lambda shown: _pass_on(shown, future))

    async def _show(self, serving: Serving) -> Lineup:
        """The bundles that serve there, here. Raises BundleError where one is not what it was when it was loaded."""
        async with self._showing:
            slots = serving.slots
            known = {} if self._lineup is None else {each.record: each for each in self._lineup.slots}
            active, canary, shadow = [
                await self._slot(each, known) for each in (slots.active, slots.canary, slots.shadow)
            ]
            if active is None:
                raise AssertionError("something always serves")
            self._lineup = Lineup(active, canary, slots.canary_weight, shadow)
            self.follows_pointer = serving.follows_pointer
            return self._lineup

    async def _slot(self, wanted: BundleSlot | None, known: dict[BundleSlot, Slot]) -> Slot | None:
        if wanted is None or wanted in known:
            return None if wanted is None else known[wanted]
        served = await asyncio.to_thread(functools.partial(Served.load, wanted.path, warm=False))
        if served.id != wanted.bundle_id:
            raise BundleError(f"{wanted.path}: has changed since the engine loaded it; allowed: a folder that stays")
        return Slot(wanted.path, served)

    # --- the other process ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the engine and waits until it is ready. Raises what kept it from it; see `process.Host.start`."""
        await self._spawn()
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._watch())]

    async def drain(self) -> None:
        """Takes nothing new, finishes what was begun within `drain_seconds`, and ends the engine; one that takes
        seconds longer than it may is killed."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_answered(), self._settings.drain_seconds)
        if self._control is not None and not self._ended.is_set():
            self._control.say(Drain(0))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self._settings.drain_seconds + _MARGIN)
        for task in self._tasks:
            task.cancel()
        if self._process is not None:
            await asyncio.to_thread(_end, self._process)
        if isinstance(self._start_process, Stem):
            await asyncio.to_thread(self._start_process.close)

    async def _all_answered(self) -> None:
        """Waits until nothing is asked any more."""
        while self._asked:
            await asyncio.wait(self._asked.values())

    async def _spawn(self) -> None:
        """A new process and its links. Raises what keeps it from being ready; then it is gone again."""
        self._ended = asyncio.Event()
        (control, its_control), (decisions, its_decisions) = socket.socketpair(), socket.socketpair()
        with its_control, its_decisions:
            process = self._process = self._start_process(self._settings, its_control.fileno(), its_decisions.fileno())
        first = self._asked[0] = asyncio.get_running_loop().create_future()
        self._control = await self._linked(control, self._received, self._ended)
        self._decisions = await self._linked(decisions, self._answered, self._ended)
        try:
            await first
        except BaseException:
            process.kill()
            raise
        self._up = True

    async def _linked(self, connection: socket.socket, received: Callable[[Any], None], ended: asyncio.Event) -> Link:
        link = Link(ToService, received, functools.partial(self._gone, ended))
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=connection)
        return link

    def _gone(self, ended: asyncio.Event) -> None:
        """One of the links of the process whose end is `ended` is lost: so is the process."""
        if ended.is_set():
            return
        ended.set()
        self._up = False
        for link in (self._control, self._decisions):
            if link is not None:
                link.close()
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(EngineLost("the engine ended before it answered"))

    async def _keep(self) -> None:
        """Starts the engine again whenever it ends."""
        pause = _FIRST_PAUSE
        while True:
            await self._ended.wait()
            if self._draining:
                return
            code = -1 if self._process is None else await asyncio.to_thread(self._process.wait)
            _log.error("the engine's process ended; it is started again", exit_code=code, seconds=pause)
            self._metrics.engine_restart(code)
            await asyncio.sleep(pause)
            try:
                await self._spawn()
            except Exception as error:  # noqa: BLE001 - tried again until it works or the service is stopped
                pause = min(2 * pause, _LONGEST_PAUSE)
                _log.error("the engine does not start", exc_info=error)
                self._ended.set()
            else:
                pause = _FIRST_PAUSE

    async def _watch(self) -> None:
        """Kills an engine that leaves a decision unanswered for long: who waits is told, and it is started again."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._waited > self._settings.deadline_ms / 1000 + _HUNG_SECONDS and self._process is not None:
                _log.error("the engine's process does not answer and is killed")
                self._process.kill()


def _pass_on(shown: "asyncio.Task[Lineup]", future: "asyncio.Future[Lineup] | None") -> None:
    """The bundles, or why there are none, to whoever waits for them; the log is told where nobody does."""
    error = None if shown.cancelled() else shown.exception()
    if future is not None and not future.done() and not shown.cancelled():
        future.set_result(shown.result()) if error is None else future.set_exception(error)
    elif error is not None:
        _log.error("what the engine serves cannot be shown", exc_info=error)


def _end(process: Process) -> None:
    try:
        process.wait(_MARGIN)
    except subprocess.TimeoutExpired:
        _log.error("the engine's process does not end and is killed")
        process.kill()
        process.wait()
