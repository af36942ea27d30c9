"""What a policy that is told a price spends at it, and so which price a budget needs."""

from dataclasses import dataclass

import numpy as np

from retentionjax.errors import ConfigError


@dataclass(frozen=True)
class Prices:
    """A row a price; $ a customer and campaign. Prices rise, and spend does not rise with them."""

    price: tuple[float, ...]
    """$ of value charged for a $ of spend."""
    spend: tuple[float, ...]
    uplift: tuple[float, ...]
    """Over never contacting."""

    def __post_init__(self) -> None:
        """Refuses a table that could give a budget two prices far apart, or none."""
        if len({len(self.price), len(self.spend), len(self.uplift)}) != 1 or len(self.price) < 2:
            raise ConfigError("a table of prices needs two rows or more, each with price, spend and uplift")
        price, spend = np.array(self.price, np.float64), np.array(self.spend, np.float64)
        if not np.isfinite([price, spend, np.array(self.uplift, np.float64)]).all():
            raise ConfigError("a table of prices holds a number that is not finite")
        if price[0] < 0 or (np.diff(price) <= 0).any() or (np.diff(spend) > 0).any():
            raise ConfigError("prices must rise, from 0 or more on, and spend must not rise with them")

    def for_budget(self, budget: float) -> float:
        """The price at which a budget [$ a customer] is spent, linear between rows; where even the lowest price spends
        less, the lowest.

        Raises:
            ConfigError: even the highest price spends more.
        """
        if not budget >= self.spend[-1]:
            least = f"${self.spend[-1]:.2f} a customer, which the highest price of {self.price[-1]:g} spends"
            raise ConfigError(f"budget is {budget}; allowed: at least {least}")
        return float(np.interp(-budget, -np.array(self.spend), np.array(self.price)))
