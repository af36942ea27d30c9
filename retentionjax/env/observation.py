"""What the policy sees: 16 numbers, each within its declared bounds (clipped there), about [−1, 3]."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from retentionjax.env import actions, constraints, dynamics
from retentionjax.env.types import NO_OFFER, EnvParams, EnvState

NAMES = (
    "churn_probability",  # re-scored today
    "accept_probability_offer_0",  # as of today
    "accept_probability_offer_1",
    "accept_probability_offer_2",
    "accept_probability_offer_3",
    "days_since_contact",  # / horizon, at most 1
    "contacts_in_window",  # / fatigue cap
    "cooldown_left",  # / cooldown
    "account_left",  # / account cap
    "day",  # / horizon
    "log_charge",  # log(m / charge_reference)
    "running_offer",  # / largest offer
    "offer_days_left",  # / offer days
    "is_pending",
    "pending_days",  # / longest delay
    "baseline_churn_probability",  # with today's it tells calm from elevated
)
SIZE = len(NAMES)
TINY = 1e-6  # offers, delays or the cap may be swept to nothing: 0/0 would not be a number

LOW = jnp.array([0, 0, 0, 0, 0, 0, 0, 0, -1, 0, -3, 0, 0, 0, 0, 0], jnp.float32)
HIGH = jnp.array([1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 3, 1, 1, 1, 1, 1], jnp.float32)


def observe(state: EnvState, params: EnvParams) -> Float[Array, "16"]:
    """The observation of one customer at the start of a day, in the order of `NAMES`."""
    contacts = dynamics.contacts_in_window(state, params)
    is_running = state.offer != NO_OFFER
    is_pending = state.pending_offer != NO_OFFER
    running = jnp.where(is_running, params.offers[jnp.maximum(state.offer, 0)], 0.0)
    today = dynamics.rescored_churn_probability(state.churn_probability, state.elevated, params)
    accept = dynamics.acceptance(state.accept_probability, state.elevated, contacts, params)
    rest = [
        state.days_since_contact / params.horizon_days,
        contacts / jnp.maximum(1, params.fatigue_cap),
        constraints.cooldown_left(state, params) / jnp.maximum(1, params.cooldown_days),
        1 - state.account_used / jnp.maximum(params.account_cap, TINY),  # 1 where the cap is ∞
        state.time / params.horizon_days,
        jnp.log(state.monthly_charge / params.charge_reference),
        running / jnp.maximum(jnp.max(params.offers), TINY),
        state.offer_days_left / params.offer_days,
        is_pending,
        state.pending_days / jnp.maximum(jnp.max(params.delays), TINY),
        state.churn_probability,
    ]
    assert 1 + actions.NUM_OFFERS + len(rest) == SIZE
    # Clipped one by one and then joined: a rule that reads one of the numbers pays for one (XLA drops the others).
    values = [today, *(accept[offer] for offer in range(actions.NUM_OFFERS)), *rest]
    bounds = zip(values, LOW.tolist(), HIGH.tolist(), strict=True)
    return jnp.stack([jnp.clip(jnp.asarray(value, jnp.float32), low, high) for value, low, high in bounds])
