"""What was recorded, read back: a decision, a customer's ledger, a campaign's spend by day; what followed each, which
monitoring compares with what was predicted; and what came of a campaign's customers, by which its effect is measured.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from retentionjax.decide.draws import Group
from serving.ledger import administration
from serving.ledger.database import Row, texts
from serving.ledger.types import MICROS, Consent, DecisionFacts, Outcome, SlotName
from serving.ledger.views import Look

_DECISION = """
    SELECT d.degradations, d.executed, d.message_json, d.response, d.basis, c.state, COALESCE(c.reserved_micros, 0),
        COALESCE(c.spent_micros, 0), d.decision_id, d.customer_id, d.campaign_id, d.decided_at, d.day, d.channel,
        d.action, d.offer, d.delay, d.send_at, d.observation, d.mask, d.propensities, d.churn_probability,
        d.baseline_churn_probability, d.accept_probability, d.monthly_charge, d.bundle_id, d.policy_version,
        d.rules_version, d.slot
    FROM decisions d LEFT JOIN contacts c ON c.decision_id = d.decision_id WHERE d.decision_id = ?"""
_RECENT = """
    SELECT decision_id, customer_id, campaign_id, decided_at, action, slot FROM decisions
    WHERE observation IS NOT NULL ORDER BY decision_id DESC LIMIT ?"""
_IS_DUE = """
    FROM contacts c
    JOIN decisions d ON d.decision_id = c.decision_id
    JOIN campaigns g ON g.campaign_id = c.campaign_id AND g.paused_at IS NULL
    JOIN consents s ON s.customer_id = c.customer_id AND s.channel = c.channel AND s.status = 'granted'
    LEFT JOIN customers u ON u.customer_id = c.customer_id
    WHERE c.state = 'reserved' AND c.sent_at IS NULL AND c.send_at > ? AND c.send_at <= ?
        AND u.churned_at IS NULL AND d.message_json IS NOT NULL"""
# What the decision's request said of the place wins over the ledger, as it did when the decision was made.
_ZONE, _REGION = "COALESCE(c.time_zone, u.time_zone)", "COALESCE(c.region, u.region)"
_LATE_PLACES = f"SELECT DISTINCT {_ZONE}, {_REGION} {_IS_DUE}"
_DUE = f"""
    SELECT c.decision_id, c.customer_id, c.campaign_id, c.send_at, c.listed_at, d.response {_IS_DUE}
        AND (c.send_at > ? OR COALESCE({_ZONE}, '') || ' ' || COALESCE({_REGION}, '') NOT IN (
            SELECT value FROM json_each(?)))
    ORDER BY c.send_at, c.decision_id LIMIT ?"""  # noqa: S608
_CAMPAIGN_IDS = "SELECT campaign_id FROM campaigns ORDER BY starts_at DESC, campaign_id LIMIT ?"
_OUTCOMES = "SELECT decision_id, kind, happened_at FROM outcomes WHERE decision_id = ? ORDER BY recorded_at, kind"
_CUSTOMER = "SELECT time_zone, region, churned_at, observed_until FROM customers WHERE customer_id = ?"
_ARMS = "SELECT campaign_id, arm FROM assignments WHERE customer_id = ? ORDER BY campaign_id"
_REVENUE = """
    SELECT COUNT(*), COALESCE(SUM(amount_micros / 1000000), 0),
        COALESCE(SUM(amount_micros - amount_micros / 1000000 * 1000000), 0)
    FROM revenues WHERE customer_id = ?"""  # in two parts: 10,000 of the largest amounts are more than a column holds
_CONTACTS = """
    SELECT c.decision_id, c.campaign_id, c.channel, c.offer, c.send_at, c.state, c.reserved_micros, c.spent_micros,
        c.accepted_at
    FROM decisions d JOIN contacts c ON c.decision_id = d.decision_id WHERE d.customer_id = ?
    ORDER BY c.send_at, c.decision_id"""
_OF_CUSTOMER = """
    SELECT d.decision_id, d.campaign_id, d.decided_at, d.offer, d.send_at, d.executed, c.state
    FROM decisions d LEFT JOIN contacts c ON c.decision_id = d.decision_id
    WHERE d.customer_id = ? ORDER BY d.decided_at DESC, d.decision_id DESC LIMIT ?"""
_OUTCOMES_OF_CUSTOMER = """
    SELECT o.decision_id, o.kind, o.happened_at FROM outcomes o JOIN decisions d ON d.decision_id = o.decision_id
    WHERE d.customer_id = ? ORDER BY o.recorded_at, o.kind"""
_DECISIONS = "SELECT COUNT(*) FROM decisions WHERE customer_id = ?"
_ANSWERS = """
    SELECT send_day, CAST(SUM(CASE WHEN state = 'accepted' THEN 1 ELSE 0 END) AS BIGINT),
        CAST(SUM(CASE WHEN state = 'declined' THEN 1 ELSE 0 END) AS BIGINT)
    FROM contacts WHERE campaign_id = ? GROUP BY send_day"""
_ASSIGNMENTS = """
    SELECT COUNT(*), COUNT(CASE WHEN arm = 'holdout' THEN 1 END), COUNT(CASE WHEN arm = 'pilot' THEN 1 END),
        COUNT(CASE WHEN acted_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM contacts c WHERE c.campaign_id = a.campaign_id AND c.customer_id = a.customer_id
                AND c.pilot = 1 AND c.state = 'cancelled') THEN 1 END)
    FROM assignments a WHERE campaign_id = ?"""
_DAYS = """
    SELECT day, CAST(SUM(contacts) AS BIGINT), CAST(SUM(spent_micros) AS BIGINT), CAST(SUM(reserved_micros) AS BIGINT)
    FROM (
        SELECT send_day AS day, 1 AS contacts, spent_micros, reserved_micros FROM contacts
        WHERE campaign_id = ? AND state <> 'cancelled'
        UNION ALL
        SELECT day, contacts, spent_micros, 0 FROM purged_spend WHERE campaign_id = ?
    ) AS days GROUP BY day ORDER BY day"""


@dataclass(slots=True)
class DecisionRecord(DecisionFacts):
    """A recorded decision as it is read back."""

    contact_state: str | None
    """reserved · accepted · declined · expired · cancelled; None without a contact."""
    reserved_micros: int
    spent_micros: int
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class RecentDecision:
    """A decision in a list."""

    decision_id: str
    customer_id: str
    campaign_id: str
    decided_at: float
    action: int
    slot: SlotName


@dataclass(frozen=True, slots=True)
class CustomerDecision:
    """A decision in the list of one customer's."""

    decision_id: str
    campaign_id: str
    decided_at: float
    offer: str | None
    """Name; None with wait."""
    send_at: float | None
    executed: bool
    """False for shadow."""
    contact_state: str | None
    outcomes: tuple[tuple[str, float], ...]
    """(kind, when) of what was reported."""


