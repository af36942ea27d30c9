"""Campaigns with a hold-out, simulated with numpy alone: who is held out, who leaves when, what was spent."""

import numpy as np

from retentionjax.evaluation.lift import FollowedCustomers, Payments

DAYS = np.arange(1.0, 61.0)


def campaign(
    seed: int,
    *,
    size: int = 600,
    share: float = 0.3,
    hazard_ratio: float = 1.0,
    spend: float = 0.0,
    arrivals: int = 10,
    spread: float = 1.0,
) -> FollowedCustomers:
    """`size` customers who come within `arrivals` days, each held out with probability `share`.

    Args:
        hazard_ratio: of the campaign's customers over those held out.
        spend: on each of the campaign's customers, on the day of her draw.
        spread: above 1, risks are nearer to 0 and 1 with the same mean, so that they predict better.
    """
    random = np.random.default_rng([7, seed])
    risk = random.beta(0.9 / spread, 2.1 / spread, size)
    entered = np.floor(random.uniform(0, arrivals, size))
    held = random.random(size) < share
    hazard = -np.log1p(-risk) / 30 * np.where(held, 1.0, hazard_ratio)
    left = entered + random.exponential(1.0, size) / hazard
    contacted = np.flatnonzero(~held)
    return FollowedCustomers(
        held=held,
        held_share=np.full(size, share),
        entered=entered,
        left=np.where(left < DAYS[-1] + 10, left, np.inf),
        known_until=np.full(size, DAYS[-1]),
        risk=risk,
        charge=random.uniform(20, 110, size),
        spend=Payments(contacted, entered[contacted], np.full(len(contacted), spend)),
    )
