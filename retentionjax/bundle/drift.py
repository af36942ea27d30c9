"""The bundle's training reference, and what a table of customers looks like beside it.

`churn/reference.json` and `acceptance/reference.json` hold counts by bin of each feature and of the score (no rows),
and how well the predictions were calibrated. A bundle may lack them: then drift cannot be told, and that is said.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from etils import epath

from retentionjax import storage
from retentionjax.bundle.loading import Bundle
from retentionjax.company.reading import CellReading
from retentionjax.data.cells import Cells
from retentionjax.data.reading import read_frame
from retentionjax.data.spelling import UNKNOWN, flag, plain
from retentionjax.errors import BundleError, DataError
from retentionjax.tabular import drift
from retentionjax.tabular.classifier import Classifier
from retentionjax.tabular.drift import Calibration, Reference, Shift

NAME = "reference.json"
MODELS = ("churn", "acceptance")


@dataclass(frozen=True)
class Drift:
    """What moved between one model's training rows and a table."""

    model: str
    shifts: tuple[Shift, ...]
    """Every feature of the model and its score, largest first."""
    calibration: Calibration | None
    """None where the table has no labels."""

    @property
    def warnings(self) -> list[str]:
        """A sentence for each column that moved and for calibration that is worse, in the order of weight."""
        return [*(_moved(self.model, each) for each in self.shifts if each.level != "none"), *self._calibration()]

    def _calibration(self) -> list[str]:
        found = self.calibration
        if found is None or not found.drifted:
            return []
        happened, before = found.happened, found.reference
        errors = (
            f"calibration error {found.ece.value:.3f} (training {before['ece'].value:.3f}), "
            f"Brier {found.brier.value:.3f} (training {before['brier'].value:.3f})"
        )
        rates = (
            f"predicted {found.predicted:.1%}, happened {happened.value:.1%} [{happened.low:.1%}, {happened.high:.1%}]"
        )
        return [f"{self.model}: predictions no longer fit ({', '.join(found.drifted)}): {rates}; {errors}"]


def write(folder: epath.Path, references: Mapping[str, Reference]) -> None:
    """Puts each model's reference into its part of a bundle that is being written."""
    for model, reference in references.items():
        storage.write_json(folder / model / NAME, reference.to_dict())


def read(bundle: Bundle) -> dict[str, Reference]:
    """The references in a bundle, by model. Raises BundleError for one that cannot be read."""
    found = {}
    for model in MODELS:
        if f"{model}/{NAME}" in bundle.manifest.files:
            path = bundle.folder / model / NAME
            try:
                found[model] = Reference.from_dict(storage.read_json(path), str(path))
            except DataError as error:
                raise BundleError(str(error)) from None
    return found


def span(bundle: Bundle, column: str) -> tuple[float, float] | None:
    """The least and the greatest value of a number in training; None where the bundle does not say."""
    for reference in read(bundle).values():
        if column in reference.columns and (edges := reference.columns[column].edges):
            return edges[0], edges[-1]
    return None


def unseen_words(column: str, rows: int) -> str:
    """That categories of a column are new, wherever it is said."""
    return f"column {column!r}: {rows:,} rows have a value that training never saw; each counts as “other”"


def beyond_words(rows: int) -> str:
    """That charges lie outside those of training."""
    return f"{rows:,} rows have a charge that training never came to: is it the same unit?"


def beyond(span: tuple[float, float] | None, values: np.ndarray) -> int:
    """How many of `values` lie outside the `span` of training, where the bundle says which that was."""
    return 0 if span is None else int(((values < span[0]) | (values > span[1])).sum())


def labels(
    references: Mapping[str, Reference], frame: pd.DataFrame, reading: CellReading
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """A table as a user brings it, without its label columns, and each model's labels where it has them: 0 and 1, NaN
    where nothing is known. Texts are read by `reading`, as in training.

    Raises DataError naming row, column and value for a label that is neither of its two values, nor 0 or 1.
    """
    found = {}
    for model, reference in references.items():
        if reference.label is not None and reference.label in frame.columns:
            found[model] = _binary(frame[reference.label], reference, reading)
    names = {references[model].label for model in found}
    return frame.drop(columns=[name for name in frame.columns if name in names]), found


def compare(
    bundle: Bundle, references: Mapping[str, Reference], frame: pd.DataFrame, known: Mapping[str, np.ndarray]
) -> list[Drift]:
    """Drift of checked customers (`Bundle.frame`) by model; `known` holds labels of some or none of the models."""
    result = []
    tests = sum(reference.tests for reference in references.values())
    for model, reference in references.items():
        classifier: Classifier = getattr(bundle, model)
        score = np.asarray(classifier.predict_raw(frame), np.float64)
        shifts = tuple(drift.shifts(reference, frame, score, tests=tests))
        label = known.get(model, np.full(len(score), np.nan))
        told = ~np.isnan(label)
        both = len(np.unique(label[told])) == 2
        probability = classifier.calibrator.apply(score)[told]
        calibration = drift.calibration(reference, label[told].astype(np.int64), probability) if both else None
        result.append(Drift(model, shifts, calibration))
    return result


def show(found: list[Drift], rows: int) -> None:
    """Prints a warning for each thing that drifted, or that nothing did."""
    for each in found:
        for warning in each.warnings:
            print(f"WARNING: drift: {warning}")
    if not found:
        print("Drift cannot be told: this bundle holds no training reference; one made by this version does")
    elif not any(each.warnings for each in found):
        most = max((shift for each in found for shift in each.shifts), key=lambda shift: shift.psi)
        print(f"No drift beyond chance in {rows:,} customers (largest PSI {most.psi:.3f}, {most.column})")


def _moved(model: str, shift: Shift) -> str:
    what = "the score" if shift.column == "score" else f"column {shift.column!r}"
    return (
        f"{model}: {what}: PSI {shift.psi:.2f} ({shift.level}; by chance {shift.chance:.2f}): "
        f"{shift.bin} was {shift.before:.1%}, is {shift.now:.1%}"
    )


def _binary(values: pd.Series, reference: Reference, reading: CellReading) -> np.ndarray:
    name = str(values.name)
    texts = Cells(read_frame(values.to_frame(name), "customers"), reading).texts(name).to_pandas()
    own = {plain(reference.negative): 0, plain(reference.positive): 1}
    usual = {"1": 1, "0": 0} | {_usual(text): label for text, label in own.items()}  # of a column `active` 0 has left
    meant = {text: own.get(text, usual.get(_usual(text))) for text in texts.dropna().unique()}
    found = texts.map(meant).astype(np.float64).to_numpy()
    wrong = np.isnan(found) & ~texts.isna().to_numpy() & ~texts.str.lower().isin(UNKNOWN).to_numpy()
    if wrong.any():
        place = int(np.argmax(wrong))
        allowed = f"{reference.positive!r}, {reference.negative!r}, 1 or 0"
        raise DataError(f"row {place}, column {values.name!r}: {values.iloc[place]!r}; allowed: {allowed}")
    return found


def _usual(text: str) -> str:
    """A label in its shortest spelling: 1 and 0 for every usual word for true and false, 2 for 2.0."""
    return flag(text.removesuffix(".0"), "1", "0")
