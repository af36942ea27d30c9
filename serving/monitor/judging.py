"""What the figures mean: which of them is an alarm, and what to do about it."""

import contextlib
import datetime as dt
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retentionjax.bundle import Bundle, drift
from retentionjax.bundle.customer import ID
from retentionjax.decide.facts import Facts, as_frame
from retentionjax.env import actions, observation
from retentionjax.errors import DataError
from retentionjax.evaluation.lift import Difference
from retentionjax.evaluation.off_policy import ledger_file
from retentionjax.evaluation.off_policy.evaluation import HEADLINE, evaluate
from retentionjax.evaluation.off_policy.overlap import OverlapError
from retentionjax.evaluation.statistics import IntervalEstimate, plain
from serving.ledger import Ledger, Reader
from serving.ledger.export import REWARD_DAYS
from serving.ledger.types import DAY
from serving.lift import measuring
from serving.lift.measuring import Found
from serving.monitor import measures
from serving.monitor.measures import AppealComparison, Comparison

_CAMPAIGNS = 20  # the latest, that are looked at


@dataclass(frozen=True)
class Promise:
    """The change of departures per customer, by one campaign or one arm of its pilot."""

    campaign_id: str
    arm: str
    """`policy` against those held out, or an offer against the pilot's customers who were left alone."""
    measured: Difference
    """The measured change, with an interval that may be looked at daily."""
    believed: float
    effect: str
    """The effect that explains most of the difference between the two."""

    @property
    def is_broken(self) -> bool:
        """Whether what is believed lies outside of what was measured; never before there is an interval."""
        return not self.measured.low <= self.believed <= self.measured.high and self.measured.low == self.measured.low

    @property
    def words(self) -> str:
        """The promise in a line."""
        found = self.measured
        measured = f"{found.mean * 100:+.2f} [{found.low * 100:+.2f}, {found.high * 100:+.2f}]"
        said = f"effects: {self.campaign_id}, {self.arm}: departures of 100 customers changed by {measured}"
        doubted = f"; {self.effect} is the one to doubt" if self.is_broken else ""
        return f"{said} where {self.believed * 100:+.2f} is believed{doubted}"


def read_promises(reader: Reader, bundle: Bundle, since: float) -> tuple[Promise, ...]:
    """Promises of every campaign that was not over by `since` and of which enough is known."""
    found: list[Promise] = []
    for name, campaign in sorted(reader.campaigns(reader.campaign_ids(_CAMPAIGNS)).items()):
        if campaign.starts_at + campaign.horizon_days * DAY < since:
            continue
        record = reader.campaign_record(name)
        sides = {"policy": measuring.against_holdout(campaign, record), **measuring.of_pilot(campaign, record)}
        found += _of_campaign(name, {arm: measuring.find(study) for arm, study in sides.items()}, bundle)
    return tuple(found)


def _of_campaign(name: str, sides: Mapping[str, Found], bundle: Bundle) -> Iterator[Promise]:
    for arm, side in sides.items():
        if side.lift is None or side.lift.departures.last.low != side.lift.departures.last.low:
            continue  # not a number before enough is known
        parts = measuring.believed_departures(side.study, bundle.params, bundle.offers)
        if parts:
            measured = side.lift.departures.last
            yield Promise(
                name, arm, measured, sum(parts.values()), _doubted(parts, measured.mean - sum(parts.values()))
            )


def _doubted(parts: Mapping[str, float], surprise: float) -> str:
    """The part that pulls most away from what was measured; where all pull towards it, the largest."""
    away = {name: value for name, value in parts.items() if value * surprise < 0} or parts
    return max(away, key=lambda name: abs(away[name]))


@dataclass(frozen=True)
class AlarmLimits:
    """When a figure is an alarm."""

    days: float = 30.0
    """The window: decisions so many days back."""
    tolerance: float = 0.1
    """Observed against expected: the whole 95 % interval must lie further from 1 than this."""


@dataclass(frozen=True)
class Value:
    """$ an episode, by off-policy evaluation of the decisions whose outcomes are known."""

    logged: IntervalEstimate | None
    """What was done."""
    policy: IntervalEstimate | None
    """The bundle's policy, doubly robust."""
    episodes: int
    reason: str = ""
    """Why there is no figure."""


