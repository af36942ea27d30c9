"""The best campaign for one customer at a multiplier of money: backward recursion over days, memories, risk and
account."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from retentionjax.env import actions, dynamics
from retentionjax.env.types import NO_OFFER, EnvParams
from retentionjax.evaluation.optimum.account import Account, Tariff
from retentionjax.evaluation.optimum.memory import Graph, Ints

Floats = npt.NDArray[np.float64]
WAIT = -1  # a choice that is no offer
FORESIGHT = (
    2  # contacts that the rough account's classes look ahead to; with 1, three of eight customers lacked up to 1 ¢
)

# --- what the recursion is about -----------------------------------------------------------------------------------


class Money(NamedTuple):
    """Expected $."""

    value: Floats
    spend: Floats


@dataclass(frozen=True)
class CampaignModel:
    """What is the same for every customer."""

    graph: Graph
    most_contacts: Ints  # (days + 1,) that fit into so many days
    params: EnvParams

    @property
    def days(self) -> int:
        """The horizon."""
        return len(self.most_contacts) - 1

    @property
    def phase_days(self) -> int:
        """Length of a phase of the account: after a contact the next choice lies in a later one."""
        return int(self.graph.days.min())


@dataclass(frozen=True)
class CustomerModel:
    """All about one customer that the recursion needs; z: 0 calm, 1 elevated."""

    tariff: Tariff
    account: Account
    rough: Account  # in fewer classes, by which no campaign is worth less than it is
    start: Floats  # (2 z,) probability on the first day
    chain: Floats  # (2 z, 2 z) today → tomorrow
    stay: Floats  # (X, 2 z) P(stay) on a day of waiting
    earned: Money  # (X, 2 z) on such a day
    accepts: Floats  # (offers, X, 2 z)
    accepts_by_history: Floats  # (offers, histories, 2 z)
    amounts: Floats  # (offers,) $ paid on acceptance
    reach: Floats  # (longest, P, 2 z, 2 z) P(still there, z → z') after 1, 2 … days of a stretch
    gathered: Money  # (longest, P, 2 z) in these days, the contact's cost left out
    residual: float  # $ of a survivor


class _Behaviour(NamedTuple):
    """Behaviour of a customer, by the environment's own dynamics; with a leading axis of several."""

    charge: Any  # $ per 30 days
    full_costs: Any  # (offers,) $
    daily_costs: Any  # (offers,) $
    residual: Any  # $
    stays: Any  # (1 + offers, contacts, 2, 2 z), see `_stays`
    accepts: Any  # (offers, contacts, 2 z), see `_accepts`


def describe(campaign: CampaignModel) -> list[CustomerModel]:
    """The customers of the population, in double precision."""
    params = campaign.params

    def behaviour(charge: jax.Array, churn: jax.Array, accept: jax.Array) -> _Behaviour:
        return _Behaviour(
            charge=charge,
            full_costs=dynamics.full_cost(charge, params),
            daily_costs=dynamics.daily_cost(charge, params),
            residual=dynamics.residual_value(charge, churn, params),
            stays=_stays(churn, params),
            accepts=_accepts(accept, params),
        )

    people = params.population
    with jax.enable_x64():
        columns = (people.monthly_charge, people.churn_probability, people.accept_probability)
        doubles = (jnp.asarray(np.asarray(column), jnp.float64) for column in columns)
        found = jax.tree.map(np.asarray, jax.jit(jax.vmap(behaviour))(*doubles))
        share = float(dynamics.elevated_share(params))
    return [_customer(campaign, _Behaviour(*each), share) for each in zip(*found, strict=True)]


def _customer(campaign: CampaignModel, behaviour: _Behaviour, share: float) -> CustomerModel:
    graph, params, costs = campaign.graph, campaign.params, behaviour.daily_costs
    stays, accepts = behaviour.stays, behaviour.accepts
    amounts = np.asarray(params.amount, np.float64)
    tariff = Tariff(float(params.contact_cost), tuple(behaviour.full_costs.tolist()), float(params.account_cap))
    onset, recovery = float(params.risk_onset), float(params.risk_recovery)
    chain = np.array([[1 - onset, onset], [recovery, 1 - recovery]])
    daily = float(behaviour.charge) / 30
    stay = stays[graph.offer, graph.contacts, graph.recent]
    along = stays[graph.stretch_offer, graph.stretch_contacts, graph.stretch_recent]
    paid = _paid(graph.stretch_offer, graph.stretch_days_left, costs, params)[..., None]
    reach, gathered = _stretches(along, paid, daily, chain)
    parts = (campaign.most_contacts, campaign.phase_days, int(graph.days.max()))
    return CustomerModel(
        tariff=tariff,
        account=Account.of(tariff, *parts),
        rough=Account.of(tariff, *parts, foresight=FORESIGHT),
        start=np.array([1 - share, share]),
        chain=chain,
        stay=stay,
        earned=_earned(stay, _paid(graph.offer, graph.days_left, costs, params)[:, None], daily),
        amounts=amounts,
        accepts=accepts[:, graph.contacts],
        accepts_by_history=accepts[:, graph.contacts[np.unique(graph.history, return_index=True)[1]]],
        reach=reach,
        gathered=gathered,
        residual=float(behaviour.residual),
    )


