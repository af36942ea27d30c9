"""What happened after a decision or to a customer, and what follows from it. The rules:

- The same decision and kind again is a duplicate and changes nothing. A refused outcome is not remembered.
- What cannot have happened by its time is refused: before the decision was made, in the future; clocks may differ by
  `CLOCK_SKEW`, and an opt-out holds whatever its time. Who answers was sent the message, though nobody reported that;
  who opts out was, where its time had come.
- What was sent costs money, though it was cancelled: its cost is spent, without its discount. Where a later contact
  has taken its place, or the budget does not cover its cost, it stays cancelled, and what is reported of it is refused.
- *accepted* turns the reservation into spend, contact cost and full discount, and starts the offer on the day it was
  accepted. Too late, when the reservation was given back (declined or expired), it is honoured if the campaign's budget
  still covers the discount and no later contact of the campaign has replaced the offer; so neither the budget nor the
  account cap can be passed. After the customer has left it is refused.
- *declined* gives the discount back and spends the contact cost; else it is ignored.
- *churned* remembers the earliest time, until which she is known to have stayed, whatever *kept* said of later days
  before, and cancels contacts not yet sent. Money spent stays spent: the account keeps
  the full cost of a running offer, an upper bound of what it will have cost.
- *opted_out* ends consent to the decision's channel, unless it was given again after `at`, and cancels its contacts not
  yet sent. Who consents again and opts out of the same message again, later, ends it again.
- *kept*, of a customer, remembers until when it is known that she stayed. Of whom nobody says anything, nobody knows.
- *revenue*, of a customer, is what she paid; the same reference again is a duplicate.
- Unanswered for `RESERVATION_DAYS` after it was sent, a contact expires like a decline.
- What is due is listed to whoever sends, who may report it as sent. While the list is asked for day by day, a contact
  that is not on it was not sent: it is cancelled with its customer's consent, or once it is `LATEST` late.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from serving.ledger.database import Row, texts
from serving.ledger.types import DAY, RESERVATION_DAYS, Outcome, OutcomeKind, OutcomeResult, OutcomeStatus
from serving.ledger.views import Look

AT_ONCE = 50
"""Rows that one transaction of housekeeping changes: few enough for it to take no more than milliseconds."""
CLOCK_SKEW = 300.0  # seconds by which a caller's clock may be ahead of ours, or behind
LATEST = DAY
"""Seconds after which a message that was not sent is not sent any more."""

_DECISIONS = """
    SELECT decision_id, customer_id, campaign_id, channel, decided_at FROM decisions
    WHERE decision_id IN (SELECT value FROM json_each(?))"""
_STATES = "SELECT decision_id, state FROM contacts WHERE decision_id IN (SELECT value FROM json_each(?))"
_REPORTED = "SELECT decision_id, kind, happened_at FROM outcomes WHERE decision_id IN (SELECT value FROM json_each(?))"
_CONTACT = """
    SELECT c.state, c.contact_cost_micros, c.offer_cost_micros, c.send_at, c.sent_at, u.churned_at
    FROM contacts c LEFT JOIN customers u ON u.customer_id = c.customer_id WHERE c.decision_id = ?"""
_LATER_CONTACT = """
    SELECT 1 FROM contacts WHERE customer_id = ? AND campaign_id = ? AND state <> 'cancelled' AND send_at > ? LIMIT 1"""
_REPLACED = """
    SELECT 1 FROM contacts c JOIN decisions d ON d.decision_id = c.decision_id
    JOIN contacts own ON own.decision_id = ? JOIN decisions made ON made.decision_id = own.decision_id
    LEFT JOIN outcomes o ON o.decision_id = c.decision_id AND o.kind = 'accepted' AND o.status = 'applied'
    WHERE c.customer_id = ? AND c.decision_id <> own.decision_id AND c.state <> 'cancelled' AND (
        d.decided_at >= made.decided_at OR c.sent_at >= made.decided_at OR o.recorded_at >= made.decided_at
        OR (c.campaign_id = own.campaign_id AND c.send_day = own.send_day)) LIMIT 1"""
# What was decided, sent or accepted since found the day, and the account's money, free.
_SETTLE = """
    UPDATE contacts SET state = ?, reserved_micros = 0, spent_micros = ?, accepted_at = ?,
        sent_at = COALESCE(sent_at, ?)
    WHERE decision_id = ?"""
_MONEY = """
    UPDATE campaigns SET reserved_micros = reserved_micros - ?, spent_micros = spent_micros + ? WHERE campaign_id = ?"""
_LEFT = "SELECT budget_micros - spent_micros - reserved_micros FROM campaigns WHERE campaign_id = ?"
_CHURNED_AT = "SELECT churned_at FROM customers WHERE customer_id = ?"
_KNOWN = "SELECT churned_at, observed_until FROM customers WHERE customer_id = ?"
_KEPT = """
    INSERT INTO customers (customer_id, observed_until) VALUES (?, ?)
    ON CONFLICT (customer_id) DO UPDATE SET observed_until = excluded.observed_until"""
_REVENUE = "SELECT amount_micros FROM revenues WHERE customer_id = ? AND reference = ?"
_ADD_REVENUE = """
    INSERT INTO revenues (customer_id, reference, happened_at, recorded_at, amount_micros) VALUES (?, ?, ?, ?, ?)"""
_CHURN = """
    INSERT INTO customers (customer_id, churned_at, observed_until) VALUES (?, ?, ?)
    ON CONFLICT (customer_id) DO UPDATE
    SET churned_at = excluded.churned_at, observed_until = excluded.observed_until"""
_CONSENT = "SELECT status, changed_at FROM consents WHERE customer_id = ? AND channel = ?"
_SET_CONSENT = """
    INSERT INTO consents (customer_id, channel, status, changed_at, source) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (customer_id, channel) DO UPDATE
    SET status = excluded.status, changed_at = excluded.changed_at, source = excluded.source"""
_OUTCOME = """
    INSERT INTO outcomes (decision_id, kind, happened_at, recorded_at, status) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (decision_id, kind) DO UPDATE
    SET happened_at = excluded.happened_at, recorded_at = excluded.recorded_at, status = excluded.status"""
_UNSENT = """
    SELECT decision_id, campaign_id, reserved_micros, channel FROM contacts
    WHERE customer_id = ? AND state <> 'cancelled' AND state = 'reserved' AND sent_at IS NULL AND listed_at IS NULL
        AND (send_at > ? OR send_at >= ?)"""
# The index says both states; what was sent, or may have been, stays so, though the clock be set back.
_CANCEL = "UPDATE contacts SET state = 'cancelled', planned = 0, reserved_micros = 0 WHERE decision_id = ?"
_LISTED = "UPDATE contacts SET listed_at = ? WHERE decision_id = ? AND listed_at IS NULL"
_ASKED = "SELECT value, changed_at FROM switches WHERE name = 'contacts listed'"
_ASK = """
    INSERT INTO switches (name, value, changed_at) VALUES ('contacts listed', ?, ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at"""
_LAPSED = """
    SELECT decision_id, campaign_id, reserved_micros FROM contacts
    WHERE state = 'reserved' AND sent_at IS NULL AND listed_at IS NULL AND send_at >= ? AND send_at <= ?
    ORDER BY send_at LIMIT ?"""
_SENT = "UPDATE contacts SET sent_at = ? WHERE decision_id = ? AND sent_at IS NULL"
_OVERDUE = """
    SELECT decision_id, campaign_id, reserved_micros, contact_cost_micros FROM contacts
    WHERE state = 'reserved' AND send_at <= ? ORDER BY send_at LIMIT ?"""
_EXPIRE = """
    UPDATE contacts SET state = 'expired', reserved_micros = 0, spent_micros = contact_cost_micros
    WHERE decision_id = ?"""


@dataclass(frozen=True, slots=True)
class _Decision:
    decision_id: str
    customer_id: str
    campaign_id: str
    channel: str
    decided_at: float


class _Effect(NamedTuple):
    status: OutcomeStatus
    detail: str = ""
    released_micros: int = 0
    committed_micros: int = 0


@dataclass(slots=True)
class _Reported:
    """What is known of the decisions of one call."""

    decisions: dict[str, _Decision]
    seen: dict[tuple[str, OutcomeKind], float] = field(default_factory=dict)
    """What was reported of them before, and when it happened."""


def apply(tx: Look, outcomes: Sequence[Outcome]) -> list[OutcomeResult]:
    """Applies outcomes in the order given, by the rules above; one result for each."""
    ids = texts(dict.fromkeys(each.decision_id for each in outcomes if each.decision_id is not None))
    known = _Reported(
        {row[0]: _Decision(*row) for row in tx.rows(_DECISIONS, ids)},
        {(row[0], row[1]): row[2] for row in tx.rows(_REPORTED, ids)},
    )
    results = []
    for outcome in outcomes:
        effect = _of_customer(tx, outcome) or _one(tx, outcome, known)
        results.append(OutcomeResult(outcome.decision_id, outcome.customer_id, outcome.kind, *effect))
        if outcome.decision_id is not None and effect.status in ("applied", "ignored"):
            at = known.seen[outcome.decision_id, outcome.kind] = min(outcome.at, tx.now)
            tx.run(_OUTCOME, outcome.decision_id, outcome.kind, at, tx.now, effect.status)
    return results


def expire(tx: Look, now: float, *, reservation_days: float = RESERVATION_DAYS) -> int:
    """Releases at most `AT_ONCE` reservations of contacts sent longer ago without an answer; how many."""
    overdue = tx.rows(_OVERDUE, now - reservation_days * DAY, AT_ONCE)
    money: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for _, campaign, reserved, spent in overdue:
        money[campaign][0] += reserved
        money[campaign][1] += spent
    if overdue:
        tx.many(_MONEY, [(*amounts, campaign) for campaign, amounts in sorted(money.items())])
        tx.many(_EXPIRE, [(row[0],) for row in overdue])
    return len(overdue)


def sent(tx: Look, decision_ids: Sequence[str]) -> tuple[int, list[str], list[str]]:
    """Remembers that contacts were sent now; how many of them had not been, which stay cancelled, and which are of no
    contact."""
    ids = list(dict.fromkeys(decision_ids))
    states: dict[str, str] = dict(tx.rows(_STATES, texts(ids)))
    cancelled = [each for each, state in states.items() if state == "cancelled"]
    found = [_Decision(*row) for row in tx.rows(_DECISIONS, texts(cancelled))] if cancelled else []
    refused = [
        each.decision_id
        for each in sorted(found, key=lambda decision: decision.decided_at)
        if _revive(tx, each, "expired", tx.rows(_CONTACT, each.decision_id)[0][1])
    ]
    new = len(found) - len(refused) + tx.many(_SENT, [(tx.now, each) for each in states if each not in cancelled])
    return new, refused, [each for each in ids if each not in states]


@dataclass(frozen=True, slots=True)
class ListAsked:
    """The time in which the list of what is due was asked for, without a pause of `LATEST`; UTC epoch seconds."""

    since: float
    last: float


def asked(look: Look) -> ListAsked | None:
    """When the list was asked for; None if never."""
    found = look.rows(_ASKED)
    return ListAsked(float(found[0][0]), found[0][1]) if found else None


def listed(tx: Look, decision_ids: Sequence[str]) -> None:
    """Remembers that the list is asked for now and holds these contacts."""
    before = asked(tx)
    goes_on = before is not None and tx.now - LATEST < before.last <= tx.now
    tx.run(_ASK, str(before.since if goes_on and before is not None else tx.now), tx.now)
    tx.many(_LISTED, [(tx.now, each) for each in decision_ids])


def lapse(tx: Look) -> int:
    """Cancels at most `AT_ONCE` contacts that came on no list though it was asked for, and are too late by now; how
    many. They were withheld, for want of consent or by the kill switch, and are neither contacts nor spend."""
    known = asked(tx)
    if known is None:
        return 0
    rows = tx.rows(_LAPSED, known.since, min(known.last, tx.now - LATEST), AT_ONCE)
    _cancel(tx, rows)
    return len(rows)


def cancel_unsent(tx: Look, customer_id: str, channel: str | None = None) -> int:
    """Cancels the customer's contacts not yet sent, by `channel` or all; the micros given back."""
    known = asked(tx)
    since = known.since if known is not None and known.last > tx.now - LATEST else math.inf
    rows = [row for row in tx.rows(_UNSENT, customer_id, tx.now, since) if channel in (None, row[3])]
    return _cancel(tx, [row[:3] for row in rows])


def _cancel(tx: Look, rows: Sequence[Row]) -> int:
    """Cancels contacts (decision, campaign, micros reserved); the micros given back."""
    for decision_id, campaign_id, reserved in rows:
        tx.run(_CANCEL, decision_id)
        tx.run(_MONEY, reserved, 0, campaign_id)
    return sum(row[2] for row in rows)


def record_consent(tx: Look, customer_id: str, channel: str, status: str, at: float, source: str) -> int:
    """Writes consent; what is not granted cancels the channel's contacts not yet sent. The micros given back."""
    tx.run(_SET_CONSENT, customer_id, channel, status, at, source)
    return 0 if status == "granted" else cancel_unsent(tx, customer_id, channel)


def _of_customer(tx: Look, outcome: Outcome) -> _Effect | None:
    """What follows from an outcome of a customer; None for one of a decision."""
    customer, at = outcome.customer_id, min(outcome.at, tx.now)
    if customer is None:
        return None
    if outcome.at > tx.now + CLOCK_SKEW:
        return _Effect("refused", "it lies in the future")
    if outcome.kind == "revenue":
        before = tx.rows(_REVENUE, customer, outcome.reference)
        if before:
            same = before[0][0] == outcome.amount_micros
            return _Effect("duplicate") if same else _Effect("refused", "the reference has another amount already")
        tx.run(_ADD_REVENUE, customer, outcome.reference, at, tx.now, outcome.amount_micros)
        return _Effect("applied")
    churned_at, observed_until = next(iter(tx.rows(_KNOWN, customer)), (None, None))
    if outcome.kind == "churned":
        return _Effect("duplicate") if at == churned_at else _churned(tx, customer, at)
    if churned_at is not None and churned_at < at:
        return _Effect("refused", "the customer had left by then")
    if observed_until is not None and observed_until >= at:
        return _Effect("duplicate") if observed_until == at else _Effect("ignored", "a later moment is known already")
    tx.run(_KEPT, customer, at)
    return _Effect("applied")


def _one(tx: Look, outcome: Outcome, known: _Reported) -> _Effect:
    decision = known.decisions.get(outcome.decision_id or "")
    if decision is None:
        return _Effect("unknown_decision", "there is no such decision (any more); consent is taken back by customer")
    before = known.seen.get((decision.decision_id, outcome.kind))
    if before is not None and not _again(tx, decision, outcome, before):
        return _Effect("duplicate")
    at = min(max(outcome.at, decision.decided_at), tx.now)
    if outcome.kind == "opted_out":  # whatever its time says: she wants no more
        return _opted_out(tx, decision, at)
    if outcome.at < decision.decided_at - CLOCK_SKEW:
        return _Effect("refused", "it happened before the decision was made")
    if outcome.at > tx.now + CLOCK_SKEW:
        return _Effect("refused", "it lies in the future")
    if outcome.kind == "churned":
        return _churned(tx, decision.customer_id, at)
    return _of_contact(tx, decision, outcome.kind, at)


def _again(tx: Look, decision: _Decision, outcome: Outcome, before: float) -> bool:
    """Whether what was reported to have happened at `before` happened once more: an opt-out, from consent that was
    given in between."""
    at = min(outcome.at, tx.now)
    if outcome.kind != "opted_out" or at == before:
        return False
    granted_at = _granted_at(tx, decision)
    return granted_at is not None and granted_at <= at


def _granted_at(tx: Look, decision: _Decision) -> float | None:
    """When the consent to the decision's channel was given that holds now; None where none does. One of a later time
    than now, by a clock that was set back since, is as old as can be: every opt-out ends it."""
    status, at = next(iter(tx.rows(_CONSENT, decision.customer_id, decision.channel)), ("unknown", 0.0))
    if status != "granted":
        return None
    return float(at) if at <= tx.now else -math.inf


def _of_contact(tx: Look, decision: _Decision, kind: OutcomeKind, at: float) -> _Effect:
    """What follows from an answer to the decision's message, which was sent, whatever was known of that."""
    contact = tx.rows(_CONTACT, decision.decision_id)
    if not contact:
        return _Effect("refused", "the decision made no contact")
    state, contact_cost, offer_cost, send_at, _, churned_at = contact[0]
    was_cancelled = state == "cancelled"
    if was_cancelled:
        state = "declined" if kind == "declined" else "expired"
        if why := _revive(tx, decision, state, contact_cost):
            return _Effect("refused", why)
    if kind == "accepted":
        if churned_at is not None and churned_at < at:
            if state == "reserved":
                tx.run(_SENT, at, decision.decision_id)
            return _Effect("refused", "the customer had left by then", 0, contact_cost * was_cancelled)
        effect = _accepted(tx, decision, at, state, contact_cost, offer_cost, send_at)
        return effect._replace(committed_micros=effect.committed_micros + contact_cost * was_cancelled)
    if was_cancelled:
        return _Effect("applied", "the contact had been cancelled, and counts as sent", 0, contact_cost)
    return _declined(tx, decision, at, state, contact_cost, offer_cost)


def _revive(tx: Look, decision: _Decision, state: str, contact_cost: int) -> str:
    """Spends the cost of a contact that was cancelled, and sent after all; else says why it stays cancelled."""
    if tx.rows(_REPLACED, decision.decision_id, decision.customer_id):
        return "the contact was cancelled, and another one, made or accepted since, has taken its place"
    if tx.rows(_LEFT, decision.campaign_id)[0][0] < contact_cost:
        return "the contact was cancelled, and the campaign's budget is used up"
    tx.run(_MONEY, 0, contact_cost, decision.campaign_id)
    tx.run(_SETTLE, state, contact_cost, None, tx.now, decision.decision_id)
    return ""


def _accepted(
    tx: Look,
    decision: _Decision,
    at: float,
    state: str,
    contact_cost: int,
    offer_cost: int,
    send_at: float,
) -> _Effect:
    full = contact_cost + offer_cost
    if state == "reserved":
        tx.run(_MONEY, full, full, decision.campaign_id)
        tx.run(_SETTLE, "accepted", full, at, at, decision.decision_id)
        return _Effect("applied", committed_micros=full)
    if tx.rows(_LATER_CONTACT, decision.customer_id, decision.campaign_id, send_at):
        return _Effect(
            "refused", "it comes after the reservation was given back, and a later contact replaced the offer"
        )
    if tx.rows(_LEFT, decision.campaign_id)[0][0] < offer_cost:
        return _Effect("refused", "it comes after the reservation was given back, and the campaign's budget is used up")
    tx.run(_MONEY, 0, offer_cost, decision.campaign_id)
    tx.run(_SETTLE, "accepted", full, at, None, decision.decision_id)
    return _Effect("applied", "late: the reservation had been given back, and was taken anew", 0, offer_cost)


def _declined(tx: Look, decision: _Decision, at: float, state: str, contact_cost: int, offer_cost: int) -> _Effect:
    if state != "reserved":
        return _Effect("ignored", f"the contact is {state} already")
    tx.run(_MONEY, contact_cost + offer_cost, contact_cost, decision.campaign_id)
    tx.run(_SETTLE, "declined", contact_cost, None, at, decision.decision_id)
    return _Effect("applied", released_micros=offer_cost, committed_micros=contact_cost)


def _churned(tx: Look, customer_id: str, at: float) -> _Effect:
    earlier = _churned_at(tx, customer_id)
    if earlier is not None and earlier <= at:
        return _Effect("ignored", "an earlier time is recorded already")
    tx.run(_CHURN, customer_id, at, at)
    return _Effect("applied", released_micros=cancel_unsent(tx, customer_id))


def _opted_out(tx: Look, decision: _Decision, at: float) -> _Effect:
    paid = _answered(tx, decision, at)
    granted_at = _granted_at(tx, decision)
    if granted_at is not None and granted_at > at + CLOCK_SKEW:
        return _Effect("ignored", "consent was given again after that", 0, paid)
    source = f"outcome of {decision.decision_id}"
    released = record_consent(tx, decision.customer_id, decision.channel, "opted_out", at, source)
    return _Effect("applied", released_micros=released, committed_micros=paid)


def _answered(tx: Look, decision: _Decision, at: float) -> int:
    """Takes a contact whose time has come as sent, since she opts out of it; the micros that this spends."""
    for state, contact_cost, _, send_at, sent_at, _ in tx.rows(_CONTACT, decision.decision_id):
        if send_at > tx.now:
            return 0
        if state == "cancelled":
            return 0 if _revive(tx, decision, "expired", contact_cost) else int(contact_cost)
        if sent_at is None and state == "reserved":
            tx.run(_SENT, at, decision.decision_id)
    return 0


def _churned_at(tx: Look, customer_id: str) -> float | None:
    found = tx.rows(_CHURNED_AT, customer_id)
    return found[0][0] if found else None
