"""Never contacting, in closed form: the two-state risk chain in NumPy float64, many customers at once."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def stays(p: Floats, *, onset: float, recovery: float, ratio: float, window: float = 30) -> Floats:
    """f64[N, 2]: P(stay one day), calm and elevated."""
    share = onset / (onset + recovery)
    calm = (1 - (1 - p) ** (1 / window)) / (1 - share + ratio * share)
    return 1 - np.stack([calm, np.minimum(0.9, ratio * calm)], axis=-1)


def survival(stay: Floats, days: int, *, onset: float, recovery: float) -> Floats:
    """f64[days + 1]: P(still there in the morning of day t) of one customer, by powers of the sub-stochastic chain."""
    chain = np.array([[1 - onset, onset], [recovery, 1 - recovery]])
    start = np.array([recovery, onset]) / (onset + recovery)
    day = np.diag(stay) @ chain  # stay, then the risk moves
    return np.array([(start @ np.linalg.matrix_power(day, t)).sum() for t in range(days + 1)])


def residual(m: Floats, p: Floats, *, tail: int, window: float = 30) -> Floats:
    """f64[N]: value in $ of the days after the horizon, a plain sum."""
    stay = (1 - p) ** (1 / window)
    return m / 30 * sum((stay**k for k in range(1, tail + 1)), np.zeros_like(p))


def moments(
    m: Floats,
    p: Floats,
    *,
    days: int = 90,
    tail: int = 90,
    onset: float = 1 / 45,
    recovery: float = 1 / 7,
    ratio: float = 6,
) -> tuple[Floats, Floats]:
    """Mean and standard deviation, f64[N] each, of an episode's value under sampled churn."""
    stay = stays(p, onset=onset, recovery=recovery, ratio=ratio)
    chain = np.array([[1 - onset, onset], [recovery, 1 - recovery]])
    earns = (m / 30)[:, None]
    last = residual(m, p, tail=tail)[:, None] + np.zeros_like(stay)
    first, second = last, last**2
    for t in reversed(range(days)):
        if t < days - 1:
            first, second = first @ chain.T, second @ chain.T
        first, second = stay * (earns + first), stay * (earns**2 + 2 * earns * first + second)
    start = np.array([recovery, onset]) / (onset + recovery)
    mean = first @ start
    return mean, np.sqrt(second @ start - mean**2)
