"""What may not be done, or not too often: the costs by name, and the mask of hard limits.

The same `action_mask` serves training, evaluation and the decision service. Average limits (`campaign_budget`)
are met by a Lagrange multiplier on the cost of the same name.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from retentionjax.env import actions, dynamics
from retentionjax.env.types import NO_OFFER, EnvParams, EnvState

ROUNDING = 1e-6
"""Share of the account cap by which it may be passed: sums of cents in float32 that come to it exactly end on either
side of it, and three contacts of $0.10 would leave no room for a fourth under $0.40."""
RULES = ("pending", "cooldown", "fatigue", "account_cap")  # hard limits, in the order of the rows of `removed_by_rule`


class Violations(NamedTuple):
    """What a contact executed today breaks."""

    cooldown: Bool[Array, ""]
    fatigue: Bool[Array, ""]


class Day(NamedTuple):
    """What an average limit may count of one day."""

    spend: Float[Array, ""]  # $, expected over today's churn where that is
    contact: Bool[Array, ""]
    accepted: Bool[Array, ""]
    broken: Violations


class Cost(NamedTuple):
    """What is limited on average."""

    limit: float  # by default, a customer and episode; inf: none
    unit: str
    of: Callable[[Day], Array]


# A further average limit is a further line: training, evaluation, bundle and service go by this table.
COSTS = {
    "campaign_budget": Cost(2.50, "money spent", lambda day: day.spend),
    "contact": Cost(float("inf"), "Contacts", lambda day: day.contact),
    "cooldown": Cost(0.0, "Violations", lambda day: day.broken.cooldown),
    "fatigue": Cost(0.0, "Violations", lambda day: day.broken.fatigue),
}
NAMES = tuple(COSTS)
DEFAULT_LIMITS = tuple(cost.limit for cost in COSTS.values())


def cooldown_left(state: EnvState, params: EnvParams) -> Int[Array, ""]:
    """Days from today until a contact is legal again; 0 when it is legal today."""
    return jnp.maximum(0, params.cooldown_days - state.days_since_contact)


def account_left(state: EnvState, params: EnvParams) -> Float[Array, ""]:
    """$ of the account cap not yet paid for contacts or committed to accepted offers, up to `ROUNDING`."""
    return params.account_cap * (1 + ROUNDING) - state.account_used


def violations(contact: Bool[Array, ""], state: EnvState, params: EnvParams) -> Violations:
    """Violations of a contact executed today; none without a contact."""
    return Violations(
        cooldown=contact & (cooldown_left(state, params) > 0),
        fatigue=contact & (dynamics.contacts_in_window(state, params) >= params.fatigue_cap),
    )


def costs(day: Day) -> Float[Array, " costs"]:
    """One day's costs in the order of `NAMES`."""
    return jnp.stack([cost.of(day) for cost in COSTS.values()]).astype(jnp.float32)


class _Removals(NamedTuple):
    """What each rule of `RULES` forbids."""

    pending: Bool[Array, ""]  # every contact
    cooldown: Bool[Array, " delays"]
    fatigue: Bool[Array, " delays"]
    account_cap: Bool[Array, " offers"]


def _removals(state: EnvState, params: EnvParams) -> _Removals:
    """Cooldown and fatigue are judged on the day the contact would execute, today + delay: with one pending contact
    at most, nothing can happen to them in between but the passing of days.
    """
    delays = jnp.asarray(params.delays)
    contacts = jax.vmap(lambda delay: dynamics.contacts_in_window(state, params, delay))(delays)
    full_cost = dynamics.full_cost(state.monthly_charge, params) + params.contact_cost
    return _Removals(
        pending=state.pending_offer != NO_OFFER,
        cooldown=cooldown_left(state, params) > delays,
        fatigue=contacts >= params.fatigue_cap,
        account_cap=full_cost > account_left(state, params),
    )


def removed_by_rule(state: EnvState, params: EnvParams) -> Bool[Array, "rules actions"]:
    """True where the rule of that row (see `RULES`) forbids the action of that column; *wait* never is."""
    by_rule = _removals(state, params)
    by_rule = by_rule._replace(account_cap=by_rule.account_cap[:, None])
    size = (actions.offers(params), actions.delays(params))
    removed = jnp.stack([jnp.broadcast_to(rule, size) for rule in by_rule])
    return jnp.pad(removed.reshape(len(RULES), -1), ((0, 0), (1, 0)))


def action_mask(state: EnvState, params: EnvParams) -> Bool[Array, " actions"]:
    """True for each legal action: no rule of `RULES` removes it. *Wait* is always legal."""
    contacts = actions.count(params) - 1
    by_rule = _removals(state, params)
    day_is_free = ~(by_rule.pending | by_rule.cooldown | by_rule.fatigue)
    legal = ~by_rule.account_cap[:, None] & day_is_free
    return jnp.pad(legal.reshape(contacts), (1, 0), constant_values=True)
