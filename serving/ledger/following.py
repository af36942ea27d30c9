"""What followed each decision that was carried out: the rows that monitoring compares with what was predicted."""

from collections.abc import Iterator
from dataclasses import dataclass

from serving.ledger.database import Connection

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
    """Over the risk window, as scored then."""
    accept_probability: float
    """Of a contact without an offer, in a calm period."""
    bundle_id: str
    basis: bytes | None
    """JSON: the facts it was made from, among others."""
    contact_state: str | None
    """reserved · accepted · declined · expired · cancelled; None without a contact."""
    send_at: float | None
    churned_at: float | None
    """When the customer left; None if that was never reported."""


def follow(connection: Connection, since: float) -> Iterator[Followed]:
    """Decisions made at `since` or later, by customer and time, in constant memory."""
    for row in connection.stream(_FOLLOWED, since):
        yield Followed(*row)
