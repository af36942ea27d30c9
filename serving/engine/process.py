"""The engine's process: `python -m serving.engine.process SOCKET SOCKET`, started by `serving.engine.remote`.

By the first socket come bundles to put to work and the end, by the second nothing but decisions (`Inbox`). The process
ends when it is told to, or when the service's process is gone; signals are the service's business.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from typing import Any

import structlog
import uvloop

from retentionjax.errors import RetentionJaxError
from serving.engine.engine import Engine
from serving.engine.inbox import Inbox, Reply
from serving.engine.queueing import Done
from serving.engine.wire import (
    Change,
    Drain,
    Link,
    Message,
    Scrape,
    Scraped,
    Serving,
    ToEngine,
    Wanted,
    failed,
    frame,
)
from serving.ledger import Ledger
from serving.ledger.types import Clock, Slots
from serving.observability import logs
from serving.observability.logs import DecisionLog
from serving.observability.metrics import Metrics
from serving.settings import Settings, parse

_LOOK_SECONDS = 0.25  # between two looks at whether other bundles serve
_log = structlog.get_logger("serving.engine")


class Host:
    """Answers the service."""

    def __init__(self, ledger: Ledger, settings: Settings, decisions: socket.socket, **options: Any) -> None:
        """`options` of Engine."""
        self._decisions, self._metrics = decisions, Metrics()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: Slots | None = None
        log = DecisionLog(on=settings.log_level in ("debug", "info"))
        self.engine = Engine(ledger, settings, metrics=self._metrics, log=log, inbox=self._inbox, **options)
        self.link = Link(ToEngine, self._received, self._gone)
        self.ended = asyncio.Event()
        """Whether the service wants nothing more, or the engine can do nothing more."""

    def _inbox(self, size: int, wait_seconds: float, largest: int) -> Inbox:
        return Inbox(size, wait_seconds, largest, self._decisions, self._job, self._finish)

    async def tell(self) -> None:
        """Says which bundles serve, now and whenever they change; ends all if the writer's thread is gone."""
        while True:
            if self.engine.table.record != self._told:
                self.link.say(self._serving(0))
            if not self.engine.ready:
                _log.error("the writer's thread has ended")
                self.ended.set()
            await asyncio.sleep(_LOOK_SECONDS)

    def _received(self, message: Message) -> None:
        if isinstance(message, Change):
            self._run(self._change(message))
        elif isinstance(message, Scrape):
            self.link.say(Scraped(message.number, self._metrics.exposition()))
        elif isinstance(message, Drain):
            self.ended.set()

    def _gone(self) -> None:
        self.ended.set()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- by the writer's thread -------------------------------------------------------------------------------

    def _job(self, wanted: Wanted, reply: Reply) -> Any:
        return self.engine.job(wanted.ask, reply, wanted.at)

    def _finish(self, reply: Reply, done: Done) -> None:
        self._loop.call_soon_threadsafe(lambda: self._run(self._finished(reply, done)))

    # --- by the loop's ----------------------------------------------------------------------------------------

    async def _finished(self, reply: Reply, done: Done) -> None:
        try:
            given = await self.engine.finish(done)
        except Exception as error:  # noqa: BLE001 - whoever asked is told, and the next one is served
            _log.error("a message could not be recorded", exc_info=error)
            self.link.say(failed(reply.number, error))
        else:
            self.link.say(reply.made(given))

    async def _change(self, change: Change) -> None:
        try:
            if change.path is None:
                await self.engine.deactivate(change.role)
            else:
                await self.engine.activate(change.path, change.role, change.weight)
        except Exception as error:  # noqa: BLE001 - whoever asked is told, and all is as it was
            _log.warning("a bundle was not put to work", exc_info=error)
            self.link.say(failed(change.number, error))
        else:
            self.link.say(self._serving(change.number))

    def _serving(self, number: int) -> Serving:
        self._told = self.engine.table.record
        return Serving(number, self._told, self.engine.follows_pointer)


async def serve(
    settings: Settings, control: socket.socket, decisions: socket.socket, *, clock: Clock = time.time, **options: Any
) -> None:
    """Until the service drains it or is gone. What keeps it from starting is said, not raised; `options` of Engine."""
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
            await host.engine.start()
        except Exception as error:  # noqa: BLE001 - said to the service, which raises it
            host.link.say(failed(0, error))
            host.link.close()
            return
        telling = asyncio.create_task(host.tell())
        await host.ended.wait()
        telling.cancel()
        await host.engine.drain()
        host.link.close()
        decisions.close()
    finally:
        await asyncio.to_thread(ledger.close)


def main() -> None:
    """With the settings of the environment."""
    for each in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group of processes; the service drains us
        signal.signal(each, signal.SIG_IGN)
    settings = parse([], os.environ)
    logs.configure(settings.log_level)
    control, decisions = (socket.socket(fileno=int(each)) for each in sys.argv[1:3])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, control, decisions))


if __name__ == "__main__":
    main()
