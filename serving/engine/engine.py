"""The engine: decisions from the event loop to the writer's thread and back, and which bundles make them.

`await engine.start()` loads the bundles, `await engine.decide(Ask(…))` answers, `await engine.drain()` ends.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import structlog

from retentionjax.bundle import pointer
from retentionjax.decide.batch import SIZES
from retentionjax.errors import ConfigError, RetentionJaxError
from serving.engine.answer import ENCODER
from serving.engine.deciding import Deciding
from serving.engine.following import follow
from serving.engine.models import Models, Unwritten
from serving.engine.queueing import Done, Finish, Job, Queue
from serving.engine.request import Ask, Given, NotRunning, WrongFacts
from serving.engine.served import Served
from serving.engine.slots import Slot, Table
from serving.engine.steps import PENDING, TEMPLATE, Steps
from serving.engine.writer import Writer
from serving.ledger import Ledger
from serving.ledger.types import BundleSlot, SlotName, Slots
from serving.observability.logs import DecisionLog
from serving.observability.metrics import Metrics
from serving.settings import Settings

_log = structlog.get_logger("serving.engine")


class Engine(Deciding):
    """Of one process. Methods are called on its event loop."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        *,
        metrics: Metrics,
        log: DecisionLog | None = None,
        sizes: Sequence[int] = SIZES,
        models: Models | None = None,
        inbox: Callable[[int, float, int], Queue] = Queue,
    ) -> None:
        """`sizes` of micro-batches; `models` write messages, by default the bundles' own where the settings ask;
        `inbox` makes the queue, by default one that `decide` alone fills."""
        self._ledger, self._settings, self._metrics, self._sizes = ledger, settings, metrics, tuple(sizes)
        self._models = models
        if models is None and settings.messages == "model":
            self._models = Models(settings, metrics)
        limits = settings.queue_size, settings.batch_wait_ms / 1000, max(sizes)
        self._queue = inbox(*limits)
        steps = Steps(ledger, settings, self._models, metrics)
        self._writer = Writer(ledger, self._queue, steps, metrics, log or DecisionLog())
        self._changing = asyncio.Lock()
        self._sync: asyncio.Task[None] | None = None
        self.follows_pointer = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    # --- deciding ---------------------------------------------------------------------------------------------

    async def decide(self, ask: Ask) -> Given:
        """One decision, recorded before it is answered; a `dry_run` is answered only.

        Raises WrongFacts, NoCampaign, CampaignNotRunning, KeyReused, Overloaded, DeadlineExceeded, NotRunning (see
        `request`) and LedgerUnavailable; in each case nothing was written.
        """
        with self._busy():
            future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
            self._queue.put(self.job(ask, future, time.monotonic()))
            done = await future
            return await self._with_message(done) if done.wants_message else done.given

    async def finish(self, done: Done) -> Given:
        """A decision whose message is still to come, with what comes. Raises LedgerUnavailable."""
        with self._busy():
            return await self._with_message(done)

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    def job(self, ask: Ask, future: Any, arrived: float) -> Job:
        """What the queue takes, from any thread; `arrived` in monotonic seconds. Raises WrongFacts, NotRunning."""
        slot, served = self.table.route(ask.customer_id)
        try:
            charge, row = served.encode(ask)
        except WrongFacts:
            if slot == "active":
                raise
            slot, served = "active", self.table.active.served  # the canary may want other facts
            charge, row = served.encode(ask)
        return Job(ask, slot, served, charge, row, future, arrived, arrived + self._settings.deadline_ms / 1000)

    async def _with_message(self, done: Done) -> Given:
        """Asks the model for the message of a decision that is recorded with the template, and records what comes."""
        draft, served = done.draft, done.served
        if draft is None or draft.brief is None or served is None or self._models is None:
            raise AssertionError("only a contact just decided wants a message")
        others = tuple(each for each in draft.decision.degradations if each != PENDING)
        try:
            draft.change(message=await self._models.write(served, draft.brief), degradations=others)
        except Unwritten as unwritten:
            draft.change(degradations=(*others, TEMPLATE + unwritten.reason))
            self._metrics.degradation(TEMPLATE + unwritten.reason.partition(":")[0])
        if not draft.decision.dry_run:
            recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            message = ENCODER.encode(draft.decision.message)
            self._queue.put_finish(Finish(draft.decision.decision_id, message, draft.row.response, recorded))
            await recorded
        return Given(draft.row.response, draft.decision.decision_id, draft.row)

    async def exposition(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return self._metrics.exposition()

    # --- bundles ----------------------------------------------------------------------------------------------

    @property
    def table(self) -> Table:
        """The bundles that serve. Raises NotRunning before `start`."""
        if self._writer.table is None:
            raise NotRunning("no bundle is loaded yet")
        return self._writer.table

    @property
    def ready(self) -> bool:
        """Whether every size of batch of every bundle that serves is compiled, and the writer runs."""
        return self._writer.table is not None and self._writer.alive

    async def start(self) -> None:
        """Loads and compiles: the bundles that were activated last, or that of the settings on the first start; where
        the settings name a pointer, the bundle that it points to now.

        Raises BundleError where the active one cannot be served; a canary or a shadow that cannot is left out, and
        the log says so.
        """
        path = self._settings.bundle
        self.follows_pointer = await asyncio.to_thread(pointer.pointed_to, path) is not None
        wanted = await asyncio.to_thread(self._wanted)
        if wanted.active is not None and wanted.active.path != path:
            if not self.follows_pointer:
                last = wanted.active.path
                _log.warning("the bundle activated last serves, not that of --bundle", bundle=last, flag=path)
            path = wanted.active.path
        table = Table(await self._load(path))
        self._writer.start(await self._beside(table, wanted))
        if self._models is not None:
            self._models.start()
        self._show()
        self._sync = asyncio.create_task(follow(self.sync, self._metrics))

    async def activate(self, path: str, role: SlotName = "active", weight: float = 0.0) -> Table:
        """Loads the bundle at `path`, verifies and compiles it, and swaps it in; no decision is dropped.

        An active one ends the canary that it was, if any. Raises BundleError, ConfigError for a canary's weight outside
        (0, 1] or an active one where a pointer says which that is, LedgerUnavailable; then everything is as it was.
        """
        if role == "canary" and not 0 < weight <= 1:
            raise ConfigError(f"weight is {weight!r}; allowed: above 0, up to 1")
        if role == "active" and self.follows_pointer:
            raise ConfigError(
                f"the active bundle is where {self._settings.bundle} points; allowed here: canary, shadow; "
                "`retentionjax bundle promote` and `rollback` move the pointer"
            )
        async with self._changing:
            slot, table = await self._load(path), self.table
            if role == "shadow":
                return await self._swap(replace(table, shadow=slot))
            if role == "canary":
                return await self._swap(replace(table, canary=slot, weight=weight))
            if table.canary is not None and table.canary.served.id == slot.served.id:
                table = replace(table, canary=None, weight=0.0)
            return await self._swap(replace(table, active=slot))

    async def deactivate(self, role: SlotName) -> Table:
        """Ends the canary or the shadow. Raises ConfigError for the active bundle, which can only be replaced."""
        if role == "active":
            raise ConfigError("the active bundle cannot be ended; allowed: canary, shadow")
        async with self._changing:
            table = self.table
            if role == "canary":
                return await self._swap(replace(table, canary=None, weight=0.0))
            return await self._swap(replace(table, shadow=None))

    async def _swap(self, table: Table) -> Table:
        await asyncio.to_thread(self._store, table.record)
        self._writer.replace(table)
        self._show()
        return table

    async def _load(self, path: str) -> Slot:
        return Slot(path, await asyncio.to_thread(Served.load, path, self._sizes))

    async def _beside(self, table: Table, stored: Slots) -> Table:
        """The table with the canary and the shadow that were there before."""
        found: list[Slot | None] = []
        for name, each in (("canary", stored.canary), ("shadow", stored.shadow)):
            try:
                found.append(None if each is None else await self._load(each.path))
            except RetentionJaxError as error:
                _log.error("a bundle beside the active one cannot be loaded", slot=name, exc_info=error)
                found.append(None)
        canary, shadow = found
        return replace(table, canary=canary, weight=0.0 if canary is None else stored.canary_weight, shadow=shadow)

    def _wanted(self) -> Slots:
        """What is to serve: the ledger's slots, but for the active one where a pointer says which that is.

        A canary that was promoted ends, in the ledger too.
        """
        with self._ledger.read() as reader:
            stored = reader.slots()
        pointed = pointer.pointed_to(self._settings.bundle) if self.follows_pointer else None
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

    async def sync(self) -> None:
        """Serves what pointer and ledger say is to serve. Raises LedgerUnavailable, BundleError, OSError."""
        async with self._changing:
            wanted, table = await asyncio.to_thread(self._wanted), self.table
            if wanted.active is None or wanted == table.record:
                return
            after = table if wanted.active == table.active.record else Table(await self._load(wanted.active.path))
            kept = {each.record: each for each in (table.canary, table.shadow) if each is not None}
            canary, shadow = [await self._kept(each, kept) for each in (wanted.canary, wanted.shadow)]
            self._writer.replace(replace(after, canary=canary, weight=wanted.canary_weight, shadow=shadow))
            self._show()

    async def _kept(self, wanted: BundleSlot | None, kept: dict[BundleSlot, Slot]) -> Slot | None:
        if wanted is None:
            return None
        return kept.get(wanted) or await self._load(wanted.path)

    def _show(self) -> None:
        table = self.table
        slots = {"active": table.active, "canary": table.canary, "shadow": table.shadow}
        serving = {name: each.served.id[:12] for name, each in slots.items() if each is not None}
        for each in (table.active, table.canary):
            if self._models is not None and each is not None:  # a shadow writes nothing
                self._models.warm(each.served)
        self._metrics.bundles(serving)
        _log.info("serving", **serving, canary_weight=table.weight)

    # --- the end ----------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Takes nothing new, finishes what was begun within `drain_seconds`, and ends the threads."""
        if self._sync is not None:
            self._sync.cancel()
        self._queue.refuse()
        until = time.monotonic() + self._settings.drain_seconds
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self._settings.drain_seconds)
        self._queue.close()
        if self._models is not None:
            self._models.stop()
        await asyncio.to_thread(self._writer.join, max(1.0, until - time.monotonic()))
