"""One micro-batch from its jobs to its answers, in one transaction: repeated? → views → decide → money → record.

Whatever goes wrong, nothing half-done is written and nothing unchecked is answered: models that fail mean no contact,
a ledger that fails means no answer.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from retentionjax.decide.variants import Kind
from retentionjax.errors import RetentionJaxError
from serving.engine.contract import CampaignNotRunning, Given, KeyReused, NoCampaign, WrongFacts
from serving.engine.drafts import Draft, Terms, draft, unscored
from serving.engine.situations import Job, Situation, encode
from serving.engine.slots import Lineup, Served, Watch
from serving.ledger import Ledger, LedgerError, LedgerUnavailable, Transaction
from serving.ledger.types import SlotName
from serving.ledger.views import CampaignView
from serving.observability.metrics import Metrics
from serving.settings import Settings

CANARY_FAILED = "canary_failed"
_log = structlog.get_logger("serving.engine")
# What models raise: XLA's errors are RuntimeErrors, numpy's and JAX's the others.
_MODEL_FAILURES = (RetentionJaxError, RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)


Result = Draft | Given | Exception
"""What a job came to: a decision, what its Idempotency-Key was answered before, or a refusal."""


@dataclass(slots=True)
class BatchResult:
    """What a micro-batch came to."""

    results: list[tuple[Job, Result]] = field(default_factory=list)
    again: list[Job] = field(default_factory=list)
    """Jobs whose cost no longer fitted what the others of the batch left: for the next one."""
    campaigns: dict[str, CampaignView] = field(default_factory=dict)
    """Campaigns as they were at its beginning."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each stage."""


