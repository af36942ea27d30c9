"""What was recorded, read back: a decision, a customer's ledger, a campaign's spend by day."""

import json

from serving.ledger import administration
from serving.ledger.database import Connection
from serving.ledger.types import (
    ContactRecord,
    CustomerLedger,
    DailySpend,
    DecisionRecord,
    Drawn,
    DueContact,
    Outcome,
    RecentDecision,
)

_DECISION = """
    SELECT d.decision_id, d.customer_id, d.campaign_id, d.decided_at, d.day, d.channel, d.action, d.offer, d.delay,
        d.send_at, c.state, COALESCE(c.reserved_micros, 0), COALESCE(c.spent_micros, 0), d.observation, d.mask,
        d.propensities, d.churn_probability, d.baseline_churn_probability, d.accept_probability, d.monthly_charge,
        d.bundle_id, d.policy_version, d.rules_version, d.slot, d.degradations, d.executed, d.message_json, d.response,
        d.basis
    FROM decisions d LEFT JOIN contacts c ON c.decision_id = d.decision_id WHERE d.decision_id = ?"""
_RECENT = """
    SELECT decision_id, customer_id, campaign_id, decided_at, action, slot FROM decisions
    WHERE observation IS NOT NULL ORDER BY decision_id DESC LIMIT ?"""
_DUE = """
    SELECT c.decision_id, c.customer_id, c.campaign_id, c.send_at, u.time_zone, d.response FROM contacts c
    JOIN decisions d ON d.decision_id = c.decision_id
    JOIN consents s ON s.customer_id = c.customer_id AND s.channel = c.channel AND s.status = 'granted'
    LEFT JOIN customers u ON u.customer_id = c.customer_id
    WHERE c.state = 'reserved' AND c.send_at > ? AND c.send_at <= ? AND c.sent_at IS NULL
        AND u.churned_at IS NULL AND d.response IS NOT NULL
    ORDER BY c.send_at, c.decision_id LIMIT ?"""
_CAMPAIGN_IDS = "SELECT campaign_id FROM campaigns ORDER BY starts_at DESC, campaign_id LIMIT ?"
_OUTCOMES = "SELECT decision_id, kind, happened_at FROM outcomes WHERE decision_id = ? ORDER BY recorded_at, kind"
_CUSTOMER = "SELECT time_zone, churned_at, observed_until FROM customers WHERE customer_id = ?"
_ARMS = "SELECT campaign_id, arm FROM assignments WHERE customer_id = ? ORDER BY campaign_id"
_REVENUE = "SELECT COUNT(*), CAST(COALESCE(SUM(amount_micros), 0) AS BIGINT) FROM revenues WHERE customer_id = ?"
_CONTACTS = """
    SELECT c.decision_id, c.campaign_id, c.channel, c.offer, c.send_at, c.state, c.reserved_micros, c.spent_micros,
        c.accepted_at
    FROM decisions d JOIN contacts c ON c.decision_id = d.decision_id WHERE d.customer_id = ?
    ORDER BY c.send_at, c.decision_id"""
_DECISIONS = "SELECT COUNT(*) FROM decisions WHERE customer_id = ?"
_ANSWERS = """
    SELECT send_day, CAST(SUM(CASE WHEN state = 'accepted' THEN 1 ELSE 0 END) AS BIGINT),
        CAST(SUM(CASE WHEN state = 'declined' THEN 1 ELSE 0 END) AS BIGINT)
    FROM contacts WHERE campaign_id = ? GROUP BY send_day"""
_ASSIGNMENTS = """
    SELECT COUNT(*), COUNT(CASE WHEN arm = 'holdout' THEN 1 END), COUNT(CASE WHEN arm = 'pilot' THEN 1 END),
        COUNT(acted_at)
    FROM assignments WHERE campaign_id = ?"""
_DAYS = """
    SELECT day, CAST(SUM(contacts) AS BIGINT), CAST(SUM(spent_micros) AS BIGINT), CAST(SUM(reserved_micros) AS BIGINT)
    FROM (
        SELECT send_day AS day, 1 AS contacts, spent_micros, reserved_micros FROM contacts
        WHERE campaign_id = ? AND state <> 'cancelled'
        UNION ALL
        SELECT day, contacts, spent_micros, 0 FROM purged_spend WHERE campaign_id = ?
    ) AS days GROUP BY day ORDER BY day"""


def decision(connection: Connection, decision_id: str) -> DecisionRecord | None:
    """A decision with its contact's money and its outcomes; None if there is no such one."""
    found = connection.rows(_DECISION, decision_id)
    if not found:
        return None
    *plain, degradations, executed, message, response, basis = found[0]
    outcomes = tuple(Outcome(*row) for row in connection.rows(_OUTCOMES, decision_id))
    fields = [*plain, tuple(json.loads(degradations)), bool(executed), message, response, basis, outcomes]
    return DecisionRecord(*fields)


def recent(connection: Connection, limit: int) -> list[RecentDecision]:
    """The latest decisions about customers that are not erased, newest first."""
    return [RecentDecision(*row) for row in connection.rows(_RECENT, limit)]


def due(connection: Connection, now: float, since: float, limit: int) -> list[DueContact]:
    """Contacts due between `since` and `now`, not reported as sent, of customers who consent and have not left."""
    return [DueContact(*row) for row in connection.rows(_DUE, since, now, limit)]


def campaign_ids(connection: Connection, limit: int) -> list[str]:
    """The campaigns there are, latest start first."""
    return [row[0] for row in connection.rows(_CAMPAIGN_IDS, limit)]


def customer_ledger(connection: Connection, customer_id: str) -> CustomerLedger | None:
    """All that is held of a customer; None if nothing is."""
    facts = connection.rows(_CUSTOMER, customer_id)
    consents = administration.consent(connection, customer_id)
    decisions = connection.rows(_DECISIONS, customer_id)[0][0]
    payments, revenue = connection.rows(_REVENUE, customer_id)[0]
    if not facts and not consents and not decisions and not payments:
        return None
    time_zone, churned_at, observed_until = facts[0] if facts else (None, None, None)
    arms = {row[0]: row[1] for row in connection.rows(_ARMS, customer_id)}
    contacts = tuple(ContactRecord(*row) for row in connection.rows(_CONTACTS, customer_id))
    return CustomerLedger(
        customer_id, time_zone, churned_at, observed_until, arms, revenue, consents, contacts, decisions
    )


def daily_answers(connection: Connection, campaign_id: str) -> dict[int, tuple[int, int]]:
    """Campaign day → (accepted, declined) of the contacts sent on it, purged ones left out."""
    return {day: (accepted, declined) for day, accepted, declined in connection.rows(_ANSWERS, campaign_id)}


def daily_spend(connection: Connection, campaign_id: str) -> list[DailySpend]:
    """A campaign's contacts and money by campaign day, days without a contact left out."""
    return [DailySpend(*row) for row in connection.rows(_DAYS, campaign_id, campaign_id)]


def assignments(connection: Connection, campaign_id: str) -> Drawn:
    """How many customers a campaign has drawn, and to what."""
    return Drawn(*connection.rows(_ASSIGNMENTS, campaign_id)[0])
