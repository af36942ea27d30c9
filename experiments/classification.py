"""What the stages `churn` and `acceptance` share: cross-validate, pass the gates, fit, predict every customer once."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import numpy as np
import pandas as pd
from etils import epath

from experiments.stage import Context
from retentionjax import storage
from retentionjax.checked import Checked, Seed, Share, Within
from retentionjax.data import catalog
from retentionjax.data.schema import Schema
from retentionjax.errors import DataError
from retentionjax.tabular import plots
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import Classifier, CrossValidation, cross_validate, fit
from retentionjax.tabular.encoder import Encoder
from retentionjax.tabular.metrics import Measure, measure
from retentionjax.tabular.metrics import summary as flat
from retentionjax.tracking import progress

T = TypeVar("T")
TRAIN_SHARE, TEST_SHARE = 0.8, 0.1  # of the time-ordered split
_LABELLED = 5_000
"""Rows whose contributions the importance plot averages: more changes nothing that can be seen."""


@dataclass(frozen=True)
class Gates(Checked):
    """What cross-validation on real data must reach, or the run stops; synthetic data are only told when they don't."""

    minimum_auc: Share = 0.5
    """The lower end of its interval must be above 0.5 whatever this is."""
    maximum_ece: Share = 1.0
    minimum_brier_skill: Annotated[float, Within(-1, 1)] = -1.0
    """Skill over always predicting the base rate, which has a calibration error near 0 and no use."""

    def failures(self, measures: Mapping[str, Measure]) -> list[str]:
        """A sentence for each gate that the measures miss."""
        found = []
        if (low := measures["auc"].low) <= 0.5:
            found.append(f"cv_auc may be as low as {low:.3f}: not shown to beat chance; more rows or facts help")
        for name, least in (("auc", self.minimum_auc), ("brier_skill", self.minimum_brier_skill)):
            if measures[name].value < least:
                found.append(f"cv_{name} is {measures[name].value:.4f}; allowed: {least:g} or more")
        if measures["ece"].value > self.maximum_ece:
            found.append(f"cv_ece is {measures['ece'].value:.4f}; allowed: {self.maximum_ece:g} or less")
        return found


@dataclass(frozen=True)
class ClassifierSettings(Checked):
    """Settings of a classifier stage."""

    booster: BoosterConfig = field(default_factory=BoosterConfig)
    gates: Gates = field(default_factory=Gates)
    folds: Annotated[int, Within(2, 20)] = 5
    """Folds of the cross-validation, and of the calibration within."""
    seed: Seed = 42


@dataclass(frozen=True)
class ClassificationProblem:
    """A prepared data set as a classification problem; `frame` holds all splits, in the order of the source file."""

    name: str
    frame: pd.DataFrame
    split: np.ndarray
    """`train`, `validation` or `test`, a row."""
    schema: Schema

    @property
    def label(self) -> np.ndarray:
        """0 or 1, a row."""
        return self.frame[str(self.schema.label)].to_numpy(np.int64)

    def take(self, rows: np.ndarray) -> "ClassificationProblem":
        """Some of the rows, by their places."""
        return dataclasses.replace(self, frame=self.frame.iloc[rows], split=self.split[rows])

    @property
    def who(self) -> np.ndarray | None:
        """The customer of each row; None where nobody is named."""
        return None if self.schema.id is None else self.frame[self.schema.id].astype(str).to_numpy(object)

    @property
    def encoder(self) -> Encoder:
        """What reads the features."""
        return Encoder(self.schema.numeric, self.schema.categorical, self.schema.nullable)


def read(context: Context, name: str) -> ClassificationProblem:
    """The data set `name` from the stage `data`."""
    prepared = catalog.read(context.inputs["data"] / "artifacts", name)
    parts = {part: getattr(prepared, part) for part in ("train", "validation", "test")}
    frame = pd.concat([table.frame.assign(**{_SPLIT: part}) for part, table in parts.items()]).sort_index()
    return ClassificationProblem(name, frame.drop(columns=_SPLIT), frame[_SPLIT].to_numpy(), prepared.train.schema)


def run(problem: ClassificationProblem, settings: ClassifierSettings, context: Context) -> dict[str, float]:
    """Cross-validates on all rows, checks the gates, fits on the train split, and writes the artifacts.

    `classifier/` (model.ubj, encoder.json, calibrator.json), `predictions.parquet` (row, id, split, label, charge,
    score and probability: out of fold for the train split), `reliability.png`, `importance.png`. Raises DataError
    naming every gate that real data miss; the pictures are there by then.
    """
    cross = _cross_validate(problem, settings, context)
    share = f"AUC {cross.measures['auc'].value:.3f}, calibration error {cross.measures['ece'].value:.3f}"
    title = f"{problem.name} ({context.data_source}): cross-validated reliability"
    picture = plots.reliability(cross.label, cross.probability, title=title, note=share)
    storage.write_bytes(context.artifacts / "reliability.png", plots.png(picture))
    check(settings.gates, cross.measures, context.data_source, problem.name)
    train = problem.split == "train"
    classifier = fitted(problem.take(np.flatnonzero(train)), settings)
    classifier.save(context.artifacts / "classifier")
    held_out = _write_predictions(problem, classifier, context.artifacts)
    _write_importance(problem, classifier, context)
    return {**cross.summary(), **held_out}


def check(gates: Gates, measures: Mapping[str, Measure], data_source: str, name: str) -> None:
    """Raises DataError when real data miss a gate; says so on stderr when synthetic ones do."""
    failures = gates.failures(measures)
    if failures and data_source == "real":
        flags = f"; a gate is moved by its flag, such as --{_stage(name)}.gates.minimum-auc"
        movable = any("allowed" in each for each in failures)
        raise DataError(f"gate: {name}: {'; '.join(failures)}{flags * movable}")
    for failure in failures:
        print(f"WARNING: gate (not enforced on synthetic data): {name}: {failure}", file=sys.stderr, flush=True)


