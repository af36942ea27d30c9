"""The books, checked: every sum computed anew from the rows, every rule looked for where it could have been broken."""

from collections.abc import Iterator

from retentionjax.decide.draws import Arm, Pilot, arm, place
from serving.ledger.database import Row
from serving.ledger.erasure import ERASED
from serving.ledger.types import DAY
from serving.ledger.views import Look, read_pilot

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
    (
        "a contact to a customer whom its campaign holds out",
        """SELECT c.decision_id FROM contacts c JOIN assignments a
            ON a.customer_id = c.customer_id AND a.campaign_id = c.campaign_id WHERE a.arm = 'holdout'""",
    ),
    (
        "a customer's first decision in a campaign, without the arm that she was drawn to",
        """SELECT MIN(d.decision_id) FROM decisions d LEFT JOIN assignments a
            ON a.customer_id = d.customer_id AND a.campaign_id = d.campaign_id
        WHERE d.executed = 1 AND a.arm IS NULL GROUP BY d.customer_id, d.campaign_id""",
    ),
    (
        "a pilot's contact that is not of the arm that the customer was drawn to",
        """SELECT c.decision_id FROM contacts c LEFT JOIN assignments a
            ON a.customer_id = c.customer_id AND a.campaign_id = c.campaign_id AND a.arm = 'pilot'
        WHERE c.pilot = 1 AND (a.pilot_arm IS NULL OR a.pilot_arm <> c.offer OR a.acted_at IS NULL)""",
    ),
    (
        "a second contact of a pilot to one customer",
        """SELECT MAX(decision_id) FROM contacts WHERE pilot = 1 AND state <> 'cancelled'
        GROUP BY customer_id, campaign_id HAVING COUNT(*) > 1""",
    ),
)
_ASSIGNMENTS = """
    SELECT a.campaign_id, a.customer_id, a.arm, a.pilot_arm, a.propensity, a.assigned_at, c.salt, d.holdout, d.pilot
    FROM assignments a JOIN campaigns c ON c.campaign_id = a.campaign_id
    JOIN designs d ON d.campaign_id = a.campaign_id AND d.number = a.design
    ORDER BY a.campaign_id, a.customer_id"""
_ROUNDING = 1e-9
_DAYS = """
    SELECT c.customer_id, c.send_at, d.decided_at, g.starts_at, c.decision_id FROM contacts c
    JOIN decisions d ON d.decision_id = c.decision_id JOIN campaigns g ON g.campaign_id = c.campaign_id
    WHERE c.state <> 'cancelled' ORDER BY c.customer_id, c.send_at, c.decision_id"""


def audit(look: Look, *, cooldown_days: int = 0) -> list[str]:
    """What is inconsistent, a line each; empty if nothing is. With 0 the cooldown is not looked at."""
    return [
        *_money(look),
        *_broken_rows(look),
        *_cooldown(look, cooldown_days),
        *_draws(look),
    ]


def _money(look: Look) -> Iterator[str]:
    for campaign, budget, spent, reserved, spent_rows, reserved_rows in look.rows(_SUMS):
        if spent != spent_rows:
            yield f"campaign {campaign}: spent_micros is {spent}, and its rows sum to {spent_rows}"
        if reserved != reserved_rows:
            yield f"campaign {campaign}: reserved_micros is {reserved}, and its rows sum to {reserved_rows}"
        if spent_rows + reserved_rows > budget:
            yield f"campaign {campaign}: {spent_rows + reserved_rows} micros spent and reserved of a budget of {budget}"


def _broken_rows(look: Look) -> Iterator[str]:
    for what, statement in _ROWS:
        for (decision_id,) in look.stream(statement):
            yield f"decision {decision_id}: {what}"


def _cooldown(look: Look, cooldown_days: int) -> Iterator[str]:
    """The rule is a customer's, whatever the campaign; days are those of the campaign that decided later."""
    before: Row = ()
    for row in look.stream(_DAYS):
        if before and before[0] == row[0]:
            starts_at = max(before, row, key=lambda contact: contact[2])[3]
            days = int((row[1] - starts_at) // DAY - (before[1] - starts_at) // DAY)
            if days < cooldown_days:
                yield f"decision {row[4]}: a contact {days} days after another, cooldown {cooldown_days}"
        before = row


def _draws(look: Look) -> Iterator[str]:
    """Each arm is drawn again, under the design of its time; who was erased has no name to draw by."""
    for campaign, customer, *found, at, salt, holdout, pilot in look.stream(_ASSIGNMENTS):
        if customer.startswith(ERASED):
            continue
        drawn = _drawn(place(salt, customer), at, holdout, None if pilot is None else read_pilot(pilot))
        if tuple(found[:2]) != drawn[:2] or abs(found[2] - drawn.propensity) > _ROUNDING:
            yield f"campaign {campaign}, customer {customer}: assigned to {_words(*found)}; drawn is {_words(*drawn)}"


def _drawn(number: float, at: float, holdout: float, pilot: Pilot | None) -> Arm:
    return arm(number, holdout, pilot if pilot is not None and at < pilot.ends_at else None)


def _words(group: str, pilot_arm: str | None, propensity: float) -> str:
    return f"{group}{'' if pilot_arm is None else ' ' + pilot_arm} with probability {propensity:g}"
