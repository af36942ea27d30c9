"""P(a contact is accepted) where each contact came with one of several offers: who accepts, apart from what is offered.

logit P(accept | facts x, offer o) = f(x) + a_o, with a = 0 for a contact without an offer. A classifier that is fitted
on all rows as if offers were nothing takes the offers' appeal for the customers' readiness. Here the appeals are part
of the model: boosted trees learn f with a_o as the base margin of each row, a logistic regression on out-of-fold
margins learns a (and the level and slope that calibrate f) with f as given, in turns. Each a_o has a normal prior.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost
from jaxtyping import Float, Int
from scipy.special import expit, logit

from retentionjax.errors import DataError
from retentionjax.tabular import boosting
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.calibrator import LOWEST, Calibrator
from retentionjax.tabular.classifier import FOLDS, Classifier, OutOfFold, check_labels
from retentionjax.tabular.encoder import Encoder

_TURNS = 3  # after which the appeals move by less than a hundredth
_NEWTON_STEPS = 25
_KNOTS = 65
_SPREAD = 2.0  # prior standard deviation of level and log slope, in log-odds: next to nothing is assumed of them


@dataclass(frozen=True)
class Appeal:
    """Log-odds of acceptance that each of O offers adds to a contact without one: mean and standard deviation."""

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    """0 where the appeal is known, such as that of a contact without an offer."""

    def __post_init__(self) -> None:
        """Refuses vectors of different lengths, and what is no finite number."""
        if self.mean.shape != self.deviation.shape or self.mean.ndim != 1 or not len(self.mean):
            raise DataError(
                f"an appeal has shapes {self.mean.shape} and {self.deviation.shape}; wanted: (offers,) twice"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.deviation).all() and (self.deviation >= 0).all()):
            raise DataError("an appeal holds a number that is not finite, or a deviation below 0")


@dataclass(frozen=True)
class Response:
    """A fitted model of acceptance."""

    classifier: Classifier
    """Model of accepting a contact without an offer; its `out_of_fold` likewise."""
    appeal: Appeal
    """What the log and the prior say together."""

    def predict(self, frame: pd.DataFrame, offer: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """P(accept) of each row with its offer. Raises DataError as `Classifier.predict`."""
        return with_appeal(self.classifier.predict(frame), self.appeal.mean[offer])


def with_appeal(probability: npt.NDArray[np.float64], appeal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """σ(logit p + appeal): acceptance with an offer, from that without one."""
    moved: npt.NDArray[np.float64] = expit(logit(probability) + appeal)
    return moved


def fit(
    frame: pd.DataFrame,
    label: npt.ArrayLike,
    offer: Int[np.ndarray, " rows"],
    appeal: Appeal,
    encoder: Encoder,
    config: BoosterConfig,
    *,
    seed: int,
    folds: int = FOLDS,
    who: npt.ArrayLike | None = None,
) -> Response:
    """Trains on contacts, one a row: facts, whether it was accepted, the index of its offer, and the appeals' prior.

    `who` names the customer of each row, whose rows stay in one fold.

    Raises DataError as `tabular.classifier.fit`.
    """
    x, y = encoder.encode(frame), check_labels(label, len(frame))
    fold = boosting.assign_folds(x, y, folds, seed, who)
    problem = _Problem(x, y, offer, encoder.types, config, seed)
    _, found = _regress(np.zeros(len(y)), y, offer, appeal)  # a prior may be far off, and trees would make up for it
    for _ in range(_TURNS):
        margins = problem.cross_margins(fold, found.mean)
        line, found = _regress(margins, y, offer, appeal)
    booster = problem.train(np.ones(len(y), bool), found.mean)
    free = expit(line[0] + line[1] * margins)
    unseen = OutOfFold(expit(margins).astype(np.float32), free.clip(LOWEST, 1 - LOWEST))
    classifier = Classifier(booster, encoder, _calibrator(margins, line), unseen)
    return Response(classifier, found)


def assumed(probability: float, encoder: Encoder) -> Classifier:
    """The same acceptance of an offer-free contact for everybody: a belief, where there is no log to learn from."""
    x = np.zeros((2, len(encoder.features)), np.float32)
    matrix = boosting.matrix(x, encoder.types, np.array([0, 1]))
    settings = {
        "objective": "binary:logistic",
        "base_score": 0.5,
        "max_depth": 1,
        "min_child_weight": 10.0,
        "nthread": 1,
    }
    booster = xgboost.train(settings, matrix, 1)  # two rows are too few to split: one leaf
    certain = np.array([probability], np.float32)
    return Classifier(booster, encoder, Calibrator(np.array([0.5], np.float32), certain))


# --- f given a ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Problem:
    x: boosting.Features
    y: boosting.Labels
    offer: Int[np.ndarray, " rows"]
    types: list[str]
    config: BoosterConfig
    seed: int

    def train(self, rows: npt.NDArray[np.bool_], appeal: npt.NDArray[np.float64]) -> xgboost.Booster:
        """f of some rows, their offers' appeal as base margins; without one it predicts a contact without an offer."""
        base = float(self.y[rows].mean())
        margin = appeal[self.offer[rows]] + float(logit(base))
        return boosting.train(
            self.x[rows], self.y[rows], self.types, self.config, self.seed, base_score=base, base_margin=margin
        )

    def cross_margins(self, fold: Int[np.ndarray, " rows"], appeal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """logit of each row's offer-free score by trees that have not seen it."""
        scores = np.empty(len(self.y))
        for number in np.unique(fold):
            inside = fold == number
            scores[inside] = boosting.score(self.train(~inside, appeal), self.x[inside])
        return np.asarray(logit(scores.clip(1e-6, 1 - 1e-6)))


# --- a given f ------------------------------------------------------------------------------------------------


def _regress(
    margins: npt.NDArray[np.float64], label: boosting.Labels, offer: Int[np.ndarray, " rows"], prior: Appeal
) -> tuple[npt.NDArray[np.float64], Appeal]:
    """(level, slope) and the appeals by Newton's method on the log-posterior; deviations by its curvature."""
    free = prior.deviation > 0
    columns = np.column_stack([np.ones(len(margins)), margins, (offer[:, None] == np.flatnonzero(free)) * 1.0])
    offset = np.where(free, 0.0, prior.mean)[offer]
    mean = np.concatenate([[0.0, 1.0], prior.mean[free]])
    precision = 1 / np.concatenate([[_SPREAD, _SPREAD], prior.deviation[free]]) ** 2
    weights = mean.copy()

    def log_posterior(at: npt.NDArray[np.float64]) -> float:
        odds = columns @ at + offset
        return float((label * odds - np.logaddexp(0, odds)).sum() - (precision * (at - mean) ** 2).sum() / 2)

    for _ in range(_NEWTON_STEPS):
        chance = expit(columns @ weights + offset)
        gradient = columns.T @ (label - chance) - precision * (weights - mean)
        curvature = (columns * (chance * (1 - chance))[:, None]).T @ columns + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        while log_posterior(weights + step) < log_posterior(weights) - 1e-9:  # from a prior far off it overshoots
            step = step / 2
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    deviation = np.sqrt(np.diag(np.linalg.inv(curvature)))
    found, spread = prior.mean.copy(), np.zeros_like(prior.mean)
    found[free], spread[free] = weights[2:], deviation[2:]
    return weights[:2], replace(prior, mean=found, deviation=spread)


def _calibrator(margins: npt.NDArray[np.float64], line: npt.NDArray[np.float64]) -> Calibrator:
    """σ(level + slope · logit score) as a curve through quantiles of the scores; constant where the slope is not up."""
    knots = np.unique(np.quantile(margins, np.linspace(0, 1, _KNOTS)).astype(np.float32)).astype(np.float64)
    score, keep = np.unique(expit(knots).astype(np.float32), return_index=True)
    curve = expit(line[0] + max(0.0, float(line[1])) * knots[keep])
    return Calibrator(score, np.maximum.accumulate(curve.clip(LOWEST, 1 - LOWEST)).astype(np.float32))
