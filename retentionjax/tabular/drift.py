"""Are these customers still those the model learned from? Population stability by column, and calibration.

PSI = Σ_b (qᵦ − pᵦ) ln(qᵦ/pᵦ) over bins b, with p the training share and q the new one; half a row is added to each
bin's count, so that an empty bin does not make it infinite. By convention (Siddiqi 2006) 0.1 is worth a look and 0.25
is another population. Without any drift PSI is about χ²(bins − 1) · (1/n + 1/m) of n and m rows (Yurdakul 2018), so in
a small table it can pass both by chance: a column is only said to drift when it passes that distribution's 95th
percentile as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import stats

from retentionjax.errors import DataError
from retentionjax.tabular import metrics
from retentionjax.tabular.metrics import Measure

FORMAT = 1
MODERATE, LARGE = 0.1, 0.25
BINS = 10
MISSING, OTHER = "missing", "other"
_DRAWS = 200
_CHANCE = 0.95


@dataclass(frozen=True)
class Column:
    """How one column was distributed in training."""

    edges: tuple[float, ...] | None
    """Of a number: inner edges of its quantile bins, rising; a value on an edge belongs above. None for a category."""
    categories: tuple[str, ...] | None
    counts: tuple[int, ...]
    """Rows a bin or category, then those with a value that is no category (0 for a number), then the missing."""

    @property
    def bins(self) -> tuple[str, ...]:
        """Names of the bins, as `counts` has them."""
        if self.categories is not None:
            return (*self.categories, OTHER, MISSING)
        edges = [f"{edge:g}" for edge in self.edges or ()]
        below, above = ["−∞", *edges], [*edges, "∞"]
        return (*(f"{low} to {high}" for low, high in zip(below, above, strict=True)), OTHER, MISSING)

    def count(self, values: pd.Series) -> Int[np.ndarray, " bins"]:
        """Rows of another table in each bin. Raises DataError for text in a column of numbers."""
        missing = int(values.isna().sum())
        known = values[values.notna()]
        if self.categories is not None:
            found = known.astype(str).value_counts()
            each = [int(found.get(name, 0)) for name in self.categories]
            return np.array([*each, len(known) - sum(each), missing])
        numbers = pd.to_numeric(known, errors="coerce").to_numpy(np.float64)
        if np.isnan(numbers).any():
            row = known.index[np.isnan(numbers)][0]
            raise DataError(f"row {row}, column {values.name!r}: {known[row]!r} is not a number")
        place = np.searchsorted(np.asarray(self.edges), numbers, side="right")
        return np.array([*np.bincount(place, minlength=len(self.edges or ()) + 1), 0, missing])


@dataclass(frozen=True)
class Reference:
    """What a model's training rows looked like; no row of them is in it."""

    rows: int
    columns: Mapping[str, Column]
    score: Column
    """Of the predicted probabilities, each by a model that had not seen the row."""
    base_rate: float
    """Share of positives."""
    calibration: Mapping[str, Measure]
    """`ece` and `brier` of those predictions."""
    label: str | None
    """Name of the label's column; `positive` and `negative` are its two values."""
    positive: str
    negative: str

    def shifted(self, log_odds: float) -> "Reference":
        """For the same model with `log_odds` added to its scores' log-odds: the same rows, in bins moved likewise."""
        edges = np.asarray(self.score.edges or (), np.float64)
        moved = 1 / (1 + np.exp(-(np.log(edges) - np.log1p(-edges) + log_odds)))
        return replace(self, score=replace(self.score, edges=tuple(moved.tolist())))

    def to_dict(self) -> dict[str, Any]:
        """The reference as JSON can hold it."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: object, where: str) -> "Reference":
        """What `to_dict` wrote, read back. Raises DataError naming `where` for anything else."""
        if not isinstance(plain, Mapping) or plain.get("format") != FORMAT:
            raise DataError(f"{where}: not a training reference of format {FORMAT}")
        try:
            return cls(
                rows=int(plain["rows"]),
                columns={str(name): _column(each) for name, each in plain["columns"].items()},
                score=_column(plain["score"]),
                base_rate=float(plain["base_rate"]),
                calibration={str(name): Measure(**each) for name, each in plain["calibration"].items()},
                label=plain["label"],
                positive=str(plain["positive"]),
                negative=str(plain["negative"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{where}: not a training reference: {error!r}") from None


@dataclass(frozen=True)
class Shift:
    """How far one column has moved."""

    column: str
    psi: float
    chance: float
    """What PSI would reach in one table of this size in twenty, were nothing different."""
    bin: str
    """Where the share has changed most,"""
    before: float
    """from this"""
    now: float
    """to this."""

    @property
    def level(self) -> str:
        """`large`, `moderate` or `none`."""
        if self.psi <= max(MODERATE, self.chance):
            return "none"
        return "large" if self.psi > LARGE else "moderate"


@dataclass(frozen=True)
class Calibration:
    """The model's predictions against what happened."""

    rows: int
    predicted: float
    """Mean probability."""
    happened: Measure
    """Share of positives."""
    ece: Measure
    brier: Measure
    ece_chance: float
    """What the calibration error of a calibrated model would reach in one table of these predictions in twenty."""
    reference: Mapping[str, Measure]

    @property
    def drifted(self) -> tuple[str, ...]:
        """What is worse than in training beyond chance: `ece`, `brier`, or `mean` (predicted too high or too low)."""
        found = []
        if self.ece.value > max(self.ece_chance, self.reference["ece"].high):
            found.append("ece")
        if self.brier.low > self.reference["brier"].high:
            found.append("brier")
        if not self.happened.low <= self.predicted <= self.happened.high:
            found.append("mean")
        return tuple(found)


