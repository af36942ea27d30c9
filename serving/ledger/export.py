"""The table of off-policy evaluation, as Parquet, streamed: memory does not grow with the ledger.

One row for each decision that was carried out (active or canary; wait too), ordered by customer, campaign and time:
the decisions on one customer in one campaign are an episode. `reward` is what came in until the episode's next
decision, and over `REWARD_DAYS` after its last one, less what the decision itself has cost, in dollars:

    monthly_charge · days stayed/30 − discount − contact cost.

The discount is that of its own offer, if it was accepted: in full, or for the days that it ran where the customer left
before its end. A contact cancelled before it was sent cost nothing. A customer without a reported churn stayed. The
reward is null while it is not known: the contact is not answered, or the time is not over and the customer has not
left. Over a finished episode the rewards sum to what the customer brought. Erased customers are not in the
table, nor are those whom the campaign holds out or tries in a pilot: they were drawn by a hash, whoever they are, so
the others stand for all, and the propensities of the others are those of all that was random in their decisions.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retentionjax.evaluation.off_policy.ledger_file import SCHEMA
from serving.ledger.database import Row
from serving.ledger.types import DAY, MICROS
from serving.ledger.views import Look

REWARD_DAYS = 30
_ROWS_A_GROUP = 20_000

_DECISIONS = """
    SELECT d.decision_id, d.customer_id, d.campaign_id, d.decided_at, d.day, d.observation, d.mask, d.propensities,
        d.action, d.bundle_id, d.policy_version, d.rules_version, d.monthly_charge, u.churned_at, c.state,
        COALESCE(c.contact_cost_micros, 0), COALESCE(c.offer_cost_micros, 0), c.accepted_at,
        COALESCE(c.amount_micros, 0), COALESCE(c.offer_days, 1), d.offer
    FROM decisions d
    JOIN assignments a ON a.customer_id = d.customer_id AND a.campaign_id = d.campaign_id AND a.arm = 'policy'
    LEFT JOIN customers u ON u.customer_id = d.customer_id
    LEFT JOIN contacts c ON c.decision_id = d.decision_id
    WHERE d.executed = 1 AND d.observation IS NOT NULL AND d.mask IS NOT NULL
    ORDER BY d.customer_id, d.campaign_id, d.decided_at, d.decision_id"""


@dataclass(frozen=True, slots=True)
class Course:
    """What is known of how one decision went on; money in micros."""

    decided_at: float
    next_decided_at: float | None
    """None for an episode's last decision."""
    monthly_charge: float
    """$."""
    churned_at: float | None
    state: str | None
    """State of the contact; None without one."""
    contact_cost_micros: int
    offer_cost_micros: int
    accepted_at: float | None
    amount_micros: int
    """The part of the offer's cost that is paid at once on acceptance."""
    offer_days: int


def export(look: Look, path: os.PathLike[str]) -> int:
    """Writes the table to `path`, which the caller puts in place; how many rows."""
    count = 0
    rows = _with_next(look.stream(_DECISIONS))
    with pq.ParquetWriter(os.fspath(path), SCHEMA, compression="zstd") as writer:
        while group := list(islice(rows, _ROWS_A_GROUP)):
            writer.write_batch(_batch(group, look.now))
            count += len(group)
    return count


def reward(course: Course, now: float) -> float | None:
    """$ of one decision, as the module says; None while it is not known."""
    if course.state == "reserved":
        return None
    end = course.next_decided_at
    if end is None:
        end = course.decided_at + REWARD_DAYS * DAY
        if now < end and course.churned_at is None:
            return None
    left = math.inf if course.churned_at is None else course.churned_at
    days = max(min(end, left) - course.decided_at, 0.0) / DAY
    contact = 0 if course.state in (None, "cancelled") else course.contact_cost_micros
    paid = 0.0
    if course.accepted_at is not None:
        ran = min(max(left - course.accepted_at, 0.0) / DAY, course.offer_days)
        by_the_day = course.offer_cost_micros - course.amount_micros
        paid = course.amount_micros + by_the_day * ran / course.offer_days
    return course.monthly_charge * days / 30 - (contact + paid) / MICROS


def _with_next(rows: Iterator[Row]) -> Iterator[tuple[Row, float | None]]:
    """Each row with the time of the next one of its episode."""
    before = next(rows, None)
    if before is None:
        return
    for row in rows:
        yield before, row[3] if row[1:3] == before[1:3] else None
        before = row
    yield before, None


def _batch(group: list[tuple[Row, float | None]], now: float) -> pa.RecordBatch:
    rows = [row for row, _ in group]
    ids, customers, campaigns, times, days, seen, masks, chances, chosen, bundles, policies, rules, *_, offers = zip(
        *rows, strict=True
    )
    rewards = [reward(Course(row[3], after, *row[12:-1]), now) for row, after in group]
    columns: list[Any] = [
        pa.array(ids, pa.string()),
        pa.array(customers, pa.string()),
        pa.array(campaigns, pa.string()),
        pa.array([round(at * MICROS) for at in times], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        pa.array(days, pa.int32()),
        pa.array([np.frombuffer(each, "<f4") for each in seen], pa.list_(pa.float32())),
        pa.array(list(map(_legal, masks, chances)), pa.list_(pa.bool_())),
        pa.array([np.frombuffer(each, "<f4") for each in chances], pa.list_(pa.float32())),
        pa.array(chosen, pa.int32()),
        pa.array(offers, pa.string()),
        pa.array(rewards, pa.float64()),
        pa.array(bundles, pa.string()),
        pa.array(policies, pa.string()),
        pa.array(rules, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _legal(mask: bytes, propensities: bytes) -> np.ndarray:
    """Whether each action was legal; there are as many as propensities."""
    bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=len(propensities) // 4, bitorder="little")
    return bits.astype(bool)