class Steps:
    """Used by the writer's thread only."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        metrics: Metrics,
        sends: Callable[[Served, Kind], None] | None = None,
    ) -> None:
        """`sends` is told of the kind of each message that a decision sends."""
        self._ledger, self._settings, self._metrics, self._sends = ledger, settings, metrics, sends
        self.new_canary()

    def new_canary(self) -> None:
        """The canary is another one: what was seen of the last does not count."""
        self.watch = Watch(self._settings)

    def run(self, jobs: Sequence[Job], lineup: Lineup) -> BatchResult:
        """Decides, records, answers. A refusal of the database's own rules is tried again job by job, so that one job
        at fault costs the others nothing. Raises nothing."""
        try:
            made = self._transaction(jobs, lineup)
        except LedgerUnavailable as error:
            made = BatchResult([(job, error) for job in jobs])
        except LedgerError as error:
            _log.error("the ledger refuses a micro-batch", jobs=len(jobs), exc_info=error)
            made = self._one_by_one(jobs, lineup, error)
        return made

    def _one_by_one(self, jobs: Sequence[Job], lineup: Lineup, error: LedgerError) -> BatchResult:
        if len(jobs) <= 1:
            return BatchResult([(job, error) for job in jobs])
        made = BatchResult()
        for job in jobs:
            alone = self.run([job], lineup)
            made.results += alone.results
            made.again += alone.again
        return made

    def _transaction(self, jobs: Sequence[Job], lineup: Lineup) -> BatchResult:
        made, begun = BatchResult(), time.perf_counter()
        with self._ledger.transaction() as tx:
            drafted = self._decide(tx, jobs, lineup, made, begun)
            rows = [each.row for _, each in drafted if not each.decision.dry_run]
            ready = time.perf_counter()
            if rows:
                tx.record(rows)
        made.seconds["commit"] = time.perf_counter() - ready
        return made

    def _decide(
        self, tx: Transaction, jobs: Sequence[Job], lineup: Lineup, made: BatchResult, begun: float
    ) -> list[tuple[Job | None, Draft]]:
        """Drafts to be recorded, those of the shadow among them, without a job."""
        fresh = self._fresh(tx, jobs, made)
        situations = self._situations(tx, fresh, made)
        terms = Terms(tx.kill_switch(), self._settings.exploration, tx.now, lineup.wordings)
        made.seconds["views"] = time.perf_counter() - begun
        start = time.perf_counter()
        drafted = self._within_budget(self._drafts(situations, lineup, terms), made)
        made.seconds["policy"] = time.perf_counter() - start
        shadow = self._shadow([(job, each.situation) for job, each in drafted], lineup, terms)
        for job, each in drafted:
            own = each.row.bundle_id == job.served.id  # not the active bundle's in place of the canary's
            if self._sends is not None and own and each.brief is not None and each.decision.offer is not None:
                self._sends(job.served, Kind(each.decision.offer.name, each.brief.channel, each.brief.tone))
            made.results.append((job, each))
        return [*drafted, *((None, each) for each in shadow)]

    def _fresh(self, tx: Transaction, jobs: Sequence[Job], made: BatchResult) -> list[Job]:
        """Jobs that were not answered before."""
        keys = {job.ask.idempotency[:2]: job for job in jobs if job.ask.idempotency is not None}
        if not keys:
            return list(jobs)
        stored, fresh = tx.idempotent(list(keys)), []
        for job in jobs:
            before = stored.get(job.ask.idempotency[:2]) if job.ask.idempotency is not None else None
            if before is None or job.ask.idempotency is None:
                fresh.append(job)
            elif before.request_digest == job.ask.idempotency[2]:
                made.results.append((job, Given(before.response, before.decision_id, replayed=True)))
            else:
                made.results.append((job, KeyReused("the Idempotency-Key was used with another request")))
        return fresh

    def _situations(self, tx: Transaction, jobs: Sequence[Job], made: BatchResult) -> list[tuple[Job, Situation]]:
        """Jobs whose campaign runs, with what the ledger knows."""
        campaigns = tx.campaigns(sorted({job.ask.campaign_id for job in jobs}))
        running: list[tuple[Job, CampaignView, int]] = []
        for job in jobs:
            campaign = campaigns.get(job.ask.campaign_id)
            if campaign is None:
                made.results.append((job, NoCampaign(job.ask.campaign_id)))
                continue
            day = campaign.day(tx.now)
            if 0 <= day < campaign.horizon_days:
                running.append((job, campaign, day))
            else:
                made.results.append((job, CampaignNotRunning("not begun" if day < 0 else "over")))
        made.campaigns = campaigns
        names = [job.ask.customer_id for job, _, _ in running], [job.ask.campaign_id for job, _, _ in running]
        views = tx.customers(*names, tx.now) if running else []
        situations = [
            (job, Situation(job.ask, view, campaign, job.row, day))
            for (job, campaign, day), view in zip(running, views, strict=True)
        ]
        _pilots(tx, [each for _, each in situations if each.view.assignment.arm.group == "pilot"])
        return situations

    def _drafts(
        self, situations: Sequence[tuple[Job, Situation]], lineup: Lineup, terms: Terms
    ) -> list[tuple[Job, Draft]]:
        """Drafts in the order of the jobs."""
        groups: dict[tuple[SlotName, Served], list[int]] = defaultdict(list)
        for place, (job, _) in enumerate(situations):
            groups[job.slot, job.served].append(place)
        drafts: dict[int, Draft] = {}
        for (slot, served), places in groups.items():
            found = self._by_slot(slot, served, [situations[place][1] for place in places], lineup, terms)
            drafts.update(zip(places, found, strict=True))
        return [(job, drafts[place]) for place, (job, _) in enumerate(situations)]

    def _by_slot(
        self, slot: SlotName, served: Served, situations: Sequence[Situation], lineup: Lineup, terms: Terms
    ) -> list[Draft]:
        if slot != "canary":
            return self._active(served, situations, terms)
        if lineup.canary is None or lineup.canary.served is not served:  # taken back while they waited
            return self._instead(situations, lineup.active.served, terms)
        return self._canary(served, situations, lineup, terms)

    def _active(self, served: Served, situations: Sequence[Situation], terms: Terms) -> list[Draft]:
        try:
            drafts = draft(served, "active", situations, terms)
        except _MODEL_FAILURES as error:
            _log.error("scoring failed", bundle=served.id[:12], customers=len(situations), exc_info=error)
            return [unscored(served, "active", each, terms) for each in situations]
        self._count_blocks(drafts)
        return drafts

    def _canary(self, served: Served, situations: Sequence[Situation], lineup: Lineup, terms: Terms) -> list[Draft]:
        """The canary's drafts; where it fails the active bundle's, which say so."""
        start = time.perf_counter()
        try:
            drafts = draft(served, "canary", situations, terms)
        except _MODEL_FAILURES as error:
            _log.error("the canary failed", bundle=served.id[:12], customers=len(situations), exc_info=error)
            self.watch.saw(len(situations), failed=True, seconds=0.0, blocked=0)
            stood_in = self._instead(situations, lineup.active.served, terms)
            for each in stood_in:
                each.change(degradations=(*each.decision.degradations, CANARY_FAILED))
            return stood_in
        blocked = sum(bool(each.blocked) for each in drafts)
        self.watch.saw(len(drafts), failed=False, seconds=time.perf_counter() - start, blocked=blocked)
        self._count_blocks(drafts)
        return drafts

    def _instead(self, situations: Sequence[Situation], active: Served, terms: Terms) -> list[Draft]:
        """Drafts by the active bundle of customers who came as the canary's; it may not know its facts."""
        known: list[int] = []
        for place, each in enumerate(situations):
            with contextlib.suppress(WrongFacts):
                each.row = encode(active, each.ask)
                known.append(place)
        found = self._active(active, [situations[place] for place in known], terms) if known else []
        drafts = dict(zip(known, found, strict=True))
        return [drafts.get(place) or unscored(active, "active", each, terms) for place, each in enumerate(situations)]

    def _shadow(self, drafted: Sequence[tuple[Job, Situation]], lineup: Lineup, terms: Terms) -> list[Draft]:
        """What the shadow would have done; no fault of its own reaches anybody."""
        if lineup.shadow is None:
            return []
        served, situations = lineup.shadow.served, []
        for job, each in drafted:
            if job.ask.dry_run:
                continue
            try:
                row = encode(served, each.ask)
            except WrongFacts:
                self._metrics.degradation("shadow_failed")
                continue
            situations.append(replace(each, row=row, costs=(), barred={}))
        try:
            return draft(served, "shadow", situations, terms) if situations else []
        except _MODEL_FAILURES as error:
            _log.error("the shadow failed", bundle=served.id[:12], exc_info=error)
            self._metrics.degradation("shadow_failed")
            return []

    def _within_budget(self, drafts: Sequence[tuple[Job, Draft]], made: BatchResult) -> list[tuple[Job, Draft]]:
        """Those whose cost fits what the earlier ones of the batch leave; the others are decided anew, by the rest."""
        left = {name: campaign.left_micros for name, campaign in made.campaigns.items()}
        of_pilot: dict[str, int] = {}
        kept = []
        for job, each in drafts:
            name = job.ask.campaign_id
            cost = needed = 0 if each.decision.dry_run else each.row.reserve_micros
            if each.row.pilot and not each.decision.dry_run:  # whom there is money for must not depend on the arm
                needed = each.situation.pilot_cost
                if needed > of_pilot.setdefault(name, each.situation.pilot_left):
                    made.again.append(job)
                    continue
            if needed > left[name]:
                made.again.append(job)
                continue
            left[name] -= cost
            if each.row.pilot:
                of_pilot[name] = of_pilot.get(name, each.situation.pilot_left) - cost
            kept.append((job, each))
        return kept

    def _count_blocks(self, drafts: Sequence[Draft]) -> None:
        for each in drafts:
            if each.blocked:
                self._metrics.shield_blocks(each.blocked)


def _pilots(tx: Transaction, situations: Sequence[Situation]) -> None:
    """Fills in the pilots that run, and what they may still reserve; one look at the contacts of each campaign."""
    left: dict[str, int] = {}
    for each in situations:
        campaign, pilot = each.campaign, each.campaign.pilot
        if pilot is not None and tx.now < pilot.ends_at:
            name = campaign.campaign_id
            if name not in left and not each.view.assignment.acted:
                left[name] = int(pilot.budget_share * campaign.budget_micros) - tx.pilot_micros(name)
            each.pilot, each.pilot_left = pilot, left.get(name, 0)
