"""How good predicted probabilities are, each figure with a 95 % interval.

Intervals say how far a figure would move for other customers with the fitted models held fixed.

    AUC           a score interval, which neither leaves [0, 1] nor shrinks to nothing at 1; DeLong's variance, which
                  few positives leave unknown, is weighed against the one that AUC and counts imply
    ECE           sampling alone makes the plain figure (`ece`) positive; what it adds is taken off
    Brier, loss   means, so ± 1.96 s/√n; Brier skill likewise by its linearisation
    mean of folds (Σ distances of the folds' own ends²)^½ / K below and above (Zou, Donner 2008)

Where a customer has several rows, each variance is multiplied by its design effect: what the rows of one customer have
in common is no news (of AUC: Obuchowski 1997).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float, Int
from scipy import optimize

NORMAL_95 = 1.959964
BINS = 10
_DRAWS = 1_000
_WORTH = 5
"""Rows of the rarer class that the variance implied by AUC and counts is worth beside DeLong's. With 5, coverage in
simulations lay between 0.93 and 0.98, from 4 positives of 200 rows and from AUC 0.5 to 0.96."""
_NEAR = 1e-9
"""Intervals of AUC that reach no further than this have no width: two large classes that a column tells apart."""
_SMALLEST = 1e-15
"""Log-loss takes probabilities no nearer to 0 and 1 than this (as does scikit-learn)."""

Labels = Int[np.ndarray, " rows"]
Probabilities = Float[np.ndarray, " rows"]
Customers = Int[np.ndarray, " rows"]
"""Number of the customer of each row, from 0."""


@dataclass(frozen=True)
class Measure:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def measure(
    label: Labels, probability: Probabilities, *, base_rate: float, who: npt.ArrayLike | None = None, seed: int = 0
) -> dict[str, Measure]:
    """`auc`, `ece`, `brier`, `log_loss` and `brier_skill` of one set of predictions that no fit has seen.

    `base_rate` is the share of positives in the training rows: the skill is over always predicting that. `who` names
    the customer of each row, all of them different without it.
    Raises ValueError unless both classes are present and every probability lies in [0, 1].
    """
    probability = _checked(label, probability)
    squares = (probability - label) ** 2
    base_squares = (base_rate - label) ** 2
    ratio = squares.mean() / base_squares.mean()
    customer = np.arange(len(label)) if who is None else pd.factorize(np.asarray(who, object), use_na_sentinel=False)[0]
    return {
        "auc": _auc(label, probability, customer),
        "ece": _ece(label, probability, customer, np.random.default_rng(seed)),
        "brier": _mean(squares, customer),
        "log_loss": _mean(_log_losses(label, probability), customer),
        "brier_skill": _mean(1 - ratio - (squares - ratio * base_squares) / base_squares.mean(), customer),
    }


def average(folds: Sequence[Mapping[str, Measure]]) -> dict[str, Measure]:
    """Mean over folds of each figure; the folds' rows are disjoint, so their errors add in squares."""
    return {name: _average([fold[name] for fold in folds]) for name in folds[0]}


def summary(measures: Mapping[str, Measure], prefix: str) -> dict[str, float]:
    """Flat numbers: `<prefix><name>`, `…_low`, `…_high`; an interval never leaves the range of its measure."""
    flat: dict[str, float] = {}
    for name, each in measures.items():
        least = -math.inf if name == "brier_skill" else 0.0
        most = math.inf if name == "log_loss" else 1.0
        flat[f"{prefix}{name}"] = each.value
        flat[f"{prefix}{name}_low"] = max(least, each.low)
        flat[f"{prefix}{name}_high"] = min(most, each.high)
    return flat


def auc(label: Labels, probability: Probabilities) -> float:
    """Probability that a positive row scores above a negative one, ties counting half (Mann-Whitney)."""
    return float(_placements(label, _checked(label, probability))[0].mean())


def ece(label: Labels, probability: Probabilities) -> float:
    """Expected calibration error: Σ over bins of (rows in bin / rows) · |mean probability − share of positives|.

    Bins of equal width over [0, 1]; a probability on an edge belongs to the upper bin, 1 to the last.
    """
    probability = _checked(label, probability)
    gaps = np.bincount(bin_of(probability), weights=probability - label, minlength=BINS)
    return float(np.abs(gaps).sum() / len(label))


def bin_of(probability: Probabilities) -> Int[np.ndarray, " rows"]:
    """Number of the equal-width bin of each probability."""
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)


# --- intervals ------------------------------------------------------------------------------------------------


def _average(measures: Sequence[Measure]) -> Measure:
    count = len(measures)
    centre = sum(each.value for each in measures) / count
    below = math.sqrt(sum((each.value - each.low) ** 2 for each in measures)) / count
    above = math.sqrt(sum((each.high - each.value) ** 2 for each in measures)) / count
    return Measure(centre, centre - below, centre + above)


def _design_effect(influence: Float[np.ndarray, " rows"], customer: Customers) -> float:
    """Variance of Σ `influence`, of mean 0, by customers' sums, over that of as many independent rows.

    Never below 1, and 1 where nobody has two rows: sums of few customers are small by chance.
    """
    sums = np.bincount(customer, influence)
    rows, customers, independent = len(influence), len(sums), float((influence**2).sum())
    if customers in (1, rows) or independent == 0.0:
        return 1.0
    return max(1.0, customers / (customers - 1) * float((sums**2).sum()) / (independent * rows / (rows - 1)))


