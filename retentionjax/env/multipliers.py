"""What a policy that is told a multiplier spends at it, and so which multiplier a budget needs."""

from dataclasses import dataclass

import numpy as np

from retentionjax.errors import ConfigError


@dataclass(frozen=True)
class MultiplierTable:
    """A row a multiplier; $ a customer and campaign. Multipliers rise, and spend does not rise with them."""

    multiplier: tuple[float, ...]
    """$ of value charged for a $ of spend."""
    spend: tuple[float, ...]
    uplift: tuple[float, ...]
    """Over never contacting."""

    def __post_init__(self) -> None:
        """Refuses a table that could give a budget two multipliers far apart, or none."""
        if len({len(self.multiplier), len(self.spend), len(self.uplift)}) != 1 or len(self.multiplier) < 2:
            raise ConfigError("a table of multipliers needs two rows or more, each with multiplier, spend and uplift")
        multiplier, spend = np.array(self.multiplier, np.float64), np.array(self.spend, np.float64)
        if not np.isfinite([multiplier, spend, np.array(self.uplift, np.float64)]).all():
            raise ConfigError("a table of multipliers holds a number that is not finite")
        if multiplier[0] < 0 or (np.diff(multiplier) <= 0).any() or (np.diff(spend) > 0).any():
            raise ConfigError("multipliers must rise, from 0 or more on, and spend must not rise with them")

    def for_budget(self, budget: float) -> float:
        """The multiplier at which a budget [$ a customer] is spent, linear between rows; where even the lowest
        multiplier spends less, the lowest.

        Raises:
            ConfigError: even the highest multiplier spends more.
        """
        if not budget >= self.spend[-1]:
            least = f"{self.spend[-1]:.2f} a customer, which the highest multiplier of {self.multiplier[-1]:g} spends"
            raise ConfigError(f"budget is {budget}; allowed: at least {least}")
        return float(np.interp(-budget, -np.array(self.spend), np.array(self.multiplier)))
