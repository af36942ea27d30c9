"""How a customer behaves: risk, acceptance, survival, money. One scalar customer; vmap for many.

Symbols as in the docstrings: p baseline churn probability over `risk_window_days`, h daily hazard, z risk state,
ρ risk ratio, π stationary share of elevated days, κ hazard multiplier of the offer that protects, φ what contacts do
to the hazard.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from retentionjax.env.types import NO_OFFER, EnvParams, EnvState, Scalar

MAX_HAZARD = 0.9  # a day's hazard is cut here


def average_hazard(churn_probability: Scalar, params: EnvParams) -> jax.Array:
    """h = 1 − (1 − p)^(1/risk_window_days), the daily hazard that gives p over the window."""
    return -jnp.expm1(jnp.log1p(-churn_probability) / params.risk_window_days)


def elevated_share(params: EnvParams) -> jax.Array:
    """π = onset / (onset + recovery), the stationary probability of an elevated day."""
    return jnp.asarray(params.risk_onset / (params.risk_onset + params.risk_recovery))


def hazards(churn_probability: Scalar, params: EnvParams) -> tuple[jax.Array, jax.Array]:
    """(h⁰, h¹): daily hazard when calm, h/(1 − π + ρπ), and elevated, ρh⁰, each at most 0.9; below, their average is h.

    A ratio below 1 would otherwise have more than all leave on a calm day.
    """
    share = elevated_share(params)
    calm = average_hazard(churn_probability, params) / (1 - share + params.risk_ratio * share)
    return jnp.minimum(MAX_HAZARD, calm), jnp.minimum(MAX_HAZARD, params.risk_ratio * calm)


def daily_hazard(churn_probability: Scalar, elevated: Bool[Array, "..."], params: EnvParams) -> jax.Array:
    """Hazard of one day in risk state `elevated`."""
    calm, high = hazards(churn_probability, params)
    return jnp.where(elevated, high, calm)


def rescored_churn_probability(churn_probability: Scalar, elevated: Bool[Array, "..."], params: EnvParams) -> jax.Array:
    """1 − (1 − h_z)^risk_window_days: what a churn model that sees today's trouble would say today."""
    stay = jnp.log1p(-daily_hazard(churn_probability, elevated, params))
    return -jnp.expm1(params.risk_window_days * stay)


def acceptance(
    accept_probability: Scalar, elevated: Bool[Array, ""], earlier_contacts: Scalar, params: EnvParams
) -> Float[Array, "..."]:
    """σ(logit b + appeal + accept_risk·[elevated] − accept_fatigue·earlier contacts), for each offer."""
    logit = jnp.log(accept_probability) - jnp.log1p(-accept_probability)
    logit += params.accept_risk * elevated - params.accept_fatigue * earlier_contacts
    return jax.nn.sigmoid(logit + params.appeal)


def contacts_in_window(state: EnvState, params: EnvParams, after_days: Scalar = 0) -> Int[Array, "..."]:
    """Contacts before the day `after_days` from now that lie in the `fatigue_window_days` ending on that day."""
    days = jnp.clip(params.fatigue_window_days - 1 - after_days, 0, 31)
    in_window = (jnp.uint32(1) << jnp.asarray(days, jnp.uint32)) - jnp.uint32(1)
    return jax.lax.population_count(state.contact_history & in_window).astype(jnp.int32)


def contact_factor(contacts: Scalar, recent: Scalar, params: EnvParams) -> jax.Array:
    """φ = exp(contact_effect·[recent] + fatigue_hazard·max(0, contacts − 1)), by which contacts multiply the hazard.

    `contacts` counts those in the fatigue window, today's included; `recent` tells whether one lies within
    `contact_effect_days`, today included.
    """
    return jnp.exp(params.contact_effect * recent + params.fatigue_hazard * jnp.maximum(0, contacts - 1))


def log_survival(
    hazard: Scalar, offer: Int[Array, ""], contacts: Int[Array, ""], recent: Bool[Array, ""], params: EnvParams
) -> Float[Array, "..."]:
    """κφ·log(1 − h_z), log P(stay today): κ of the offer that protects (1 without), φ see `contact_factor`."""
    multiplier = jnp.where(offer == NO_OFFER, 1.0, params.hazard_multiplier[jnp.maximum(offer, 0)])
    return multiplier * contact_factor(contacts, recent, params) * jnp.log1p(-hazard)


def next_elevated(elevated: Bool[Array, ""], uniform: Float[Array, ""], params: EnvParams) -> Bool[Array, ""]:
    """One day of the two-state risk chain driven by a uniform draw."""
    return uniform < jnp.where(elevated, 1 - params.risk_recovery, params.risk_onset)


def residual_value(monthly_charge: Scalar, churn_probability: Scalar, params: EnvParams) -> jax.Array:
    """Σ_{k=1..tail_days} (1 − h)^k · m/30 = m/30 · (1 − h)(1 − (1 − h)^tail)/h, in $, for a survivor of the horizon."""
    hazard = average_hazard(churn_probability, params)
    stay = 1 - hazard
    is_safe = hazard < 1e-7  # the limit h → 0, where the closed form is 0/0
    geometric = stay * -jnp.expm1(params.tail_days * jnp.log1p(-hazard)) / jnp.where(is_safe, 1.0, hazard)
    return monthly_charge / 30 * jnp.where(is_safe, jnp.asarray(params.tail_days, jnp.float32), geometric)


def full_cost(monthly_charge: Scalar, params: EnvParams) -> Float[Array, " offers"]:
    """$ of each offer if it is accepted and runs to its end: (discount · m + cost) · offer_days/30 + amount."""
    return daily_cost(monthly_charge, params) * params.offer_days + params.amount


def daily_cost(monthly_charge: Scalar, params: EnvParams) -> Float[Array, " offers"]:
    """$ a day of each offer while it runs: (discount · m + cost)/30."""
    return jnp.asarray((params.discount * monthly_charge + params.cost) / 30)


def offer_days_left(state: EnvState, params: EnvParams) -> Int[Array, ""]:
    """Days, today included, that the offer that protects still runs and is paid for."""
    after = (params.effect_days - params.offer_days)[jnp.maximum(state.offer, 0)]
    return jnp.maximum(0, state.protection_days_left - after)


def offer_cost_today(state: EnvState, params: EnvParams) -> Float[Array, ""]:
    """$ that the running offer costs today if the customer stays; 0 without one."""
    is_running = (state.offer != NO_OFFER) & (offer_days_left(state, params) > 0)
    return jnp.where(is_running, daily_cost(state.monthly_charge, params)[jnp.maximum(state.offer, 0)], 0.0)
