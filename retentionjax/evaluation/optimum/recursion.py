"""The best campaign for one customer at a multiplier of money: backward recursion over days, memories, risk and
account."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from retentionjax.env import actions, dynamics
from retentionjax.env.types import NO_OFFER, EnvParams
from retentionjax.evaluation.optimum.memory import Graph, Ints

Floats = npt.NDArray[np.float64]
WAIT = -1  # a choice that is no offer
Bools = npt.NDArray[np.bool_]
TOLERANCE = 1e-6  # of the cap; the environment compares in float32, where a sum that equals it may end on either side

# --- the account cap: which offers a customer's remaining account affords, in as few classes as it takes --------------
# What an account has used is a sum of contact costs and full costs of accepted offers. Two sums are one *class* on a
# day if they forbid the same offers now and, whatever is accepted, at each of the contacts that still fit into the
# campaign. Classes are few (about 15), where sums are hundreds, and nothing is lost by them.


class Tariff(NamedTuple):
    """$ of one customer's contacts."""

    contact: float
    full_costs: tuple[float, ...]  # (offers,) of an accepted offer that runs to its end, without the contact
    cap: float

    def affords(self, used: float) -> tuple[bool, ...]:
        """(offers,) whether each may be offered by an account that has used so much."""
        return tuple(used + self.contact + cost <= self.cap * (1 + TOLERANCE) for cost in self.full_costs)

    def outcomes(self, used: float) -> tuple[bool, ...]:
        """(1 + offers,) whether a contact can be declined, or accepted for each offer."""
        affords = self.affords(used)
        return (any(affords), *affords)

    def after(self, used: float) -> tuple[float, ...]:
        """(1 + offers,) used after a contact that was declined, or accepted for each offer."""
        return tuple(round(used + self.contact + cost, 6) for cost in (0.0, *self.full_costs))


@dataclass(frozen=True)
class Phase:
    """A part of the campaign with its own classes, A of them; class 0 is the account not used yet."""

    first_day: int
    used: tuple[float, ...]  # (A,) of each class the sum that takes the fewest contacts
    affords: Bools  # (A, offers)
    class_of: dict[float, int]  # every sum, to its class

    def after_contact(self, tariff: Tariff, later: "Phase") -> Ints:
        """(1 + offers, A) class in `later` after a contact declined, or accepted; 0 where none can be in time."""
        table = np.zeros((1 + len(tariff.full_costs), len(self.used)), np.int64)
        for index, used in enumerate(self.used):
            for outcome, (total, allowed) in enumerate(zip(tariff.after(used), tariff.outcomes(used), strict=True)):
                if allowed:
                    table[outcome, index] = later.class_of.get(total, 0)
        return table

    def after_waiting(self, later: "Phase") -> Ints:
        """(A,) class in `later` of each class here."""
        return np.array([later.class_of[used] for used in self.used])


def phases(tariff: Tariff, most_contacts: Ints, length: int) -> list[Phase]:
    """The campaign in parts of `length` days.

    Args:
        most_contacts: (days + 1,) the most contacts that fit into so many days.
    """
    days = len(most_contacts) - 1
    sums = _sums(tariff, int(most_contacts[days]))
    signatures = _Signatures(tariff)
    result = []
    for first in range(0, days, length):
        made = int(most_contacts[min(days, first + length) - 1])  # before the part's last day
        depth = int(most_contacts[days - first])
        # Fewest contacts first: what one member of a class can still come to, its first member can as well.
        labels: dict[int, int] = {}
        class_of = {
            used: labels.setdefault(signatures.of(used, depth), len(labels))
            for used, contacts in sums.items()
            if contacts <= made
        }
        ones = {label: used for used, label in reversed(class_of.items())}
        used = tuple(ones[label] for label in range(len(labels)))
        result.append(Phase(first, used, np.array([tariff.affords(one) for one in used]), class_of))
    return result


def _sums(tariff: Tariff, most: int) -> dict[float, int]:
    """What an account can have used, with the fewest contacts that come to it; fewest first."""
    sums = {0.0: 0}
    frontier = [0.0]
    for contacts in range(1, most + 1):
        reached = [
            total
            for used in frontier
            for total, allowed in zip(tariff.after(used), tariff.outcomes(used), strict=True)
            if allowed
        ]
        frontier = [total for total in dict.fromkeys(reached) if total not in sums]
        sums |= dict.fromkeys(frontier, contacts)
    return sums


