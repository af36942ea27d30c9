"""How likely a log is, given effects: the environment's own day, with the hidden risk state summed out.

For each customer a forward filter over z ∈ {calm, elevated}: α_z ∝ P(z, all that was seen so far). A day multiplies
α by P(answer | z) where there was a contact and by P(stay | z), or P(leave | z), then the risk chain moves:
α' = α·P. What is running, how long ago the last contact was, how many there were: `env.retention` keeps the books, so
that this model and the simulator cannot differ. Cost is linear in customers × days.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from retentionjax.env import dynamics
from retentionjax.env.retention import execute_contact, is_recent, new_customer, next_day
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


class Books(NamedTuple):
    """What happens on each of N customers' days; no effect on acceptance or hazard changes it.

    Days come first, so that a day of all customers lies in one piece.
    """

    seen: Bool[Array, "D *N"]  # the customer was observed on that day
    leaves: Bool[Array, "D *N"]
    asked: Bool[Array, "D *N"]  # a contact that the customer could refuse
    offered: Int[Array, "D *N"]  # its offer, NO_OFFER without a contact
    accepted: Bool[Array, "D *N"]
    earlier: Int[Array, "D *N"]  # contacts in the window before today's
    recent: Bool[Array, "D *N"]  # whether one lies within `contact_effect_days`, today included
    offer: Int[Array, "D *N"]  # that protects, NO_OFFER without one
    paid: Float[Array, "D *N"]  # $ that the running offer costs on that day if the customer stays


class Seen(NamedTuple):
    """What the filter says of each customer."""

    log_likelihood: Float[Array, "*N"]
    leaving: Float[Array, "D *N"]  # P(leave on that day | all that was seen before it, that day's answer included)
    accepting: Float[Array, "D *N"]  # P(the day's contact is accepted | all that was seen before); 0 where not asked
    log_answers: Float[Array, "*N"]  # of the answers alone, each given all that was seen before it (Cox's partial one)


def customers(lanes: Lane, params: EnvParams, drift: Scalar = 0.0) -> Seen:
    """The filter along the days of N customers, or of one. `params.population` is not used."""
    return filtered(lanes, all_books(lanes, params), params, drift)


def filtered(lanes: Lane, books: Books, params: EnvParams, drift: Scalar = 0.0) -> Seen:
    """`customers` with the books at hand.

    `drift` is the change of log hazard in 30 days since the first assignment, common to all arms: scores age, and who
    is still there was less at risk than a score can tell. Without it an effect of contacts, which come later than
    their absence, would take the blame.
    """
    accepts = [_acceptance(lanes, books, elevated, params) for elevated in (False, True)]
    answers = [jnp.where(books.asked, jnp.where(books.accepted, each, 1 - each), 1.0) for each in accepts]
    age = jnp.arange(len(books.seen)).reshape(-1, *(1,) * (books.seen.ndim - 1)) / 30
    factor = _hazard_factor(books, params) * jnp.exp(drift * age)
    log_stays = [factor * jnp.log1p(-hazard) for hazard in dynamics.hazards(lanes.churn_probability, params)]
    joint = [
        jnp.where(books.seen, answer * _outcome(log_stay, books.leaves), 1.0)
        for answer, log_stay in zip(answers, log_stays, strict=True)
    ]
    share, chain = dynamics.elevated_share(params), transition(params)

    def one_day(weights: tuple[Array, Array], today: tuple[Array, Array]) -> tuple[tuple[Array, Array], Any]:
        calm, elevated = weights[0] * today[0], weights[1] * today[1]
        total = calm + elevated
        after = tuple((calm * chain[0, z] + elevated * chain[1, z]) / total for z in (0, 1))
        return after, (weights, total)  # type: ignore[return-value]

    start = (jnp.broadcast_to(1 - share, lanes.left.shape), jnp.broadcast_to(share, lanes.left.shape))
    _, (weights, totals) = jax.lax.scan(one_day, start, (joint[0], joint[1]))
    answered = [weight * jnp.where(books.seen, answer, 1.0) for weight, answer in zip(weights, answers, strict=True)]
    leaving = -(answered[0] * jnp.expm1(log_stays[0]) + answered[1] * jnp.expm1(log_stays[1]))
    accepting = jnp.where(books.asked & books.seen, weights[0] * accepts[0] + weights[1] * accepts[1], 0.0)
    answering = answered[0] + answered[1]
    return Seen(jnp.log(totals).sum(axis=0), leaving / answering, accepting, jnp.log(answering).sum(axis=0))


def _acceptance(lanes: Lane, books: Books, elevated: bool, params: EnvParams) -> Float[Array, "D *N"]:
    """P(today's contact is accepted | z), whether or not there is one."""
    offered = params.replace(appeal=_of_offer(params.appeal, books.offered, 0.0))  # type: ignore[attr-defined]
    return dynamics.acceptance(lanes.accept_probability, jnp.asarray(elevated), books.earlier, offered)


def _hazard_factor(books: Books, params: EnvParams) -> Float[Array, "D *N"]:
    """κφ, by which contacts and offers multiply log P(stay)."""
    contacts = books.earlier + (books.offered != NO_OFFER)
    multiplier = _of_offer(params.hazard_multiplier, books.offer, 1.0)
    return multiplier * dynamics.contact_factor(contacts, books.recent, params)


def _outcome(log_stay: Float[Array, "D *N"], leaves: Bool[Array, "D *N"]) -> Float[Array, "D *N"]:
    """P(stay), or P(leave) on the day of leaving, of which a customer has one at most."""
    last = jnp.where(leaves, log_stay, 0.0).sum(axis=0)
    return jnp.where(leaves, -jnp.expm1(last), jnp.exp(log_stay))


def _of_offer(values: Float[Array, " O"], offer: Int[Array, "D *N"], without: float) -> Float[Array, "D *N"]:
    """values[offer], `without` where there is none; by comparison, for a gather's gradient is slow."""
    found = jnp.full(offer.shape, without)
    for index in range(values.shape[0]):
        found = jnp.where(offer == index, values[index], found)
    return found


def all_books(lanes: Lane, params: EnvParams) -> Books:
    """The books of N customers, or of one, by the environment's own day."""
    one = _books
    for _ in lanes.left.shape:
        one = jax.vmap(one, in_axes=(0, None), out_axes=1)
    return one(lanes, params)


def _books(lane: Lane, params: EnvParams) -> Books:
    people = Population(lane.monthly_charge[None], lane.churn_probability[None], lane.accept_probability[None])
    alone = params.replace(population=people)  # type: ignore[attr-defined]

    def one_day(state: EnvState, today: tuple[Array, Array, Array]) -> tuple[EnvState, Books]:
        day, offer, accepted = today
        due = jnp.where(offer == NO_OFFER, -1, 0)
        scheduled = state.replace(pending_offer=offer, pending_days=due)  # type: ignore[attr-defined]
        luck = jnp.where(accepted, -1.0, 2.0)  # below or above any chance: the answer is the one in the log
        contacted, contact = execute_contact(scheduled, luck, params)
        kept = Books(
            seen=day < lane.observed_days,
            leaves=lane.left & (day == lane.observed_days - 1),
            asked=contact.executed & lane.asked,
            offered=offer.astype(jnp.int8),
            accepted=accepted,
            earlier=contact.earlier.astype(jnp.int8),
            recent=is_recent(contacted, contact, params),
            offer=contacted.offer.astype(jnp.int8),
            paid=dynamics.offer_cost_today(contacted, params),
        )
        return next_day(contacted, contact.executed, jnp.float32(1.0), params), kept

    start = new_customer(jnp.int32(0), jnp.zeros((), bool), alone)
    days = (jnp.arange(lane.offer.shape[-1]), lane.offer.astype(jnp.int32), lane.accepted)
    return jax.lax.scan(one_day, start, days)[1]
