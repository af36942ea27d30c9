"""The balance of a log's arms where a category has many levels."""

import numpy as np

from retentionjax.effects.balance import balance
from retentionjax.effects.log import Log
from retentionjax.env.types import NO_OFFER

CUSTOMERS, SHARES = 3000, np.array([0.4, 0.2, 0.2, 0.1, 0.1])


def log_with(levels: int, seed: int, by_level: float = 0.0) -> Log:
    """An assignment a customer with a category of `levels`; of those at its first level, the share `by_level` gets the
    second arm whatever was drawn."""
    random = np.random.default_rng(seed)
    common = 1 / np.arange(1, levels + 1) ** 0.7
    level = random.choice(levels, CUSTOMERS, p=common / common.sum())
    arm = random.choice(len(SHARES), CUSTOMERS, p=SHARES)
    arm[(level == 0) & (random.random(CUSTOMERS) < by_level)] = 1
    return Log(
        offers=("a", "b", "c", "d"),
        monthly_charge=np.exp(random.normal(3.5, 0.4, CUSTOMERS)),
        churn_probability=random.beta(1, 20, CUSTOMERS),
        accept_probability=random.beta(3, 7, CUSTOMERS),
        followed_days=np.full(CUSTOMERS, 30),
        left_day=np.full(CUSTOMERS, -1),
        customer=np.arange(CUSTOMERS),
        day=np.zeros(CUSTOMERS, int),
        arm=np.where(arm == 0, NO_OFFER, arm - 1),
        accepted=np.zeros(CUSTOMERS, bool),
        propensity=SHARES[arm],
        facts=np.eye(levels)[level],
    )


def test_honest_logs_are_called_unbalanced_as_often_as_the_p_value_says() -> None:
    """An estimated covariance of a thousand sums, most of rare levels, once refused all logs with 300 of them."""
    found = np.array([balance(log_with(200, seed)) for seed in range(40)])
    assert (found < 0.01).sum() <= 2
    assert 0.2 < np.median(found) < 0.8


def test_arms_that_follow_a_frequent_level_are_seen_among_many() -> None:
    assert balance(log_with(200, 0, by_level=0.5)) < 1e-3