class _Signatures:
    """Numbers sums such that equal numbers mean equal consequences for so many contacts to come."""

    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff
        self._known: dict[tuple[float, int], int] = {}
        self._numbers: dict[tuple[int, ...], int] = {}

    def of(self, used: float, depth: int) -> int:
        """The number of a sum that `depth` contacts may follow."""
        if depth == 0:
            return 0
        if (used, depth) not in self._known:
            tariff = self._tariff
            after = zip(tariff.after(used), tariff.outcomes(used), strict=True)
            key = (depth, *(self.of(total, depth - 1) if allowed else -1 for total, allowed in after))
            self._known[used, depth] = self._numbers.setdefault(key, 1 + len(self._numbers))
        return self._known[used, depth]


# --- the recursion ------------------------------------------------------------------------------------------------


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
    phases: tuple[Phase, ...]
    start: Floats  # (2 z,) probability on the first day
    chain: Floats  # (2 z, 2 z) today → tomorrow
    stay: Floats  # (X, 2 z) P(stay) on a day of waiting
    earned: Money  # (X, 2 z) on such a day
    accepts: Floats  # (offers, X, 2 z)
    amounts: Floats  # (offers,) $ paid on acceptance
    reach: Floats  # (longest, P, 2 z, 2 z) P(still there, z → z') after 1, 2 … days of a stretch
    gathered: Money  # (longest, P, 2 z) in these days, the contact's cost left out
    residual: float  # $ of a survivor


def describe(campaign: CampaignModel, customer: int) -> CustomerModel:
    """The customer of one row of the population, by the environment's own dynamics in double precision."""
    graph, params = campaign.graph, campaign.params
    with jax.enable_x64():
        people = params.population
        charge, churn, accept = (
            jnp.asarray(np.asarray(column)[customer], jnp.float64)
            for column in (people.monthly_charge, people.churn_probability, people.accept_probability)
        )
        costs = jax.tree.map(np.asarray, (dynamics.full_cost(charge, params), dynamics.daily_cost(charge, params)))
        residual = float(dynamics.residual_value(charge, churn, params))
        share = float(dynamics.elevated_share(params))
        stays = _stays(churn, params)
        accepts = _accepts(accept, params)
    amounts = np.asarray(params.amount, np.float64)
    tariff = Tariff(float(params.contact_cost), tuple(costs[0].tolist()), float(params.account_cap))
    onset, recovery = float(params.risk_onset), float(params.risk_recovery)
    chain = np.array([[1 - onset, onset], [recovery, 1 - recovery]])
    daily = float(charge) / 30
    stay = stays[graph.offer, graph.contacts, graph.recent]
    along = stays[graph.stretch_offer, graph.stretch_contacts, graph.stretch_recent]
    paid = _paid(graph.stretch_offer, graph.stretch_days_left, costs[1], params)[..., None]
    reach, gathered = _stretches(along, paid, daily, chain)
    return CustomerModel(
        tariff=tariff,
        phases=tuple(phases(tariff, campaign.most_contacts, campaign.phase_days)),
        start=np.array([1 - share, share]),
        chain=chain,
        stay=stay,
        earned=_earned(stay, _paid(graph.offer, graph.days_left, costs[1], params)[:, None], daily),
        amounts=amounts,
        accepts=accepts[:, graph.contacts],
        reach=reach,
        gathered=gathered,
        residual=residual,
    )


def _stays(churn: jax.Array, params: EnvParams) -> Floats:
    """(1 + offers, contacts, 2, 2 z) P(stay one day) by offer that protects, NO_OFFER last, contacts in the window, and
    whether the last one still moves the hazard."""
    offers = jnp.array([*range(actions.offers(params)), NO_OFFER])
    by_recency = jax.vmap(dynamics.log_survival, (None, None, None, 0, None))
    by_contacts = jax.vmap(by_recency, (None, None, 0, None, None))
    by_offer = jax.vmap(by_contacts, (None, 0, None, None, None))
    by_risk = jax.vmap(by_offer, (0, None, None, None, None), out_axes=-1)
    contacts, recent = jnp.arange(int(params.fatigue_cap) + 1), jnp.arange(2)
    logs = by_risk(jnp.stack(dynamics.hazards(churn, params)), offers, contacts, recent > 0, params)
    return np.asarray(jnp.exp(logs))


def _accepts(accept: jax.Array, params: EnvParams) -> Floats:
    """(offers, contacts, 2 z) P(accept) by earlier contacts in the window."""
    by_risk = jax.vmap(dynamics.acceptance, (None, 0, None, None), out_axes=-1)
    by_contacts = jax.vmap(by_risk, (None, None, 0, None), out_axes=1)
    elevated, contacts = jnp.array([False, True]), jnp.arange(int(params.fatigue_cap))
    return np.asarray(by_contacts(accept, elevated, contacts, params))


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


Choices = npt.NDArray[np.int8]  # by day of a phase (days, X, 2 z, A): the offer of a contact today, or WAIT