def _stays(churn: jax.Array, params: EnvParams) -> jax.Array:
    """(1 + offers, contacts, 2, 2 z) P(stay one day) by offer that protects, NO_OFFER last, contacts in the window, and
    whether the last one still moves the hazard."""
    offers = jnp.array([*range(actions.offers(params)), NO_OFFER])
    by_recency = jax.vmap(dynamics.log_survival, (None, None, None, 0, None))
    by_contacts = jax.vmap(by_recency, (None, None, 0, None, None))
    by_offer = jax.vmap(by_contacts, (None, 0, None, None, None))
    by_risk = jax.vmap(by_offer, (0, None, None, None, None), out_axes=-1)
    contacts, recent = jnp.arange(int(params.fatigue_cap) + 1), jnp.arange(2)
    logs = by_risk(jnp.stack(dynamics.hazards(churn, params)), offers, contacts, recent > 0, params)
    return jnp.exp(logs)


def _accepts(accept: jax.Array, params: EnvParams) -> jax.Array:
    """(offers, contacts, 2 z) P(accept) by earlier contacts in the window."""
    by_risk = jax.vmap(dynamics.acceptance, (None, 0, None, None), out_axes=-1)
    by_contacts = jax.vmap(by_risk, (None, None, 0, None), out_axes=1)
    elevated, contacts = jnp.array([False, True]), jnp.arange(int(params.fatigue_cap))
    chances: jax.Array = by_contacts(accept, elevated, contacts, params)
    return chances


def _paid(offer: Ints, days_left: Ints, cost: Floats, params: EnvParams) -> Floats:
    """$ of a day's offer: while it runs, which may end before its protection does."""
    row = np.maximum(offer, 0)
    after = (np.asarray(params.effect_days) - np.asarray(params.offer_days))[row]
    return np.where((offer != NO_OFFER) & (days_left > after), cost[row], 0.0)


def _earned(stay: Floats, paid: Floats, daily: float) -> Money:
    """Expected $ of a day: who stays pays, less the running offer."""
    return Money(value=stay * (daily - paid), spend=stay * paid)


def _stretches(stay: Floats, paid: Floats, daily: float, chain: Floats) -> tuple[Floats, Money]:
    """`reach` and `gathered` of stretches (P, longest) by walking along them."""
    there = np.broadcast_to(np.eye(2), (len(stay), 2, 2))
    value = spend = np.zeros((len(stay), 2))
    reach, values, spends = [], [], []
    for day in range(stay.shape[1]):
        today = _earned(stay[:, day], paid[:, day], daily)
        value = value + np.einsum("pzy,py->pz", there, today.value)
        spend = spend + np.einsum("pzy,py->pz", there, today.spend)
        there = there * stay[:, None, day] @ chain
        reach.append(there)
        values.append(value)
        spends.append(spend)
    return np.stack(reach), Money(np.stack(values), np.stack(spends))


# --- the recursion ------------------------------------------------------------------------------------------------

Choices = npt.NDArray[np.int8]  # by day of a phase (days, X, 2 z, A): the offer of a contact today, or WAIT


def best_campaign(
    campaign: CampaignModel, customer: CustomerModel, multiplier: float, account: Account | None = None
) -> tuple[float, list[Choices]]:
    """The largest value − multiplier · spend of all campaigns that the masks allow, and what to do, by phase and class
    of the customer's account, or of `account`: by her rough one the value may be too large.

    Exact up to rounding. The choice of an account that no customer can have by that day means nothing.
    """
    recursion = _Recursion(campaign, customer, multiplier, customer.account if account is None else account)
    choices = [recursion.phase_before(index) for index in reversed(range(len(recursion.account.phases)))]
    return float(customer.start @ recursion.nets[0][0, 0, :, 0]), choices[::-1]


