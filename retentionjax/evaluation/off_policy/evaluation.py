"""One question to a log: what is this policy worth? Support first, then six estimates, their intervals, their gain."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from rich.console import Console
from rich.table import Table

from retentionjax.checked import Checked, Count, NotNegative, Seed
from retentionjax.errors import DataError
from retentionjax.evaluation.business import WIDTH
from retentionjax.evaluation.off_policy import estimators, overlap
from retentionjax.evaluation.off_policy.estimators import EpisodeSteps, EstimatorTerms
from retentionjax.evaluation.off_policy.log import MOST, DecisionLog
from retentionjax.evaluation.off_policy.overlap import Overlap
from retentionjax.evaluation.statistics import Bootstrap, IntervalEstimate, percentiles

NAMES = ("ips", "snips", "dm", "dr", "switch_dr", "dr_os")
HEADLINE = "dr"
BIASED = ("dm", "switch_dr", "dr_os")
"""What trusts a model more than the log: resampling knows nothing of its error, so these have no interval. Nominal
95 % intervals of theirs held the truth in 13 to 67 of 100 simulated bandits."""
# Of `switch_dr` and `dr_os`; those of least estimated squared error are taken.
THRESHOLDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, np.inf)
STRENGTHS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, np.inf)


@dataclass(frozen=True)
class OffPolicySettings(Checked):
    """Settings of an evaluation."""

    minimum_effective_episodes: NotNegative = 50.0
    """Fewer, and the log is refused."""
    resamples: Count = 1000
    seed: Seed = 0


@dataclass(frozen=True)
class OffPolicyReport:
    """Values an episode (of a contextual log: a decision) with 95 % intervals, customers resampled; NaN ends: none."""

    logging: IntervalEstimate
    """Value of the logging policy itself."""
    estimates: Mapping[str, IntervalEstimate]
    """Value of the target, by estimator."""
    gains: Mapping[str, IntervalEstimate]
    """Gain of the target over the logging policy, paired, by estimator."""
    bounds: Mapping[str, IntervalEstimate]
    """Empirical-Bernstein intervals of `ips` and `dr`, where they are unbiased."""
    chosen: Mapping[str, float]
    """Threshold of `switch_dr` and strength of `dr_os` that were chosen; ∞ where nothing is cut."""
    overlap: Overlap
    left_out: int
    """Episodes without a known outcome."""
    no_interval: str = ""
    """Why estimates without bias have no interval either; empty where they have one."""


def evaluate(
    log: DecisionLog,
    target: Float[np.ndarray, "n A"],
    settings: OffPolicySettings = OffPolicySettings(),
    *,
    model: np.ndarray | None = None,
) -> OffPolicyReport:
    """Value of the policy that takes action a in row i with probability `target[i, a]`.

    `model` is q̂, the reward to come of every action; without it one is learned from the log, cross-fitted. Raises
    OverlapError where the target does what was never tried or too few episodes speak about it, DataError for a
    target that is no distribution over legal actions, a model that is no number for each action, and for a log without
    a known outcome.
    """
    overlap.check_target(log, target)
    if model is not None:
        _check_model(model, target)
    keep, episodes = log.is_known, log.num_episodes
    if not keep.any():
        raise DataError("no episode of the log has all its outcomes yet; there is nothing to evaluate")
    target, log = target[keep], log.rows(keep)
    overlap.check_support(log, target)
    unmodelled = estimators.steps(log, target, np.zeros_like(target))
    overlap.check_weights(unmodelled.possible)
    measured = overlap.measure(log, target, unmodelled.weight)
    overlap.check_effective(measured, settings.minimum_effective_episodes)
    learned = estimators.cross_fit(log, target) if model is None else model[keep]
    data = estimators.steps(log, target, learned)
    chosen = {
        "switch_dr": estimators.tune(data, estimators.switched, THRESHOLDS),
        "dr_os": estimators.tune(data, estimators.shrunk, STRENGTHS),
    }
    terms = all_terms(data, threshold=chosen["switch_dr"], strength=chosen["dr_os"])
    bootstrap = Bootstrap(data.customer, resamples=settings.resamples, seed=settings.seed)
    estimates, gains, logging = intervals(terms, estimators.logged(data), bootstrap)
    without, reason = _no_interval(data)
    for name in without:
        estimates[name], gains[name] = (
            IntervalEstimate(each[name].mean, np.nan, np.nan) for each in (estimates, gains)
        )
    if set(without) == set(NAMES):
        logging = IntervalEstimate(logging.mean, np.nan, np.nan)
    bounds = {} if reason else _bounds(data, terms)
    return OffPolicyReport(logging, estimates, gains, bounds, chosen, measured, episodes - log.num_episodes, reason)


def _check_model(model: np.ndarray, target: Float[np.ndarray, "n A"]) -> None:
    if model.shape != target.shape:
        raise DataError(f"model has shape {model.shape}; allowed: {target.shape}, a number for each action of each row")
    wrong = ~(np.abs(model) <= MOST).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"model, row {row}: {model[row]}; allowed: numbers within ±{MOST:g}")


def _no_interval(data: EpisodeSteps) -> tuple[tuple[str, ...], str]:
    """The estimates without an interval, and why others than the biased ones have none."""
    if len(np.unique(data.customer)) < 2:
        return NAMES, "no interval: of one customer alone nothing is known of others"
    earned = estimators.logged(data).numerator
    if np.ptp(earned) == 0:  # 0 of 300 is no proof that nobody ever buys, and resamples of it all say 0
        return NAMES, f"no interval: every episode earned {earned[0, 0]:g}, which tells nothing of how much they vary"
    return BIASED, ""


def all_terms(data: EpisodeSteps, *, threshold: float, strength: float) -> dict[str, EstimatorTerms]:
    """Every estimator of `NAMES`."""
    return {
        "ips": estimators.ips(data),
        "snips": estimators.snips(data),
        "dm": estimators.direct(data),
        "dr": estimators.doubly_robust(data),
        "switch_dr": estimators.switch(data, threshold),
        "dr_os": estimators.shrinkage(data, strength),
    }


def _bounds(data: EpisodeSteps, terms: Mapping[str, EstimatorTerms]) -> dict[str, IntervalEstimate]:
    rewards = float(data.reward.min()), float(data.reward.max())  # the bounds hold for rewards within what was seen
    found = {}
    for name in ("ips", "dr"):
        low, high = _score_range(data, rewards, with_model=name == "dr")
        found[name] = empirical_bernstein(terms[name], data.customer, low=low, high=high)
    return found


def _score_range(data: EpisodeSteps, rewards: tuple[float, float], *, with_model: bool) -> tuple[float, float]:
    """The range within which an episode's score must lie, given the logged contexts."""
    low, high = rewards
    start_low = start_high = 0.0
    if with_model:
        start_low, start_high = float(data.model_value[:, 0].min()), float(data.model_value[:, 0].max())
        later = data.model_value[:, 1:]
        low, high = low + later.min() - data.model.max(), high + later.max() - data.model.min()
    total = float((data.discount * data.possible * data.present).sum(axis=1).max())
    return start_low + total * min(0.0, low), start_high + total * max(0.0, high)


