"""Whom to treat first: Qini curves of a ranking, and budgeted ones that also choose the treatment.

Both add up unbiased scores of each customer's gain, Γᵢ(a) − Γᵢ(0), with the doubly robust
Γᵢ(a) = q̂(xᵢ, a) + 1[aᵢ = a] (rᵢ − q̂(xᵢ, a)) / π₀(a|xᵢ). With known propensities and no model that is Radcliffe's
(2007) Qini curve a customer. Sources: Yadlowsky et al. 2021 (rank-weighted effects); Sverdrup et al. 2023 (budgets).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from retentionjax.evaluation.off_policy.log import DecisionLog
from retentionjax.evaluation.statistics import IntervalEstimate

NORMAL_95 = 1.959964
POINTS = 101


@dataclass(frozen=True)
class Curve:
    """Gain over treating nobody, a customer, by how much is spent, a customer; with 95 % bands."""

    spend: Float[np.ndarray, " points"]
    gain: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]


def scores(log: DecisionLog, model: Float[np.ndarray, "n A"]) -> Float[np.ndarray, "n A"]:
    """Γ of every action of every customer; its mean over customers is the value of that action for all."""
    taken = np.eye(log.num_actions)[log.action]
    return model + taken * (log.reward[:, None] - model) / log.chosen_propensity[:, None]


def mean(values: Float[np.ndarray, " n"]) -> IntervalEstimate:
    """Mean of independent values, ± 1.96 s/√n."""
    centre, half = float(values.mean()), NORMAL_95 * float(values.std(ddof=1)) / np.sqrt(len(values))
    return IntervalEstimate(centre, centre - half, centre + half)


def ranks(predicted: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Place of each customer by falling prediction, in (0, 1); ties in the order of the rows."""
    place = np.empty(len(predicted))
    place[np.argsort(-predicted, kind="stable")] = (np.arange(len(predicted)) + 0.5) / len(predicted)
    return place


def qini(predicted: Float[np.ndarray, " n"], gain: Float[np.ndarray, " n"]) -> IntervalEstimate:
    """Area between the ranking's curve and the straight line of a random order: 0 for a ranking that knows nothing.

    ∫₀¹ [E[1[rank ≤ φ] gain] − φ E[gain]] dφ = E[gain (½ − rank)], the ranking held fixed.
    """
    return mean(gain * (0.5 - ranks(predicted)))


def qini_curve(predicted: Float[np.ndarray, " n"], gain: Float[np.ndarray, " n"], cost: float = 1.0) -> Curve:
    """Gain of treating the best share by prediction, for shares from none to all; a treatment costs `cost`."""
    place, shares = ranks(predicted), np.linspace(0, 1, POINTS)
    points = [mean(gain * (place <= share)) for share in shares]
    return _curve(shares * cost, points)


def share_effect(
    predicted: Float[np.ndarray, " n"], gain: Float[np.ndarray, " n"], share: float, *, top: bool = True
) -> IntervalEstimate:
    """Mean gain of those whom the ranking puts first (or last), for a share of the customers."""
    place = ranks(predicted)
    return mean(gain[place <= share] if top else gain[place > 1 - share])


def choose(effects: Float[np.ndarray, "n A"], costs: Float[np.ndarray, " A"], multiplier: float) -> np.ndarray:
    """The treatment of largest predicted effect less multiplier × cost, where any is above 0; i64[n], 0 for none.

    `effects` and `costs` of action 0, no treatment, are 0. For every budget some multiplier makes this the best choice
    by the predictions (the Lagrangian of the knapsack), so sweeping the multiplier sweeps the budget.
    """
    return np.argmax(effects - multiplier * costs, axis=1)  # a tie goes to the first, no treatment


def budget_curve(
    effects: Float[np.ndarray, "n A"], gains: Float[np.ndarray, "n A"], costs: Float[np.ndarray, " A"]
) -> Curve:
    """Gain by spend of `choose` as the multiplier falls from where nobody is worth treating to 0."""
    worth = np.where(costs > 0, effects / np.where(costs > 0, costs, 1.0), 0.0).max(axis=1)
    multipliers = np.quantile(np.maximum(worth, 0.0), np.linspace(1, 0, POINTS))
    rows = np.arange(len(effects))
    spends, points = [0.0], [IntervalEstimate(0.0, 0.0, 0.0)]
    for multiplier in np.unique(np.append(multipliers, 0.0))[::-1]:
        chosen = choose(effects, costs, float(multiplier))
        spends.append(float(costs[chosen].mean()))
        points.append(mean(gains[rows, chosen]))
    return _curve(np.asarray(spends), points)


def _curve(spend: Float[np.ndarray, " points"], points: list[IntervalEstimate]) -> Curve:
    gain, low, high = (np.asarray(column) for column in zip(*points, strict=True))
    return Curve(spend, gain, low, high)
