"""The books, checked: every sum computed anew from the rows, every rule looked for where it could have been broken."""

from collections.abc import Iterator

from serving.ledger.database import Connection, Row
from serving.ledger.types import DAY

_SUMS = """
    SELECT g.campaign_id, g.budget_micros, g.spent_micros, g.reserved_micros,
        (SELECT CAST(COALESCE(SUM(c.spent_micros), 0) AS BIGINT) FROM contacts c WHERE c.campaign_id = g.campaign_id)
        + (SELECT CAST(COALESCE(SUM(p.spent_micros), 0) AS BIGINT) FROM purged_spend p
            WHERE p.campaign_id = g.campaign_id),
        (SELECT CAST(COALESCE(SUM(c.reserved_micros), 0) AS BIGINT) FROM contacts c
            WHERE c.campaign_id = g.campaign_id)
    FROM campaigns g ORDER BY g.campaign_id"""
_ROWS = (  # each finds decision ids that should not be
    (
        "an executed contact without its row of money",
        """SELECT d.decision_id FROM decisions d LEFT JOIN contacts c ON c.decision_id = d.decision_id
        WHERE d.executed = 1 AND d.action > 0 AND c.decision_id IS NULL""",
    ),
    (
        "money without an executed contact",
        """SELECT c.decision_id FROM contacts c LEFT JOIN decisions d ON d.decision_id = c.decision_id
        WHERE d.decision_id IS NULL OR d.executed = 0 OR d.action = 0""",
    ),
    (
        "a contact of another customer or campaign than its decision",
        """SELECT c.decision_id FROM contacts c JOIN decisions d ON d.decision_id = c.decision_id
        WHERE d.customer_id <> c.customer_id OR d.campaign_id <> c.campaign_id""",
    ),
    (
        "an acceptance without an outcome, or an outcome without an acceptance",
        """SELECT c.decision_id FROM contacts c LEFT JOIN outcomes o
            ON o.decision_id = c.decision_id AND o.kind = 'accepted' AND o.status = 'applied'
        WHERE (c.state = 'accepted') <> (o.decision_id IS NOT NULL)""",
    ),
    (
        "two contacts of one customer in one campaign on one day",
        """SELECT MIN(decision_id) FROM contacts WHERE state <> 'cancelled'
        GROUP BY customer_id, campaign_id, send_day HAVING COUNT(*) > 1""",
    ),
    (
        "two contacts of one customer pending at once",
        """SELECT MIN(decision_id) FROM contacts WHERE planned = 1 GROUP BY customer_id HAVING COUNT(*) > 1""",
    ),
)
_DAYS = """
    SELECT c.customer_id, c.send_at, d.decided_at, g.starts_at, c.decision_id FROM contacts c
    JOIN decisions d ON d.decision_id = c.decision_id JOIN campaigns g ON g.campaign_id = c.campaign_id
    WHERE c.state <> 'cancelled' ORDER BY c.customer_id, c.send_at, c.decision_id"""


def audit(connection: Connection, cooldown_days: int) -> list[str]:
    """What is inconsistent, a line each; empty if nothing is. 0 leaves the cooldown unchecked."""
    return [*_money(connection), *_broken_rows(connection), *_cooldown(connection, cooldown_days)]


def _money(connection: Connection) -> Iterator[str]:
    for campaign, budget, spent, reserved, spent_rows, reserved_rows in connection.rows(_SUMS):
        if spent != spent_rows:
            yield f"campaign {campaign}: spent_micros is {spent}, and its rows sum to {spent_rows}"
        if reserved != reserved_rows:
            yield f"campaign {campaign}: reserved_micros is {reserved}, and its rows sum to {reserved_rows}"
        if spent_rows + reserved_rows > budget:
            yield f"campaign {campaign}: {spent_rows + reserved_rows} micros spent and reserved of a budget of {budget}"


def _broken_rows(connection: Connection) -> Iterator[str]:
    for what, statement in _ROWS:
        for (decision_id,) in connection.stream(statement):
            yield f"decision {decision_id}: {what}"


def _cooldown(connection: Connection, cooldown_days: int) -> Iterator[str]:
    """The rule is a customer's, whatever the campaign; days are those of the campaign that decided later."""
    before: Row = ()
    for row in connection.stream(_DAYS):
        if before and before[0] == row[0]:
            starts_at = max(before, row, key=lambda contact: contact[2])[3]
            days = int((row[1] - starts_at) // DAY - (before[1] - starts_at) // DAY)
            if days < cooldown_days:
                yield f"decision {row[4]}: a contact {days} days after another, cooldown {cooldown_days}"
        before = row