def refined(customer: CustomerModel, choices: list[Choices]) -> list[Choices]:
    """Choices by classes of the rough account as choices by those of the exact one."""
    parts = zip(choices, customer.account.phases, customer.rough.phases, strict=True)
    return [np.take(choice, [rough.class_of[used] for used in exact.used], axis=-1) for choice, exact, rough in parts]


class _Recursion:
    """Value − multiplier · spend of the best campaign from every day, memory, risk state and class of the account on.

    Filled from the last phase to the first. After a contact the next choice lies in a later phase, so what contacts
    are worth is known for all days of a phase at once; only waiting goes day by day.
    """

    def __init__(self, campaign: CampaignModel, customer: CustomerModel, multiplier: float, account: Account) -> None:
        self.campaign, self.customer, self.account = campaign, customer, account
        self.nets: dict[int, Floats] = {}  # by phase (days, X, 2 z, A)
        self._earned = (customer.earned.value - multiplier * customer.earned.spend)[..., None]
        self._gathered = customer.gathered.value - multiplier * customer.gathered.spend
        self._contact_cost = (1 + multiplier) * customer.tariff.contact
        self._credits = (1 + multiplier) * customer.amounts

    def phase_before(self, index: int) -> Choices:
        """Fills a phase whose later ones are filled; returns its choices."""
        customer, phases, waited = self.customer, self.account.phases, self.campaign.graph.waited
        if index + 1 == len(phases):
            shape = (len(self.campaign.graph.memories), 2, len(phases[index].used))
            following = np.full(shape, customer.residual)
        else:
            following = np.take(self.nets[index + 1][0], phases[index].after_waiting(phases[index + 1]), axis=-1)
        nets, choices = self._contacts(index)
        stay = customer.stay[..., None]
        for day in reversed(range(len(nets))):
            waiting = customer.chain @ np.take(following, waited, axis=0)
            waiting *= stay
            waiting += self._earned
            waits = waiting >= nets[day]
            np.copyto(nets[day], waiting, where=waits)
            np.copyto(choices[day], np.int8(WAIT), where=waits)
            following = nets[day]
        self.nets[index] = nets
        return choices

    def _contacts(self, index: int) -> tuple[Floats, Choices]:
        """What the best contact of each day of a phase is worth (days, X, 2 z, A), −∞ without one, and its offer."""
        graph, customer, affords = self.campaign.graph, self.customer, self.account.phases[index].affords
        declined = self._after(index, graph.declined, 0)
        nets, choices = np.full(declined.shape, -np.inf), np.full(declined.shape, WAIT, np.int8)
        for offer, credit in enumerate(self._credits):
            accepts = customer.accepts[offer][..., None]
            # What depends on the history alone is worked out for each history, not for each memory.
            accepted = self._after(index, graph.accepted[:, offer], 1 + offer)
            accepted -= credit
            accepted *= customer.accepts_by_history[offer][..., None]
            accepted -= self._contact_cost
            accepted[..., ~affords[:, offer]] = -np.inf
            offered = np.take(accepted, graph.history, axis=1)
            offered += (1 - accepts) * declined
            np.copyto(choices, np.int8(offer), where=offered > nets)
            np.maximum(nets, offered, out=nets)
        return nets, choices

    def _after(self, index: int, stretches: Ints, outcome: int) -> Floats:
        """(days, stretches, 2 z, A) from a contact with that outcome on, its cost left out, by day of the phase: the
        stretch, then the best."""
        customer, graph, total = self.customer, self.campaign.graph, self.campaign.days
        phase, size = self.account.phases[index], self.campaign.phase_days
        days = np.arange(phase.first_day, min(phase.first_day + size, total))[:, None]
        walked = np.minimum(graph.days[stretches], total - days) - 1
        arrival = days + graph.days[stretches]
        landed = np.full((*walked.shape, 2, len(phase.used)), customer.residual)
        for later, table in self.account.after_contact[index].items():
            rows = np.nonzero((arrival // size == later) & (arrival < total))
            if rows[0].size:
                first = self.account.phases[later].first_day
                there = self.nets[later][arrival[rows] - first, graph.landing[stretches[rows[1]]]]
                landed[rows] = np.take(there, table[outcome], axis=-1)
        after: Floats = customer.reach[walked, stretches] @ landed
        after += self._gathered[walked, stretches][..., None]
        return after
