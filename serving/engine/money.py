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

from retentionjax.bundle import Bundle
from retentionjax.env.multipliers import MultiplierTable
from serving.ledger.types import DAY, MICROS, CampaignView

_MONTH = 30  # days of a charge


def to_micros(dollars: float) -> int:
    """Micro-units, rounded to the nearest: what is written with six places is meant so, and in binary 80.1 $ may be
    80099999.99999999."""
    return round(dollars * MICROS)


class Costs:
    """What contacts cost under a bundle's constants, to the micro-dollar."""

    def __init__(self, bundle: Bundle) -> None:
        self.contact = to_micros(round(float(bundle.params.contact_cost), 9))
        """Micro-dollars of a contact itself."""
        cap = float(bundle.params.account_cap)
        self.account_cap = to_micros(round(cap, 9)) if math.isfinite(cap) else 2**62
        offers = bundle.offers.values()
        self._share = np.array([to_micros(each.discount) for each in offers], np.int64)
        self._cost = np.array([to_micros(each.cost) for each in offers], np.int64)
        self._amount = np.array([to_micros(each.amount) for each in offers], np.int64)
        self._days = np.array([each.days for each in offers], np.int64)

    def amount(self, offer: int) -> int:
        """Micro-dollars that an offer credits at once, by its index."""
        return int(self._amount[offer])

    def full(self, charges: Float[np.ndarray, " B"]) -> Int[np.ndarray, "B offers"]:
        """Contact and offer to its last day, of customers who pay `charges` [$ per 30 days], in micro-dollars.

        (discount · charge + cost) · days/30 + amount, rounded up: a reservation is never a fraction of a micro-dollar
        short. In whole numbers below 2⁶³: a share in millionths times a charge in micro-dollars is at most 10¹⁸.
        """
        paid, rest = np.divmod(np.rint(charges * MICROS).astype(np.int64)[:, None] * self._share, MICROS)
        whole, days = np.divmod((paid + self._cost) * self._days, _MONTH)
        fraction = days * MICROS + rest * self._days  # of _MONTH · MICROS
        return whole - (-fraction // (_MONTH * MICROS)) + self._amount + self.contact


class Pace(NamedTuple):
    """Pace of a campaign now."""

    throttle: float
    """θ ∈ [0, 1], by which the chance of each contact is multiplied."""
    price: float | None
    """$ of value charged to the policy for a $ of spend; None: the policy knows one price, that of its training."""


def pace(campaign: CampaignView, prices: MultiplierTable | None, now: float) -> Pace:
    """Pace of a campaign at `now`, under a bundle with this table of prices, None for one without."""
    return Pace(throttle(campaign, now), None) if prices is None else _by_price(campaign, prices, now)


def throttle(campaign: CampaignView, now: float) -> float:
    """θ ∈ [0, 1] of a campaign at `now`; 1 before it starts, 0 after its end and without a budget."""
    left = campaign.left_micros / campaign.budget_micros if campaign.budget_micros else 0.0
    time_left = _time_left(campaign, now)
    return min(1.0, max(0.0, left) / time_left) if time_left > 0 else 0.0


def _by_price(campaign: CampaignView, prices: MultiplierTable, now: float) -> Pace:
    dearest, least = prices.multiplier[-1], prices.spend[-1]
    time_left = _time_left(campaign, now)
    if time_left <= 0:
        return Pace(0.0, dearest)
    budget = max(0, campaign.left_micros) / MICROS / campaign.customers_expected / time_left
    return Pace(budget / least, dearest) if budget < least else Pace(1.0, prices.for_budget(budget))


def _time_left(campaign: CampaignView, now: float) -> float:
    """Share of the campaign's days; 1 before it starts, 0 or less after its end."""
    return min(1.0, 1 - (now - campaign.starts_at) / (campaign.horizon_days * DAY))
