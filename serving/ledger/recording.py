"""Decisions are written: the row, the contact, the reservation and the Idempotency-Key together or not at all,
and with a customer's first one in a campaign the arm that she was drawn to."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from serving.ledger.database import Connection, texts
from serving.ledger.errors import CooldownBroken, HoldoutBroken, LedgerError
from serving.ledger.types import DAY, IDEMPOTENCY_SECONDS, CampaignView, CustomerView, DecisionRow, Stored

_ANSWERED = """
    SELECT idempotency_key, decided_at, request_digest, decision_id, response FROM decisions
    WHERE idempotency_key IS NOT NULL AND idempotency_key IN (SELECT value FROM json_each(?))"""
_FORGET_KEY = "UPDATE decisions SET idempotency_key = NULL, request_digest = NULL WHERE decision_id = ?"
_EXECUTE = """
    UPDATE contacts SET planned = 0
    WHERE planned = 1 AND due_at <= ? AND customer_id IN (SELECT value FROM json_each(?))"""
_PENDING = """
    SELECT customer_id FROM contacts WHERE planned = 1 AND customer_id IN (SELECT value FROM json_each(?)) LIMIT 1"""
_RESERVE = "UPDATE campaigns SET reserved_micros = reserved_micros + ? WHERE campaign_id = ?"
_DECISION = (
    "decision_id", "customer_id", "campaign_id", "decided_at", "day", "channel", "action", "offer", "delay", "send_at",
    "mask", "observation", "propensities", "churn_probability", "baseline_churn_probability", "accept_probability",
    "monthly_charge", "bundle_id", "policy_version", "rules_version", "slot", "degradations", "executed",
    "message_json", "response", "idempotency_key", "request_digest", "basis",
)  # fmt: skip
_BASELINES = """
    INSERT INTO baselines (customer_id, campaign_id, churn_probability)
    SELECT customer_id, campaign_id, baseline_churn_probability FROM decisions
    WHERE baseline_churn_probability IS NOT NULL AND decision_id IN (SELECT value FROM json_each(?))
    ON CONFLICT (customer_id, campaign_id) DO NOTHING"""
_CONTACT = (
    "decision_id", "customer_id", "campaign_id", "channel", "offer", "send_at", "send_day", "due_at", "planned",
    "state", "contact_cost_micros", "offer_cost_micros", "reserved_micros", "spent_micros", "offer_days", "effect_days",
    "amount_micros", "pilot", "variant_id", "variant_propensity",
)  # fmt: skip
_ASSIGNMENT = (
    "campaign_id", "customer_id", "arm", "pilot_arm", "propensity", "assigned_at", "design", "acted_at",
)  # fmt: skip
_ACTED = "UPDATE assignments SET acted_at = ? WHERE customer_id = ? AND campaign_id = ? AND acted_at IS NULL"


def idempotent(connection: Connection, keys: Sequence[tuple[str, str]], now: float) -> dict[tuple[str, str], Stored]:
    """What those of `keys` (API key id, Idempotency-Key) were answered that are not older than 24 h.

    Older ones are forgotten, so that they can be used again.
    """
    if not keys:
        return {}
    wanted = {_key(*key): key for key in keys}
    rows = connection.rows(_ANSWERED, texts(wanted))
    stale = [(decision_id,) for _, at, _, decision_id, _ in rows if at <= now - IDEMPOTENCY_SECONDS]
    if stale:
        connection.many(_FORGET_KEY, stale)
    return {wanted[key]: Stored(*answer) for key, at, *answer in rows if at > now - IDEMPOTENCY_SECONDS}


def record(
    connection: Connection,
    rows: Sequence[DecisionRow],
    known: Mapping[str, CampaignView],
    seen: Mapping[tuple[str, str], CustomerView],
) -> None:
    """Writes decisions; `known` holds their campaigns, `seen` the view of each (customer, campaign).

    Raises BudgetExceeded, CooldownBroken or DuplicateRecord where the database's own rules say no, HoldoutBroken for a
    contact to a customer whom its campaign holds out, and LedgerError for a row that contradicts itself; the
    transaction must then be rolled back.
    """
    for row in rows:
        _check(row, known, seen)
    contacts = [row for row in rows if row.executed and row.send_at is not None]
    if contacts:
        _reserve(connection, contacts)
    connection.insert("decisions", _DECISION, [_decision(row) for row in rows])
    _first(connection, rows, known, seen)
    if contacts:
        connection.insert("contacts", _CONTACT, [_contact(row, known[row.campaign_id]) for row in contacts])


def _key(key_id: str, key: str) -> str:
    """Whose key it is and the key in one column; an API key's id has no colon."""
    return f"{key_id}:{key}"


