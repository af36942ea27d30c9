"""How good a reward model is: accuracy and its interval, calibration, what it owes to length, each source apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from retentionjax.errors import DataError
from retentionjax.language import reward
from retentionjax.language.hub import Model
from retentionjax.language.reward import PreferencePair, RewardModel

BINS = 10  # of confidence, for the calibration error


@dataclass(frozen=True)
class Evaluation:
    """Figures of all pairs, and the same of each source's."""

    figures: dict[str, float]
    """pairs, accuracy (ties are wrong) with accuracy_low and accuracy_high, loss, ece, auc, length_correlation."""
    sources: dict[str, dict[str, float]]


def evaluate(model: Model, reward_model: RewardModel, pairs: Sequence[PreferencePair]) -> Evaluation:
    """Figures of held-out pairs.

    Raises:
        DataError: no pairs.
    """
    if not pairs:
        raise DataError("there are no pairs; allowed: at least one")
    pad = int(model.tokenizer.pad_token_id)
    chosen, rejected = reward.score_pairs(model.decoder, reward_model, pairs, pad=pad)
    lengths = np.array([[len(pair.chosen), len(pair.rejected)] for pair in pairs], np.float64)
    # Probabilities are those the loss was fitted to, so of the scores before they were divided by their spread.
    spread = float(reward_model.std)
    names = np.array([pair.source for pair in pairs])
    return Evaluation(
        figures=measure(chosen, rejected, lengths, spread),
        sources={
            str(name): measure(chosen[names == name], rejected[names == name], lengths[names == name], spread)
            for name in sorted(set(names.tolist()))
        },
    )


def measure(chosen: np.ndarray, rejected: np.ndarray, lengths: np.ndarray, spread: float = 1.0) -> dict[str, float]:
    """Figures of scores f32[pairs] and lengths [pairs, 2] (chosen, rejected).

    Args:
        spread: what turns a difference of scores into log-odds of preference.
    """
    difference = (chosen.astype(np.float64) - rejected) * spread
    right = int((difference > 0).sum())
    low, high = wilson(right, len(difference))
    return {
        "pairs": float(len(difference)),
        "accuracy": right / len(difference),
        "accuracy_low": low,
        "accuracy_high": high,
        "loss": float(np.logaddexp(0.0, -difference).mean()),
        "ece": calibration_error(difference),
        "auc": area_under_curve(chosen, rejected),
        "length_correlation": correlation(np.concatenate([chosen, rejected]), lengths.T.reshape(-1)),
    }


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    interval = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def calibration_error(log_odds: np.ndarray) -> float:
    """Expected calibration error of preferring the higher score: confidence σ(|d|) against how often that is right.

    Bins of equal width over [0.5, 1], weighted by their pairs (Guo et al. 2017). A tie is confident by one half and
    right in no case.
    """
    confidence = 1.0 / (1.0 + np.exp(-np.abs(np.asarray(log_odds, np.float64))))
    place = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    gaps = np.bincount(place, confidence - (np.asarray(log_odds) > 0), minlength=BINS)
    return float(np.abs(gaps).sum() / counts.sum())


def area_under_curve(chosen: np.ndarray, rejected: np.ndarray) -> float:
    """P(a chosen text scores above any rejected one), ties counting a half (Mann and Whitney 1947)."""
    return float(roc_auc_score(np.repeat([1, 0], [len(chosen), len(rejected)]), np.concatenate([chosen, rejected])))


def correlation(scores: np.ndarray, lengths: np.ndarray) -> float:
    """Pearson's, 0 where either does not vary."""
    varies = np.ptp(scores) > 0 and np.ptp(lengths) > 0
    return float(np.corrcoef(np.asarray(scores, np.float64), lengths)[0, 1]) if varies else 0.0
