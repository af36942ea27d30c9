"""95 % intervals of estimates: by resampling customers, and by a bound that holds at any sample size."""

import numpy as np
from jaxtyping import Float, Int

from retentionjax.evaluation.off_policy.estimators import EstimatorTerms
from retentionjax.evaluation.statistics import IntervalEstimate

LEVEL = 0.95
_AT_ONCE = 64  # resamples whose weights are held in memory


class CustomerBootstrap:
    """Percentile intervals; every estimate meets the same resamples, so that differences are paired.

    Customers are drawn with all their episodes (cluster bootstrap; Cameron, Gelbach, Miller 2008).

    Args:
        customer: of each episode, numbered from 0.
        resamples: B, bootstrap replicates.
        seed: of the resampling.
    """

    def __init__(self, customer: Int[np.ndarray, " E"], *, resamples: int = 1000, seed: int = 0) -> None:
        self._customer = np.unique(customer, return_inverse=True)[1]
        self._resamples = resamples
        self._seed = seed

    def intervals(
        self, terms: dict[str, EstimatorTerms], reference: EstimatorTerms
    ) -> tuple[dict[str, IntervalEstimate], dict[str, IntervalEstimate], IntervalEstimate]:
        """Each estimate, its gain over `reference`, and the reference itself, all with intervals."""
        values = self._resampled([*terms.values(), reference])
        estimates = {name: _estimate(each.value, values[place]) for place, (name, each) in enumerate(terms.items())}
        gains = {
            name: _estimate(each.value - reference.value, values[place] - values[-1])
            for place, (name, each) in enumerate(terms.items())
        }
        return estimates, gains, _estimate(reference.value, values[-1])

    def interval(self, terms: EstimatorTerms) -> IntervalEstimate:
        """One estimate with its interval."""
        return _estimate(terms.value, self._resampled([terms])[0])

    def _resampled(self, terms: list[EstimatorTerms]) -> Float[np.ndarray, "estimates B"]:
        columns = np.concatenate([np.concatenate(each, axis=1) for each in terms], axis=1)
        customers = int(self._customer.max()) + 1
        sums = np.zeros((customers, columns.shape[1]))
        np.add.at(sums, self._customer, columns)
        random = np.random.default_rng(self._seed)
        parts = []
        for start in range(0, self._resamples, _AT_ONCE):
            draws = min(_AT_ONCE, self._resamples - start)
            counts = [
                np.bincount(random.integers(customers, size=customers), minlength=customers) for _ in range(draws)
            ]
            parts.append(np.asarray(counts, np.float64) @ sums)
        drawn = np.concatenate(parts)
        values, place = [], 0
        for each in terms:
            width = each.numerator.shape[1]
            top, bottom = drawn[:, place : place + width], drawn[:, place + width : place + 2 * width]
            values.append((top / np.where(bottom == 0, np.nan, bottom)).sum(axis=1))
            place += 2 * width
        return np.stack(values)


def empirical_bernstein(
    terms: EstimatorTerms, customer: Int[np.ndarray, " E"], *, low: float, high: float
) -> IntervalEstimate:
    """Interval of a mean over episodes whose scores lie in [low, high], valid at any sample size.

    mean ± [√(2V ln(4/δ)/n) + 7R ln(4/δ)/(3(n − 1))], both sides at δ/2 (Maurer, Pontil 2009), over n customers: a
    customer's total is one draw, with range R scaled by the most episodes that one of them has. Raises ValueError
    for an estimate that is no mean, or fewer than two customers.
    """
    if not terms.is_mean:
        raise ValueError("the bound is about a mean; a self-normalised estimate is a ratio")
    episodes = np.bincount(customer)
    episodes = episodes[episodes > 0]
    count = len(episodes)
    if count < 2:
        raise ValueError("the bound needs two customers or more")
    totals = np.bincount(customer, weights=terms.numerator[:, 0])[np.bincount(customer) > 0] / episodes.mean()
    span = (max(0.0, high) - min(0.0, low) if episodes.min() < episodes.max() else high - low) * (
        episodes.max() / episodes.mean()
    )
    log_term = np.log(4 / (1 - LEVEL))
    half = np.sqrt(2 * totals.var(ddof=1) * log_term / count) + 7 * span * log_term / (3 * (count - 1))
    return IntervalEstimate(terms.value, terms.value - float(half), terms.value + float(half))


def _estimate(point: float, draws: Float[np.ndarray, " B"]) -> IntervalEstimate:
    usable = draws[np.isfinite(draws)]
    if not usable.size:
        return IntervalEstimate(point, np.nan, np.nan)
    low, high = np.quantile(usable, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return IntervalEstimate(point, float(low), float(high))
