"""Are these customers still those the model learned from? Population stability by column, and calibration.

PSI = Σ_b (qᵦ − pᵦ) ln(qᵦ/pᵦ) over bins b, with p the training share and q the new one; half a row is added to each
bin's count, so that an empty bin does not make it infinite. By convention (Siddiqi 2006) 0.1 is worth a look and 0.25
is another population. In a small table PSI passes both by chance. So a column is only said to drift when its PSI also
passes what random splits of training and new rows together would give (a permutation test with PSI as the statistic,
exact for any counts), at a level of 5 % for the whole table: 5 % divided by the number of columns (Bonferroni). Where
training saw its customers several times over, only as many rows are drawn from it as there were customers: a fact that
a customer keeps says no more for being there again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float, Int
from scipy import stats

from retentionjax.errors import DataError
from retentionjax.tabular import metrics
from retentionjax.tabular.metrics import Measure

FORMAT = 2
MODERATE, LARGE = 0.1, 0.25
BINS = 10
MISSING, OTHER = "missing", "other"
BELOW, ABOVE = "less than ever in training", "more than ever in training"
FALSE_ALARMS = 0.05
"""Share of tables in which some column, and share in which the calibration, is said to differ though nothing does."""
_LEAST_DRAWS = 4_000
_DRAWS_BEYOND = 8
"""Random splits that must lie beyond an alarm's limit for it to be known well."""
_CALIBRATION_TESTS = 2
_CALIBRATION_DRAWS = 1_000
_MARGIN = 1e-6
"""Beyond the least and the greatest value, in units of their distance; where that is 0, of the value."""


