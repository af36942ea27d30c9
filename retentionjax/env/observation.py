"""What the policy sees: 12 + O numbers, each within its declared bounds (clipped there), about [−1, 3]."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from retentionjax.env import actions, constraints, dynamics
from retentionjax.env.types import NO_OFFER, EnvParams, EnvState

_FIRST = (("churn_probability", 0.0, 1.0),)  # re-scored today
_REST = (
    ("days_since_contact", 0.0, 1.0),  # / horizon, at most 1
    ("contacts_in_window", 0.0, 3.0),  # / fatigue cap
    ("cooldown_left", 0.0, 1.0),  # / cooldown
    ("account_left", -1.0, 1.0),  # / account cap
    ("day", 0.0, 1.0),  # / horizon
    ("log_charge", -3.0, 3.0),  # log(m / charge_reference)
    ("offer_cost", 0.0, 3.0),  # of a day on which an offer runs / the day's charge
    ("protection_left", 0.0, 1.0),  # / its length
    ("is_pending", 0.0, 1.0),
    ("pending_days", 0.0, 1.0),  # / longest delay
    ("baseline_churn_probability", 0.0, 1.0),  # with today's it tells calm from elevated
)
TINY = 1e-6  # delays or the cap may be swept to nothing: 0/0 would not be a number


def names(offers: int) -> tuple[str, ...]:
    """The numbers by name; `accept_probability_<offer>` is as of today."""
    accept = [f"accept_probability_{offer}" for offer in range(offers)]
    return (*(name for name, _, _ in _FIRST), *accept, *(name for name, _, _ in _REST))


def size(offers: int) -> int:
    """12 + O."""
    return len(_FIRST) + offers + len(_REST)


def bounds(offers: int) -> tuple[Float[np.ndarray, " features"], Float[np.ndarray, " features"]]:
    """Lowest and highest value of each number."""
    rows = [*_FIRST, *[("accept_probability", 0.0, 1.0)] * offers, *_REST]
    return np.array([low for _, low, _ in rows], np.float32), np.array([high for _, _, high in rows], np.float32)


def observe(state: EnvState, params: EnvParams) -> Float[Array, " features"]:
    """The observation of one customer at the start of a day, in the order of `names`."""
    offers = actions.offers(params)
    contacts = dynamics.contacts_in_window(state, params)
    is_pending = state.pending_offer != NO_OFFER
    today = dynamics.rescored_churn_probability(state.churn_probability, state.elevated, params)
    accept = dynamics.acceptance(state.accept_probability, state.elevated, contacts, params)
    length = params.effect_days[jnp.maximum(state.offer, 0)]
    values = [
        today,
        *(accept[offer] for offer in range(offers)),
        state.days_since_contact / params.horizon_days,
        contacts / jnp.maximum(1, params.fatigue_cap),
        constraints.cooldown_left(state, params) / jnp.maximum(1, params.cooldown_days),
        1 - state.account_used / jnp.maximum(params.account_cap, TINY),  # 1 where the cap is ∞
        state.time / params.horizon_days,
        jnp.log(state.monthly_charge / params.charge_reference),
        dynamics.offer_cost_today(state, params) / (state.monthly_charge / 30),
        state.protection_days_left / length,
        is_pending,
        state.pending_days / jnp.maximum(jnp.max(params.delays), TINY),
        state.churn_probability,
    ]
    low, high = bounds(offers)
    # Clipped one by one and then joined: a rule that reads one of the numbers pays for one (XLA drops the others).
    limits = zip(values, low.tolist(), high.tolist(), strict=True)
    return jnp.stack([jnp.clip(jnp.asarray(value, jnp.float32), least, most) for value, least, most in limits])
