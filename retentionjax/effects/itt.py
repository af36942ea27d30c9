"""What the log says without any model: departures and dollars after each arm against being left alone.

Intention to treat: a row counts for the arm it was assigned to, accepted or not, so that the draw of the arm alone
makes the comparison fair. Rows are weighted by 1/propensity (Hájek), and intervals take a customer's rows as one.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from retentionjax.company.offers import NONE
from retentionjax.effects import belief, likelihood
from retentionjax.effects.log import Log
from retentionjax.env.types import NO_OFFER, EnvParams, Population

_Q95 = 1.6448536269514722
Values = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class ArmDifference:
    """An arm's mean less that of customers left alone, with a 90 % interval; its ends are None if there is none."""

    mean: float
    low: float | None
    high: float | None

    def ends(self, factor: float = 1.0) -> str:
        """The interval times `factor`, in words."""
        if self.low is None or self.high is None:
            return "(too few for an interval)"
        return f"[{factor * self.low:+.2f}, {factor * self.high:+.2f}]"


@dataclass(frozen=True)
class Surprise:
    """How many customers did something, beside how many the model expects to."""

    seen: int
    expected: float
    deviations: float
    """(seen − expected) in standard deviations; beyond ±3 the model is wrong about this arm."""


@dataclass(frozen=True)
class TrialArm:
    """One row of the table; differences are None for `none` itself, and for all where nobody was left alone."""

    name: str
    assignments: int
    departures: int
    """Customers who left within the window after such an assignment."""
    left_share: float | None
    """Share of departures, weighted by 1/propensity, as are the differences; None: nobody was followed so long."""
    left: ArmDifference | None
    dollars: ArmDifference | None
    """Dollars per assignment within the window: charges less discounts, amounts, costs and contact costs."""
    leaving: Surprise | None = None
    """Departures on the days until the next assignment."""
    accepting: Surprise | None = None
    """Contacts that were accepted, of those that could be refused."""


def table(log: Log, params: EnvParams, days: int = 30, effects: belief.Values | None = None) -> tuple[TrialArm, ...]:
    """The arms in order, `none` first; `days` is the window after an assignment.

    Assignments that were not followed so long are left out of the differences. With `effects` (by name, such as the
    posterior's medians) the model's expectation stands beside. Without propensities rows weigh alike.
    """
    followed = (log.day + days <= log.followed_days[log.customer]) & log.tells_departures
    is_left = (log.left_day >= 0)[log.customer] & (log.left_day[log.customer] < log.day + days)
    dollars = _dollars(log, params, days)
    weight = np.ones(len(log.day)) if log.propensity is None else 1 / log.propensity
    expected = {} if effects is None else _surprises(log, params, days, effects)
    alone = followed & (log.arm == NO_OFFER)
    rows = []
    for arm in sorted(set(log.arm.tolist())):
        chosen = followed & (log.arm == arm)
        compared = arm != NO_OFFER and alone.any() and chosen.any()
        left, money = (
            _difference(outcome, weight, chosen, alone, log.customer) if compared else None
            for outcome in (is_left.astype(float), dollars)
        )
        share = float(np.average(is_left[chosen], weights=weight[chosen])) if chosen.any() else None
        name = NONE if arm == NO_OFFER else log.offers[arm]
        predicted = expected.get(arm, (None, None))
        rows.append(
            TrialArm(name, int((log.arm == arm).sum()), int(is_left[chosen].sum()), share, left, money, *predicted)
        )
    return tuple(rows)


def _difference(
    outcome: Values, weight: Values, chosen: np.ndarray, alone: np.ndarray, customer: np.ndarray
) -> ArmDifference:
    """The difference; no interval where an arm's outcomes are all alike: 0 of 20 do not prove that nobody leaves."""
    means, influence = [], np.zeros(len(outcome))
    for rows, sign in ((chosen, 1), (alone, -1)):
        share = np.where(rows, weight, 0.0) / weight[rows].sum()
        means.append(float(share @ outcome))
        influence += sign * share * (outcome - means[-1])
    by_customer = np.bincount(customer, weights=influence)
    half = _Q95 * float(np.sqrt(np.sum(by_customer**2)))
    mean = means[0] - means[1]
    if min(np.ptp(outcome[rows]) for rows in (chosen, alone)) == 0:
        return ArmDifference(mean, None, None)
    return ArmDifference(mean, mean - half, mean + half)