def describe(
    frame: pd.DataFrame,
    *,
    numeric: Sequence[str],
    categorical: Mapping[str, Sequence[str]],
    probability: Float[np.ndarray, " rows"],
    label: Int[np.ndarray, " rows"],
    column: str | None,
    positive: str = "1",
    negative: str = "0",
) -> Reference:
    """The reference of training rows; `column` names the label in tables as users bring them, None: they have none."""
    columns = {name: _quantile_bins(frame[name]) for name in numeric}
    columns |= {name: _categories(frame[name], allowed) for name, allowed in categorical.items()}
    base_rate = float(label.mean())
    measured = metrics.measure(label, probability, base_rate=base_rate)
    return Reference(
        rows=len(frame),
        columns=columns,
        score=_quantile_bins(pd.Series(probability, name="score")),
        base_rate=base_rate,
        calibration={name: measured[name] for name in ("ece", "brier")},
        label=column,
        positive=positive,
        negative=negative,
    )


def shifts(reference: Reference, frame: pd.DataFrame, probability: Float[np.ndarray, " rows"]) -> list[Shift]:
    """Every column of the reference, and `score`, by falling PSI. Raises DataError naming a column that is missing."""
    if absent := [name for name in reference.columns if name not in frame.columns]:
        raise DataError(f"column {absent[0]!r} is missing; needed: {', '.join(reference.columns)}")
    found = [_shift(name, column, column.count(frame[name])) for name, column in reference.columns.items()]
    found.append(_shift("score", reference.score, reference.score.count(pd.Series(probability, name="score"))))
    return sorted(found, key=lambda shift: -shift.psi)


def psi(before: Int[np.ndarray, " bins"], now: Int[np.ndarray, " bins"]) -> float:
    """Population stability index of counts by bin; bins empty in both are left out."""
    used = (before + now) > 0
    p, q = ((counts[used] + 0.5) / (counts[used] + 0.5).sum() for counts in (before, now))
    return float(((q - p) * np.log(q / p)).sum())


def calibration(
    reference: Reference, label: Int[np.ndarray, " rows"], probability: Float[np.ndarray, " rows"], *, seed: int = 0
) -> Calibration:
    """Calibration on new rows. Raises DataError unless both outcomes occur."""
    if len(np.unique(label)) < 2:
        raise DataError(f"calibration needs rows of both outcomes; all {len(label)} have {label[:1].tolist()}")
    measured = metrics.measure(label, probability, base_rate=reference.base_rate, seed=seed)
    share = float(label.mean())
    random = np.random.default_rng(seed)
    bins, rows = metrics.bin_of(probability), len(label)
    drawn = [
        np.abs(np.bincount(bins, weights=probability - (random.random(rows) < probability))).sum() / rows
        for _ in range(_DRAWS)
    ]
    return Calibration(
        rows=rows,
        predicted=float(probability.mean()),
        happened=Measure(share, float(np.sqrt(share * (1 - share) / rows))),
        ece=measured["ece"],
        brier=measured["brier"],
        ece_chance=float(np.quantile(drawn, _CHANCE)),
        reference=reference.calibration,
    )


def _shift(name: str, column: Column, now: Int[np.ndarray, " bins"]) -> Shift:
    before = np.asarray(column.counts)
    used = int(((before + now) > 0).sum())
    spread = 1 / before.sum() + 1 / max(1, now.sum())
    chance = float(stats.chi2.ppf(_CHANCE, used - 1)) * spread if used > 1 else 0.0
    shares = before / before.sum(), now / max(1, now.sum())
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    return Shift(name, psi(before, now), chance, column.bins[most], float(shares[0][most]), float(shares[1][most]))


def _quantile_bins(values: pd.Series) -> Column:
    """Ten bins of about as many rows each; fewer where values repeat."""
    known = values.dropna().to_numpy(np.float64)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)
    edges = edges[edges > known.min()] if len(known) else edges  # nothing lies below the least value
    empty = Column(tuple(float(edge) for edge in edges), None, ())
    return Column(empty.edges, None, tuple(empty.count(values).tolist()))


def _categories(values: pd.Series, allowed: Sequence[str]) -> Column:
    empty = Column(None, tuple(allowed), ())
    return Column(None, empty.categories, tuple(empty.count(values).tolist()))


def _column(plain: Mapping[str, Any]) -> Column:
    edges, categories = plain["edges"], plain["categories"]
    column = Column(
        None if edges is None else tuple(float(edge) for edge in edges),
        None if categories is None else tuple(str(name) for name in categories),
        tuple(int(count) for count in plain["counts"]),
    )
    if (edges is None) == (categories is None) or len(column.counts) != len(column.bins) or min(column.counts) < 0:
        raise ValueError(f"a column has edges or categories, and a count for each of its bins: {plain}")
    return column
