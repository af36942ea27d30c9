"""What is not kept: one customer who asks to be forgotten, and everybody after the retention period.

Money stays right to the micro-unit in both. *Erasing* renames the customer to a random name that leads nowhere and
empties every fact about her: observation, scores, charge, message, answer, Idempotency-Key, consent, time zone. Rows of
money keep their sums under the new name, and she stays counted in the arm she was drawn to; what she paid is
deleted; unknown consent means that she is not contacted again. *Purging* deletes old decisions with their contacts and
outcomes, and adds the contacts' money and answers to `purged_spend` and what customers did with each wording to
`purged_answers`; who was drawn to what, and first scored how, goes with the last decision of a campaign that was over
by then, and what customers paid before every other campaign.
"""

import secrets
from collections.abc import Sequence

from serving.ledger import outcomes, wordings
from serving.ledger.database import Row, texts
from serving.ledger.types import DAY, LedgerError
from serving.ledger.views import Look

ERASED = "erased-"
"""What the names begin with that lead nowhere."""
SHORTEST_RETENTION_DAYS = 60  # cooldown, fatigue (32 days at most) and running offers need the contacts so long

_EMPTY = """
    UPDATE decisions SET customer_id = ?, observation = NULL, propensities = NULL, churn_probability = NULL,
        baseline_churn_probability = NULL, accept_probability = NULL, monthly_charge = NULL, message_json = NULL,
        response = NULL, basis = NULL, idempotency_key = NULL, request_digest = NULL, degradations = '[]'
    WHERE customer_id = ?"""
_RENAME_CONTACTS = """
    UPDATE contacts SET customer_id = ?, time_zone = NULL, region = NULL
    WHERE decision_id IN (SELECT decision_id FROM decisions WHERE customer_id = ?)"""
_RENAME_ASSIGNMENTS = "UPDATE assignments SET customer_id = ? WHERE customer_id = ?"
_DROP = (
    "DELETE FROM revenues WHERE customer_id = ?",
    "DELETE FROM baselines WHERE customer_id = ?",
    "DELETE FROM consents WHERE customer_id = ?",
    "DELETE FROM customers WHERE customer_id = ?",
    "DELETE FROM changes WHERE what = 'consent of ' || ?",
)

# Decisions to be purged: old, without an open reservation, and without a contact whose campaign still runs, since the
# account cap counts it.
_MAY_GO = """
    (c.decision_id IS NULL OR (c.state <> 'reserved' AND c.send_at < ? AND COALESCE(c.accepted_at, 0) < ?
        AND g.starts_at + g.horizon_days * 86400 < ?))"""
_OLD = f"""
    SELECT d.decision_id FROM decisions d
    LEFT JOIN contacts c ON c.decision_id = d.decision_id
    JOIN campaigns g ON g.campaign_id = d.campaign_id
    WHERE d.campaign_id = ? AND d.decided_at < ? AND {_MAY_GO} LIMIT ?"""  # noqa: S608 - words from here
_STILL_OLD = f"""
    SELECT d.decision_id FROM decisions d
    LEFT JOIN contacts c ON c.decision_id = d.decision_id
    JOIN campaigns g ON g.campaign_id = d.campaign_id
    WHERE d.decision_id IN (SELECT value FROM json_each(?)) AND d.decided_at < ? AND {_MAY_GO}"""  # noqa: S608
# A campaign's draw, its first scores and what was paid since it began tell its effect, as long as its decisions are
# there. No index says whom a campaign drew, so it is asked only where there is a campaign that is through.
_THROUGH = """
    SELECT g.campaign_id FROM campaigns g WHERE g.starts_at + g.horizon_days * 86400 < ?
        AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.campaign_id = g.campaign_id)"""
_OF_THROUGH = {
    table: f"""
    SELECT customer_id, campaign_id FROM {table}
    WHERE campaign_id IN (SELECT value FROM json_each(?)) LIMIT ?"""  # noqa: S608 - names from here
    for table in ("assignments", "baselines")
}
_PAID_OLD = """
    SELECT customer_id, reference FROM revenues
    WHERE happened_at < ? AND happened_at < (
        SELECT COALESCE(MIN(g.starts_at), ?) FROM campaigns g WHERE g.starts_at + g.horizon_days * 86400 >= ?
            OR EXISTS (SELECT 1 FROM decisions d WHERE d.campaign_id = g.campaign_id)) LIMIT ?"""
