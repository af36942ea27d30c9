"""Intervals that know what was sampled: customers, each seen in several episodes.

Episodes of one customer are not independent evidence about customers, nor are the snapshots of one, so the bootstrap
resamples customers with all their rows and episodes (cluster bootstrap; Cameron, Gelbach, Miller 2008). Differences of
policies are paired by customer.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from retentionjax.errors import DataError

Floats = npt.NDArray[np.float64]


class IntervalEstimate(NamedTuple):
    """A point estimate with its 95 % percentile interval."""

    mean: float
    low: float
    high: float

    def flat(self, key: str) -> dict[str, float]:
        """The three as a summary holds them: `<key>`, `<key>_low`, `<key>_high`."""
        return {key: self.mean, f"{key}_low": self.low, f"{key}_high": self.high}

    def text(self, form: str) -> str:
        """Mean and interval in words, each in `form`, as `+1.20 [+0.80, +1.60]`; without an interval that is none."""
        ends = f" [{self.low:{form}}, {self.high:{form}}]" if math.isfinite(self.low) else ""
        return f"{self.mean:{form}}{ends}"

    def to_dict(self) -> dict[str, float | None]:
        """The three by name as JSON holds them: what is undefined as null."""
        found: dict[str, float | None] = plain(self)
        return found


def plain(record: Any) -> Any:
    """`record` as JSON holds it: its fields by name, all the way down, and a number that is not finite as null."""
    if dataclasses.is_dataclass(record):
        return {each.name: plain(getattr(record, each.name)) for each in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {name: plain(each) for name, each in record.items()}
    if isinstance(record, tuple | list):
        return plain(record._asdict()) if hasattr(record, "_asdict") else [plain(each) for each in record]
    return None if isinstance(record, float) and not math.isfinite(record) else record


class Bootstrap:
    """Resamples of the customers of N rows, drawn once, so that every statistic meets the same ones.

    Of one customer alone there is no interval: its ends are not numbers.

    Args:
        customers: N, or the id of each row where one customer may have several, which are drawn together.
        resamples: B, bootstrap replicates.
        seed: of the resampling, or the generator to draw from.

    Raises:
        DataError: there is no customer.
    """

    def __init__(
        self, customers: int | npt.ArrayLike, *, resamples: int = 1000, seed: int | np.random.Generator = 0
    ) -> None:
        random = np.random.default_rng(seed)
        # Codes in the order of appearance, so that ids which are all different draw as their number does.
        code = (
            np.arange(customers)
            if isinstance(customers, int | np.integer)
            else pd.factorize(np.asarray(customers, object), use_na_sentinel=False)[0]  # who is not named is one
        )
        if not len(code):
            raise DataError("an interval over customers was asked for of none; allowed: one customer or more")
        self._code = code
        self._rows = np.bincount(code).astype(np.float64)  # (C,), of each customer
        self._count = len(self._rows)
        times = random.multinomial(self._count, np.full(self._count, 1 / self._count), size=resamples)
        self._times = times.astype(np.float32)  # (B, C), how often each resample draws each customer
        self._drawn = times @ self._rows  # (B,), rows of each resample

    def mean(self, values: npt.ArrayLike) -> IntervalEstimate:
        """Mean over customers of values [N] or, averaged within customers first, [N, replicates]."""
        per_row = _per_row(values)
        return self._estimate(float(per_row.mean()), self._resampled(per_row))

    def means(self, values: npt.ArrayLike) -> Floats:
        """Mean of values [N], or of each column of [N, K], over the customers of each resample; [B] or [B, K]."""
        return self._resampled(np.asarray(values, np.float64))

    def ratio(self, numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> IntervalEstimate:
        """Sum of the one over sum of the other; not a number where the denominator is zero throughout."""
        top, bottom = _per_row(numerator), _per_row(denominator)
        if not bottom.any():
            return IntervalEstimate(np.nan, np.nan, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = self._resampled(top) / self._resampled(bottom)
        return self._estimate(float(top.sum() / bottom.sum()), draws)

    def tail_mean(self, values: npt.ArrayLike, *, level: float = 0.95) -> IntervalEstimate:
        """CVaR: mean of the worst 1 − level share of episodes, v + E[(x − v)⁺]/(1 − level) at the quantile v.

        Source: Rockafellar, Uryasev 2000; its error is that of the excess over v held fixed. The excess is so skewed
        that the interval is the studentised bootstrap's (Efron 1982): with few customers it is wide above. Where so
        few reach the tail that resamples without one decide, there is no interval.
        """
        x = np.asarray(values, np.float64)
        quantile = float(np.quantile(x, level))
        excess = _per_row(np.maximum(0.0, x - quantile)) / (1 - level)
        centre = float(excess.mean())
        sums = np.bincount(self._code, excess - centre)  # of each customer
        error = float(np.sqrt((sums**2).sum())) / len(excess)
        if error == 0:
            return self._estimate(quantile + centre, np.full(2, quantile + centre))
        shift = self._times @ sums / self._drawn
        squares = self._times @ np.column_stack([sums**2, sums * self._rows, self._rows**2])
        spread = squares[:, 0] - 2 * shift * squares[:, 1] + shift**2 * squares[:, 2]
        spread[spread <= 1e-9 * squares[:, 0]] = 0.0  # nobody drawn differs, but for rounding
        with np.errstate(divide="ignore", invalid="ignore"):
            studentised = shift * self._drawn / np.sqrt(spread)
        least, most = np.quantile(studentised, [0.025, 0.975], method="nearest")
        if self._count == 1 or not np.isfinite([least, most]).all():
            return IntervalEstimate(quantile + centre, np.nan, np.nan)
        return IntervalEstimate(quantile + centre, *(quantile + centre - float(t) * error for t in (most, least)))

    def _resampled(self, per_row: Floats) -> Floats:
        centre = per_row.mean(axis=0)  # before the single-precision product: values are large, effects small
        sums = np.zeros((self._count, *per_row.shape[1:]))
        np.add.at(sums, self._code, per_row - centre)
        drawn = self._drawn.reshape(-1, *[1] * (per_row.ndim - 1))
        return np.asarray(self._times @ sums.astype(np.float32), np.float64) / drawn + centre

    def _estimate(self, point: float, draws: Floats) -> IntervalEstimate:
        return percentiles(point, draws if self._count > 1 else draws[:0])


def percentiles(point: float, draws: Floats) -> IntervalEstimate:
    """The middle 95 % of the draws that are numbers, of any shape, about a point estimate."""
    usable = draws[np.isfinite(draws)]
    low, high = np.quantile(usable, [0.025, 0.975]) if usable.size else (np.nan, np.nan)
    return IntervalEstimate(point, float(low), float(high))


def _per_row(values: npt.ArrayLike) -> Floats:
    x = np.asarray(values, np.float64)
    return x if x.ndim == 1 else x.mean(axis=tuple(range(1, x.ndim)))