@dataclass(frozen=True, slots=True)
class DueContact:
    """A contact to be sent now, with consent."""

    decision_id: str
    customer_id: str
    campaign_id: str
    send_at: float
    listed_at: float | None
    """Since when it is known to whoever sends; None: it is not."""
    response: bytes
    """The decision as it was answered, JSON."""


Place = tuple[str | None, str | None]
"""(IANA time zone, ISO 3166 region), as far as anybody said."""


@dataclass(frozen=True, slots=True)
class ContactRecord:
    """One contact in a customer's ledger."""

    decision_id: str
    campaign_id: str
    channel: str
    offer: str
    send_at: float
    state: str
    reserved_micros: int
    spent_micros: int
    accepted_at: float | None


@dataclass(frozen=True, slots=True)
class CustomerLedger:
    """A customer in short; all that is held of her, `subject` shows."""

    customer_id: str
    time_zone: str | None
    region: str | None
    churned_at: float | None
    observed_until: float | None
    """Time until which it is known that she stayed; None where nobody said."""
    arms: Mapping[str, Group]
    """What was drawn to decide about her, by campaign."""
    revenue_micros: int
    """All that she was reported to have paid."""
    consent: tuple[Consent, ...]
    contacts: tuple[ContactRecord, ...]
    """Oldest first."""
    decisions: int
    """How many, shadow included."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """How many customers a campaign has drawn by now."""

    customers: int
    held_out: int
    in_pilot: int
    acted: int
    """Customers of the pilot whose arm was carried out: a contact that was not cancelled, or being left alone."""


@dataclass(frozen=True, slots=True)
class DailySpend:
    """One campaign day: of the contacts counted on it, what is spent by now and what is still reserved."""

    day: int
    contacts: int
    spent_micros: int
    reserved_micros: int


def decision(look: Look, decision_id: str) -> DecisionRecord | None:
    """A decision with its contact's money and its outcomes; None if there is no such one."""
    found = look.rows(_DECISION, decision_id)
    if not found:
        return None
    degradations, executed, message, response, basis, *contact = found[0][:8]
    outcomes = tuple(Outcome(*row) for row in look.rows(_OUTCOMES, decision_id))
    fields = (tuple(json.loads(degradations)), bool(executed), message, response, basis, *contact, outcomes)
    return DecisionRecord(*found[0][8:], *fields)


