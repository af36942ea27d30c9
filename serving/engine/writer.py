"""The writer's thread: micro-batch after micro-batch, the only place from which decisions reach the ledger.

What waits for it, it reads from the socket by itself and gathers into micro-batches (`Inbox`). Nothing stands between
the service's event loop and the writer: no second loop, no futures, no other thread that wants Python's lock while a
micro-batch is made.
"""

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TextIO

import msgspec
import structlog

from retentionjax.decide.variants import Kind
from serving.engine.contract import (
    Answered,
    DeadlineExceeded,
    EngineError,
    Given,
    NotRunning,
    Packet,
    Wanted,
    WrongFacts,
    failed,
)
from serving.engine.drafts import Draft
from serving.engine.messages import ApprovedWordings
from serving.engine.situations import Job, encode, own
from serving.engine.slots import Lineup, Served
from serving.engine.steps import BatchResult, Result, Steps
from serving.engine.wire import Frames, Pipe, frame
from serving.ledger import Ledger, LedgerError
from serving.ledger.types import Clock
from serving.observability.metrics import Metrics, ScoreDrift
from serving.settings import Settings

_SHARE = 0.5  # of the last micro-batch is waited for: the service reads and answers the other half meanwhile
_PIPE = 4096  # bytes that a pipe takes without mixing them with what another process writes (PIPE_BUF)
_log = structlog.get_logger("serving.engine")


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

    def gather(self) -> list[Job] | None:
        """The next micro-batch, with no customer and no Idempotency-Key twice in it; None once closed and empty.

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

    def answer(self, jobs: Sequence[tuple[Job, Result]]) -> None:
        """Says what became of them, all in one write."""
        said: list[Packet] = []
        for job, result in jobs:
            if isinstance(result, Exception):
                said.append(failed(job.number, result))
            elif isinstance(result, Draft):
                row = result.row  # which goes along where the ledger has none
                given = Given(row.response, row.decision_id, row if job.ask.dry_run else None)
                said.append(Answered(job.number, given))
            else:
                said.append(Answered(job.number, result))
        self._say(said)

    def _fill(self, wanted: int) -> None:
        until = self._monotonic() + self._wait
        while len(self._jobs) < wanted and not self._closed and (left := until - self._monotonic()) > 0:
            self._look(left)

    def _take(self) -> list[Job]:
        gathered: list[Job] = []
        skipped, now = list[Job](), self._monotonic()
        customers: set[Any] = set()
        while self._jobs and len(gathered) < self._largest:
            job = self._jobs.popleft()
            if now > job.deadline:
                self.answer([(job, DeadlineExceeded("the deadline passed before it was decided"))])
                continue
            names = {job.ask.customer_id, (job.ask.idempotency or (None,))[:2]} - {(None,)}
            if customers & names:
                skipped.append(job)
            else:
                customers |= names
                gathered.append(job)
        self._jobs.extendleft(reversed(skipped))
        self._last = max(1, len(gathered))
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


class DecisionLine(msgspec.Struct, frozen=True, omit_defaults=True, tag="decision", tag_field="event"):
    """What the log says of a decision: no customer id, no facts, no text. Nothing in it leads to a person without the
    ledger."""

    decision_id: str
    timestamp: float
    """UTC epoch seconds."""
    campaign: str
    slot: str
    action: str
    reason: str
    propensity: float
    bundle: str
    reserved_micros: int = 0
    message: str = ""
    """Who wrote it: "template" or "model"."""
    degradations: tuple[str, ...] = ()
    milliseconds: float = 0.0
    """Time from its arrival in the queue to its commit."""


class DecisionLogWriter:
    """One line a decision, written without structlog's chain: its fields are few, fixed and safe."""

    def __init__(self, stream: TextIO | None = None, *, on: bool = True) -> None:
        self._out, self._on = stream or sys.stderr, on
        self._encoder = msgspec.json.Encoder()

    def write(self, lines: list[DecisionLine]) -> None:
        """Writes the lines of one micro-batch, many at once."""
        if not self._on:
            return
        text = b""
        for line in lines:
            encoded = self._encoder.encode(line) + b"\n"
            if len(text) + len(encoded) > _PIPE and text:
                self._out.write(text.decode())
                text = b""
            text += encoded
        if text:
            self._out.write(text.decode())


