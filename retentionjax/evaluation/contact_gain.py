"""What a contact today is worth by the model's own constants: the figure behind the greedy rules.

Apart from the rules because the service needs it too, and they bring the simulator along.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from retentionjax.env import dynamics
from retentionjax.env.types import NO_OFFER, EnvParams, EnvState


def contact_gain(
    state: EnvState, params: EnvParams, *, foresees_fatigue: bool | Bool[Array, ""]
) -> tuple[Float[Array, " offers"], Float[Array, " offers"]]:
    """Expected gain [$] and expected spend [$] of a contact today with each offer, today's risk taken as lasting.

    The alternative is to let a running offer end and never contact again. Fatigue that is there already counts for
    the days of the offer either way; what this contact adds to it, only with `foresees_fatigue`.
    """
    stay = jnp.log1p(-dynamics.daily_hazard(state.churn_probability, state.elevated, params))
    earlier = dynamics.contacts_in_window(state, params)
    tired_now = jnp.exp(params.fatigue_hazard * jnp.maximum(0, earlier - 1))
    tired_after = jnp.where(foresees_fatigue, jnp.exp(params.fatigue_hazard * earlier), tired_now)
    running = jnp.maximum(state.offer, 0)
    is_running = state.offer != NO_OFFER
    multiplier = jnp.where(is_running, params.hazard_multiplier[running], 1.0)
    size = jnp.where(is_running, params.offers[running], 0.0)

    def worth(multiplier: jax.Array, size: jax.Array, days: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _two_phase_value(stay, multiplier, size, days, state, params)

    wait_value, wait_spend = worth(multiplier * tired_now, size, state.offer_days_left)
    declined_value, declined_spend = worth(multiplier * tired_after, size, state.offer_days_left)
    days = jnp.asarray(params.offer_days)
    accepted_value, accepted_spend = jax.vmap(worth, (0, 0, None))(
        params.hazard_multiplier * tired_after, params.offers, days
    )
    chance = dynamics.acceptance(state.accept_probability, state.elevated, earlier, params)
    value = chance * accepted_value + (1 - chance) * declined_value - params.contact_cost
    spend = chance * accepted_spend + (1 - chance) * declined_spend + params.contact_cost
    return value - wait_value, spend - wait_spend


def _two_phase_value(
    log_stay: jax.Array,
    multiplier: jax.Array,
    size: jax.Array,
    days: jax.Array,
    state: EnvState,
    params: EnvParams,
) -> tuple[jax.Array, jax.Array]:
    """Value and discount [$] of `days` at survival s^multiplier and price 1 − size, then plain days to the end."""
    left = params.horizon_days - state.time
    first = jnp.minimum(days, left)
    daily = state.monthly_charge / 30
    first_sum, first_end = _geometric(multiplier * log_stay, first)
    rest_sum, rest_end = _geometric(log_stay, left - first)
    residual = dynamics.residual_value(state.monthly_charge, state.churn_probability, params)
    value = daily * (1 - size) * first_sum + first_end * (daily * rest_sum + rest_end * residual)
    return value, daily * size * first_sum


def _geometric(log_ratio: jax.Array, count: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(Σ_{k=1..count} rᵏ, r^count) for r = exp(log_ratio) < 1."""
    end = jnp.exp(log_ratio * count)
    ratio = jnp.exp(log_ratio)
    return ratio * (1 - end) / jnp.maximum(1 - ratio, 1e-9), end
