"""The writer's thread: micro-batch after micro-batch, the only place from which decisions reach the ledger."""

import threading
import time
from dataclasses import replace

import structlog

from serving.engine.drafts import Draft
from serving.engine.inbox import Done, Inbox, Job
from serving.engine.messages import ApprovedWordings
from serving.engine.money import pace
from serving.engine.slots import Lineup
from serving.engine.steps import BatchResult, Steps
from serving.ledger import Ledger, LedgerError
from serving.ledger.types import MICROS, CampaignView
from serving.observability.logs import DecisionLine, DecisionLogWriter
from serving.observability.metrics import Metrics, ScoreDrift

_log = structlog.get_logger("serving.engine")
_SHOW_SECONDS = 1.0  # between two looks at a campaign's money


class Writer:
    """Runs `steps` for what the inbox gathers, under the lineup of the moment."""

    lineup: Lineup
    """What serves, since `start`."""

    def __init__(self, ledger: Ledger, inbox: Inbox, steps: Steps, metrics: Metrics, log: DecisionLogWriter) -> None:
        self._ledger, self._inbox, self._steps, self._metrics, self._decisions = ledger, inbox, steps, metrics, log
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._swapping = threading.Lock()
        self._drift: dict[str, ScoreDrift] = {}
        self._shown: dict[str, float] = {}

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self, lineup: Lineup) -> None:
        """Starts the thread."""
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

    def join(self, seconds: float) -> None:
        """Waits for the thread to end."""
        if self.alive:
            self._thread.join(seconds)

    def _run(self) -> None:
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
        now = time.monotonic()
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