_FORGET = {
    "assignments": "DELETE FROM assignments WHERE customer_id = ? AND campaign_id = ?",
    "baselines": "DELETE FROM baselines WHERE customer_id = ? AND campaign_id = ?",
    "revenues": "DELETE FROM revenues WHERE customer_id = ? AND reference = ?",
}
OF_PEOPLE = tuple(_FORGET)
"""Tables whose rows go with the last campaign that they tell of."""
_CAMPAIGNS = "SELECT campaign_id FROM campaigns ORDER BY campaign_id"
_KEEP_MONEY = """
    INSERT INTO purged_spend (campaign_id, day, contacts, spent_micros, accepted, declined)
    SELECT campaign_id, send_day, COUNT(*), CAST(SUM(spent_micros) AS BIGINT),
        COUNT(CASE WHEN state = 'accepted' THEN 1 END), COUNT(CASE WHEN state = 'declined' THEN 1 END)
    FROM contacts
    WHERE state <> 'cancelled' AND decision_id IN (SELECT value FROM json_each(?)) GROUP BY campaign_id, send_day
    ON CONFLICT (campaign_id, day) DO UPDATE SET contacts = purged_spend.contacts + excluded.contacts,
        spent_micros = purged_spend.spent_micros + excluded.spent_micros,
        accepted = purged_spend.accepted + excluded.accepted, declined = purged_spend.declined + excluded.declined"""
_PURGE = tuple(
    f"DELETE FROM {table} WHERE decision_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - names from here
    for table in ("outcomes", "contacts", "decisions")
)


def erase(tx: Look, customer_id: str) -> int:
    """Forgets a customer and keeps the money right; how many decisions were emptied. Contacts not yet
    sent are cancelled first."""
    outcomes.cancel_unsent(tx, customer_id)
    nobody = f"{ERASED}{secrets.token_hex(16)}"
    tx.run(_RENAME_CONTACTS, nobody, customer_id)
    tx.run(_RENAME_ASSIGNMENTS, nobody, customer_id)
    emptied = tx.run(_EMPTY, nobody, customer_id)
    for statement in _DROP:
        tx.run(statement, customer_id)
    return emptied


def past_retention(look: Look, retention_days: float, limit: int) -> list[str]:
    """Ids of at most about `limit` decisions that may be purged; reading only, since it looks at all that are old.

    Raises LedgerError for a period shorter than the rules on contacts look back.
    """
    if not retention_days >= SHORTEST_RETENTION_DAYS:  # NaN, for PostgreSQL, is later than everything
        raise LedgerError(
            f"retention is {retention_days:g} days; allowed: {SHORTEST_RETENTION_DAYS} or more, since cooldown, "
            "fatigue and running offers look back"
        )
    cutoff = look.now - retention_days * DAY
    found: list[str] = []
    for (campaign,) in look.rows(_CAMPAIGNS):
        if len(found) < limit:
            found += [row[0] for row in look.rows(_OLD, campaign, cutoff, cutoff, cutoff, look.now, limit)]
    return found


def people_past_retention(look: Look, retention_days: float, limit: int, table: str) -> Sequence[Row]:
    """(customer, campaign or reference) of at most `limit` rows of one `OF_PEOPLE` that tell of no campaign any more.

    Reading only, as `past_retention`, after which it is asked.
    """
    cutoff = look.now - retention_days * DAY
    if table == "revenues":
        return look.rows(_PAID_OLD, cutoff, cutoff, cutoff, limit)
    through = [row[0] for row in look.rows(_THROUGH, cutoff)]
    return look.rows(_OF_THROUGH[table], texts(through), limit) if through else []


def forget(tx: Look, rows: Sequence[Row], table: str) -> int:
    """Deletes rows that `people_past_retention` found, a campaign that is over draws nobody again; how many."""
    return tx.many(_FORGET[table], rows)


def purge(tx: Look, ids: Sequence[str], retention_days: float) -> int:
    """Deletes those of `ids` that are past the retention period and keeps the money right; how many."""
    cutoff = tx.now - retention_days * DAY
    old = texts(row[0] for row in tx.rows(_STILL_OLD, texts(ids), cutoff, cutoff, cutoff, tx.now))
    tx.run(_KEEP_MONEY, old)
    wordings.keep(tx, old)
    deleted = 0
    for statement in _PURGE:
        deleted = tx.run(statement, old)
    return deleted
