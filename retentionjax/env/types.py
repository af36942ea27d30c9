"""What the environment knows: the customers, its constants, and one customer's state on one day.

Every constant of the model is a field of `EnvParams`, a pytree: each can be vmapped and swept. Leaves may be
Python numbers or arrays, or whatever a tree map makes of them; shapes are those of one environment.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from retentionjax.errors import ConfigError

Scalar = Any  # a Python number, or an array of shape () that may be traced
Vector = Any  # an array of rank 1 that may be traced

NEVER = 1_000_000_000  # days since contact of a customer who was never contacted; more than any cooldown
NO_OFFER = -1


@struct.dataclass
class Population:
    """The customers an episode may be about; N of them. Row i of each array is the same customer."""

    monthly_charge: Vector  # f32[N], $ per 30 days
    churn_probability: Vector  # f32[N], calibrated, over `risk_window_days`
    accept_probability: Vector  # f32[N], of an offer-free contact in a calm period

    @property
    def size(self) -> int:
        return int(self.monthly_charge.shape[-1])

    def take(self, rows: Any) -> "Population":
        """Some of the customers, by their rows."""
        return jax.tree.map(lambda column: jnp.asarray(column)[rows], self)


def typical_customer() -> Population:
    """One customer at about the medians of the Telco and Bank data: the default before a population is set."""
    return Population(jnp.array([65.0]), jnp.array([0.25]), jnp.array([0.11]))


@struct.dataclass
class EnvParams:
    """Constants of the retention model (declared assumptions; swept in the stress tests)."""

    population: Population = struct.field(default_factory=typical_customer)
    potential: Vector | None = None  # f32[horizon_days + 1, N, 2] never-contact value, see env.value
    worlds: Any = None  # constants by name, a leading axis of worlds each, where effects are in doubt; see env.worlds

    horizon_days: Scalar = 90
    tail_days: Scalar = 90  # days after the horizon that count as residual value

    # Risk: calm or elevated, and the average over both is the calibrated one.
    risk_window_days: Scalar = 30  # the window that `churn_probability` speaks of
    risk_onset: Scalar = 1 / 45  # P(calm → elevated) a day
    risk_recovery: Scalar = 1 / 7  # P(elevated → calm) a day
    risk_ratio: Scalar = 6.0  # elevated hazard / calm hazard

    # Offers, O of them, and delays, D; any number: their sizes are read off these shapes.
    discount: Vector = struct.field(default_factory=lambda: jnp.array([0.0, 0.05, 0.10, 0.20]))  # share of the charge
    amount: Vector = struct.field(default_factory=lambda: jnp.zeros(4))  # $ once, on acceptance
    cost: Vector = struct.field(default_factory=lambda: jnp.zeros(4))  # $ per 30 days while it runs
    offer_days: Vector = struct.field(default_factory=lambda: jnp.full(4, 30))  # it runs, day of acceptance included
    effect_days: Vector = struct.field(default_factory=lambda: jnp.full(4, 30))  # it protects, at least as long
    hazard_multiplier: Vector = struct.field(default_factory=lambda: jnp.array([0.90, 0.75, 0.60, 0.45]))
    appeal: Vector = struct.field(default_factory=lambda: jnp.array([0.0, 0.4, 0.8, 1.6]))  # log-odds of acceptance
    delays: Vector = struct.field(default_factory=lambda: jnp.array([0, 1, 3]))  # days

    # Contact.
    contact_cost: Scalar = 0.50  # $
    accept_risk: Scalar = 1.0  # log-odds of acceptance added while risk is elevated
    accept_fatigue: Scalar = 0.2  # log-odds of acceptance lost per earlier contact in the window
    fatigue_hazard: Scalar = 0.15  # log hazard per contact in the window beyond the first
    contact_effect: Scalar = 0.0  # log hazard for `contact_effect_days` from a contact on; either sign
    contact_effect_days: Scalar = 30

    # Limits.
    cooldown_days: Scalar = 7
    fatigue_window_days: Scalar = 30  # at most 32: the history is a 32-bit set of days
    fatigue_cap: Scalar = 3  # contacts in the window
    account_cap: Scalar = 30.0  # $ a customer and campaign: contacts paid + full costs of accepted offers

    charge_reference: Scalar = 65.0  # $ at which the observed log-charge is 0

    @property
    def max_steps_in_episode(self) -> Scalar:
        """gymnax's name for the horizon; here the horizon terminates and never truncates."""
        return self.horizon_days


@struct.dataclass
class EnvState:
    """One customer at the start of one day."""

    time: Scalar  # i32[], day of the campaign, 0-based
    customer: Scalar  # i32[], row of the population
    monthly_charge: Scalar  # f32[], $
    churn_probability: Scalar  # f32[], baseline p over the risk window
    accept_probability: Scalar  # f32[], baseline b
    elevated: Scalar  # bool[], risk state z
    contact_history: Scalar  # u32[], bit k is set if there was a contact k + 1 days ago
    days_since_contact: Scalar  # i32[], NEVER if there was none
    pending_offer: Scalar  # i32[], index of the offer of a scheduled contact, or NO_OFFER
    pending_days: Scalar  # i32[], days until the scheduled contact executes
    offer: Scalar  # i32[], index of the offer that protects, or NO_OFFER
    protection_days_left: Scalar  # i32[], as believed, today included; below 1 where its world's offers work longer
    account_used: Scalar  # f32[], $ of the account cap: contacts paid + offers committed
    world: Scalar | None = None  # i32[], row of `EnvParams.worlds`; None where there are none


@dataclass(frozen=True)
class MultiplierTable:
    """A row a multiplier; $ a customer and campaign. Multipliers rise, and spend does not rise with them."""

    multiplier: tuple[float, ...]
    """$ of value charged for a $ of spend."""
    spend: tuple[float, ...]
    uplift: tuple[float, ...]
    """Uplift over never contacting."""

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
