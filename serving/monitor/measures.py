"""Observed against expected: the ledger's rows as arrays, counts of events, their ratio with an interval, and the shift
that would explain it.

Leaving is counted by person-time: every decision not followed by a contact is followed until the next decision about
the customer, the departure, or the end of the risk window of W days, and is expected to bring Σ h departures,
h = 1 − (1 − p)^(1/W) a day. So customers who are contacted meanwhile, or whose window is not over, count for as long
as they were followed (Breslow, Day 1987, ch. 2). Acceptance is counted by contact.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Bool, Float
from scipy import optimize, special, stats

from retentionjax.env import actions, observation
from retentionjax.env.types import EnvParams
from serving.ledger.records import Followed
from serving.ledger.types import DAY

_ANSWERED = ("accepted", "declined", "expired")


@dataclass(frozen=True)
class History:
    """What happened since a moment, as arrays."""

    risk: Float[np.ndarray, " spells"]
    """Churn probability over `risk_window_days`, as scored at a spell's start."""
    days: Float[np.ndarray, " spells"]
    """Days followed, at most `risk_window_days`: a score speaks of them and of no more."""
    left: Bool[np.ndarray, " spells"]
    accept: Float[np.ndarray, " contacts"]
    """Acceptance probability of the offer made, as seen when it was decided."""
    appeal: Float[np.ndarray, " contacts"]
    """Log-odds that the offer made is believed to add to it."""
    accepted: Bool[np.ndarray, " contacts"]
    facts: tuple[Mapping[str, Any], ...]
    """Facts of each customer, at the first decision."""
    decisions: int
    customers: int
    others: int
    """Decisions by other bundles, of which nothing but the facts counts."""


def history(rows: Iterable[Followed], now: float, params: EnvParams, bundle_id: str) -> History:
    """`rows` by customer and time, followed until `now`; `params` are those of the bundle that is looked at.

    What another bundle said is not this one's: on the day after a recalibration the shift would be asked for again, and
    scores of another window, or what was seen of other offers, would be read as this one's.
    """
    columns = observation.names(actions.offers(params))
    spells: list[tuple[float, float, bool]] = []
    contacts: list[tuple[float, float, bool]] = []
    facts: list[Mapping[str, Any]] = []
    decisions = customers = others = 0
    for _, group in groupby(rows, key=lambda row: row.customer_id):
        mine = list(group)
        is_own = [row.bundle_id == bundle_id for row in mine]
        customers, decisions, others = customers + 1, decisions + len(mine), others + is_own.count(False)
        spells += _spells(mine, is_own, now, columns, float(params.risk_window_days))
        contacts += [
            (*_acceptance(row, columns, params), row.contact_state == "accepted")
            for row, own in zip(mine, is_own, strict=True)
            if own and row.contact_state in _ANSWERED
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
        others=others,
    )


def _spells(
    mine: Sequence[Followed], is_own: Sequence[bool], now: float, columns: Sequence[str], longest: float
) -> Iterator[tuple[float, float, bool]]:
    """(risk, days, left) after each decision to wait, with no offer running and no contact planned."""
    protected, pending = columns.index("protection_left"), columns.index("is_pending")
    for row, after, own in zip(mine, [*mine[1:], None], is_own, strict=True):
        if not own:
            continue
        seen = _seen(row)
        if row.action != actions.WAIT or seen[protected] > 0 or seen[pending] > 0:
            continue
        end = min(now if after is None else after.decided_at, row.decided_at + longest * DAY)
        left = row.churned_at is not None and row.churned_at <= end
        if row.churned_at is not None and left:
            end = row.churned_at
        if end > row.decided_at:  # not a decision about somebody who had left already
            yield row.churn_probability, (end - row.decided_at) / DAY, left


def _acceptance(row: Followed, columns: Sequence[str], params: EnvParams) -> tuple[float, float]:
    """Probability of acceptance as it was seen, and the appeal of the offer in it."""
    offer = (row.action - 1) // actions.delays(params)
    return float(_seen(row)[columns.index(f"accept_probability_{offer}")]), float(np.asarray(params.appeal)[offer])


def _seen(row: Followed) -> Float[np.ndarray, " features"]:
    return np.frombuffer(row.observation, "<f4")


MINIMUM_EXPECTED = 5.0  # events; below, no ratio means anything
_FURTHEST = 5.0  # log-odds


@dataclass(frozen=True)
class Comparison:
    """Events that came against events that were predicted, with a 95 % interval of their ratio."""

    observed: int
    expected: float
    ratio: float
    """observed / expected: 1 where the model is right on average."""
    low: float
    high: float
    shift: float
    """Added to every log-odds, it would make the expected number the observed one (recalibration in the large)."""

    @property
    def is_known(self) -> bool:
        """Whether there were events enough to say anything."""
        return self.expected >= MINIMUM_EXPECTED

    def differs(self, tolerance: float) -> bool:
        """Whether the whole interval lies more than `tolerance` (0.1: 10 %) away from 1."""
        return self.is_known and (self.low > 1 + tolerance or self.high < 1 - tolerance)


