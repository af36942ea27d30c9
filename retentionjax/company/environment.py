"""The environment of a company: its offers, limits and beliefs as the constants of `env`."""

import jax.numpy as jnp
import numpy as np

from retentionjax.company.company import Company
from retentionjax.company.prior import COMMON
from retentionjax.env import constraints
from retentionjax.env.types import EnvParams

NO_CAP = 1e9  # in the currency: an account cap of ∞ as a number that JSON can hold
_SHIFTS = ("churn_shift", "accept_shift")
"""Effects that move scores and are no constants of the environment."""


def env_params(company: Company, median_charge: float) -> EnvParams:
    """The constants of `company`, one entry an offer in its order, about nobody yet (see `EnvParams.population`).

    The medians of its beliefs are taken. `median_charge` is per 30 days in the company's currency: appeal of credits
    and costs is by their share of it, and the policy sees charges in its terms.
    """
    believed = company.believed(median_charge)
    offers, limits = company.offers, company.limits

    def by_offer(kind: str) -> np.ndarray:
        return np.array([believed[f"{kind}.{name}"].median for name in offers], np.float64)

    days = np.array([offer.length for offer in offers.values()])
    common = {name: believed[name].median for name in COMMON if name not in (*_SHIFTS, "contact_effect_days")}
    params: EnvParams = EnvParams(
        horizon_days=company.horizon_days,
        risk_window_days=company.customers.label_days,
        discount=_floats([offer.discount for offer in offers.values()]),
        amount=_floats([offer.amount for offer in offers.values()]),
        cost=_floats([offer.cost for offer in offers.values()]),
        offer_days=jnp.asarray(days, jnp.int32),
        effect_days=jnp.asarray(np.maximum(days, np.rint(by_offer("effect_days"))), jnp.int32),
        hazard_multiplier=_floats(by_offer("hazard_multiplier")),
        appeal=_floats(by_offer("appeal")),
        delays=jnp.asarray(company.delays, jnp.int32),
        contact_cost=limits.contact_cost,
        cooldown_days=limits.cooldown_days,
        fatigue_window_days=limits.fatigue.days,
        fatigue_cap=limits.fatigue.contacts,
        account_cap=min(limits.account_cap, NO_CAP),
        charge_reference=median_charge,
        contact_effect_days=round(believed["contact_effect_days"].median),
    ).replace(**common)  # type: ignore[attr-defined]
    return params


def average_limits(company: Company) -> dict[str, float]:
    """Limits a customer and campaign on average, by the names of `env.constraints`; ∞ for none."""
    own = {"campaign_budget": company.limits.budget, "contact": company.limits.contacts}
    defaults = dict(zip(constraints.NAMES, constraints.DEFAULT_LIMITS, strict=True))
    return {name: own.get(name, limit) for name, limit in defaults.items()}


def _floats(values: object) -> jnp.ndarray:
    return jnp.asarray(values, jnp.float32)
