"""How good predicted probabilities are, each figure with a 95 % interval.

Intervals say how far a figure would move for other customers with the fitted models held fixed: the figure ± 1.96
standard errors. AUC: DeLong's variance. Brier score and log-loss: means, so s/√n. Calibration error and Brier
skill: 500 bootstrap draws of rows. A mean over K folds has the error √(Σ errors²)/K.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

NORMAL_95 = 1.959964
BINS = 10
_DRAWS = 500
_SMALLEST = 1e-15
"""Log-loss takes probabilities no nearer to 0 and 1 than this (as does scikit-learn)."""

Labels = Int[np.ndarray, " rows"]
Probabilities = Float[np.ndarray, " rows"]


@dataclass(frozen=True)
class Measure:
    """A figure and its standard error."""

    value: float
    error: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - NORMAL_95 * self.error

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + NORMAL_95 * self.error


def measure(label: Labels, probability: Probabilities, *, base_rate: float, seed: int = 0) -> dict[str, Measure]:
    """`auc`, `ece`, `brier`, `log_loss` and `brier_skill` of one set of predictions that no fit has seen.

    `base_rate` is the share of positives in the training rows: the skill is over always predicting that.
    Raises ValueError unless both classes are present and every probability lies in [0, 1].
    """
    _check(label, probability)
    squares = (probability - label) ** 2
    base_squares = (base_rate - label) ** 2
    losses = _log_losses(label, probability)
    errors = _bootstrap_errors(label, probability, squares, base_squares, np.random.default_rng(seed))
    return {
        "auc": Measure(auc(label, probability), math.sqrt(_delong_variance(label, probability))),
        "ece": Measure(ece(label, probability), errors[0]),
        "brier": _mean(squares),
        "log_loss": _mean(losses),
        "brier_skill": Measure(1 - float(squares.mean() / base_squares.mean()), errors[1]),
    }


def average(folds: Sequence[Mapping[str, Measure]]) -> dict[str, Measure]:
    """Mean over folds of each figure; the folds' rows are disjoint, so their errors add in squares."""
    return {
        name: Measure(
            sum(fold[name].value for fold in folds) / len(folds),
            math.sqrt(sum(fold[name].error ** 2 for fold in folds)) / len(folds),
        )
        for name in folds[0]
    }


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
    _check(label, probability)
    return float(_placements(label, probability)[0].mean())


def brier(label: Labels, probability: Probabilities) -> float:
    """Mean squared difference of probability and label."""
    _check(label, probability)
    return float(((probability - label) ** 2).mean())


def log_loss(label: Labels, probability: Probabilities) -> float:
    """Mean of −log(probability given to what happened), in nats."""
    _check(label, probability)
    return float(_log_losses(label, probability).mean())


def ece(label: Labels, probability: Probabilities, bins: int = BINS) -> float:
    """Expected calibration error: Σ over bins of (rows in bin / rows) · |mean probability − share of positives|.

    Bins of equal width over [0, 1]; a probability on an edge belongs to the upper bin, 1 to the last.
    """
    _check(label, probability)
    gaps = np.bincount(bin_of(probability, bins), weights=probability - label, minlength=bins)
    return float(np.abs(gaps).sum() / len(label))


def bin_of(probability: Probabilities, bins: int = BINS) -> Int[np.ndarray, " rows"]:
    """Number of the equal-width bin of each probability."""
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


# --- standard errors ------------------------------------------------------------------------------------------


def _mean(values: Float[np.ndarray, " rows"]) -> Measure:
    return Measure(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))


def _log_losses(label: Labels, probability: Probabilities) -> Float[np.ndarray, " rows"]:
    given = np.where(label == 1, probability, 1 - probability)
    return -np.log(np.clip(given, _SMALLEST, 1.0))


def _placements(
    label: Labels, probability: Probabilities
) -> tuple[Float[np.ndarray, " positives"], Float[np.ndarray, " negatives"]]:
    """For each positive the share of negatives below it, for each negative the share of positives above it."""
    positives, negatives = np.sort(probability[label == 1]), np.sort(probability[label == 0])

    def below(sorted_others: np.ndarray, values: np.ndarray) -> Float[np.ndarray, " values"]:
        strictly, up_to = (np.searchsorted(sorted_others, values, side=side) for side in ("left", "right"))
        return (strictly + up_to) / (2 * len(sorted_others))

    return below(negatives, positives), 1 - below(positives, negatives)


def _delong_variance(label: Labels, probability: Probabilities) -> float:
    """Variance of the AUC: that of the placements within each class (DeLong, DeLong, Clarke-Pearson 1988)."""
    return sum(float(each.var(ddof=1)) / len(each) for each in _placements(label, probability) if len(each) > 1)


def _bootstrap_errors(
    label: Labels,
    probability: Probabilities,
    squares: Float[np.ndarray, " rows"],
    base_squares: Float[np.ndarray, " rows"],
    random: np.random.Generator,
) -> tuple[float, float]:
    """Standard errors of the calibration error and of the Brier skill."""
    rows = len(label)
    bins, gaps = bin_of(probability), probability - label
    draws = np.empty((_DRAWS, 2))
    for number in range(_DRAWS):
        times = np.bincount(random.integers(rows, size=rows), minlength=rows)
        error = np.abs(np.bincount(bins, weights=times * gaps, minlength=BINS)).sum() / rows
        draws[number] = error, 1 - (times @ squares) / (times @ base_squares)
    return float(draws[:, 0].std(ddof=1)), float(draws[:, 1].std(ddof=1))


def _check(label: Labels, probability: Probabilities) -> None:
    if set(np.unique(label)) != {0, 1}:
        raise ValueError(f"labels must be 0 and 1, both of them, not {np.unique(label)[:5]}")
    if len(probability) != len(label) or not np.all((probability >= 0) & (probability <= 1)):
        raise ValueError("one probability in [0, 1] a label is wanted")