@dataclass(frozen=True)
class MonitorVerdict:
    """All that a check found."""

    checked_at: float
    days: float
    decisions: int
    customers: int
    churn: Comparison
    acceptance: Comparison
    appeal: AppealComparison
    value: Value
    drifted: Mapping[str, float]
    """PSI of the columns that moved."""
    unread: int
    """Customers left out of it: their recorded facts do not fit this bundle's schema."""
    by_others: int
    """Decisions by other bundles, of which only the facts count."""
    faults: Sequence[str]
    """Faults of the books."""
    promises: Sequence[Promise] = field(default_factory=tuple)
    """What contacts should have changed and did, against a hold-out or a pilot's customers who were left alone."""
    alarms: Sequence[str] = field(default_factory=tuple)
    """Alarms in words; empty if all is well."""

    @property
    def recalibrate(self) -> bool:
        """Whether the models no longer say what happens, so that recalibrated or newly trained ones are needed."""
        return any(alarm.startswith(("churn", "acceptance", "appeal", "drift")) for alarm in self.alarms)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON holds it: what is not known is null."""
        found: dict[str, Any] = {**plain(self), "recalibrate": self.recalibrate}
        for name in ("churn", "acceptance", "appeal"):
            found[name]["is_alarm"] = any(alarm.startswith(f"{name}:") for alarm in self.alarms)
        for made, promise in zip(found["promises"], self.promises, strict=True):
            made["is_alarm"] = promise.is_broken
        return found


def check(ledger: Ledger, bundle: Bundle, limits: AlarmLimits) -> MonitorVerdict:
    """One look at the last `limits.days` days. Raises LedgerUnavailable."""
    with ledger.read() as reader:
        now = reader.now
        history = measures.history(reader.follow(now - limits.days * DAY), now, bundle.params, bundle.manifest.id)
        faults = reader.audit(cooldown_days=int(bundle.params.cooldown_days))
        kept = read_promises(reader, bundle, now - limits.days * DAY)
    churn = measures.churn(history.risk, history.days, history.left, float(bundle.params.risk_window_days))
    acceptance = measures.acceptance(history.accept, history.accepted)
    appeal = measures.appeal(history.accept, history.appeal, history.accepted)
    drifted, unread = drifted_columns(bundle, history.facts)
    return MonitorVerdict(
        checked_at=now,
        days=limits.days,
        decisions=history.decisions,
        customers=history.customers,
        churn=churn,
        acceptance=acceptance,
        appeal=appeal,
        value=value(ledger, bundle, now - REWARD_DAYS * DAY, limits.days),
        drifted=drifted,
        unread=unread,
        by_others=history.others,
        faults=faults,
        promises=kept,
        alarms=(
            *_alarms(churn, acceptance, appeal, limits),
            *(
                f"drift: {name} is distributed otherwise than in training (PSI {psi:.2f})"
                for name, psi in drifted.items()
            ),
            *(f"books: {fault}" for fault in faults),
            *(each.words for each in kept if each.is_broken),
        ),
    )


def drifted_columns(bundle: Bundle, facts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], int]:
    """PSI of the facts that are distributed otherwise than in training, empty where the bundle has no reference; and
    how many customers' facts this bundle does not take, which are left out: another bundle decided about them."""
    references = drift.read(bundle)
    if not facts or not references:
        return {}, 0
    reader = Facts.of(bundle)
    rows = []
    for number, each in enumerate(facts):
        with contextlib.suppress(DataError):
            rows.append(reader.row({ID: str(number), **each}))
    unread = len(facts) - len(rows)
    if not rows:
        return {}, unread
    found = drift.compare(bundle, references, as_frame(bundle.schema, reader.stack(rows)), {})
    shifts = {
        f"{each.model}, {shift.column}": shift.psi for each in found for shift in each.shifts if shift.level != "none"
    }
    return shifts, unread


def value(ledger: Ledger, bundle: Bundle, until: float, days: float) -> Value:
    """What the decisions of the `days` days before `until` were worth, and the bundle's policy would have been.

    `until` must lie so far back that what followed is known of all of them: were those alone looked at of which it
    is known already, they would be the customers who left.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole, part = Path(folder, "whole.parquet"), Path(folder, "part.parquet")
        ledger.export(whole)
        since, last = (dt.datetime.fromtimestamp(at, dt.UTC) for at in (until - days * DAY, until))
        table = pq.read_table(whole, filters=[("decided_at", ">=", since), ("decided_at", "<=", last)])
        if not table.num_rows:
            return Value(None, None, 0, f"no decision was made {REWARD_DAYS} to {REWARD_DAYS + days:g} days ago")
        table = table.filter(pa.array(_is_own(table, bundle)))
        if not table.num_rows:
            return Value(None, None, 0, "the decisions of these days were those of bundles with other offers")
        pq.write_table(table, part)
        log = ledger_file.read(part)
    propensities, _ = bundle.decide(log.observation, log.mask)
    try:
        report = evaluate(log, propensities.astype(np.float64))
    except (OverlapError, DataError) as error:
        return Value(None, None, log.num_episodes, str(error))
    return Value(report.logging, report.estimates[HEADLINE], log.num_episodes - report.left_out)


def _is_own(table: pa.Table, bundle: Bundle) -> np.ndarray:
    """bool[decisions]: those of bundles with the offers of `bundle`, by how much they saw and what they could do, and
    by the names of the offers that they made."""
    names = np.array([None, *np.repeat(np.array([*bundle.offers], object), actions.delays(bundle.params))], object)
    widths = {"observation": observation.size(len(bundle.offers)), "propensities": len(names)}
    fits = np.all([pc.equal(pc.list_value_length(table[each]), widths[each]).to_numpy() for each in widths], axis=0)
    action, offer = table["action"].to_numpy(), np.array(table["offer"].to_pylist(), object)
    fits &= names[np.minimum(action, len(names) - 1)] == offer
    bundles = np.array(table["bundle_id"].to_pylist())
    return ~np.isin(bundles, np.unique(bundles[~fits]))


def _alarms(churn: Comparison, acceptance: Comparison, appeal: AppealComparison, limits: AlarmLimits) -> Iterator[str]:
    for name, what, compared in (("churn", "departures", churn), ("acceptance", "acceptances", acceptance)):
        if compared.differs(limits.tolerance):
            yield (
                f"{name}: {compared.observed} {what} where {compared.expected:.1f} were predicted, "
                f"{compared.ratio:.2f} times as many [{compared.low:.2f}, {compared.high:.2f}]"
            )
    if appeal.differs(limits.tolerance):
        yield f"appeal: offers add {appeal.factor:.2f} [{appeal.low:.2f}, {appeal.high:.2f}] times what is believed"
