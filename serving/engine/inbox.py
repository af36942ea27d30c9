"""The queue of an engine in a process of its own: the writer's thread reads questions from the socket by itself.

Nothing stands between the service's event loop and the writer: no second loop, no futures, no other thread that wants
Python's lock while a micro-batch is made.
"""

import contextlib
import os
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from serving.engine.queueing import Done, Job, Queue, resolve
from serving.engine.request import EngineError, Given
from serving.engine.wire import Frames, Made, Message, Wanted, failed, frame

_AT_ONCE = 1 << 18  # bytes of a read
_log = structlog.get_logger("serving.engine")


@dataclass(slots=True, eq=False)
class Reply:
    """Where an answer goes: the `future` of a job that came by the socket."""

    number: int
    dry_run: bool

    def made(self, given: Given) -> Made:
        """The answer, with the row where the ledger has none."""
        row = given.row if self.dry_run else None
        return Made(self.number, given.body, given.decision_id, row, given.replayed)

    def cancelled(self) -> bool:
        """Never: whoever asked may have gone, but did not say so."""
        return False


class Inbox(Queue):
    """A `Queue` that is also filled from `connection`; `gather`, `answer` are called by one thread, the writer's."""

    _SHARE = 0.5  # the service reads and answers the other half meanwhile

    def __init__(
        self,
        size: int,
        wait_seconds: float,
        largest: int,
        connection: socket.socket,
        make: Callable[[Wanted, Reply], Job],
        finish: Callable[[Reply, Done], None],
    ) -> None:
        """`make` a job, or raise what keeps it from being one; `finish` decisions whose message is still to come."""
        super().__init__(size, wait_seconds, largest)
        self._connection, self._make, self._finish = connection, make, finish
        self._frames = Frames(Wanted)
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._open = True

    def answer(self, results: list[tuple[Any, Any]]) -> None:
        """Those that came by the socket are answered there, all in one write."""
        said: list[Message] = []
        for reply, result in results:
            if not isinstance(reply, Reply):
                resolve([(reply, result)])
            elif isinstance(result, Exception):
                said.append(failed(reply.number, result))
            elif result.wants_message:
                self._finish(reply, result)
            else:
                said.append(reply.made(result.given))
        self._say(said)

    def _notify(self) -> None:
        self._wake()

    def _look(self) -> None:
        self._pause(0.0)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of calls to wake up already
            os.write(self._waker, b".")

    def _pause(self, seconds: float | None = None) -> None:
        """Until something comes, by the socket or from another thread; `seconds` at most."""
        watched: list[Any] = [self._woken, *([self._connection] if self._open else [])]
        self._changed.release()
        try:
            ready, _, _ = select.select(watched, [], [], seconds)
            if self._woken in ready:
                os.read(self._woken, 4096)
            wanted = self._read() if self._connection in ready else []
        finally:
            self._changed.acquire()
        self._take_in(wanted)

    def _read(self) -> list[Wanted]:
        try:
            data = self._connection.recv(_AT_ONCE)
        except ConnectionError:
            data = b""
        self._open = bool(data)
        return self._frames.of(data)

    def _take_in(self, wanted: list[Wanted]) -> None:
        refused: list[Message] = []
        for each in wanted:
            reply = Reply(each.number, each.ask.dry_run)
            try:
                self._add(self._make(each, reply))
            except EngineError as error:
                refused.append(failed(each.number, error))
            except Exception as error:  # noqa: BLE001 - a defect of ours: who asked is told, and the thread goes on
                _log.error("a question failed", exc_info=error)
                refused.append(failed(each.number, error))
        self._say(refused)

    def _say(self, messages: list[Message]) -> None:
        if messages:
            with contextlib.suppress(ConnectionError):  # the service is gone, and with it whoever asked
                self._connection.sendall(b"".join(map(frame, messages)))
