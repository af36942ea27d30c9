"""Are groups of customers treated alike? How often each is contacted and offered a discount, and the four-fifths rule.

A policy that follows risk may treat two groups differently because their risks differ; the figures say whether it
does, the mean risk beside them hints at why. The rule of thumb (US Uniform Guidelines on Employee Selection, 1978):
the lower rate should be at least four fifths of the higher one.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retentionjax.evaluation.rollout import Episodes
from retentionjax.evaluation.statistics import IntervalEstimate

FOUR_FIFTHS = 0.8
_RESAMPLES = 1000
Floats = npt.NDArray[np.float64]


class Treatment(NamedTuple):
    """How one group fares; intervals are 95 %, customers resampled within the group."""

    customers: int
    churn_probability: float  # mean of the group, by the model
    contacted: IntervalEstimate  # share of campaigns with a contact
    offered: IntervalEstimate  # share of campaigns with a discount offered


class RateComparison(NamedTuple):
    """The lower rate over the higher one."""

    lowest: str
    highest: str
    ratio: IntervalEstimate  # not a number where no group is ever contacted

    @property
    def is_alike(self) -> bool:
        """Whether four fifths are reached, or nobody is treated at all."""
        return not self.ratio.mean < FOUR_FIFTHS


class Fairness(NamedTuple):
    """Comparison of the groups that one attribute makes."""

    groups: Mapping[str, Treatment]
    contacted: RateComparison
    offered: RateComparison


def measure(
    episodes: Episodes,
    groups: Sequence[str] | np.ndarray,
    churn_probability: npt.ArrayLike,
    gives: Sequence[bool] | np.ndarray,
    *,
    seed: int,
) -> Fairness:
    """Treatment of the groups.

    Args:
        episodes: of the policy, arrays (N, replicates).
        groups: name of the group of each of the N customers; two groups at least.
        churn_probability: of each customer.
        gives: whether each offer gives something; one that does not is a contact without an offer.
        seed: of the resampling.

    Raises:
        ValueError: there are fewer than two groups.
    """
    names = np.asarray(groups).astype(str)
    risk = np.asarray(churn_probability, np.float64)
    contacted = (np.asarray(episodes.contacts) > 0).mean(axis=1)
    discounts = np.asarray(episodes.made)[..., np.asarray(gives) > 0].sum(axis=-1)
    offered = (discounts > 0).mean(axis=1)
    found = sorted(set(names.tolist()))
    if len(found) < 2:
        raise ValueError(f"fairness compares groups, and there is only {', '.join(found) or 'none'}")
    random = np.random.default_rng(seed)
    treated: dict[str, Treatment] = {}
    draws: dict[str, dict[str, Floats]] = {"contacted": {}, "offered": {}}
    for name in found:
        member = names == name
        for key, rate in (("contacted", contacted), ("offered", offered)):
            draws[key][name] = _resampled(rate[member], random)
        rates = [
            _estimate(float(rate[member].mean()), draws[key][name])
            for key, rate in (("contacted", contacted), ("offered", offered))
        ]
        treated[name] = Treatment(int(member.sum()), float(risk[member].mean()), *rates)
    contact_rates = {name: each.contacted.mean for name, each in treated.items()}
    offer_rates = {name: each.offered.mean for name, each in treated.items()}
    return Fairness(treated, _compare(contact_rates, draws["contacted"]), _compare(offer_rates, draws["offered"]))


def _compare(rates: Mapping[str, float], draws: Mapping[str, Floats]) -> RateComparison:
    lowest, highest = min(rates, key=lambda name: rates[name]), max(rates, key=lambda name: rates[name])
    if not rates[highest]:
        return RateComparison(lowest, highest, IntervalEstimate(np.nan, np.nan, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = draws[lowest] / draws[highest]
    return RateComparison(lowest, highest, _estimate(rates[lowest] / rates[highest], ratios[np.isfinite(ratios)]))


def _resampled(per_customer: Floats, random: np.random.Generator) -> Floats:
    """Means of resampled customers, as many as there are."""
    count = len(per_customer)
    times = random.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    return np.asarray(times @ per_customer / count, np.float64)


def _estimate(point: float, draws: Floats) -> IntervalEstimate:
    low, high = np.quantile(draws, [0.025, 0.975]) if draws.size else (np.nan, np.nan)
    return IntervalEstimate(point, float(low), float(high))
