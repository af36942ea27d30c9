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
    """Resampling weights of N rows of customers, drawn once, so that every statistic meets the same resamples.

    Args:
        customers: N, or the id of each row where one customer may have several, which are drawn together.
        resamples: B, bootstrap replicates.
        seed: of the resampling, or the generator to draw from.
    """

    def __init__(
        self, customers: int | npt.ArrayLike, *, resamples: int = 1000, seed: int | np.random.Generator = 0
    ) -> None:
        random = np.random.default_rng(seed)
        # Codes in the order of appearance, so that ids which are all different draw as their number does.
        code = np.arange(customers) if isinstance(customers, int) else pd.factorize(np.asarray(customers, object))[0]
        count = int(code.max()) + 1
        times = random.multinomial(count, np.full(count, 1 / count), size=resamples)[:, code]
        self._weights = (times / times.sum(axis=1, keepdims=True)).astype(np.float32)  # (B, N); single: only noise

    def mean(self, values: npt.ArrayLike) -> IntervalEstimate:
        """Mean over customers of values [N] or, averaged within customers first, [N, replicates]."""
        per_customer = _per_customer(values)
        return percentiles(float(per_customer.mean()), self._resampled(per_customer))

    def means(self, values: npt.ArrayLike) -> Floats:
        """Mean of values [N], or of each column of [N, K], over the customers of each resample; [B] or [B, K]."""
        return self._resampled(np.asarray(values, np.float64))

    def ratio(self, numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> IntervalEstimate:
        """Sum of the one over sum of the other; not a number where the denominator is zero throughout."""
        top, bottom = _per_customer(numerator), _per_customer(denominator)
        if not bottom.any():
            return IntervalEstimate(np.nan, np.nan, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = self._resampled(top) / self._resampled(bottom)
        return percentiles(float(top.sum() / bottom.sum()), draws)

    def tail_mean(self, values: npt.ArrayLike, *, level: float = 0.95) -> IntervalEstimate:
        """CVaR: mean of the worst 1 − level share of episodes, v + E[(x − v)⁺]/(1 − level) at the quantile v.

        Source: Rockafellar, Uryasev 2000. The quantile is held at its estimate in the resamples.
        """
        x = np.asarray(values, np.float64)
        quantile = float(np.quantile(x, level))
        excess = self.mean(np.maximum(0.0, x - quantile))
        return IntervalEstimate(*(quantile + part / (1 - level) for part in excess))

    def _resampled(self, per_customer: Floats) -> Floats:
        centre = per_customer.mean(axis=0)  # before the single-precision product: values are large, effects small
        return np.asarray(self._weights @ (per_customer - centre).astype(np.float32), np.float64) + centre


def percentiles(point: float, draws: Floats) -> IntervalEstimate:
    """The middle 95 % of the draws that are numbers, of any shape, about a point estimate."""
    usable = draws[np.isfinite(draws)]
    low, high = np.quantile(usable, [0.025, 0.975]) if usable.size else (np.nan, np.nan)
    return IntervalEstimate(point, float(low), float(high))


def _per_customer(values: npt.ArrayLike) -> Floats:
    x = np.asarray(values, np.float64)
    return x if x.ndim == 1 else x.mean(axis=tuple(range(1, x.ndim)))