# --- intervals -------------------------------------------------------------------------------------------------------


LEVEL = 0.95
_ROUNDING = 1e-6


def intervals(
    terms: Mapping[str, EstimatorTerms], reference: EstimatorTerms, bootstrap: Bootstrap
) -> tuple[dict[str, IntervalEstimate], dict[str, IntervalEstimate], IntervalEstimate]:
    """Each estimate, its gain over `reference`, and the reference itself, with percentile intervals.

    Customers are drawn with all their episodes (cluster bootstrap; Cameron, Gelbach, Miller 2008), the same for every
    estimate, so that differences are paired.
    """
    values = {name: _resampled(each, bootstrap) for name, each in terms.items()}
    others = _resampled(reference, bootstrap)
    estimates = {name: percentiles(each.value, values[name]) for name, each in terms.items()}
    gains = {name: percentiles(each.value - reference.value, values[name] - others) for name, each in terms.items()}
    return estimates, gains, percentiles(reference.value, others)


def _resampled(terms: EstimatorTerms, bootstrap: Bootstrap) -> Float[np.ndarray, " B"]:
    """The estimate by each resample's customers."""
    sizes = (np.abs(each).max() or 1.0 for each in terms)  # which single precision may not hold
    top, bottom = (size * bootstrap.means(each / size) for each, size in zip(terms, sizes, strict=True))
    nobody = bottom <= _ROUNDING * terms.denominator.mean(axis=0)  # of these customers has a weight
    return (top / np.where(nobody, np.nan, bottom)).sum(axis=1)


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


# --- in words --------------------------------------------------------------------------------------------------------


_WORDS = {
    "ips": "inverse propensity",
    "snips": "self-normalised",
    "dm": "direct method",
    "dr": "doubly robust",
    "switch_dr": "switch",
    "dr_os": "optimistic shrinkage",
}


def show(report: OffPolicyReport, *, title: str, unit: str) -> None:
    """Prints a row an estimator, and below it how far the log can be trusted; `unit` is what a value is of."""
    table = Table(title=title, title_justify="left", caption=_caption(report, unit), caption_justify="left")
    table.add_column("estimator", no_wrap=True)
    for heading in ("value", "gain over the logging policy", "bound that needs no large sample"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("logging policy", report.logging.text(".3f"), "–", "–")
    for name, estimate in report.estimates.items():
        bound = report.bounds[name].text(".3f") if name in report.bounds else "–"
        table.add_row(_WORDS[name], estimate.text(".3f"), report.gains[name].text("+.3f"), bound)
    console = Console()
    Console(width=console.width if console.is_terminal else WIDTH).print(table)


def _caption(report: OffPolicyReport, unit: str) -> str:
    found = report.overlap
    weights = f"weights: mean {found.mean_weight:.3f} ± {1.96 * found.mean_weight_error:.3f} (should be 1)"
    lines = [
        f"a {unit}; \\[low, high]: 95 % interval, customers resampled; bound: empirical Bernstein",
        "no interval: biased by as much as its model, which the log cannot tell",
        f"{found.episodes:,} of {found.customers:,} customers, worth {found.effective_episodes:,.0f} of its own",
        f"{weights}, largest {found.largest_weight:.3g}; smallest propensity {found.smallest_propensity:.3g}",
    ]
    if report.left_out:
        lines.append(
            f"WARNING: {report.left_out:,} left out, their outcomes are not known yet: who left is known first; "
            "cut the log where every outcome is known"
        )
    return "\n".join([*lines, *([report.no_interval] if report.no_interval else [])])