class Writer:
    """Decides what comes by a pipe, micro-batch after micro-batch, under the lineup of the moment."""

    lineup: Lineup
    """What serves, since `start`."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        metrics: Metrics,
        pipe: Pipe,
        largest: int,
        *,
        sends: Callable[[Served, Kind], None] | None = None,
        monotonic: Clock = time.monotonic,
    ) -> None:
        """`largest` micro-batch; `sends` is told of the kind of each message that a decision sends."""
        self._ledger, self._settings, self._metrics, self._monotonic = ledger, settings, metrics, monotonic
        self._inbox = Inbox(settings.batch_wait_ms / 1000, largest, pipe, self._job, monotonic)
        self._steps = Steps(ledger, settings, metrics, sends)
        self._decisions = DecisionLogWriter(on=settings.log_level in ("debug", "info"))
        self._thread = threading.Thread(target=self.run, name="writer", daemon=True)
        self._swapping = threading.Lock()
        self._drift: dict[str, ScoreDrift] = {}

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self, lineup: Lineup) -> None:
        """Starts the thread, which calls `run`."""
        self.lineup = lineup
        self._thread.start()

    def replace(self, lineup: Lineup) -> None:
        """Replaces the lineup from the next micro-batch on; a new canary is judged anew."""
        with self._swapping:
            if lineup.canary != self.lineup.canary:
                self._steps.new_canary()
            self.lineup = lineup

    def use_wordings(self, wordings: ApprovedWordings) -> None:
        """Sends these from the next micro-batch on; whichever bundles serve then."""
        with self._swapping:
            self.lineup = replace(self.lineup, wordings=wordings)

    def close(self) -> None:
        """The end: nothing more is taken, and `run` returns once what waits is decided."""
        self._inbox.close()

    def join(self, seconds: float) -> None:
        """Waits for the thread to end."""
        if self.alive:
            self._thread.join(seconds)

    def run(self) -> None:
        """Decides until `close` is called."""
        while (gathered := self._inbox.gather()) is not None:
            lineup = self.lineup
            try:
                made = self._steps.run(gathered, lineup)
            except Exception as error:  # noqa: BLE001 - a defect of ours: all who wait are told, and the next batch comes
                _log.error("a micro-batch failed", jobs=len(gathered), exc_info=error)
                made = BatchResult([(job, error) for job in gathered])
            self._inbox.put_back(made.again)
            self._inbox.answer(made.results)
            self._note(made)
            self._watch(lineup)

    def _job(self, wanted: Wanted) -> Job:
        """Raises WrongFacts."""
        lineup = self.lineup
        slot, served = lineup.route(wanted.ask.customer_id) if lineup.canary else ("active", lineup.active.served)
        ask = own(served, wanted.ask)
        try:
            row = encode(served, ask)
        except WrongFacts:
            if slot == "active":
                raise
            slot, served = "active", lineup.active.served  # the canary may want other facts
            row = encode(served, ask)
        deadline = wanted.at + self._settings.deadline_ms / 1000
        return Job(wanted.number, ask, slot, served, row, wanted.at, deadline)

    def _watch(self, lineup: Lineup) -> None:
        """Takes the canary back when it passes a limit: at once here, and in the ledger for the other processes."""
        if lineup.canary is None or (limit := self._steps.watch.passed) is None:
            return
        with self._swapping:
            if self.lineup.canary == lineup.canary:
                self.lineup = self.lineup.without_canary()
        self._steps.new_canary()
        self._metrics.rollback(limit)
        _log.error("the canary is taken back", bundle=lineup.canary.served.id[:12], limit=limit)
        try:
            with self._ledger.transaction() as tx:
                stored = tx.slots()
                if stored.canary == lineup.canary.record:
                    tx.set_slots(replace(stored, canary=None, canary_weight=0.0))
        except LedgerError as error:
            _log.error("the roll-back is not in the ledger", bundle=lineup.canary.served.id[:12], exc_info=error)

    # --- what is seen of it -----------------------------------------------------------------------------------

    def _note(self, made: BatchResult) -> None:
        self._metrics.batch(len(made.results))
        self._metrics.queue("decisions", len(self._inbox))
        for stage, seconds in made.seconds.items():
            self._metrics.stage(stage, seconds)
        now = self._monotonic()
        lines: list[DecisionLine] = []
        scores: dict[str, list[float]] = {}
        for job, result in made.results:
            if isinstance(result, Draft) and not job.ask.dry_run:
                lines.append(self._note_decision(job, result, now))
                if result.decision.churn is not None:
                    scores.setdefault(result.row.bundle_id, []).append(result.decision.churn.today)
        self._decisions.write(lines)
        for bundle, some in scores.items():
            self._metrics.drift(bundle[:12], self._drift.setdefault(bundle, ScoreDrift()).observe(some))

    def _note_decision(self, job: Job, draft: Draft, now: float) -> DecisionLine:
        decision, row = draft.decision, draft.row
        action = "wait" if decision.offer is None else f"{decision.offer.name}_delay_{decision.delay_days}"
        reason: str = decision.reason
        if reason == "policy" and decision.rules and int.from_bytes(row.mask, "little") == 1:
            reason = decision.rules[-1].rule
        self._metrics.decision(row.slot, action, reason, [each.rule for each in decision.rules])
        for kind in decision.degradations:
            self._metrics.degradation(kind)
        return DecisionLine(
            decision_id=decision.decision_id,
            timestamp=row.decided_at,
            campaign=decision.campaign_id,
            slot=row.slot,
            action=action,
            reason=reason,
            propensity=decision.propensity,
            bundle=row.bundle_id[:12],
            reserved_micros=decision.reserved_micros,
            message="" if decision.message is None else decision.message.source,
            degradations=decision.degradations,
            milliseconds=round(1000 * (now - job.arrived), 3),
        )
