"""What waits for the writer's thread, and how it is gathered into micro-batches."""

import asyncio
import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from serving.engine.drafts import Draft
from serving.engine.request import Ask, DeadlineExceeded, Given, NotRunning, Overloaded
from serving.engine.served import Served
from serving.ledger.types import SlotName


@dataclass(slots=True, eq=False)
class Job:
    """A decision that waits."""

    ask: Ask
    slot: SlotName
    served: Served
    charge: float
    row: list[float]
    future: Any
    """What `Queue.answer` takes."""
    arrived: float
    """Monotonic seconds, as `deadline`."""
    deadline: float


@dataclass(slots=True, eq=False)
class Finish:
    """A message that came after its decision was recorded."""

    decision_id: str
    message_json: bytes
    response: bytes
    future: "asyncio.Future[None]"


@dataclass(slots=True)
class Done:
    """A decision that was made."""

    given: Given
    draft: Draft | None = None
    """None for a repeated answer."""
    served: Served | None = None
    wants_message: bool = False
    """Whether the model is still to be asked for the message."""


@dataclass(slots=True)
class Gathered:
    """One micro-batch; no customer and no Idempotency-Key is in it twice."""

    jobs: list[Job] = field(default_factory=list)
    finishes: list[Finish] = field(default_factory=list)


class Queue:
    """Bounded; filled by the event loop, emptied by one thread."""

    _SHARE = 1.0

    def __init__(self, size: int, wait_seconds: float, largest: int) -> None:
        """`largest` micro-batch; `wait_seconds` is the longest that one is waited for to fill."""
        self._size, self._wait, self._largest = size, wait_seconds, largest
        self._jobs: deque[Job] = deque()
        self._finishes: deque[Finish] = deque()
        self._changed = threading.Condition()
        self._wanted = 1
        self._last = 1
        self._refused = self._closed = False
        self._seconds_a_job = 0.001

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """Raises Overloaded when it is full, NotRunning when it is closed."""
        with self._changed:
            self._add(job)
            if len(self._jobs) >= self._wanted:
                self._notify()

    def put_finish(self, finish: Finish) -> None:
        """What was begun may always be finished."""
        with self._changed:
            self._finishes.append(finish)
            self._notify()

    def put_back(self, jobs: list[Job]) -> None:
        """Before all others, in their order."""
        with self._changed:
            self._jobs.extendleft(reversed(jobs))

    def refuse(self) -> None:
        """No more jobs; what waits is still gathered, and messages are finished."""
        with self._changed:
            self._refused = True

    def close(self) -> None:
        """The end: `gather` gives what is left and then None."""
        with self._changed:
            self._refused = self._closed = True
            self._notify()

    def gather(self) -> Gathered | None:
        """The next micro-batch; None once closed and empty.

        Idle, the first job is taken at once. Busy (the last batch held more than one), it waits for `_SHARE` of what
        the last batch had, `wait_seconds` at most: jobs that come together are decided together.
        """
        with self._changed:
            self._look()
            while not (self._jobs or self._finishes):
                if self._closed:
                    return None
                self._wanted = 1
                self._pause()
            if self._last > 1 and not self._closed:
                self._fill(min(math.ceil(self._SHARE * self._last), self._largest))
            return self._take()

    def answer(self, results: list[tuple[Any, Any]]) -> None:
        """Gives the results, or exceptions, of jobs and finishes to their futures."""
        resolve(results)

    def took(self, seconds: float, jobs: int) -> None:
        """How long a batch took, from which a refused caller is told when to come again."""
        if jobs:
            self._seconds_a_job += 0.1 * (seconds / jobs - self._seconds_a_job)

    def _add(self, job: Job) -> None:
        if self._refused:
            raise NotRunning("shutting down")
        if len(self._jobs) >= self._size:
            raise Overloaded(max(0.1, len(self._jobs) * self._seconds_a_job))
        self._jobs.append(job)

    def _notify(self) -> None:
        self._changed.notify()

    def _pause(self, seconds: float | None = None) -> None:
        self._changed.wait(seconds)

    def _look(self) -> None:
        """For what came elsewhere; see `Inbox`."""

    def _fill(self, wanted: int) -> None:
        self._wanted = wanted
        until = time.monotonic() + self._wait
        while len(self._jobs) < wanted and not self._closed and (left := until - time.monotonic()) > 0:
            self._pause(left)
        self._wanted = 1

    def _take(self) -> Gathered:
        gathered, skipped, now = Gathered(), [], time.monotonic()
        customers: set[Any] = set()
        while self._jobs and len(gathered.jobs) < self._largest:
            job = self._jobs.popleft()
            if job.future.cancelled():
                continue
            if now > job.deadline:
                self.answer([(job.future, DeadlineExceeded("the deadline passed before it was decided"))])
                continue
            names = {job.ask.customer_id, (job.ask.idempotency or (None,))[:2]} - {(None,)}
            if customers & names:
                skipped.append(job)
            else:
                customers |= names
                gathered.jobs.append(job)
        self._jobs.extendleft(reversed(skipped))
        self._last = max(1, len(gathered.jobs))
        while self._finishes:
            gathered.finishes.append(self._finishes.popleft())
        return gathered


def resolve(results: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    """Sets results, or exceptions, of futures from another thread: one call into each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for future, result in results:
        loops.setdefault(future.get_loop(), []).append((future, result))
    for loop, some in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set, some)


def _set(results: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, result in results:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