def measured(
    problem: ClassificationProblem, probability: np.ndarray, base_rate: float, prefix: str
) -> dict[str, float]:
    """Flat figures of rows that the model has not seen; none, and a word on it, where all have the same outcome."""
    if len(np.unique(problem.label)) < 2:
        return _not_measured(problem.name, prefix, f"these {len(problem.label):,} rows have one outcome only")
    return flat(measure(problem.label, probability, base_rate=base_rate, who=problem.who), prefix)


def _not_measured(name: str, prefix: str, why: str) -> dict[str, float]:
    print(f"[{_stage(name)}] {prefix}auc and the like are not measured: {why}", flush=True)
    return {}


def _stage(name: str) -> str:
    """The stage that learns from the set `name`."""
    return "churn" if name == "customers" else "acceptance"


def fitted(problem: ClassificationProblem, settings: ClassifierSettings) -> Classifier:
    """A classifier of all rows of `problem`."""
    return _trained(fit, problem, settings)


def _trained(train: Callable[..., T], problem: ClassificationProblem, settings: ClassifierSettings, **more: Any) -> T:
    """What `train`, `fit` or `cross_validate`, makes of the problem."""
    given = problem.frame, problem.label, problem.encoder, settings.booster
    return train(*given, seed=settings.seed, folds=settings.folds, who=problem.who, **more)


def time_ordered(
    problem: ClassificationProblem,
    settings: ClassifierSettings,
    context: Context,
    predicted: Callable[[ClassificationProblem, ClassificationProblem], np.ndarray] | None = None,
) -> dict[str, float]:
    """Fits on the first rows and measures on the last, as a deployed model would be; by time, or as they stand.

    `predicted(before, after)`: probabilities of the later rows by a model of the earlier; None: by a classifier.
    """
    problem = _by_time(problem)
    rows = len(problem.frame)
    before_rows, after_rows = np.arange(int(rows * TRAIN_SHARE)), np.arange(rows - int(rows * TEST_SHARE), rows)
    early, late = problem.take(before_rows), problem.take(after_rows)
    if (fewest := int(np.bincount(early.label, minlength=2).min())) < settings.folds:
        why = f"the first {TRAIN_SHARE:.0%} in time have {fewest} rows of one outcome; needed: {settings.folds}"
        return _not_measured(problem.name, "time_ordered_", why)
    probability = fitted(early, settings).predict(late.frame) if predicted is None else predicted(early, late)
    title = f"{problem.name} ({context.data_source}): first 80 % in time → last 10 %"
    before, after = early.label.mean(), late.label.mean()
    note = f"positive: {before:.0%} in training, {after:.0%} in test"
    picture = plots.reliability(late.label, probability, title=title, note=note)
    storage.write_bytes(context.artifacts / "reliability_time_ordered.png", plots.png(picture))
    return {
        **measured(late, probability, float(before), "time_ordered_"),
        "time_ordered_train_rate": float(before),
        "time_ordered_test_rate": float(after),
    }


def _by_time(problem: ClassificationProblem) -> ClassificationProblem:
    if problem.schema.time is None:
        return problem
    return problem.take(np.argsort(problem.frame[problem.schema.time].to_numpy(), kind="stable"))


_SPLIT = "\x00split"  # beside any column that a schema can name


def _cross_validate(problem: ClassificationProblem, settings: ClassifierSettings, context: Context) -> CrossValidation:
    fold = 0
    with context.tracker() as tracker, progress("cross-validation", settings.folds, "folds") as bar:

        def after_fold(measures: Mapping[str, Measure]) -> None:
            nonlocal fold
            fold += 1
            tracker.log(fold, {f"fold_{name}": each.value for name, each in measures.items()})
            bar.advance(auc=measures["auc"].value)

        return _trained(cross_validate, problem, settings, after_fold=after_fold)


def _write_predictions(
    problem: ClassificationProblem, classifier: Classifier, artifacts: epath.Path
) -> dict[str, float]:
    """Every customer's probability by a model that has not seen them; what those of the held-out splits are worth."""
    train = problem.split == "train"
    score, probability = np.empty((2, len(problem.frame)))
    unseen: Any = classifier.out_of_fold
    score[train], probability[train] = unseen.score, unseen.probability
    score[~train] = classifier.predict_raw(problem.frame[~train])
    probability[~train] = classifier.calibrator.apply(score[~train])
    schema, frame = problem.schema, problem.frame
    columns: dict[str, Any] = {"row": frame.index.to_numpy(), "split": problem.split, "label": problem.label}
    columns |= {key: frame[name].to_numpy() for key, name in (("id", schema.id), ("charge", schema.charge)) if name}
    table = pd.DataFrame({**columns, "score": score, "probability": probability})
    storage.write_bytes(artifacts / "predictions.parquet", table.to_parquet(index=False))
    base_rate = float(problem.label[train].mean())
    held_out = problem.take(np.flatnonzero(~train))
    return measured(held_out, probability[~train], base_rate, "held_out_")


def _write_importance(problem: ClassificationProblem, classifier: Classifier, context: Context) -> None:
    sample = problem.frame.iloc[:: max(1, len(problem.frame) // _LABELLED)]
    weights = classifier.contributions(sample).by_feature.abs().mean()
    title = f"{problem.name} ({context.data_source}): what the model looks at"
    picture = plots.importance({str(name): float(value) for name, value in weights.items()}, title=title)
    storage.write_bytes(context.artifacts / "importance.png", plots.png(picture))
