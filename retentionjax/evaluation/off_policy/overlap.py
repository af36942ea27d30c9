"""Whether the log can answer at all: is what the target policy would do among what the logging policy did?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from retentionjax.errors import DataError
from retentionjax.evaluation.off_policy.log import SUM_TOLERANCE, DecisionLog

LARGEST = 1e100
"""Weights are below it: beyond, the squares of what they multiply are no numbers any more."""
NEGLIGIBLE = 1e-6  # of a target's propensity: what a float32 softmax leaves to an action it never takes


class OverlapError(DataError):
    """The log holds too little about what the target policy would do."""


@dataclass(frozen=True)
class Overlap:
    """How much of the log speaks about the target policy; weights are those of whole episodes."""

    episodes: int
    customers: int
    effective_episodes: float
    """(Σw)² / Σw²: so many episodes of the target policy itself would be as good (Kish 1965)."""
    mean_weight: float
    """1 in expectation; far from it, the logged propensities are wrong or the log is too small."""
    mean_weight_error: float
    """Standard error of `mean_weight`."""
    largest_weight: float
    smallest_propensity: float
    """Smallest propensity of an action that the target policy might take."""


def ratios(log: DecisionLog, target: Float[np.ndarray, "n A"]) -> Float[np.ndarray, " n"]:
    """π(aᵢ|xᵢ)/π₀(aᵢ|xᵢ), the importance ratio of each decision."""
    return target[np.arange(len(log)), log.action] / log.chosen_propensity


def check_target(log: DecisionLog, target: Float[np.ndarray, "n A"]) -> None:
    """Raises DataError naming row and value for a target that is no distribution over the legal actions."""
    if target.shape != log.propensities.shape:
        raise DataError(f"target has shape {target.shape}; the log's propensities have {log.propensities.shape}")
    wrong = ~((target >= 0).all(axis=1) & (np.abs(target.sum(axis=1) - 1) <= SUM_TOLERANCE))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"target, row {log.row[row]}: {target[row]}; allowed: probabilities that sum to 1")
    illegal = np.where(log.mask, 0.0, target).max(axis=1) > NEGLIGIBLE
    if illegal.any():
        row = int(np.argmax(illegal))
        raise DataError(
            f"target, row {log.row[row]}: gives probability to action {_worst(log.mask, target, row)}, which is masked"
        )


def check_support(log: DecisionLog, target: Float[np.ndarray, "n A"]) -> None:
    """Raises OverlapError naming row, action and probability where the target does what was never tried."""
    unsupported = np.where(log.propensities > 0, 0.0, target)
    missing = unsupported.max(axis=1) > NEGLIGIBLE
    if missing.any():
        row = int(np.argmax(missing))
        action = _worst(log.propensities > 0, target, row)
        share = float(unsupported.sum(axis=1).mean())
        raise OverlapError(
            f"no support: in row {log.row[row]} the target takes action {action} with probability "
            f"{target[row, action]:.3g}, which the logging policy never took there (propensity 0); so it is in "
            f"{missing.sum():,} of {len(log):,} rows, {share:.2%} of the target's probability. "
            "A log of a policy that explores is needed"
        )


def check_weights(possible: Float[np.ndarray, "E T"]) -> None:
    """Raises OverlapError where a weight may be beyond all reason; `possible` as in `estimators.EpisodeSteps`."""
    if not possible.max() < LARGEST:
        raise OverlapError(
            f"too little overlap: in episode {int(np.argmax(possible.max(axis=1)))} the target may do what the logging "
            f"policy did with a probability so small that its weight is {possible.max():.3g}; allowed: below "
            f"{LARGEST:g}. A log of a policy that explores is needed, or shorter episodes"
        )


def measure(log: DecisionLog, target: Float[np.ndarray, "n A"], weight: Float[np.ndarray, "E T"]) -> Overlap:
    """Diagnostics; `weight` as in `estimators.EpisodeSteps`."""
    whole = weight[:, -1]
    used = (target > NEGLIGIBLE) & (log.propensities > 0)
    return Overlap(
        episodes=len(whole),
        customers=int(log.customer.max()) + 1,
        effective_episodes=effective_size(whole),
        mean_weight=float(whole.mean()),
        mean_weight_error=float(whole.std(ddof=1) / np.sqrt(len(whole))) if len(whole) > 1 else float("inf"),
        largest_weight=float(weight.max()),
        smallest_propensity=float(log.propensities[used].min()),
    )


def effective_size(weight: Float[np.ndarray, " E"]) -> float:
    """(Σw)² / Σw², 0 where all weights are 0."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0


def check_effective(overlap: Overlap, least: float) -> None:
    """Raises OverlapError where fewer than `least` episodes speak about the target policy."""
    if not overlap.effective_episodes >= least:
        raise OverlapError(
            f"too little overlap: the {overlap.episodes:,} logged episodes are worth {overlap.effective_episodes:.1f} "
            f"of the target policy's own (effective sample size); allowed: {least:g} or more. "
            "A longer log, shorter episodes, or a target nearer to the logging policy is needed"
        )


def _worst(allowed: np.ndarray, target: Float[np.ndarray, "n A"], row: int) -> int:
    return int(np.argmax(np.where(allowed[row], 0.0, target[row])))
