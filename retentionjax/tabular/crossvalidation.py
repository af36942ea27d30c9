"""How well a classifier does on rows it has never seen, calibration included."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float, Int

from retentionjax.tabular.boosting import BoosterConfig, assign_folds
from retentionjax.tabular.classifier import check_labels, fit
from retentionjax.tabular.encoder import Encoder
from retentionjax.tabular.metrics import Measure, average, measure, summary


@dataclass(frozen=True)
class CrossValidation:
    """One prediction a row, by a classifier fitted and calibrated without the row's fold, and what they are worth."""

    measures: Mapping[str, Measure]
    """Means over folds: `auc`, `brier`, `log_loss`, `brier_skill`; and `ece` of all rows together, since what sampling
    adds to a calibration error shrinks with the rows and does not average out over folds."""
    label: Int[np.ndarray, " rows"]
    probability: Float[np.ndarray, " rows"]
    fold: Int[np.ndarray, " rows"]

    def summary(self) -> dict[str, float]:
        """Flat numbers `cv_auc`, `cv_auc_low`, `cv_auc_high`, …"""
        return summary(self.measures, "cv_")


def cross_validate(
    frame: pd.DataFrame,
    label: npt.ArrayLike,
    *,
    numeric: Sequence[str],
    categorical: Mapping[str, Sequence[str]],
    config: BoosterConfig,
    seed: int,
    nullable: Sequence[str] = (),
    folds: int = 5,
    who: npt.ArrayLike | None = None,
    after_fold: Callable[[Mapping[str, Measure]], object] = len,
) -> CrossValidation:
    """K-fold cross-validation of `fit`, with everything fitted, the calibrator too, inside the training folds.

    Takes (folds + 1) × folds trainings. `after_fold` is called with the measures of each fold, to show progress.
    Raises as `fit`.
    """
    allowed = {name: tuple(values) for name, values in categorical.items()}
    encoder = Encoder(tuple(numeric), allowed, tuple(nullable))
    y = check_labels(label, len(frame))
    fold = assign_folds(encoder.encode(frame), y, folds, seed, who)
    probability = np.empty(len(y))
    measured = []
    for number in range(folds):
        inside = fold == number
        classifier = fit(
            frame[~inside],
            y[~inside],
            numeric=numeric,
            categorical=categorical,
            nullable=nullable,
            config=config,
            seed=seed + 1,  # the inner folds are drawn independently of the outer ones
            folds=folds,
            who=None if who is None else np.asarray(who)[~inside],
        )
        probability[inside] = classifier.predict(frame[inside])
        base_rate = float(y[~inside].mean())
        measured.append(measure(y[inside], probability[inside], base_rate=base_rate, seed=seed))
        after_fold(measured[-1])
    together = measure(y, probability, base_rate=float(y.mean()), seed=seed)
    return CrossValidation({**average(measured), "ece": together["ece"]}, y, probability, fold)
