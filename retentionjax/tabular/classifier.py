"""A calibrated classifier: encoder → boosted trees → isotonic calibration, saved as three readable files."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost
from etils import epath
from jaxtyping import Float, Float32, Int
from scipy.special import expit

from retentionjax import storage
from retentionjax.errors import BundleError, ConfigError, DataError
from retentionjax.tabular.boosting import BoosterConfig, assign_folds, check_folds, cross_score, matrix, score, train
from retentionjax.tabular.calibrator import Calibrator, fit_isotonic
from retentionjax.tabular.encoder import Encoder
from retentionjax.tabular.metrics import Measure, average, measure, summary

FOLDS = 5
_MODEL, _ENCODER, _CALIBRATOR = "model.ubj", "encoder.json", "calibrator.json"
_OF_MODEL = "model_sha256"
"""Key in calibrator.json: a calibrator is right for the scores of one model only."""


class Contribution(NamedTuple):
    """What one feature does to one row's probability."""

    feature: str
    log_odds: float
    """Added to the log-odds before calibration; above 0 raises the probability."""
    without: float
    """The calibrated probability had the feature added nothing: such steps of several features do not add up."""
    probability: float
    """The row's calibrated probability."""


@dataclass(frozen=True)
class Contributions:
    """Why the scores are what they are: XGBoost's exact SHAP values, in log-odds of the score before calibration."""

    by_feature: pd.DataFrame
    """One column a feature, the frame's index; a row's sum plus `base` is the row's log-odds."""
    base: float
    """Log-odds before any feature is known."""
    calibrator: Calibrator

    def top(self, row: int, most: int = 3) -> list[Contribution]:
        """The features that move row number `row` most, strongest first."""
        values = self.by_feature.iloc[row].to_numpy(np.float64)
        order = np.argsort(-np.abs(values), kind="stable")[:most]
        total = values.sum() + self.base
        without = self.calibrator.apply(expit(total - values[order]))
        probability = float(self.calibrator.apply(expit(np.array([total])))[0])
        names = self.by_feature.columns[order].astype(str)
        return list(map(Contribution, names, values[order].tolist(), without.tolist(), [probability] * len(order)))


class OutOfFold(NamedTuple):
    """What models that had not seen a training row say of it."""

    score: Float32[np.ndarray, " rows"]
    """Score by a booster trained on the other folds, before calibration."""
    probability: Float[np.ndarray, " rows"]
    """That score through a calibrator fitted on the other folds."""


