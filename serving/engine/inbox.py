"""What waits for the writer's thread, which reads it from the socket by itself and gathers it into micro-batches.

Nothing stands between the service's event loop and the writer: no second loop, no futures, no other thread that wants
Python's lock while a micro-batch is made.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from retentionjax.decide.facts import Row
from serving.engine.contract import Ask, DeadlineExceeded, EngineError, Given, NotRunning
from serving.engine.drafts import Draft
from serving.engine.slots import Served
from serving.engine.wire import Answered, Frames, Packet, Pipe, Wanted, failed, frame
from serving.ledger.types import Clock, SlotName

_SHARE = 0.5  # of the last micro-batch is waited for: the service reads and answers the other half meanwhile
_log = structlog.get_logger("serving.engine")


@dataclass(slots=True, eq=False)
class Job:
    """A decision that waits."""

    number: int
    """Of the question, which the answer repeats."""
    ask: Ask
    slot: SlotName
    served: Served
    row: Row
    arrived: float
    """Monotonic seconds, as `deadline`."""
    deadline: float


@dataclass(slots=True)
class Done:
    """A decision that was made."""

    given: Given
    draft: Draft | None = None
    """None for a repeated answer."""


@dataclass(slots=True)
class Gathered:
    """One micro-batch; no customer and no Idempotency-Key is in it twice."""

    jobs: list[Job] = field(default_factory=list)


class Inbox:
    """The queue, which the service keeps within its bound. Of the writer's thread; the event loop calls `close`."""

    def __init__(
        self,
        wait_seconds: float,
        largest: int,
        pipe: Pipe,
        make: Callable[[Wanted], Job],
        monotonic: Clock = time.monotonic,
    ) -> None:
        """`largest` micro-batch; `wait_seconds` is the longest that one is waited for to fill. `make` a job, or raise
        what keeps it from being one. `monotonic` gives seconds, as `Wanted.at`."""
        self._wait, self._largest, self._monotonic = wait_seconds, largest, monotonic
        self._pipe, self._make = pipe, make
        self._frames = Frames(Wanted)
        self._jobs: deque[Job] = deque()
        self._closed = False
        self._last = 1

    def __len__(self) -> int:
        return len(self._jobs)

    def close(self) -> None:
        """The end: no more jobs; `gather` gives what is left and then None."""
        self._closed = True
        self._pipe.wake()

    def put_back(self, jobs: list[Job]) -> None:
        """Puts jobs back before all others, in their order."""
        self._jobs.extendleft(reversed(jobs))

    def gather(self) -> Gathered | None:
        """The next micro-batch; None once closed and empty.

        Idle, the first job is taken at once. Busy (the last batch held more than one), it waits for `_SHARE` of what
        the last batch had, `wait_seconds` at most: jobs that come together are decided together.
        """
        self._look(0.0)
        while not self._jobs:
            if self._closed:
                return None
            self._look()
        if self._last > 1:
            self._fill(min(math.ceil(_SHARE * self._last), self._largest))
        return self._take()

    def answer(self, jobs: Sequence[tuple[Job, Done | Exception]]) -> None:
        """Says what became of them, all in one write."""
        said: list[Packet] = []
        for job, result in jobs:
            if isinstance(result, Exception):
                said.append(failed(job.number, result))
            else:
                said.append(answered(job.number, result.given, dry_run=job.ask.dry_run))
        self._say(said)

    def _fill(self, wanted: int) -> None:
        until = self._monotonic() + self._wait
        while len(self._jobs) < wanted and not self._closed and (left := until - self._monotonic()) > 0:
            self._look(left)

    def _take(self) -> Gathered:
        gathered, skipped, now = Gathered(), [], self._monotonic()
        customers: set[Any] = set()
        while self._jobs and len(gathered.jobs) < self._largest:
            job = self._jobs.popleft()
            if now > job.deadline:
                self.answer([(job, DeadlineExceeded("the deadline passed before it was decided"))])
                continue
            names = {job.ask.customer_id, (job.ask.idempotency or (None,))[:2]} - {(None,)}
            if customers & names:
                skipped.append(job)
            else:
                customers |= names
                gathered.jobs.append(job)
        self._jobs.extendleft(reversed(skipped))
        self._last = max(1, len(gathered.jobs))
        return gathered

    # --- the pipe ---------------------------------------------------------------------------------------------

    def _look(self, seconds: float | None = None) -> None:
        """Takes in what comes; waits until something does, or `close` is called, `seconds` at most."""
        wanted = self._frames.of(self._pipe.receive(seconds))
        self._say([refused for each in wanted if (refused := self._refused(each)) is not None])

    def _refused(self, wanted: Wanted) -> Packet | None:
        """Takes a question in; or what to answer where it cannot be."""
        if self._closed:
            return failed(wanted.number, NotRunning("shutting down"))
        try:
            self._jobs.append(self._make(wanted))
        except EngineError as error:
            return failed(wanted.number, error)
        except Exception as error:  # noqa: BLE001 - a defect of ours: who asked is told, and the thread goes on
            _log.error("a question failed", exc_info=error)
            return failed(wanted.number, error)
        return None

    def _say(self, packets: list[Packet]) -> None:
        if packets:
            self._pipe.send(b"".join(map(frame, packets)))


def answered(number: int, given: Given, *, dry_run: bool) -> Answered:
    """The answer, with the row where the ledger has none."""
    return Answered(number, given if dry_run else Given(given.body, given.decision_id, replayed=given.replayed))