def _mean(values: Float[np.ndarray, " rows"], customer: Customers) -> Measure:
    centre, half = float(values.mean()), NORMAL_95 * float(values.std(ddof=1)) / math.sqrt(len(values))
    half *= math.sqrt(_design_effect(values - centre, customer))
    return Measure(centre, centre - half, centre + half)


def _log_losses(label: Labels, probability: Probabilities) -> Float[np.ndarray, " rows"]:
    given = np.where(label == 1, probability, 1 - probability)
    return -np.log(np.clip(given, _SMALLEST, 1.0))


def _placements(
    label: Labels, probability: Probabilities
) -> tuple[Float[np.ndarray, " positives"], Float[np.ndarray, " negatives"]]:
    """Placements: for each positive the share of negatives below it, for each negative the share of positives above
    it, in the rows' order."""
    positives, negatives = probability[label == 1], probability[label == 0]

    def below(others: np.ndarray, values: np.ndarray) -> Float[np.ndarray, " values"]:
        ordered = np.sort(others)
        strictly, up_to = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
        return (strictly + up_to) / (2 * len(others))

    return below(negatives, positives), 1 - below(positives, negatives)


def _auc(label: Labels, probability: Probabilities, customer: Customers) -> Measure:
    """Mean of the placements, and the values A that lie within 1.96 standard errors of it, each by its own error.

    The error at A is that of exponential scores (`_implied_variance`), times the ratio of DeLong's variance to it: the
    placements' variance within each class (DeLong, DeLong, Clarke-Pearson 1988). A ratio of 1 is worth `_WORTH` rows.
    """
    placements = _placements(label, probability)
    found, positives, negatives = float(placements[0].mean()), *(len(each) for each in placements)
    rarer, inside = min(positives, negatives), (found * positives * negatives + 0.5) / (positives * negatives + 1)
    delong = sum(float(each.var(ddof=1)) / len(each) for each in placements if len(each) > 1)
    ratio = delong / _implied_variance(inside, positives, negatives)
    influence = np.empty(len(label))
    for value, each in zip((1, 0), placements, strict=True):
        influence[label == value] = (each - found) / len(each)
    effect = _design_effect(influence, customer)
    squares = NORMAL_95**2 * effect * (ratio * rarer + _WORTH) / (rarer + _WORTH)

    def lowest(figure: float) -> float:
        def beyond(value: float) -> float:
            return (figure - value) ** 2 - squares * _implied_variance(value, positives, negatives)

        if figure <= _NEAR:
            return 0.0
        nearest = figure - _NEAR
        return float(optimize.brentq(beyond, 0.0, nearest)) if beyond(nearest) < 0 else figure

    return Measure(found, lowest(found), 1 - lowest(1 - found))


def _implied_variance(auc: float, positives: int, negatives: int) -> float:
    """Variance of an AUC by itself and the counts (Hanley, McNeil 1982, as symmetrised by Newcombe 2006)."""
    more = (positives + negatives) / 2 - 1
    return auc * (1 - auc) * (1 + more * ((1 - auc) / (2 - auc) + auc / (1 + auc))) / (positives * negatives)


def _ece(label: Labels, probability: Probabilities, customer: Customers, random: np.random.Generator) -> Measure:
    """`ece` less what sampling adds to it, by drawing the bins' gaps anew.

    Lower end: the basic bootstrap's, but 0 where a calibrated model would reach `ece` in more than one table in forty
    (consistency resampling: Bröcker, Smith 2007). Upper end: `ece`, which errs upwards, + 1.96 standard errors.
    """
    rows, bins = len(label), bin_of(probability)
    residual = label - probability
    in_bin = np.maximum(np.bincount(bins, minlength=BINS), 1)
    gaps = np.bincount(bins, residual, BINS)
    expected = np.bincount(bins, probability * (1 - probability), BINS)
    observed = np.bincount(bins, residual**2, BINS) - gaps**2 / in_bin
    effect = _design_effect(residual - (gaps / in_bin)[bins], customer)
    variance = effect * np.maximum(expected, observed)
    noise = random.standard_normal((_DRAWS, BINS))
    found = float(np.abs(gaps).sum()) / rows
    calibrated = np.abs(noise * np.sqrt(effect * expected)).sum(axis=1) / rows
    drawn = np.abs(gaps + noise * np.sqrt(variance)).sum(axis=1) / rows
    value = max(0.0, 2 * found - float(drawn.mean()))
    differs = found > np.quantile(calibrated, 0.975)
    low = max(0.0, 2 * found - float(np.quantile(drawn, 0.975))) if differs else 0.0
    return Measure(value, low, found + NORMAL_95 * math.sqrt(float(variance.sum())) / rows)


def _checked(label: Labels, probability: Probabilities) -> Probabilities:
    """The probabilities in double precision: in half of it, `_SMALLEST` is 0 and a mean of many is infinite."""
    if set(np.unique(label)) != {0, 1}:
        raise ValueError(f"labels must be 0 and 1, both of them, not {np.unique(label)[:5]}")
    if len(probability) != len(label) or not np.all((probability >= 0) & (probability <= 1)):
        raise ValueError("one probability in [0, 1] a label is wanted")
    return np.asarray(probability, np.float64)
