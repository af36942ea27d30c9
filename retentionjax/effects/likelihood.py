"""How likely a log is, given effects: the environment's own day, with the hidden risk state summed out.

For each customer a forward filter over z ∈ {calm, elevated}: α_z ∝ P(z, all that was seen so far). A day multiplies
α by P(answer | z) where there was a contact and by P(stay | z), or P(leave | z), then the risk chain moves:
α' = α·P. What is running, how long ago the last contact was, how many there were: `env.retention` keeps the books, so
that this model and the simulator cannot differ. Cost is linear in customers × days.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from retentionjax.env import dynamics
from retentionjax.env.retention import execute_contact, log_survival_today, new_customer, next_day
from retentionjax.env.types import NO_OFFER, EnvParams, EnvState, Population, Scalar
from retentionjax.env.value import transition


class Lane(NamedTuple):
    """What was seen of one customer (or of N, each field with a leading axis), D days from the first assignment on."""

    monthly_charge: Float[Array, "*N"]  # $ per 30 days
    churn_probability: Float[Array, "*N"]
    accept_probability: Float[Array, "*N"]  # of a contact without an offer, calm
    offer: Int[Array, "*N D"]  # offer of that day's contact, NO_OFFER without one
    accepted: Bool[Array, "*N D"]
    observed_days: Int[Array, "*N"]  # the day of leaving included
    left: Bool[Array, "*N"]  # on the last observed day
    asked: Bool[Array, "*N"]  # whether acceptance was the customer's; False: applied without asking


class Seen(NamedTuple):
    """What the filter says of one customer."""

    log_likelihood: Float[Array, ""]
    leaving: Float[Array, " D"]  # P(leave on that day | all that was seen before it, that day's answer included)
    paid: Float[Array, " D"]  # $ that the running offer costs on that day if the customer stays


class _Filter(NamedTuple):
    state: EnvState  # the books; its risk state is not used
    weights: Float[Array, "2"]  # α, summing to 1: P(z | seen so far)
    log_likelihood: Float[Array, ""]


class _Day(NamedTuple):
    day: Int[Array, ""]
    offer: Int[Array, ""]
    accepted: Bool[Array, ""]


def customer(lane: Lane, params: EnvParams, drift: Scalar = 0.0) -> Seen:
    """The filter along one customer's days; vmap for many. `params.population` is not used.

    `drift` is the change of log hazard in 30 days since the first assignment, common to all arms: scores age, and who
    is still there was less at risk than a score can tell. Without it an effect of contacts, which come later than
    their absence, would take the blame.
    """
    people = Population(lane.monthly_charge[None], lane.churn_probability[None], lane.accept_probability[None])
    alone = params.replace(population=people)  # type: ignore[attr-defined]
    state = new_customer(jnp.int32(0), jnp.zeros((), bool), alone)
    hazards = jnp.stack(dynamics.hazards(lane.churn_probability, params))
    share, chain = dynamics.elevated_share(params), transition(params)

    def one_day(before: _Filter, today: _Day) -> tuple[_Filter, tuple[Array, Array]]:
        is_seen, leaves = today.day < lane.observed_days, lane.left & (today.day == lane.observed_days - 1)
        contacted, answer, log_stay = _today(before.state, today, hazards, lane.asked, params)
        log_stay *= jnp.exp(drift * today.day / 30)
        answered = before.weights * jnp.where(is_seen, answer, 1.0)
        leaving = -jnp.expm1(log_stay)
        outcome = jnp.where(leaves, leaving, jnp.exp(log_stay))
        joint = answered * jnp.where(is_seen, outcome, 1.0)
        total = joint.sum()
        following = next_day(contacted, today.offer != NO_OFFER, jnp.float32(1.0), params)
        after = _Filter(following, (joint / total) @ chain, before.log_likelihood + jnp.log(total))
        paid = dynamics.offer_cost_today(contacted, params)
        return after, ((answered * leaving).sum() / answered.sum(), paid)

    start = _Filter(state, jnp.stack([1 - share, share]), jnp.float32(0.0))
    days = _Day(jnp.arange(lane.offer.shape[-1]), lane.offer.astype(jnp.int32), lane.accepted)
    end, (leaving, paid) = jax.lax.scan(one_day, start, days)
    return Seen(end.log_likelihood, leaving, paid)


def _today(
    state: EnvState, today: _Day, hazards: Float[Array, "2"], asked: Bool[Array, ""], params: EnvParams
) -> tuple[EnvState, Float[Array, "2"], Float[Array, "2"]]:
    """The books after today's contact, P(answer | z) and log P(stay | z)."""
    due = jnp.where(today.offer == NO_OFFER, -1, 0)
    scheduled = state.replace(pending_offer=today.offer, pending_days=due)  # type: ignore[attr-defined]
    luck = jnp.where(today.accepted, -1.0, 2.0)  # below or above any chance: the answer is the one in the log
    contacted, contact = execute_contact(scheduled, luck, params)
    elevated = jnp.array([False, True])

    def chance(z: Array) -> Array:
        return dynamics.acceptance(state.accept_probability, z, contact.earlier, params)[contact.offer]

    accepts = jax.vmap(chance)(elevated)
    answer = jnp.where(contact.executed & asked, jnp.where(today.accepted, accepts, 1 - accepts), 1.0)
    return contacted, answer, log_survival_today(hazards, contacted, contact, params)


def customers(lanes: Lane, params: EnvParams, drift: Scalar = 0.0) -> Seen:
    """`customer` for N of them."""
    return jax.vmap(customer, in_axes=(0, None, None))(lanes, params, drift)