def decisions_of(look: Look, customer_id: str, limit: int) -> list[CustomerDecision]:
    """The latest decisions about a customer, the latest first, and what came of each."""
    reported: dict[str, list[tuple[str, float]]] = {}
    for decision_id, kind, at in look.rows(_OUTCOMES_OF_CUSTOMER, customer_id):
        reported.setdefault(decision_id, []).append((kind, at))
    return [
        CustomerDecision(
            decision_id, campaign, at, offer, send_at, bool(executed), state, tuple(reported.get(decision_id, ()))
        )
        for decision_id, campaign, at, offer, send_at, executed, state in look.rows(_OF_CUSTOMER, customer_id, limit)
    ]


def recent(look: Look, limit: int) -> list[RecentDecision]:
    """The latest decisions about customers that are not erased, newest first."""
    return [RecentDecision(*row) for row in look.rows(_RECENT, limit)]


def late_places(look: Look, since: float, until: float) -> list[Place]:
    """Places of customers with contacts due between `since` and `until` that may be sent; each place once."""
    return [(row[0], row[1]) for row in look.rows(_LATE_PLACES, since, until)]


def due(
    look: Look, now: float, since: float, limit: int, late: float = math.inf, quiet: Iterable[Place] = ()
) -> list[DueContact]:
    """The first `limit` contacts due between `since` and `now`, not reported as sent, of campaigns that are not paused
    and customers who consent and have not left; of those due until `late`, only those in other places than `quiet`."""
    places = texts(f"{zone or ''} {region or ''}" for zone, region in quiet)
    return [DueContact(*row) for row in look.rows(_DUE, since, now, late, places, limit)]


def campaign_ids(look: Look, limit: int) -> list[str]:
    """The campaigns there are, latest start first."""
    return [row[0] for row in look.rows(_CAMPAIGN_IDS, limit)]


def customer_ledger(look: Look, customer_id: str) -> CustomerLedger | None:
    """A customer in short; None if nothing is held of her."""
    facts = look.rows(_CUSTOMER, customer_id)
    consents = administration.consent(look, customer_id)
    decisions = look.rows(_DECISIONS, customer_id)[0][0]
    payments, *revenue = look.rows(_REVENUE, customer_id)[0]
    if not facts and not consents and not decisions and not payments:
        return None
    time_zone, region, churned_at, observed_until = facts[0] if facts else (None, None, None, None)
    arms = {row[0]: row[1] for row in look.rows(_ARMS, customer_id)}
    contacts = tuple(ContactRecord(*row) for row in look.rows(_CONTACTS, customer_id))
    paid = int(revenue[0]) * MICROS + int(revenue[1])
    return CustomerLedger(
        customer_id, time_zone, region, churned_at, observed_until, arms, paid, consents, contacts, decisions
    )


def daily_answers(look: Look, campaign_id: str) -> dict[int, tuple[int, int]]:
    """Campaign day → (accepted, declined) of the contacts sent on it, purged ones left out."""
    return {day: (accepted, declined) for day, accepted, declined in look.rows(_ANSWERS, campaign_id)}


def daily_spend(look: Look, campaign_id: str) -> list[DailySpend]:
    """A campaign's contacts and money by campaign day, days without a contact left out."""
    return [DailySpend(*row) for row in look.rows(_DAYS, campaign_id, campaign_id)]


def assignments(look: Look, campaign_id: str) -> Drawn:
    """How many customers a campaign has drawn, and to what."""
    return Drawn(*look.rows(_ASSIGNMENTS, campaign_id)[0])


_FOLLOWED = """
    SELECT d.decision_id, d.customer_id, d.campaign_id, d.decided_at, d.action, d.observation,
        d.churn_probability, d.accept_probability, d.bundle_id, d.basis, c.state, c.send_at, u.churned_at
    FROM decisions d
    LEFT JOIN customers u ON u.customer_id = d.customer_id
    LEFT JOIN contacts c ON c.decision_id = d.decision_id
    WHERE d.executed = 1 AND d.observation IS NOT NULL AND d.decided_at >= ?
    ORDER BY d.customer_id, d.decided_at, d.decision_id"""


