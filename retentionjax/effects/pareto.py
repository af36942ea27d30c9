"""Pareto-smoothed importance weights (Vehtari, Simpson, Gelman, Yao, Gabry, arXiv 1507.02646)."""

import numpy as np
from jaxtyping import Float


def smoothed(log_ratio: Float[np.ndarray, " S"]) -> tuple[Float[np.ndarray, " S"], float]:
    """Weights that sum to 1, the largest min(S/5, 3√S) being quantiles of a fitted Pareto tail, and its k̂.

    Up to k̂ = 0.7 averages by these weights can be relied on.
    """
    count = len(log_ratio)
    weights = np.exp(log_ratio - log_ratio.max())
    order = np.argsort(weights)
    length = int(min(count / 5, 3 * np.sqrt(count)))
    tail, threshold = order[-length:], weights[order[-length - 1]]
    excess = weights[tail] - threshold
    if excess[-1] <= 1e-12:  # weights that are all alike have no tail
        return np.full(count, 1 / count), 0.0
    shape, scale = _fit(np.maximum(excess, 1e-300))
    probability = (np.arange(length) + 0.5) / length
    quantile = scale * np.expm1(-shape * np.log1p(-probability)) / shape
    weights[tail] = np.minimum(threshold + quantile, 1.0)  # no larger than the largest was
    return weights / weights.sum(), shape


def _fit(excess: np.ndarray) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution (Zhang, Stephens 2009; shape drawn to 0.5 by 10 numbers)."""
    ordered, count = np.sort(excess), len(excess)
    grid = np.arange(1, 30 + int(np.sqrt(count)) + 1)
    quartile = ordered[int(count / 4 + 0.5) - 1]
    theta = 1 / ordered[-1] + (1 - np.sqrt(len(grid) / (grid - 0.5))) / (3 * quartile)
    shapes = np.mean(np.log1p(-theta[:, None] * ordered), axis=1)
    profile = count * (np.log(-theta / shapes) - shapes - 1)
    posterior = 1 / np.sum(np.exp(profile - profile[:, None]), axis=1)
    best = float(np.sum(theta * posterior) / np.sum(posterior))
    shape = float(np.mean(np.log1p(-best * ordered)))
    drawn = (shape * count + 0.5 * 10) / (count + 10)
    return drawn, -shape / best