@dataclass(frozen=True)
class AppealComparison:
    """How much of the offers' appeal is real, apart from how willingly an offer-free contact is accepted."""

    factor: float
    """Factor that every offer's appeal would have to be multiplied by; 1 where the bundle is right. A 95 % interval."""
    low: float
    high: float
    level: float
    """Added to the log-odds of accepting an offer-free contact, together with the factor."""

    def differs(self, tolerance: float) -> bool:
        """Whether the whole interval lies more than `tolerance` away from 1; never where it is not known."""
        return self.low > 1 + tolerance or self.high < 1 - tolerance


def acceptance(predicted: Float[np.ndarray, " contacts"], accepted: Bool[np.ndarray, " contacts"]) -> Comparison:
    """Contacts answered or expired: accepted ones against Σ p; the interval is Wilson's (1927), over the mean p."""
    observed, expected, count = int(accepted.sum()), float(predicted.sum()), len(predicted)
    if not count:
        return Comparison(0, 0.0, math.nan, math.nan, math.nan, 0.0)
    interval = stats.binomtest(observed, count).proportion_ci(0.95, method="wilson")
    mean = expected / count
    return Comparison(
        observed,
        expected,
        observed / expected,
        float(interval.low) / mean,
        float(interval.high) / mean,
        _shift(lambda d: special.expit(special.logit(predicted) + d).sum(), observed, count),
    )


def appeal(
    predicted: Float[np.ndarray, " contacts"],
    appeal: Float[np.ndarray, " contacts"],
    accepted: Bool[np.ndarray, " contacts"],
) -> AppealComparison:
    """Logistic recalibration with two coefficients (Cox 1958): logit(predicted) + level + (factor − 1)·appeal.

    `appeal` is the log-odds that the bundle believes the offer made to add, as it is in `predicted`. A normal prior of
    standard deviation 2 on both keeps them finite; the interval is Wald's. Where all offers made are equally
    appealing, or fewer than `MINIMUM_EXPECTED` contacts were accepted or refused, level and factor cannot be told
    apart: the factor is not a number.
    """
    fewest = min(int(accepted.sum()), int((~accepted).sum()))
    if fewest < MINIMUM_EXPECTED or np.ptp(appeal) == 0:
        return AppealComparison(math.nan, math.nan, math.nan, 0.0)
    features, offset = np.stack([np.ones_like(appeal), appeal], axis=1), special.logit(predicted)

    def loss(coefficients: Float[np.ndarray, "2"]) -> float:
        logit = offset + features @ coefficients
        return float(np.logaddexp(0.0, np.where(accepted, -logit, logit)).sum() + (coefficients**2).sum() / 8)

    coefficients = optimize.minimize(loss, np.zeros(2), method="BFGS").x
    probability = special.expit(offset + features @ coefficients)
    information = features.T @ (features * (probability * (1 - probability))[:, None]) + np.eye(2) / 4
    margin = 1.96 * math.sqrt(np.linalg.inv(information)[1, 1])
    level, factor = float(coefficients[0]), 1 + float(coefficients[1])
    return AppealComparison(factor, factor - margin, factor + margin, level)


def churn(
    predicted: Float[np.ndarray, " spells"],
    days: Float[np.ndarray, " spells"],
    left: Bool[np.ndarray, " spells"],
    window_days: float,
) -> Comparison:
    """Departures against Σ days · h of the spells; the interval is exact for a Poisson count (Garwood 1936).

    `predicted` over `window_days`, `days` followed without a contact, `left` whether the customer left at their end.
    """

    def expected_at(shift: float) -> float:
        risk = special.expit(special.logit(predicted) + shift)
        return float((days * daily_hazard(risk, window_days)).sum())

    observed, expected = int(left.sum()), expected_at(0.0)
    if expected <= 0:
        return Comparison(observed, expected, math.nan, math.nan, math.nan, 0.0)
    low = stats.chi2.ppf(0.025, 2 * observed) / 2 if observed else 0.0
    high = stats.chi2.ppf(0.975, 2 * observed + 2) / 2
    return Comparison(
        observed,
        expected,
        observed / expected,
        float(low / expected),
        float(high / expected),
        _shift(expected_at, observed, float(days.sum())),
    )


def daily_hazard(risk: Float[np.ndarray, " spells"], window_days: float) -> Float[np.ndarray, " spells"]:
    """h = 1 − (1 − p)^(1/window)."""
    return -np.expm1(np.log1p(-risk) / window_days)


def _shift(expected_at: Callable[[float], float], observed: float, most: float) -> float:
    """The root of expected(shift) = observed, half an event short of what cannot be reached; within ±5."""
    target = min(max(observed, 0.5), most - 0.5)
    if target <= expected_at(-_FURTHEST):
        return -_FURTHEST
    if target >= expected_at(_FURTHEST):
        return _FURTHEST
    return float(optimize.brentq(lambda shift: expected_at(shift) - target, -_FURTHEST, _FURTHEST))
