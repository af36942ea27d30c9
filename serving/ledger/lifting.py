"""What a campaign drew its customers to and what came of them: the rows that its effect is measured from."""

from dataclasses import dataclass

from serving.ledger.database import Connection, Row

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
_CONTACTS = """
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
    """Until when it is known that she stayed."""
    churn_probability: float | None
    """First score in this campaign."""
    monthly_charge: float | None
    """At the first decision."""


@dataclass(frozen=True, slots=True)
class MadeContact:
    """A contact that is past and was not cancelled."""

    customer_id: str
    offer: str
    send_at: float
    accepted_at: float | None
    contact_cost_micros: int
    offer_cost_micros: int
    """Of the offer in full; owed once accepted."""
    effect_days: int
    churn_probability: float | None
    """As scored when it was decided."""


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """All rows of one campaign, by customer."""

    customers: tuple[AssignedCustomer, ...]
    contacts: tuple[MadeContact, ...]
    revenues: tuple[Row, ...]
    """(customer, when, micros), from the assignment on."""
    purged_contacts: int = 0
    """Deleted past the retention period."""


def campaign_record(connection: Connection, campaign_id: str, now: float) -> CampaignRecord:
    """What is known of a campaign's customers; contacts up to `now`."""
    return CampaignRecord(
        tuple(AssignedCustomer(*row) for row in connection.stream(_ASSIGNED, campaign_id)),
        tuple(MadeContact(*row) for row in connection.stream(_CONTACTS, campaign_id, now)),
        tuple(connection.stream(_REVENUES, campaign_id)),
        connection.rows(_PURGED, campaign_id)[0][0],
    )