def _dollars(log: Log, params: EnvParams, days: int) -> Values:
    """$ that each assignment's customer brought in the window after it."""
    lanes = log.lanes()
    *_, paid = _seen(log, params)
    size, length = paid.shape
    day = np.arange(length)
    stays = (
        day < (np.where(log.left_day >= 0, log.left_day, log.followed_days))[:, None]
    )  # the day of leaving is unpaid
    net = stays * (log.monthly_charge[:, None] / 30 - paid)
    offer = np.maximum(np.asarray(lanes.offer), 0)
    net -= np.asarray(lanes.accepted) * np.asarray(params.amount)[offer]
    net -= (np.asarray(lanes.offer) != NO_OFFER) * float(params.contact_cost)
    total = np.concatenate([np.zeros((size, 1)), np.cumsum(net, axis=1)], axis=1)
    start = np.minimum(log.day, length)
    return total[log.customer, np.minimum(log.day + days, length)] - total[log.customer, start]


def _surprises(
    log: Log, params: EnvParams, days: int, effects: belief.Values
) -> dict[int, tuple[Surprise | None, Surprise | None]]:
    """Arm → departures and acceptances beside those that the model expects.

    A day belongs to the last assignment before it, for as long as the window. Given all that was seen before, each
    day's chance of leaving, or of acceptance, is the filter's, so seen less expected is a martingale with the variance
    Σ p(1 − p).
    """
    leaving, accepting, _ = _seen(log, params, effects)
    accepted = np.asarray(log.lanes().accepted)
    length = leaving.shape[1]
    owner = np.full(leaving.shape, -1)
    inside = log.day < length
    owner[log.customer[inside], log.day[inside]] = np.flatnonzero(inside)
    since = np.where(owner >= 0, np.arange(length), -1)
    since = np.maximum.accumulate(since, axis=1)
    owner = np.take_along_axis(owner, np.maximum(since, 0), axis=1)
    day = np.arange(length)
    counts = (since >= 0) & (day - since < days) & (day < log.observed_days[:, None])
    arm = np.where(counts, log.arm[owner], -2)
    leaves = day == log.left_day[:, None]
    asked = accepting > 0
    return {
        each: (
            _surprise(leaving, leaves, arm == each) if log.tells_departures else None,
            _surprise(accepting, accepted, asked & (arm == each)),
        )
        for each in sorted(set(log.arm.tolist()))
    }


def _surprise(chance: Values, happened: np.ndarray, days: np.ndarray) -> Surprise | None:
    variance = float((chance[days] * (1 - chance[days])).sum())
    if variance <= 0:
        return None
    seen, expected = int(happened[days].sum()), float(chance[days].sum())
    return Surprise(seen, expected, (seen - expected) / float(np.sqrt(variance)))


def _seen(log: Log, params: EnvParams, effects: belief.Values | None = None) -> tuple[Values, Values, Values]:
    """P(leave), P(accept) and $ of the running offer, day by day, [N, D], with the effects that are given."""
    lanes = jax.tree.map(jnp.asarray, log.lanes())
    if effects is not None:
        params = belief.believed(effects, log.offers, params)
        people = Population(lanes.monthly_charge, lanes.churn_probability, lanes.accept_probability)
        moved = belief.shifted(people, effects)
        lanes = lanes._replace(churn_probability=moved.churn_probability, accept_probability=moved.accept_probability)
    books = _booked(lanes, params)
    seen = _filtered(lanes, books, params, 0.0 if effects is None else effects.get(belief.DRIFT, 0.0))
    by_day = (seen.leaving, seen.accepting, books.paid)
    leaving, accepting, paid = (np.asarray(each, np.float64).T for each in by_day)
    return leaving, accepting, paid


_booked = jax.jit(likelihood.all_books)
_filtered = jax.jit(likelihood.filtered)
