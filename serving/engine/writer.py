"""The writer's thread: micro-batch after micro-batch, the only place from which decisions reach the ledger."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from retentionjax.decide.variants import Kind
from serving.engine.contract import WrongFacts
from serving.engine.drafts import Draft
from serving.engine.inbox import Done, Inbox, Job
from serving.engine.messages import ApprovedWordings
from serving.engine.money import pace
from serving.engine.slots import Lineup, Served
from serving.engine.steps import BatchResult, Steps
from serving.engine.wire import Pipe, Wanted
from serving.ledger import Ledger, LedgerError
from serving.ledger.types import MICROS, CampaignView, Clock
from serving.observability.logs import DecisionLine, DecisionLogWriter
from serving.observability.metrics import Metrics, ScoreDrift
from serving.settings import Settings

_log = structlog.get_logger("serving.engine")
_SHOW_SECONDS = 1.0  # between two looks at a campaign's money


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
        self._shown: dict[str, float] = {}

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
                _log.error("a micro-batch failed", jobs=len(gathered.jobs), exc_info=error)
                made = BatchResult([(job, error) for job in gathered.jobs])
            self._inbox.put_back(made.again)
            self._inbox.answer(made.results)
            self._note(made)
            self._watch(lineup)

    def _job(self, wanted: Wanted) -> Job:
        """Raises WrongFacts."""
        lineup = self.lineup
        slot, served = lineup.route(wanted.ask.customer_id)
        ask = served.own(wanted.ask)
        try:
            row = served.encode(ask)
        except WrongFacts:
            if slot == "active":
                raise
            slot, served = "active", lineup.active.served  # the canary may want other facts
            row = served.encode(ask)
        deadline = wanted.at + self._settings.deadline_ms / 1000
        return Job(wanted.number, ask, slot, served, row, wanted.at, deadline)

    def _watch(self, lineup: Lineup) -> None:
        """Takes the canary back when it passes a limit: at once here, and in the ledger for the other processes."""
        limit = self._steps.watch.passed
        if limit is None or lineup.canary is None:
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
            if isinstance(result, Done) and result.draft is not None and not job.ask.dry_run:
                lines.append(self._note_decision(job, result.draft, now))
                if result.draft.decision.churn is not None:
                    scores.setdefault(result.draft.row.bundle_id, []).append(result.draft.decision.churn.today)
        self._decisions.write(lines)
        for bundle, some in scores.items():
            self._metrics.drift(bundle[:12], self._drift.setdefault(bundle, ScoreDrift()).observe(some))
        for campaign in made.campaigns.values():
            self._note_campaign(campaign, now, made.now)

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

    def _note_campaign(self, campaign: CampaignView, now: float, at: float) -> None:
        if now - self._shown.get(campaign.campaign_id, float("-inf")) < _SHOW_SECONDS:
            return
        self._shown[campaign.campaign_id] = now
        money = {
            "budget": campaign.budget_micros,
            "spent": campaign.spent_micros,
            "reserved": campaign.reserved_micros,
            "left": campaign.left_micros,
        }
        served = self.lineup.active.served
        theta, price = pace(campaign, served.prices, at)
        dollars = {name: amount / MICROS for name, amount in money.items()}
        self._metrics.campaign(campaign.campaign_id, dollars, served.price if price is None else price, theta)
