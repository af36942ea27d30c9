"""Reading the ledger's rows as the arrays that are compared: spells without a contact, and contacts with their
answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Bool, Float

from retentionjax.env import actions, observation
from retentionjax.env.types import EnvParams
from serving.ledger.following import Followed
from serving.ledger.types import DAY

_ANSWERED = ("accepted", "declined", "expired")


@dataclass(frozen=True)
class History:
    """What happened since a moment, as arrays."""

    risk: Float[np.ndarray, " spells"]
    """Churn probability over `risk_window_days`, as scored at a spell's start."""
    days: Float[np.ndarray, " spells"]
    """At most `risk_window_days`: a score speaks of them and of no more."""
    left: Bool[np.ndarray, " spells"]
    accept: Float[np.ndarray, " contacts"]
    """Acceptance probability of the offer made, as seen when it was decided."""
    appeal: Float[np.ndarray, " contacts"]
    """Log-odds that the offer made is believed to add to it."""
    accepted: Bool[np.ndarray, " contacts"]
    facts: tuple[Mapping[str, Any], ...]
    """Of each customer, at the first decision."""
    decisions: int
    customers: int


def read(rows: Iterable[Followed], now: float, params: EnvParams) -> History:
    """`rows` by customer and time, followed until `now`; `params` are those of the bundle that is looked at."""
    columns = observation.names(actions.offers(params))
    spells: list[tuple[float, float, bool]] = []
    contacts: list[tuple[float, float, bool]] = []
    facts: list[Mapping[str, Any]] = []
    decisions = customers = 0
    for _, group in groupby(rows, key=lambda row: row.customer_id):
        mine = list(group)
        customers, decisions = customers + 1, decisions + len(mine)
        spells += _spells(mine, now, columns, float(params.risk_window_days))
        contacts += [
            (*_acceptance(row, columns, params), row.contact_state == "accepted") for row in mine if _is_answered(row)
        ]
        if mine[0].basis is not None:
            facts.append(msgspec.json.decode(mine[0].basis)["facts"])
    followed = np.array(spells, np.float64).reshape(-1, 3)
    answered = np.array(contacts, np.float64).reshape(-1, 3)
    return History(
        risk=followed[:, 0],
        days=followed[:, 1],
        left=followed[:, 2].astype(bool),
        accept=answered[:, 0],
        appeal=answered[:, 1],
        accepted=answered[:, 2].astype(bool),
        facts=tuple(facts),
        decisions=decisions,
        customers=customers,
    )


def _spells(
    mine: Sequence[Followed], now: float, columns: Sequence[str], longest: float
) -> Iterator[tuple[float, float, bool]]:
    """(risk, days, left) after each decision to wait, with no offer running and no contact planned."""
    protected, pending = columns.index("protection_left"), columns.index("is_pending")
    for row, after in zip(mine, [*mine[1:], None], strict=True):
        seen = _seen(row)
        if row.action != actions.WAIT or seen[protected] > 0 or seen[pending] > 0:
            continue
        end = min(now if after is None else after.decided_at, row.decided_at + longest * DAY)
        left = row.churned_at is not None and row.churned_at <= end
        if row.churned_at is not None and left:
            end = row.churned_at
        if end > row.decided_at:  # not a decision about somebody who had left already
            yield row.churn_probability, (end - row.decided_at) / DAY, left


def _is_answered(row: Followed) -> bool:
    return row.contact_state in _ANSWERED


def _acceptance(row: Followed, columns: Sequence[str], params: EnvParams) -> tuple[float, float]:
    """Probability of acceptance as it was seen, and the appeal of the offer in it."""
    offer = (row.action - 1) // actions.delays(params)
    return float(_seen(row)[columns.index(f"accept_probability_{offer}")]), float(np.asarray(params.appeal)[offer])


def _seen(row: Followed) -> Float[np.ndarray, " features"]:
    return np.frombuffer(row.observation, "<f4")