@dataclass(frozen=True)
class Classifier:
    """P(label = 1) for the rows of a frame."""

    booster: xgboost.Booster
    encoder: Encoder
    calibrator: Calibrator
    out_of_fold: OutOfFold | None = field(default=None, repr=False)
    """Predictions for the training rows, by models that had not seen them; None if loaded."""

    def encode(self, frame: pd.DataFrame) -> Float32[np.ndarray, "rows features"]:
        """The features as numbers. Raises DataError naming row, column and value (see Encoder.encode)."""
        return self.encoder.encode(frame)

    def predict_raw(self, frame: pd.DataFrame) -> Float32[np.ndarray, " rows"]:
        """Scores before calibration. Raises DataError as `encode`."""
        return score(self.booster, self.encode(frame))

    def predict(self, frame: pd.DataFrame) -> Float[np.ndarray, " rows"]:
        """Calibrated probabilities. Raises DataError as `encode`."""
        return self.calibrator.apply(self.predict_raw(frame))

    def shifted(self, log_odds: float) -> "Classifier":
        """The same model with `log_odds` added to every log-odds (see `Calibrator.shifted`)."""
        return dataclasses.replace(self, calibrator=self.calibrator.shifted(log_odds), out_of_fold=None)

    def contributions(self, frame: pd.DataFrame) -> Contributions:
        """What each feature adds to each row's log-odds. Raises DataError as `encode`."""
        values = self.shares(self.encode(frame))
        by_feature = pd.DataFrame(values[:, :-1], index=frame.index, columns=list(self.encoder.features))
        return Contributions(by_feature, float(values[0, -1]) if len(values) else 0.0, self.calibrator)

    def shares(self, x: Float32[np.ndarray, "rows features"]) -> Float32[np.ndarray, "rows features_and_base"]:
        """What each feature adds to each row's log-odds, and the base, of encoded features: a tenth of the time."""
        values: np.ndarray = self.booster.predict(matrix(x, self.encoder.types), pred_contribs=True)
        return values.reshape(len(x), -1 if len(x) else x.shape[1] + 1)  # of no rows XGBoost says nothing of columns

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes model.ubj (XGBoost's own format), encoder.json and calibrator.json into a new `folder`.

        Raises RetentionJaxError when the folder exists.
        """
        with storage.new_folder(folder) as new:
            model = bytes(self.booster.save_raw("ubj"))
            storage.write_bytes(new / _MODEL, model)
            storage.write_json(new / _ENCODER, self.encoder.to_dict())
            calibrator = {**self.calibrator.to_dict(), _OF_MODEL: hashlib.sha256(model).hexdigest()}
            storage.write_json(new / _CALIBRATOR, calibrator)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Classifier":
        """What `save` wrote. Raises BundleError naming the file that is missing, damaged, or of an unknown format."""
        base = storage.as_path(folder)
        try:
            encoder = Encoder.from_dict(storage.read_json(base / _ENCODER))
            stored = storage.read_json(base / _CALIBRATOR)
            expected = stored.pop(_OF_MODEL, None) if isinstance(stored, dict) else None
            calibrator = Calibrator.from_dict(stored)
        except DataError as error:
            raise BundleError(f"{base}: {error}") from None
        return cls(_load_booster(base / _MODEL, encoder, expected), encoder, calibrator)


def fit(
    frame: pd.DataFrame,
    label: npt.ArrayLike,
    encoder: Encoder,
    config: BoosterConfig,
    *,
    seed: int,
    folds: int = FOLDS,
    who: npt.ArrayLike | None = None,
) -> Classifier:
    """Trains a classifier on the columns of `frame` that `encoder` reads.

    The booster learns from all rows; the calibrator from scores that each row got from a booster trained on the
    other folds. `who` names the customer of each row, whose rows stay in one fold. The same arguments
    give the same classifier. Raises DataError for rows that do not fit (see Encoder.encode), labels other than 0 and
    1, a class with fewer rows than folds; ConfigError for fewer than two folds.
    """
    if folds < 2:
        raise ConfigError(f"folds is {folds}; allowed: 2 or more")
    x, y = encoder.encode(frame), check_labels(label, len(frame))
    fold = assign_folds(x, y, folds, seed, who)
    scores = cross_score(x, y, encoder.types, fold, config, seed)
    booster = train(x, y, encoder.types, config, seed)
    unseen = OutOfFold(scores, _cross_calibrate(scores, y, fold))
    return Classifier(booster, encoder, fit_isotonic(scores, y), unseen)


def check_labels(label: npt.ArrayLike, rows: int) -> Int[np.ndarray, " rows"]:
    """The labels as integers. Raises DataError unless there is one a row, each 0 or 1, and both occur."""
    values = np.asarray(label)
    if values.shape != (rows,):
        raise DataError(f"{rows} rows need {rows} labels, not {values.shape}")
    wrong = np.flatnonzero(~np.isin(values, (0, 1)))
    if len(wrong):
        raise DataError(f"the label of row number {wrong[0]} is {values[wrong[0]]}; allowed: 0 and 1")
    if len(np.unique(values)) < 2:
        raise DataError(f"labels of both classes are needed; all {rows} rows have {values[:1].tolist()}")
    return values.astype(np.int64)


def _cross_calibrate(
    scores: Float32[np.ndarray, " rows"], label: Int[np.ndarray, " rows"], fold: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """Each fold's scores through a calibrator fitted on those of the other folds."""
    probabilities = np.empty(len(scores))
    for number in np.unique(fold):
        inside = fold == number
        probabilities[inside] = fit_isotonic(scores[~inside], label[~inside]).apply(scores[inside])
    return probabilities


def _load_booster(path: epath.Path, encoder: Encoder, expected: str | None) -> xgboost.Booster:
    """The checksum comes first: at some damaged files XGBoost ends the whole process."""
    try:
        model = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file") from None
    if (found := hashlib.sha256(model).hexdigest()) != expected:
        raise BundleError(f"{path}: not the model that {_CALIBRATOR} was made for: sha256 {found}, not {expected}")
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(model))
    if booster.feature_types != encoder.types:
        raise BundleError(f"{path}: the model's features do not fit those of {_ENCODER}")
    return booster


# --- cross-validation ------------------------------------------------------------------------------------------------


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
    encoder: Encoder,
    config: BoosterConfig,
    *,
    seed: int,
    folds: int = 5,
    who: npt.ArrayLike | None = None,
    after_fold: Callable[[Mapping[str, Measure]], object] = len,
) -> CrossValidation:
    """K-fold cross-validation of `fit`, with everything fitted, the calibrator too, inside the training folds.

    Takes (folds + 1) × folds trainings. `after_fold` is called with the measures of each fold, to show progress.
    Raises as `fit`, and DataError where a fold lacks a class.
    """
    y = check_labels(label, len(frame))
    fold = assign_folds(encoder.encode(frame), y, folds, seed, who)
    check_folds(y, fold)
    probability = np.empty(len(y))
    measured = []
    for number in range(folds):
        inside = fold == number
        here, others = (None if who is None else np.asarray(who)[rows] for rows in (inside, ~inside))
        classifier = fit(
            frame[~inside],
            y[~inside],
            encoder,
            config,
            seed=seed + 1,  # the inner folds are drawn independently of the outer ones
            folds=folds,
            who=others,
        )
        probability[inside] = classifier.predict(frame[inside])
        base_rate = float(y[~inside].mean())
        measured.append(measure(y[inside], probability[inside], base_rate=base_rate, who=here, seed=seed))
        after_fold(measured[-1])
    together = measure(y, probability, base_rate=float(y.mean()), who=who, seed=seed)
    return CrossValidation({**average(measured), "ece": together["ece"]}, y, probability, fold)