def _first(
    connection: Connection,
    rows: Sequence[DecisionRow],
    known: Mapping[str, CampaignView],
    seen: Mapping[tuple[str, str], CustomerView],
) -> None:
    """Writes what is remembered of a customer's first decision in a campaign: her score, and the arm she was drawn to;
    and of a pilot's that the arm was carried out."""
    # A shadow must leave no trace in what the active bundle sees; where the models failed there is no score.
    first: list[str] = []
    drawn: dict[tuple[str, str], DecisionRow] = {}
    acted: list[DecisionRow] = []
    for row in rows:
        if row.executed:
            view = seen[pair := (row.customer_id, row.campaign_id)]
            if view.baseline_churn_probability is None:
                first.append(row.decision_id)
            if not view.assignment.recorded:
                drawn[pair] = row
            elif row.pilot:
                acted.append(row)
    if first:
        connection.run(_BASELINES, texts(first))
    if drawn:
        made = [_assignment(row, seen[pair], known[row.campaign_id]) for pair, row in drawn.items()]
        connection.insert("assignments", _ASSIGNMENT, made)
    if acted:
        connection.many(_ACTED, [(row.decided_at, row.customer_id, row.campaign_id) for row in acted])


def _check(row: DecisionRow, known: Mapping[str, CampaignView], seen: Mapping[tuple[str, str], CustomerView]) -> None:
    where = f"decision {row.decision_id}"
    if row.campaign_id not in known:
        raise LedgerError(f"{where}: there is no campaign {row.campaign_id!r}")
    if row.executed == (row.slot == "shadow"):
        raise LedgerError(f"{where}: slot {row.slot} with executed {row.executed}; shadow alone is not executed")
    if (row.action == 0) != (row.send_at is None):
        raise LedgerError(f"{where}: action {row.action} with send_at {row.send_at}; a contact alone has a time")
    contact = row.executed and row.send_at is not None
    if contact and seen[row.customer_id, row.campaign_id].assignment.arm.group == "holdout":
        raise HoldoutBroken(f"{where}: the campaign holds the customer out")
    if not (0 <= row.contact_cost_micros <= row.reserve_micros if contact else row.reserve_micros == 0):
        raise LedgerError(
            f"{where}: reserve_micros {row.reserve_micros}, contact_cost_micros {row.contact_cost_micros}; a contact "
            "reserves its own cost and the offer's, anything else 0"
        )
    if row.send_at is not None and row.send_at < row.decided_at:
        raise LedgerError(f"{where}: send_at {row.send_at} is before decided_at {row.decided_at}")


def _reserve(connection: Connection, contacts: Sequence[DecisionRow]) -> None:
    """Takes the money, after the look at who has a contact pending, which no index can express."""
    customers = texts(row.customer_id for row in contacts)
    connection.run(_EXECUTE, max(row.decided_at for row in contacts), customers)
    if connection.rows(_PENDING, customers):
        raise CooldownBroken("the customer has a contact pending already")
    amounts: Counter[str] = Counter()
    for row in contacts:
        amounts[row.campaign_id] += row.reserve_micros
    connection.many(_RESERVE, [(amount, campaign) for campaign, amount in sorted(amounts.items())])


def _decision(row: DecisionRow) -> tuple[object, ...]:
    return (
        row.decision_id,
        row.customer_id,
        row.campaign_id,
        row.decided_at,
        row.day,
        row.channel,
        row.action,
        row.offer,
        row.delay,
        row.send_at,
        row.mask,
        row.observation,
        row.propensities,
        row.churn_probability,
        row.baseline_churn_probability,
        row.accept_probability,
        row.monthly_charge,
        row.bundle_id,
        row.policy_version,
        row.rules_version,
        row.slot,
        json.dumps(row.degradations) if row.degradations else "[]",
        int(row.executed),
        row.message_json,
        row.response,
        *((_key(*row.idempotency[:2]), row.idempotency[2]) if row.idempotency else (None, None)),
        row.basis,
    )


def _contact(row: DecisionRow, campaign: CampaignView) -> tuple[object, ...]:
    send_at = row.send_at if row.send_at is not None else row.decided_at
    send_day = campaign.day(send_at)
    return (
        row.decision_id,
        row.customer_id,
        row.campaign_id,
        row.channel,
        row.offer,
        send_at,
        send_day,
        campaign.starts_at + send_day * DAY,
        int(send_day > campaign.day(row.decided_at)),
        "reserved",
        row.contact_cost_micros,
        row.reserve_micros - row.contact_cost_micros,
        row.reserve_micros,
        0,
        row.offer_days,
        row.effect_days,
        row.amount_micros,
        int(row.pilot),
        row.variant_id,
        row.variant_propensity,
    )


def _assignment(row: DecisionRow, view: CustomerView, campaign: CampaignView) -> tuple[object, ...]:
    acted_at = row.decided_at if row.pilot else None
    return (row.campaign_id, row.customer_id, *view.assignment.arm, row.decided_at, campaign.design, acted_at)