@dataclass(frozen=True)
class Column:
    """How one column was distributed in training."""

    edges: tuple[float, ...] | None
    """Edges of a number's bins, rising, the first below every training value and the last above; a value on an
    edge belongs above. Empty where all values were missing; None for a category."""
    categories: tuple[str, ...] | None
    counts: tuple[int, ...]
    """Rows a bin or category, then those with a value that is no category (0 for a number), then the missing."""

    @property
    def bins(self) -> tuple[str, ...]:
        """Names of the bins, as `counts` has them."""
        if self.categories is not None:
            return (*self.categories, OTHER, MISSING)
        inner = [f"{edge:g}" for edge in (self.edges or ())[1:-1]]
        below, above = ["−∞", *inner], [*inner, "∞"]
        within = [f"{low} to {high}" for low, high in zip(below, above, strict=True)]
        outside = [BELOW, *within, ABOVE] if self.edges else within
        return (*outside, OTHER, MISSING)

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
    """Distribution of the scores before calibration, each by a booster that had not seen the row: so a calibrator that
    is shifted or fitted anew leaves the reference true."""
    base_rate: float
    """Share of positives."""
    calibration: Mapping[str, Measure]
    """`ece` and `brier` of those predictions."""
    label: str | None
    """Name of the label's column; `positive` and `negative` are its two values."""
    positive: str
    negative: str
    customers: int
    """Customers whose rows they are."""

    @property
    def tests(self) -> int:
        """Columns that are compared, the score among them."""
        return len(self.columns) + 1

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
                customers=int(plain["customers"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{where}: not a training reference: {error!r}") from None


@dataclass(frozen=True)
class Shift:
    """How far one column has moved."""

    column: str
    psi: float
    chance: float
    """What PSI of any column would reach in one table of this size in twenty, were nothing different."""
    bin: str
    """The bin whose share has changed most."""
    before: float
    """Its share in training."""
    now: float
    """Its share now."""

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
    """Expected calibration error, less what sampling adds."""
    plain_ece: float
    """Expected calibration error with what sampling adds, as `ece_chance` is."""
    brier: Measure
    ece_chance: float
    """What `plain_ece` of a model as well calibrated as training rows allow would reach in one table in forty."""
    mean_chance: float
    """How far `predicted` would lie from `happened` in one table in forty."""
    reference: Mapping[str, Measure]

    @property
    def drifted(self) -> tuple[str, ...]:
        """What is worse than in training beyond chance: `ece`, `brier`, or `mean` (predicted too high or too low)."""
        found = []
        if self.plain_ece > max(self.ece_chance, self.reference["ece"].high):
            found.append("ece")
        if self.brier.low > self.reference["brier"].high:
            found.append("brier")
        if abs(self.happened.value - self.predicted) > self.mean_chance:
            found.append("mean")
        return tuple(found)


def describe(
    frame: pd.DataFrame,
    *,
    numeric: Sequence[str],
    categorical: Mapping[str, Sequence[str]],
    score: Float[np.ndarray, " rows"],
    probability: Float[np.ndarray, " rows"],
    label: Int[np.ndarray, " rows"],
    column: str | None,
    positive: str = "1",
    negative: str = "0",
    who: npt.ArrayLike | None = None,
) -> Reference:
    """The reference of training rows.

    Args:
        frame: the rows.
        numeric: columns of numbers.
        categorical: columns of categories, with those that are known.
        score: of each row, by a booster that has not seen it, before calibration.
        probability: of each row, by a booster and a calibrator that have not seen it.
        label: of each row, 0 or 1.
        column: name of the label in tables as users bring them; None: they have none.
        positive: how they write 1.
        negative: how they write 0.
        who: customer of each row, where one may have several.
    """
    columns = {name: _number(frame[name]) for name in numeric}
    columns |= {name: _category(frame[name], allowed) for name, allowed in categorical.items()}
    base_rate = float(label.mean())
    measured = metrics.measure(label, probability, base_rate=base_rate, who=who)
    return Reference(
        rows=len(frame),
        columns=columns,
        score=_number(pd.Series(score, name="score")),
        base_rate=base_rate,
        calibration={name: measured[name] for name in ("ece", "brier")},
        label=column,
        positive=positive,
        negative=negative,
        customers=len(frame) if who is None else len(pd.unique(np.asarray(who, object))),
    )


def shifts(
    reference: Reference, frame: pd.DataFrame, score: Float[np.ndarray, " rows"], *, tests: int | None = None
) -> list[Shift]:
    """Every column of the reference, and `score`, by falling PSI.

    `score` is the model's before calibration. `tests` is how many columns the whole table is asked about, where it
    is compared with several references; None: those of this one. Raises DataError naming a column that is missing.
    """
    if absent := [name for name in reference.columns if name not in frame.columns]:
        raise DataError(f"column {absent[0]!r} is missing; needed: {', '.join(reference.columns)}")
    level = FALSE_ALARMS / (tests or reference.tests)
    counted = [(name, column, column.count(frame[name])) for name, column in reference.columns.items()]
    counted.append(("score", reference.score, reference.score.count(pd.Series(score, name="score"))))
    share = reference.customers / reference.rows
    return sorted((_shift(*each, share, level) for each in counted), key=lambda shift: -shift.psi)


def psi(before: Int[np.ndarray, "... bins"], now: Int[np.ndarray, "... bins"]) -> Float[np.ndarray, "..."]:
    """Population stability index of counts by bin; bins empty in both add nothing."""
    used = (before + now) > 0
    p, q = ((counts + 0.5 * used) / (counts + 0.5 * used).sum(axis=-1, keepdims=True) for counts in (before, now))
    return np.asarray(((q - p) * np.log(np.where(used, q, 1.0) / np.where(used, p, 1.0))).sum(axis=-1))


def calibration(
    reference: Reference, label: Int[np.ndarray, " rows"], probability: Float[np.ndarray, " rows"]
) -> Calibration:
    """Calibration on new rows. Raises DataError unless both outcomes occur."""
    if len(np.unique(label)) < 2:
        raise DataError(f"calibration needs rows of both outcomes; all {len(label)} have {label[:1].tolist()}")
    measured = metrics.measure(label, probability, base_rate=reference.base_rate, seed=0)
    ece_chance, mean_chance = _calibration_chance(probability, reference.customers, np.random.default_rng(0))
    return Calibration(
        rows=len(label),
        predicted=float(probability.mean()),
        happened=_share(label),
        ece=measured["ece"],
        plain_ece=metrics.ece(label, probability),
        brier=measured["brier"],
        ece_chance=ece_chance,
        mean_chance=mean_chance,
        reference=reference.calibration,
    )


def _calibration_chance(
    probability: Float[np.ndarray, " rows"], training_customers: int, random: np.random.Generator
) -> tuple[float, float]:
    """Limits of `metrics.ece` and of |predicted − happened|, were the label drawn by the probabilities.

    The curve itself came from so many training customers, whose luck adds to that of the new rows (consistency
    resampling, Bröcker, Smith 2007, with both samples).
    """
    rows = len(probability)
    both = np.sqrt(1 + rows / training_customers)
    bins, drawn = metrics.bin_of(probability), np.empty((_CALIBRATION_DRAWS, 2))
    for number in range(_CALIBRATION_DRAWS):
        gaps = np.bincount(bins, weights=probability - (random.random(rows) < probability)) * both / rows
        drawn[number] = np.abs(gaps).sum(), abs(gaps.sum())
    ece, mean = np.quantile(drawn, 1 - FALSE_ALARMS / _CALIBRATION_TESTS, axis=0)
    return float(ece), float(mean)


def _share(label: Int[np.ndarray, " rows"]) -> Measure:
    """Share of positives with Wilson's interval (1927)."""
    interval = stats.binomtest(int(label.sum()), len(label)).proportion_ci(0.95, method="wilson")
    return Measure(float(label.mean()), float(interval.low), float(interval.high))


def _shift(name: str, column: Column, now: Int[np.ndarray, " bins"], share: float, level: float) -> Shift:
    """`share`: customers in training for each row."""
    before = np.rint(np.asarray(column.counts) * share).astype(np.int64)
    shares = before / max(1, before.sum()), now / max(1, now.sum())
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    return Shift(
        column=name,
        psi=float(psi(before, now)),
        chance=_chance(before, now, level),
        bin=column.bins[most],
        before=float(shares[0][most]),
        now=float(shares[1][most]),
    )


def _chance(before: Int[np.ndarray, " bins"], now: Int[np.ndarray, " bins"], level: float) -> float:
    """PSI that random splits of all rows into tables of these sizes pass in a share of `level` of cases."""
    draws = max(_LEAST_DRAWS, int(np.ceil(_DRAWS_BEYOND / level)))
    together = before + now
    drawn = np.random.default_rng(0).multivariate_hypergeometric(together, int(now.sum()), draws, method="marginals")
    beyond = int(level * (draws + 1)) - 1  # the table itself counts as one draw, which makes the test exact
    return float(np.sort(psi(together - drawn, drawn))[-1 - beyond])


def _number(values: pd.Series) -> Column:
    """Bins of a number: about ten of as many rows each, a value that a tenth of the rows have in a bin of its own, and
    one bin on either side of all training values: a column that is always 0 and now 1 has moved."""
    known = values.dropna().to_numpy(np.float64)
    edges = tuple(float(edge) for edge in _edges(known)) if len(known) else ()
    return Column(edges, None, tuple(Column(edges, None, ()).count(values).tolist()))


def _edges(known: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " edges"]:
    distinct, place, rows = np.unique(known, return_inverse=True, return_counts=True)
    heavy = rows >= len(known) / BINS
    middles = distinct[:-1] / 2 + distinct[1:] / 2
    around = middles[heavy[:-1] | heavy[1:]]
    light = known[~heavy[place]]
    bins = round(BINS * len(light) / len(known))
    cuts = np.quantile(light, np.arange(1, bins) / bins) if bins > 1 else np.empty(0)
    margin = _margin(float(distinct[0]), float(distinct[-1]))
    return np.unique([distinct[0] - margin, *around, *cuts[cuts > distinct[0]], distinct[-1] + margin])


def _margin(least: float, greatest: float) -> float:
    """What a value may lie beyond the ends by, as rounding may have it: never a whole step of what is counted."""
    margin = _MARGIN * (greatest / 2 - least / 2 or abs(greatest) or 1.0)
    if least.is_integer() and greatest.is_integer():
        margin = min(margin, 0.5)
    return max(margin, 2 * float(np.spacing(max(abs(least), abs(greatest)))))


def _category(values: pd.Series, allowed: Sequence[str]) -> Column:
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