def best_campaign(campaign: CampaignModel, customer: CustomerModel, multiplier: float) -> tuple[float, list[Choices]]:
    """The largest value − multiplier · spend of all campaigns that the masks allow, and what to do, by phase.

    Exact up to rounding. The choice of an account that no customer can have by that day means nothing.
    """
    recursion = _Recursion(campaign, customer, multiplier)
    choices = [recursion.phase_before(index) for index in reversed(range(len(customer.phases)))]
    return float(customer.start @ recursion.nets[0][0, 0, :, 0]), choices[::-1]


class _Recursion:
    """Value − multiplier · spend of the best campaign from every day, memory, risk state and class of the account on.

    Filled from the last phase to the first.
    """

    def __init__(self, campaign: CampaignModel, customer: CustomerModel, multiplier: float) -> None:
        self.campaign, self.customer = campaign, customer
        self.nets: dict[int, Floats] = {}  # by phase (days, X, 2 z, A)
        self._earned = customer.earned.value - multiplier * customer.earned.spend
        self._gathered = customer.gathered.value - multiplier * customer.gathered.spend
        self._contact_cost = (1 + multiplier) * customer.tariff.contact
        self._credits = (1 + multiplier) * customer.amounts

    def phase_before(self, index: int) -> Choices:
        """Fills a phase whose later ones are filled; returns its choices."""
        customer, phases = self.customer, self.customer.phases
        shape = (len(self.campaign.graph.memories), 2, len(phases[index].used))
        if index + 1 == len(phases):
            net = np.full(shape, customer.residual)
        else:
            net = self.nets[index + 1][0][..., phases[index].after_waiting(phases[index + 1])]
        first = phases[index].first_day
        days = min(self.campaign.phase_days, self.campaign.days - first)
        nets, choices = np.empty((days, *shape)), np.empty((days, *shape), np.int8)
        classes = classes_after_contact(self.campaign, customer, index)
        for day in reversed(range(days)):
            net = self._day_before(index, first + day, net, classes, nets[day], choices[day])
        self.nets[index] = nets
        return choices

    def _day_before(
        self, index: int, day: int, following: Floats, classes: dict[int, Ints], net: Floats, choice: Choices
    ) -> Floats:
        """Fills `net` and `choice` of a day: wait, or contact with an offer that is affordable."""
        graph, customer = self.campaign.graph, self.customer
        net[:] = _tomorrow(customer.chain, np.take(following, graph.waited, axis=0))
        net *= customer.stay[..., None]
        net += self._earned[..., None]
        choice.fill(WAIT)
        declined = self._after(index, day, graph.declined, 0, classes)
        for offer, credit in enumerate(self._credits):
            accepted = self._after(index, day, graph.accepted[:, offer], 1 + offer, classes)
            offered = np.take(accepted, graph.history, axis=0)
            offered -= declined
            offered -= credit
            offered *= customer.accepts[offer][..., None]
            offered += declined
            offered -= self._contact_cost
            better = offered > net
            better &= customer.phases[index].affords[:, offer]
            np.copyto(net, offered, where=better)
            np.copyto(choice, np.int8(offer), where=better)
        return net

    def _after(self, index: int, day: int, stretches: Ints, outcome: int, classes: dict[int, Ints]) -> Floats:
        """(stretches, 2 z, A) from a contact with that outcome on, its cost left out: the stretch, then the best."""
        customer, graph, days = self.customer, self.campaign.graph, self.campaign.days
        walked = np.minimum(graph.days[stretches], days - day) - 1
        arrival, landing = day + graph.days[stretches], graph.landing[stretches]
        landed = np.full((len(stretches), 2, len(customer.phases[index].used)), customer.residual)
        for later, table in classes.items():
            rows = np.flatnonzero((arrival // self.campaign.phase_days == later) & (arrival < days))
            if rows.size:
                place = (arrival[rows] - customer.phases[later].first_day, landing[rows])
                landed[rows] = self.nets[later][place][..., table[outcome]]
        after = _tomorrow(customer.reach[walked, stretches], landed)
        after += self._gathered[walked, stretches][..., None]
        return after


def classes_after_contact(campaign: CampaignModel, customer: CustomerModel, index: int) -> dict[int, Ints]:
    """The account's class by later phase (1 + offers, A) after a contact declined, or accepted by offer."""
    phases = customer.phases
    furthest = index + 1 + -(-int(campaign.graph.days.max()) // campaign.phase_days)
    return {
        later: phases[index].after_contact(customer.tariff, phases[later])
        for later in range(index + 1, min(len(phases), furthest + 1))
    }


def _tomorrow(moves: Floats, table: Floats) -> Floats:
    """Σ_z' moves(z, z') table(z'), of tables (rows, 2 z, A) and moves (2 z, 2 z), or (rows, 2 z, 2 z)."""
    expected: Floats = moves[..., 0, None] * table[..., :1, :]
    expected += moves[..., 1, None] * table[..., 1:, :]
    return expected
