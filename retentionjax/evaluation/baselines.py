"""The rules a policy must beat, each under the same masks and each tuned to spend the same budget.

`never`, `random`, `threshold` and `greedy` are here; the two that learn are `thompson` and `uplift`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from retentionjax.env import actions, dynamics
from retentionjax.env.types import NO_OFFER, EnvParams, EnvState
from retentionjax.evaluation.rollout import Policy, Situation, for_each

FIXED_OFFER = 2  # 10 %
NOW = 0  # delay index of a contact today


def contact_now(offer: int | jax.Array, wanted: Bool[Array, ""], mask: Bool[Array, " actions"]) -> Int[Array, ""]:
    """Contact today with `offer` if that is wanted and legal, otherwise wait."""
    action = actions.encode(offer, NOW)
    return jnp.asarray(jnp.where(wanted & mask[action], action, actions.WAIT), jnp.int32)


def never() -> Policy:
    """Never contact anybody."""
    return Policy("never", _never)


@for_each
def _never(policy: Policy, situation: Situation, key: jax.Array) -> jax.Array:
    return jnp.int32(actions.WAIT)


def random(wait_probability: float = 0.99) -> Policy:
    """Wait with the knob's probability, otherwise any legal contact."""
    return Policy("random", _random, knob=wait_probability)


@for_each
def _random(policy: Policy, situation: Situation, key: jax.Array) -> jax.Array:
    key_wait, key_action = jax.random.split(key)
    legal = situation.mask.at[actions.WAIT].set(False)
    action = jax.random.categorical(key_action, jnp.where(legal, 0.0, -1e9))
    waits = (jax.random.uniform(key_wait) < policy.knob) | ~legal.any()
    return jnp.where(waits, actions.WAIT, action)


def threshold(churn_probability: float = 0.4) -> Policy:
    """Contact today with a fixed 10 % offer whoever's churn probability today passes the knob."""
    return Policy("threshold", _threshold, knob=churn_probability)


@for_each
def _threshold(policy: Policy, situation: Situation, key: jax.Array) -> jax.Array:
    return contact_now(FIXED_OFFER, situation.observation[0] > policy.knob, situation.mask)


def greedy(price: float = 0.0) -> Policy:
    """The offer whose expected gain now, less price × expected spend, is largest, if that is above zero.

    The gain is that of contacting today and never again against never contacting again, from the model itself,
    with today's risk taken as lasting. The knob is the price in $ of value per $ of spend.
    """
    return Policy("greedy", _greedy, knob=price, parameters=False)


def greedy_fatigue(price: float = 0.0) -> Policy:
    """`greedy` that also foresees how its contact tires the customer: harder to beat than the plain rule."""
    return Policy("greedy_fatigue", _greedy, knob=price, parameters=True)


@for_each
def _greedy(policy: Policy, situation: Situation, key: jax.Array) -> jax.Array:
    gain, spend = contact_gain(situation.state, situation.params, foresees_fatigue=policy.parameters)
    net = jnp.where(situation.mask[1 :: actions.NUM_DELAYS], gain - policy.knob * spend, -jnp.inf)
    return contact_now(jnp.argmax(net), jnp.max(net) > 0, situation.mask)


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
