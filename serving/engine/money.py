"""Dollars as whole micro-dollars, never fewer than they are."""

import math

import numpy as np
from jaxtyping import Float, Int

from retentionjax.env.types import EnvParams
from serving.ledger.types import MICROS

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
        self._share = np.array([round(float(offer), 6) for offer in params.offers]) * float(params.offer_days) / 30

    def full(self, charges: Float[np.ndarray, " B"]) -> Int[np.ndarray, "B offers"]:
        """Contact and offer to its last day, of customers who pay `charges` [$ per 30 days], in micro-dollars."""
        offers = np.ceil(charges[:, None] * self._share * MICROS - _NOISE).astype(np.int64)
        return offers + self.contact
