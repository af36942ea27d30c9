"""What contacts cost, in whole micro-dollars never fewer than they are, and how fast a campaign may spend.

The budget itself is a mask and always holds; the pace follows the money and the days that are left.

By price, where the bundle has the policy for any budget: a customer's share of the money left, put as for a whole
campaign, buys the price at which the policy spends that much (the bundle's table, measured in training):

    spend(λ) = left / customers expected / (days left / horizon)

Spending faster than that raises the price for what follows, spending slower lowers it. Where even the highest price
would spend more, the chance of every contact is cut in proportion too.

By throttle otherwise: a share of contacts is let through, and the rest goes to *wait*.

    θ = min(1, (left / budget) / (days left / horizon))

While at least as large a share of the budget is left as of the campaign's days, nothing is held back; once more is
gone, contacts slow down in proportion, so that the money lasts to the end: at a demand of r budgets a campaign,
left' = −r·θ, it only ever nears 0 (θ with it) and reaches it on the last day.

A reservation counts as spent, until an answer or its expiry gives it back.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from retentionjax.env.prices import Prices
from retentionjax.env.types import EnvParams
from serving.ledger.types import DAY, MICROS, CampaignView

_NOISE = 1e-4  # micro-dollars; 0.05 · 80.5 $ is 4025000.0000000005 of them in binary


def to_micros(dollars: float) -> int:
    """Rounded up: a reservation is never a fraction of a micro-dollar short."""
    return math.ceil(dollars * MICROS - _NOISE)


class Costs:
    """What contacts cost under a bundle's constants."""

    def __init__(self, params: EnvParams) -> None:
        self.contact = to_micros(round(float(params.contact_cost), 9))
        """Micro-dollars of a contact itself."""
        self.account_cap = to_micros(round(float(params.account_cap), 9))
        self._share = np.array([round(float(offer), 6) for offer in params.discount]) * float(params.offer_days[0]) / 30

    def full(self, charges: Float[np.ndarray, " B"]) -> Int[np.ndarray, "B offers"]:
        """Contact and offer to its last day, of customers who pay `charges` [$ per 30 days], in micro-dollars."""
        offers = np.ceil(charges[:, None] * self._share * MICROS - _NOISE).astype(np.int64)
        return offers + self.contact


class Pace(NamedTuple):
    """Of a campaign now."""

    throttle: float
    """θ ∈ [0, 1], by which the chance of each contact is multiplied."""
    price: float | None
    """$ of value charged to the policy for a $ of spend; None: the policy knows one price, that of its training."""


def pace(campaign: CampaignView, prices: Prices | None, now: float) -> Pace:
    """Of a campaign at `now`, under a bundle with this table of prices, None for one without."""
    return Pace(throttle(campaign, now), None) if prices is None else _by_price(campaign, prices, now)


def throttle(campaign: CampaignView, now: float) -> float:
    """θ ∈ [0, 1] of a campaign at `now`; 1 before it starts, 0 after its end and without a budget."""
    left = campaign.left_micros / campaign.budget_micros if campaign.budget_micros else 0.0
    time_left = _time_left(campaign, now)
    return min(1.0, max(0.0, left) / time_left) if time_left > 0 else 0.0


def _by_price(campaign: CampaignView, prices: Prices, now: float) -> Pace:
    dearest, least = prices.price[-1], prices.spend[-1]
    time_left = _time_left(campaign, now)
    if time_left <= 0:
        return Pace(0.0, dearest)
    budget = max(0, campaign.left_micros) / MICROS / campaign.customers_expected / time_left
    return Pace(budget / least, dearest) if budget < least else Pace(1.0, prices.for_budget(budget))


def _time_left(campaign: CampaignView, now: float) -> float:
    """Share of the campaign's days; 1 before it starts, 0 or less after its end."""
    return min(1.0, 1 - (now - campaign.starts_at) / (campaign.horizon_days * DAY))