@dataclass(frozen=True, slots=True)
class Followed:
    """One decision and what is known to have come of it; erased customers are left out."""

    decision_id: str
    customer_id: str
    campaign_id: str
    decided_at: float
    action: int
    observation: bytes
    """f32[features], little-endian."""
    churn_probability: float
    """Churn probability over the risk window, as scored then."""
    accept_probability: float
    """Probability of accepting a contact without an offer, in a calm period."""
    bundle_id: str
    basis: bytes | None
    """JSON: the facts it was made from, among others."""
    contact_state: str | None
    """reserved · accepted · declined · expired · cancelled; None without a contact."""
    send_at: float | None
    churned_at: float | None
    """When the customer left; None if that was never reported."""


def follow(look: Look, since: float) -> Iterator[Followed]:
    """Decisions carried out at `since` or later, by customer and time, in constant memory."""
    for row in look.stream(_FOLLOWED, since):
        yield Followed(*row)


_ASSIGNED = """
    SELECT a.customer_id, a.arm, a.pilot_arm, a.propensity, a.assigned_at, d.holdout, d.pilot, u.churned_at,
        u.observed_until, b.churn_probability,
        (SELECT x.monthly_charge FROM decisions x
            WHERE x.customer_id = a.customer_id AND x.campaign_id = a.campaign_id AND x.executed = 1
            ORDER BY x.decided_at, x.decision_id LIMIT 1)
    FROM assignments a
    JOIN designs d ON d.campaign_id = a.campaign_id AND d.number = a.design
    LEFT JOIN customers u ON u.customer_id = a.customer_id
    LEFT JOIN baselines b ON b.customer_id = a.customer_id AND b.campaign_id = a.campaign_id
    WHERE a.campaign_id = ? ORDER BY a.customer_id"""
_MADE = """
    SELECT c.customer_id, c.offer, c.send_at, c.accepted_at, c.contact_cost_micros, c.offer_cost_micros, c.effect_days,
        d.churn_probability
    FROM contacts c JOIN decisions d ON d.decision_id = c.decision_id
    WHERE c.campaign_id = ? AND c.state <> 'cancelled' AND c.send_at <= ? ORDER BY c.customer_id, c.send_at"""
_REVENUES = """
    SELECT r.customer_id, r.happened_at, r.amount_micros FROM revenues r
    JOIN assignments a ON a.customer_id = r.customer_id AND a.campaign_id = ?
    WHERE r.happened_at >= a.assigned_at ORDER BY r.customer_id, r.happened_at, r.reference"""
_PURGED = "SELECT CAST(COALESCE(SUM(contacts), 0) AS BIGINT) FROM purged_spend WHERE campaign_id = ?"


@dataclass(frozen=True, slots=True)
class AssignedCustomer:
    """A customer whom a campaign has drawn, and what is known to have come of her; times are UTC epoch seconds."""

    customer_id: str
    arm: str
    """policy · holdout · pilot."""
    pilot_arm: str | None
    propensity: float
    assigned_at: float
    holdout: float
    """Share held out, in the design she was drawn under."""
    pilot: str | None
    """That design's pilot as JSON."""
    churned_at: float | None
    observed_until: float | None
    """Time until which it is known that she stayed."""
    churn_probability: float | None
    """First score in this campaign."""
    monthly_charge: float | None
    """Charge at the first decision."""


@dataclass(frozen=True, slots=True)
class MadeContact:
    """A contact that is past and was not cancelled."""

    customer_id: str
    offer: str
    send_at: float
    accepted_at: float | None
    contact_cost_micros: int
    offer_cost_micros: int
    """Cost of the offer in full; owed once accepted."""
    effect_days: int
    churn_probability: float | None
    """Churn probability as scored when it was decided."""


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """All rows of one campaign, by customer."""

    customers: tuple[AssignedCustomer, ...]
    contacts: tuple[MadeContact, ...]
    revenues: tuple[Row, ...]
    """(customer, when, micros), from the assignment on."""
    purged_contacts: int = 0
    """Contacts deleted past the retention period."""


def campaign_record(look: Look, campaign_id: str) -> CampaignRecord:
    """All that is known of a campaign's customers, by which its effect is measured; contacts up to now."""
    return CampaignRecord(
        tuple(AssignedCustomer(*row) for row in look.stream(_ASSIGNED, campaign_id)),
        tuple(MadeContact(*row) for row in look.stream(_MADE, campaign_id, look.now)),
        tuple(look.stream(_REVENUES, campaign_id)),
        look.rows(_PURGED, campaign_id)[0][0],
    )
