"""Whom to treat first: Qini curves of a ranking, and budgeted ones that also choose the treatment.

Both add up unbiased scores of each customer's gain, Γᵢ(a) − Γᵢ(0), with the doubly robust
Γᵢ(a) = q̂(xᵢ, a) + 1[aᵢ = a] (rᵢ − q̂(xᵢ, a)) / π₀(a|xᵢ). With known propensities and no model that is Radcliffe's
(2007) Qini curve a customer. Sources: Yadlowsky et al. 2021 (rank-weighted effects); Sverdrup et al. 2023 (budgets).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from retentionjax.errors import DataError
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
    """Mean of independent values, ± 1.96 s/√n; one alone has no interval."""
    return _around(float(values.mean()), _standard_error(values))


def treated(predicted: Real[np.ndarray, " n"], share: float) -> Float[np.ndarray, " n"]:
    """Chance of each customer to be among the best `share` by prediction, where chance decides among equals."""
    better, equal = _ahead(predicted)
    return np.clip((share * len(predicted) - better) / equal, 0.0, 1.0)


def qini(predicted: Real[np.ndarray, " n"], gain: Float[np.ndarray, " n"]) -> IntervalEstimate:
    """Area between the ranking's curve and the straight line of a random order: 0 for a ranking that knows nothing.

    ∫₀¹ [E[chance to be among the first φ · gain] − φ E[gain]] dφ = E[gain (½ − rank)], equals sharing their mean
    rank. The interval is that of a U-statistic: a customer counts by their own gain and as one whom others are ranked
    against (Hoeffding 1948).
    """
    predicted = np.asarray(predicted, np.float64)  # the negative of a byte is another byte
    better, equal = _ahead(predicted)
    own = gain * (0.5 - (better + equal / 2) / len(gain))
    order = np.argsort(-predicted, kind="stable")
    until = np.concatenate([[0.0], np.cumsum(gain[order])])
    first, last = until[better.astype(int)], until[(better + equal).astype(int)]
    against = gain.mean() / 2 - (until[-1] - (first + last) / 2) / len(gain)
    return _around(float(own.mean()), _standard_error(own + against))


def qini_curve(predicted: Real[np.ndarray, " n"], gain: Float[np.ndarray, " n"], cost: float = 1.0) -> Curve:
    """Gain of treating the best share by prediction, for shares from none to all; a treatment costs `cost`."""
    shares = np.linspace(0, 1, POINTS)
    points = [mean(gain * treated(predicted, float(share))) for share in shares]
    return _curve(shares * cost, points)


def share_effect(
    predicted: Real[np.ndarray, " n"], gain: Float[np.ndarray, " n"], share: float, *, top: bool = True
) -> IntervalEstimate:
    """Mean gain of the share of customers whom the ranking puts first (or last); the ranking held fixed."""
    weight = treated(predicted, share) if top else 1 - treated(predicted, 1 - share)
    total = float(weight.sum())
    centre = float(weight @ gain) / total
    worth = total**2 / float(weight @ weight)  # so many customers of weight 1
    if worth <= 1:
        return _around(centre, np.nan)
    return _around(centre, float(np.sqrt((weight**2 @ (gain - centre) ** 2) * worth / (worth - 1))) / total)


def _ahead(predicted: Real[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """How many customers each has before them by falling prediction, and how many share their prediction.

    Raises DataError for a prediction that is no number: it has no place in a ranking.
    """
    wrong = np.isnan(predicted)
    if wrong.any():
        raise DataError(f"the prediction of row number {int(np.argmax(wrong))} is nan; allowed: a number")
    _, place, equal = np.unique(-np.asarray(predicted, np.float64), return_inverse=True, return_counts=True)
    return (np.cumsum(equal) - equal)[place].astype(float), equal[place].astype(float)


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


def _standard_error(values: Float[np.ndarray, " n"]) -> float:
    """s/√n, not a number of a single value."""
    return float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else np.nan


def _around(centre: float, error: float) -> IntervalEstimate:
    return IntervalEstimate(centre, centre - NORMAL_95 * error, centre + NORMAL_95 * error)


def _curve(spend: Float[np.ndarray, " points"], points: list[IntervalEstimate]) -> Curve:
    gain, low, high = (np.asarray(column) for column in zip(*points, strict=True))
    return Curve(spend, gain, low, high)
