"""Isotonic calibration: from a booster's score to the share of rows with such a score that are positive.

Pool-adjacent-violators gives blocks of rows in which the share of positives is constant; the curve runs in straight
lines through the blocks' centres (mean score, share of positives: centred isotonic regression, Oron and Flournoy
2017). Unlike the usual step function it keeps the order of scores within a block, so calibration costs no AUC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int
from sklearn.isotonic import isotonic_regression

from retentionjax.errors import DataError

FORMAT = 1
LOWEST = 1e-3
"""Nearest to 0 and 1 that a calibrated probability comes: some thousand rows are no evidence for less than this."""
STEEPEST = 20.0
"""Most probability a unit of score. Two tiny neighbouring blocks can otherwise turn the last bit of a float32 score
into a visible difference between two programs that both computed it right; such blocks are pooled."""
_CLOSEST = 1e-6
"""Nearest that two scores lie: float32 still tells them apart."""


def moved(probability: Float[np.ndarray, " n"], log_odds: float) -> Float[np.ndarray, " n"]:
    """`probability` with `log_odds` added to every log-odds, within [LOWEST, 1 − LOWEST]; untouched where that is 0.

    Raises DataError for a shift that is no finite number.
    """
    if not np.isfinite(log_odds):
        raise DataError(f"a shift of log-odds must be a finite number, not {log_odds}")
    if log_odds == 0:
        return probability
    odds = np.log(probability / (1 - probability)) + log_odds
    found: np.ndarray = np.clip(1 / (1 + np.exp(-odds)), LOWEST, 1 - LOWEST)
    return found


@dataclass(frozen=True)
class Calibrator:
    """Knots of a piecewise linear curve, constant beyond the first and the last."""

    score: Float32[np.ndarray, " scores"]
    """Strictly increasing."""
    probability: Float32[np.ndarray, " probabilities"]
    """Not decreasing, within [LOWEST, 1 − LOWEST]."""

    def __post_init__(self) -> None:
        """Refuses knots that are no such curve."""
        score, probability = self.score, self.probability
        if not (score.ndim == probability.ndim == 1 and 0 < len(score) == len(probability)):
            raise DataError("a calibrator needs as many probabilities as scores, one or more")
        if not (np.isfinite(score).all() and (np.diff(score) > 0).all()):
            raise DataError("a calibrator's scores must increase")
        inside = (probability > 0) & (probability < 1)
        if not (inside.all() and (np.diff(probability) >= 0).all()):
            raise DataError("a calibrator's probabilities must lie between 0 and 1 and never decrease")

    def apply(self, score: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """Calibrated probabilities."""
        return np.interp(score, self.score, self.probability)

    def shifted(self, log_odds: float) -> "Calibrator":
        """The same curve with `log_odds` added to every log-odds: recalibration in the large (Steyerberg et al. 2004).

        Raises DataError for a shift that is no finite number.
        """
        return Calibrator(self.score, moved(self.probability.astype(np.float64), log_odds).astype(np.float32))

    def to_dict(self) -> dict[str, Any]:
        """The calibrator as JSON can hold it; float32 numbers survive exactly."""
        return {
            "format": FORMAT,
            "method": "isotonic, linear between block centres, constant outside",
            "score": self.score.tolist(),
            "probability": self.probability.tolist(),
        }

    @classmethod
    def from_dict(cls, plain: object) -> "Calibrator":
        """What `to_dict` wrote. Raises DataError for an unknown format or anything else that does not fit."""
        if not isinstance(plain, Mapping) or plain.get("format") != FORMAT:
            found = plain.get("format") if isinstance(plain, Mapping) else plain
            raise DataError(f"calibrator format {found!r} is unknown; this program reads format {FORMAT}")
        keys = {"format", "method", "score", "probability"}
        if set(plain) != keys:
            raise DataError(f"a calibrator has the keys {', '.join(sorted(keys))}")
        for key in ("score", "probability"):
            numbers = isinstance(plain[key], list) and all(type(each) in (int, float) for each in plain[key])
            if not numbers:
                raise DataError(f"a calibrator's {key!r} is a list of numbers")
        return cls(np.asarray(plain["score"], np.float32), np.asarray(plain["probability"], np.float32))


def fit_isotonic(score: Float[np.ndarray, " rows"], label: Int[np.ndarray, " rows"]) -> Calibrator:
    """The calibrator for scores of rows that the scoring model has not seen."""
    # Float64 throughout: in float32 the pooled means come out of order in their last bits.
    distinct, place = np.unique(score.astype(np.float64), return_inverse=True)
    rows, positives = np.bincount(place), np.bincount(place, weights=label)
    fitted = isotonic_regression(positives / rows, sample_weight=rows)
    starts = np.flatnonzero(np.diff(fitted, prepend=-1.0) > 0)
    sums = np.column_stack([rows, distinct * rows, positives])
    pooled = _pool_steep(np.add.reduceat(sums, starts))
    centres, shares = pooled[:, 1] / pooled[:, 0], pooled[:, 2] / pooled[:, 0]
    return Calibrator(centres.astype(np.float32), np.clip(shares, LOWEST, 1 - LOWEST).astype(np.float32))


def _pool_steep(blocks: Float[np.ndarray, "blocks 3"]) -> Float[np.ndarray, "pooled 3"]:
    """Joins neighbours between whose centres the curve would be too steep; rows are sums of a block."""
    kept: list[np.ndarray] = []
    for block in blocks:
        kept.append(block)
        while len(kept) > 1 and _steep(kept[-2], kept[-1]):
            last = kept.pop()
            kept[-1] = kept[-1] + last
    return np.stack(kept)


def _steep(left: Float[np.ndarray, "3"], right: Float[np.ndarray, "3"]) -> bool:
    run = right[1] / right[0] - left[1] / left[0]
    rise = right[2] / right[0] - left[2] / left[0]
    return bool(run < _CLOSEST or rise > STEEPEST * run)
