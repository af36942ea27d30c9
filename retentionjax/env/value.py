"""What never contacting, and what one contact, is worth: expectations of the model over churn, acceptance and risk.

`never_contact_value` is the shaping potential Φ and the closed form of the *never* policy; `contact_value` is what a
contact today is worth, exactly; `contact_gain` is the quick figure behind the greedy rules.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from retentionjax.env import actions, dynamics, worlds
from retentionjax.env.types import NO_OFFER, EnvParams, EnvState, Population, Scalar


def transition(params: EnvParams) -> Float[Array, "2 2"]:
    """P(z, z') of one night."""
    onset, recovery = params.risk_onset, params.risk_recovery
    return jnp.array([[1 - onset, onset], [recovery, 1 - recovery]])


def never_contact_value(population: Population, params: EnvParams) -> Float[Array, "days customers 2"]:
    """Φ[t, i, z] in $: expected value from day t on of customer i in risk state z without contact or offer.

    Backward recursion over the risk chain, exact up to rounding; days = horizon_days + 1 and Φ[horizon] = 0,
    since the residual value is part of the last day's reward:
    Φ[t, i, z] = (1 − h_z) · (m/30 + [t last] · residual + Σ_z' P(z, z') Φ[t + 1, i, z']).
    """
    days = int(params.horizon_days)
    calm, elevated = dynamics.hazards(population.churn_probability, params)
    stay = jnp.stack([1 - calm, 1 - elevated], axis=-1)  # (N, 2)
    daily = (population.monthly_charge / 30)[:, None]
    residual = dynamics.residual_value(population.monthly_charge, population.churn_probability, params)[:, None]
    chain = transition(params)

    def previous_day(later: jax.Array, is_last: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = stay * (daily + is_last * residual + later @ chain.T)
        return value, value

    end = jnp.zeros_like(stay)
    is_last = (jnp.arange(days) == days - 1).astype(jnp.float32)
    _, table = jax.lax.scan(previous_day, end, is_last, reverse=True)
    return jnp.concatenate([table, end[None]])


def with_potential(params: EnvParams) -> EnvParams:
    """`params` with the table Φ of its population, which an environment with shaping needs."""
    return params.replace(potential=never_contact_value(params.population, params))  # type: ignore[attr-defined]


def expected_never_value(params: EnvParams) -> Float[Array, " customers"]:
    """Expected value in $ of a whole episode without contact, the first risk state drawn from (1 − π, π)."""
    share = dynamics.elevated_share(params)
    start = never_contact_value(params.population, params)[0]
    return (1 - share) * start[:, 0] + share * start[:, 1]


def never_unforeseen(params: EnvParams) -> Float[Array, ""]:
    """What an episode without contact is worth in the worlds of `params`, in $, less what the potential says of it.

    The shaped return of an episode is its value less Φ of its first state; Φ is of the world that is believed, and
    where the risk process is in doubt the worlds' mean is another. So the return is the uplift plus this; 0 without
    worlds.
    """
    if params.worlds is None or params.potential is None:
        return jnp.zeros(())
    foreseen = params.potential[0]

    def in_world(world: Array) -> Array:
        constants = worlds.in_force(params, world)
        share = dynamics.elevated_share(constants)
        said = (1 - share) * foreseen[:, 0] + share * foreseen[:, 1]
        return (expected_never_value(constants) - said).mean()

    return jax.lax.map(in_world, jnp.arange(worlds.count(params))).mean()


class ContactValue(NamedTuple):
    """A contact today and never again, against never again a contact; a running offer runs out in both."""

    never: Float[Array, ""]  # $, from today on without another contact, the residual after the horizon included
    gain: Float[Array, " offers"]  # $, expected, of a contact today with each offer, all its costs taken off
    spend: Float[Array, " offers"]  # $, expected extra spend: the contact and the offer


class _Plan(NamedTuple):
    """What each of P plans does on each day from today on: *never*, declined, and each offer accepted."""

    exponent: Float[Array, "days plans"]  # κφ, the power of a day's survival
    paid: Float[Array, "days plans"]  # $ of the offer if the customer stays


@partial(jax.jit, static_argnames="days")
def contact_value(state: EnvState, params: EnvParams, *, days: int) -> ContactValue:
    """Exact by the risk chain, the fatigue of this and earlier contacts included; a pending contact is left out.

    `days` is the horizon, int(params.horizon_days). One customer; vmap for many.
    """
    plan = _plans(state, params, days)
    left = params.horizon_days - state.time
    stay = jnp.log1p(-jnp.stack(dynamics.hazards(state.churn_probability, params)))
    residual = dynamics.residual_value(state.monthly_charge, state.churn_probability, params)
    daily, chain = state.monthly_charge / 30, transition(params)

    def previous_day(later: tuple[Array, Array], today: tuple[Array, _Plan]) -> tuple[tuple[Array, Array], None]:
        day, plans = today
        paid, is_last = plans.paid[:, None], day == left - 1
        stays = jnp.exp(plans.exponent[:, None] * stay)
        value = stays * (daily - paid + jnp.where(is_last, residual, later[0] @ chain.T))
        spend = stays * (paid + jnp.where(is_last, 0.0, later[1] @ chain.T))
        return (jnp.where(day < left, value, 0.0), jnp.where(day < left, spend, 0.0)), None

    nothing = jnp.zeros((2 + actions.offers(params), 2))
    (values, spends), _ = jax.lax.scan(previous_day, (nothing, nothing), (jnp.arange(days), plan), reverse=True)
    z = state.elevated.astype(jnp.int32)
    value, spend = values[:, z], spends[:, z]
    earlier = dynamics.contacts_in_window(state, params)
    chance = dynamics.acceptance(state.accept_probability, state.elevated, earlier, params)
    gain = chance * (value[2:] - params.amount) + (1 - chance) * value[1] - params.contact_cost - value[0]
    extra = chance * (spend[2:] + params.amount) + (1 - chance) * spend[1] + params.contact_cost - spend[0]
    return ContactValue(value[0], gain, extra)


def _plans(state: EnvState, params: EnvParams, days: int) -> _Plan:
    day = jnp.arange(days)[:, None]
    waits, contacts = (_contact_factors(state, params, day, contacted=contacted) for contacted in (False, True))
    running = jnp.maximum(state.offer, 0)
    is_protected = (state.offer != NO_OFFER) & (day < state.protection_days_left)
    is_paid = is_protected & (day < dynamics.offer_days_left(state, params))
    kept = jnp.where(is_protected, params.hazard_multiplier[running], 1.0)
    cost = dynamics.daily_cost(state.monthly_charge, params)
    accepted = jnp.where(day < params.effect_days, params.hazard_multiplier, 1.0) * contacts
    paid = jnp.where(is_paid, cost[running], 0.0)
    return _Plan(
        exponent=jnp.concatenate([kept * waits, kept * contacts, accepted], axis=1),
        paid=jnp.concatenate([paid, paid, jnp.where(day < params.offer_days, cost, 0.0)], axis=1),
    )


def _contact_factors(state: EnvState, params: EnvParams, day: Array, *, contacted: bool) -> Float[Array, "days 1"]:
    """φ of today and each later day, as contacts leave the windows."""
    contacts = dynamics.contacts_in_window(state, params, day) + contacted * (day < params.fatigue_window_days)
    since = jnp.where(contacted, 0, state.days_since_contact)
    return dynamics.contact_factor(contacts, since + day < params.contact_effect_days, params)


# --- the quick figure -----------------------------------------------------------------------------------------


def contact_gain(
    state: EnvState, params: EnvParams, *, foresees_fatigue: bool | Bool[Array, ""]
) -> tuple[Float[Array, " offers"], Float[Array, " offers"]]:
    """Expected gain [$] and expected spend [$] of a contact today with each offer, today's risk taken as lasting.

    The alternative is to let a running offer end and never contact again. What contacts do to the hazard counts for
    the days of protection; what this contact adds to it, only with `foresees_fatigue`. Closed forms: a simulation asks
    for this a million times a second.
    """
    stay = jnp.log1p(-dynamics.daily_hazard(state.churn_probability, state.elevated, params))
    earlier = dynamics.contacts_in_window(state, params)
    recent = state.days_since_contact < params.contact_effect_days
    now = dynamics.contact_factor(earlier, recent, params)
    after = jnp.where(foresees_fatigue, dynamics.contact_factor(earlier + 1, jnp.ones_like(recent), params), now)
    running = jnp.maximum(state.offer, 0)
    kept = jnp.where(state.offer != NO_OFFER, params.hazard_multiplier[running], 1.0)
    cost = dynamics.daily_cost(state.monthly_charge, params)

    def worth(multiplier: Scalar, paid: Scalar, paid_days: Scalar, days: Scalar) -> tuple[Array, Array]:
        return _two_phase_value(stay, multiplier, paid, paid_days, days, state, params)

    kept_days = (dynamics.offer_days_left(state, params), state.protection_days_left)
    wait_value, wait_spend = worth(kept * now, cost[running], *kept_days)
    declined_value, declined_spend = worth(kept * after, cost[running], *kept_days)
    accepted_value, accepted_spend = jax.vmap(worth)(
        params.hazard_multiplier * after, cost, jnp.asarray(params.offer_days), jnp.asarray(params.effect_days)
    )
    chance = dynamics.acceptance(state.accept_probability, state.elevated, earlier, params)
    value = chance * (accepted_value - params.amount) + (1 - chance) * declined_value - params.contact_cost
    spend = chance * (accepted_spend + params.amount) + (1 - chance) * declined_spend + params.contact_cost
    return value - wait_value, spend - wait_spend


def _two_phase_value(
    log_stay: Scalar,
    multiplier: Scalar,
    paid: Scalar,
    paid_days: Scalar,
    days: Scalar,
    state: EnvState,
    params: EnvParams,
) -> tuple[Array, Array]:
    """Value and offer's cost [$] of `days` at survival s^multiplier, on the first `paid_days` of which the offer costs
    `paid`, then plain days to the end."""
    left = params.horizon_days - state.time
    first = jnp.minimum(days, left)
    daily = state.monthly_charge / 30
    first_sum, first_end = _geometric(multiplier * log_stay, first)
    paid_sum, _ = _geometric(multiplier * log_stay, jnp.minimum(paid_days, left))
    rest_sum, rest_end = _geometric(log_stay, left - first)
    residual = dynamics.residual_value(state.monthly_charge, state.churn_probability, params)
    value = daily * first_sum - paid * paid_sum + first_end * (daily * rest_sum + rest_end * residual)
    return value, paid * paid_sum


def _geometric(log_ratio: Scalar, count: Scalar) -> tuple[Array, Array]:
    """(Σ_{k=1..count} rᵏ, r^count) for r = exp(log_ratio) < 1."""
    end = jnp.exp(log_ratio * count)
    ratio = jnp.exp(log_ratio)
    return ratio * (1 - end) / jnp.maximum(1 - ratio, 1e-9), end
