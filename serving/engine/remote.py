"""The engine in a process of its own: decisions are made on another core than requests are read and answered on.

Python runs one thread of a process at a time; in one process the two would wait for each other.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import socket
import subprocess
import sys
import time
from typing import Any

import structlog

from retentionjax.errors import BundleError
from serving.engine.deciding import Deciding
from serving.engine.request import Ask, EngineLost, Given, NotRunning, Overloaded
from serving.engine.served import Served
from serving.engine.slots import Slot, Table
from serving.engine.wire import (
    Change,
    Drain,
    Failed,
    Link,
    Made,
    Message,
    Scrape,
    Scraped,
    Serving,
    ToService,
    Wanted,
    error_of,
)
from serving.ledger.types import BundleSlot, SlotName
from serving.observability.metrics import Metrics
from serving.settings import Settings, hand_on

_MODULE = "serving.engine.process"
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds before an engine that ended is started again
_MARGIN = 5.0  # seconds that the engine may take to end beyond the time to drain
_log = structlog.get_logger("serving.engine")


class RemoteEngine(Deciding):
    """As `Engine`, which runs in the other process; the bundles are here too, uncompiled, for whoever explains."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._control: Link | None = None
        self._decisions: Link | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._table: Table | None = None
        self._showing = asyncio.Lock()
        self._shows: set[asyncio.Task[Table]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._up = self._draining = False
        self._seconds = 0.0  # a decision takes of late
        self.follows_pointer = False

    # --- what is asked ----------------------------------------------------------------------------------------

    async def decide(self, ask: Ask) -> Given:
        """As `Engine.decide`; raises EngineLost too, where the engine ended before it answered."""
        begun = time.monotonic()
        if len(self._asked) >= self._settings.queue_size:
            raise Overloaded(max(0.1, self._seconds))
        made: Made = await self._ask(Wanted(next(self._numbers), ask, begun), self._decisions)
        self._seconds += 0.1 * (time.monotonic() - begun - self._seconds)
        return Given(made.body, made.decision_id, made.row, made.replayed)

    async def activate(self, path: str, role: SlotName = "active", weight: float = 0.0) -> Table:
        """As `Engine.activate`."""
        table: Table = await self._ask(Change(next(self._numbers), path, role, weight), self._control)
        return table

    async def deactivate(self, role: SlotName) -> Table:
        """As `Engine.deactivate`."""
        table: Table = await self._ask(Change(next(self._numbers), None, role, 0.0), self._control)
        return table

    async def exposition(self) -> bytes:
        """The metrics of both processes; of this one alone while the engine is not there."""
        try:
            scraped: Scraped = await self._ask(Scrape(next(self._numbers)), self._control)
        except (NotRunning, EngineLost):
            return self._metrics.exposition()
        return self._metrics.exposition(scraped.text)

    @property
    def table(self) -> Table:
        """The bundles that serve. Raises NotRunning before `start`."""
        if self._table is None:
            raise NotRunning("no bundle is loaded yet")
        return self._table

    @property
    def ready(self) -> bool:
        """Whether the engine answers, every size of batch of every bundle that serves compiled."""
        return self._up

    @property
    def process_id(self) -> int | None:
        """Of the engine's process; None before `start`."""
        return None if self._process is None else self._process.pid

    def _ask(self, question: Message, link: Link | None) -> "asyncio.Future[Any]":
        if link is None or not self._up or self._draining:
            raise NotRunning("the engine starts or stops")
        link.say(question)
        future = self._asked[question.number] = asyncio.get_running_loop().create_future()
        return future

    def _received(self, message: Message) -> None:
        future = self._asked.pop(message.number, None)
        if isinstance(message, Serving):
            showing = asyncio.ensure_future(self._show(message))
            self._shows.add(showing)
            showing.add_done_callback(self._shows.discard)
            showing.add_done_callback(lambda shown: _pass_on(shown, future))
        elif future is None or future.done():
            return
        elif isinstance(message, Failed):
            future.set_exception(error_of(message))
        else:
            future.set_result(message)

    async def _show(self, serving: Serving) -> Table:
        """The bundles that serve there, here. Raises BundleError where one is not what it was when it was loaded."""
        async with self._showing:
            slots, known = serving.slots, dict[BundleSlot, Slot]()
            if self._table is not None:
                old = (self._table.active, self._table.canary, self._table.shadow)
                known = {each.record: each for each in old if each is not None}
            active, canary, shadow = [
                await self._slot(each, known) for each in (slots.active, slots.canary, slots.shadow)
            ]
            if active is None:
                raise AssertionError("something always serves")
            self._table = Table(active, canary, slots.canary_weight, shadow)
            self.follows_pointer = serving.follows_pointer
            return self._table

    async def _slot(self, wanted: BundleSlot | None, known: dict[BundleSlot, Slot]) -> Slot | None:
        if wanted is None or wanted in known:
            return None if wanted is None else known[wanted]
        served = await asyncio.to_thread(functools.partial(Served.load, wanted.path, warm=False))
        if served.id != wanted.bundle_id:
            raise BundleError(f"{wanted.path}: has changed since the engine loaded it; allowed: a folder that stays")
        return Slot(wanted.path, served)

    # --- the other process ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the engine and waits until it is ready. Raises what kept it from it; see `Engine.start`."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def drain(self) -> None:
        """As `Engine.drain`; an engine that takes seconds longer than it may is killed."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered(), self._settings.drain_seconds)
        if self._control is not None and not self._ended.is_set():
            self._control.say(Drain(0))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self._settings.drain_seconds + _MARGIN)
        if self._keeper is not None:
            self._keeper.cancel()
        if self._process is not None:
            await asyncio.to_thread(_end, self._process)

    async def _answered(self) -> None:
        """Until nothing is asked any more."""
        while self._asked:
            await asyncio.wait(self._asked.values())

    async def _spawn(self) -> None:
        """A new process and its links. Raises what keeps it from being ready; then it is gone again."""
        self._ended = asyncio.Event()
        (control, its_control), (decisions, its_decisions) = socket.socketpair(), socket.socketpair()
        with its_control, its_decisions:
            process = self._process = _process(self._settings, its_control.fileno(), its_decisions.fileno())
        first = self._asked[0] = asyncio.get_running_loop().create_future()
        self._control = await self._linked(control, self._ended)
        self._decisions = await self._linked(decisions, self._ended)
        try:
            await first
        except BaseException:
            process.kill()
            raise
        self._up = True

    async def _linked(self, connection: socket.socket, ended: asyncio.Event) -> Link:
        link = Link(ToService, self._received, functools.partial(self._gone, ended))
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


def _process(settings: Settings, *sockets: int) -> "subprocess.Popen[bytes]":
    # A micro-batch is too little work to be worth handing to other threads; a language model's is not.
    lone = {"JAX_CPU_ENABLE_ASYNC_DISPATCH": "false", "NPROC": "1"} if settings.messages == "template" else {}
    environment = {**lone, **os.environ}
    hand_on(settings, environment)
    return subprocess.Popen(
        # -P: never a folder of this name where the service was started
        [sys.executable, "-P", "-m", _MODULE, *map(str, sockets)],
        env=environment,
        pass_fds=sockets,
        stdin=subprocess.DEVNULL,
    )


def _pass_on(shown: "asyncio.Task[Table]", future: "asyncio.Future[Table] | None") -> None:
    """The table, or why there is none, to whoever waits for it; the log is told where nobody does."""
    error = None if shown.cancelled() else shown.exception()
    if future is not None and not future.done() and not shown.cancelled():
        future.set_result(shown.result()) if error is None else future.set_exception(error)
    elif error is not None:
        _log.error("what the engine serves cannot be shown", exc_info=error)


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_MARGIN)
    except subprocess.TimeoutExpired:
        _log.error("the engine's process does not end and is killed")
        process.kill()
        process.wait()
