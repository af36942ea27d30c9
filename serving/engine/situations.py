"""What the program takes, of what caller and ledger say: each customer's facts and standing, what is forbidden today,
what contacts cost, and how fast a campaign may spend.

The budget itself is a mask and always holds; the pace follows the money and the days that are left.

By price, where the bundle has the policy for any budget: a customer's share of the money left, put as for a whole
campaign, buys the price at which the policy spends that much (the bundle's table, measured in training):

    spend(λ) = left / customers expected / (days left / horizon)

Spending faster than that raises the price for what follows, spending slower lowers it. Where even the highest price
would spend more, the chance of every contact is cut in proportion too.

By throttle otherwise: a share of contacts is let through, and the rest goes to *wait*.

    θ = min(1, (left / budget) / (days left / horizon))

While at least as large a share of the budget is left as of the campaign's days, nothing is held back; once more is
gone, contacts slow down in proportion, so that the money lasts to the end: at a demand of r budgets a campaign,
left' = −r·θ, it only ever nears 0 (θ with it) and reaches it on the last day.

A reservation counts as spent, until an answer or its expiry gives it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from jaxtyping import Float, Int

from retentionjax.decide.customer import Customer
from retentionjax.decide.draws import Group, Pilot
from retentionjax.decide.program import Conditions
from retentionjax.decide.record_facts import FactFault, Row
from retentionjax.env.types import NO_OFFER, MultiplierTable
from retentionjax.errors import DataError
from serving.engine.contract import Ask, FactValue, WrongFacts
from serving.engine.messages import Place
from serving.engine.slots import Choices, Costs, Served
from serving.ledger.types import DAY, MICROS, KillSwitch, SlotName
from serving.ledger.views import CampaignView, CustomerView

_MONTH = 30  # days of a charge
_LONGEST_POSTPONED = 8 * DAY  # the shield looks no further for an hour that is fit


@dataclass(slots=True, eq=False)
class Job:
    """A decision that waits."""

    number: int
    """Number of the question, which the answer repeats."""
    ask: Ask
    slot: SlotName
    served: Served
    row: Row
    arrived: float
    """Monotonic seconds, as `deadline`."""
    deadline: float


@dataclass(slots=True)
class Situation:
    """One customer about whom a decision is to be made now."""

    ask: Ask
    view: CustomerView
    campaign: CampaignView
    row: Row
    """Encoded facts."""
    day: int
    """Today's day of the campaign."""
    costs: tuple[int, ...] = ()
    """Micro-dollars of a contact with each offer, in full."""
    barred: dict[str, int] = field(default_factory=dict)
    """Rule → bit set of the actions it takes away, beyond the rules of the environment."""
    pilot: Pilot | None = None
    """The pilot that runs and that she takes part in."""
    pilot_left: int = 0
    """Micro-dollars that it may still reserve."""
    pilot_cost: int = 0
    """Micro-dollars of its dearest arm."""

    @property
    def charge(self) -> float:
        """$ per 30 days."""
        return self.row[1]

    @property
    def reason(self) -> Group:
        """What decides about her."""
        group = self.view.assignment.arm.group
        return "policy" if group == "pilot" and self.pilot is None else group

    @property
    def place(self) -> Place:
        """The recipient's place, as far as anybody said."""
        return self.ask.time_zone or self.view.time_zone, self.ask.region or self.view.region

    @property
    def usual(self) -> float | None:
        """The usual churn probability: the ledger's, or the caller's where that has none; None where nobody knows."""
        known = self.view.baseline_churn_probability
        return self.ask.baseline_churn_probability if known is None else known

    def customer(self, choices: Choices) -> Customer:
        """What the ledger knows, as the program takes it; an offer that the bundle does not have protects nobody."""
        view, places = self.view, choices.places
        running = places.get(view.running_offer or "", NO_OFFER)
        return Customer(
            day=self.day,
            contacts_days_ago=view.contacts_days_ago,
            account_used=view.account_used_micros / MICROS,
            running_offer=running,
            protection_days_left=0 if running == NO_OFFER else view.protection_days_left,
            pending_offer=NO_OFFER if view.pending_offer is None else places.get(view.pending_offer, 0),
            pending_days=view.pending_days,
            usual=self.usual,
        )


def own(served: Served, ask: Ask) -> Ask:
    """The customer with its facts instead of the company's columns they are made of: so it is recorded."""
    made = served.decider.facts.made(ask.facts)
    return ask if made is ask.facts else msgspec.structs.replace(ask, facts=dict(made))


def encode(served: Served, ask: Ask) -> Row:
    """The customer's facts as numbers. Raises WrongFacts naming every field that does not fit."""
    name = str(served.bundle.schema.id)
    if name in ask.facts:  # the id is no fact
        raise WrongFacts((FactFault(name, ask.facts[name], "is unknown", "the facts of the bundle's schema"),))
    record = {**ask.facts, name: ask.customer_id}
    try:
        return served.decider.facts.row(record)
    except DataError:
        raise WrongFacts(tuple(served.decider.facts.faults(record))) from None


def conditions(
    situations: Sequence[Situation], served: Served, now: float, switch: KillSwitch, exploration: float
) -> Conditions:
    """What each customer's campaign can pay and nobody forbids; fills in `costs` and `barred` of the situations."""
    full = full_costs(served.costs, np.array([each.charge for each in situations]))
    left = np.array([each.campaign.left_micros for each in situations])
    choices = served.choices
    allowed = np.ones((len(situations), choices.count), bool)
    for place, each in enumerate(situations):
        each.costs = tuple(full[place].tolist())
        each.barred = _barred(each, served, now, switch)
        bits = 0
        for gone in each.barred.values():
            bits |= gone
        if bits == choices.contacts:
            allowed[place, 1:] = False
        elif bits:
            allowed[place] = ~np.array(choices.mask(bits))
    campaigns = {each.ask.campaign_id: each.campaign for each in situations}
    paces = {name: pace(campaign, served.prices, now) for name, campaign in campaigns.items()}
    of_each = [paces[each.ask.campaign_id] for each in situations]
    return Conditions(
        affordable=full <= left[:, None],
        allowed=allowed,
        throttle=np.array([each.throttle for each in of_each], np.float32),
        exploration=np.full(len(situations), exploration, np.float32),
        multiplier=None if served.prices is None else np.array([each.price for each in of_each], np.float32),
    )


def _barred(each: Situation, served: Served, now: float, switch: KillSwitch) -> dict[str, int]:
    """Rules that the environment does not know, and the account's cap to the last micro-dollar."""
    barred: dict[str, int] = {}
    contacts = served.choices.contacts
    if (assignment := each.view.assignment).arm.group == "holdout":
        barred["holdout"] = contacts
    elif each.pilot is not None and assignment.acted:
        barred["pilot"] = contacts
    if each.campaign.paused_at is not None:
        barred["paused"] = contacts
    if switch == "never":
        barred["kill_switch"] = contacts
    if served.templates is None:
        barred["no_shield"] = contacts
    if each.view.consent_for(each.ask.channel or served.channel) != "granted":
        barred["consent"] = contacts
    if each.view.churned:
        barred["churned"] = contacts
    if not barred:
        barred = _by_delay(each, served, now)
    account_left = served.costs.account_cap - each.view.account_used_micros
    if max(each.costs) > account_left:
        barred["account_cap"] = sum(
            served.choices.of_offer[offer] for offer, cost in enumerate(each.costs) if cost > account_left
        )
    return barred


def _by_delay(each: Situation, served: Served, now: float) -> dict[str, int]:
    """Rules about the moment of sending: the campaign's end, one contact a day, the shield's cap in its window."""
    campaign, contacts = each.campaign, each.view.contacts_days_ago
    end = campaign.starts_at + campaign.horizon_days * DAY
    rules = served.rules
    may_end = now + max(served.choices.delays) * DAY + _LONGEST_POSTPONED >= end
    if not (may_end or contacts) or rules is None:
        return {}
    of_delay = served.choices.of_delay
    gone = {"campaign_end": 0, "one_contact_a_day": 0, "contact_frequency": 0}
    for place, delay in enumerate(served.choices.delays):
        at = send_at(each, served, delay, now)
        later = campaign.day(at) - each.day
        if at >= end:
            gone["campaign_end"] |= of_delay[place]
        if contacts and contacts[0] == 0 and later == 0:
            gone["one_contact_a_day"] |= of_delay[place]
        if sum(days + later < rules.contact.window_days for days in contacts) >= rules.contact.cap:
            gone["contact_frequency"] |= of_delay[place]
    return {rule: bits for rule, bits in gone.items() if bits}


def send_at(each: Situation, served: Served, delay: int, now: float) -> float:
    """When a contact with this delay [days] would be sent: after the recipient's quiet hours. UTC epoch seconds."""
    wanted = now + delay * DAY
    return wanted if served.quiet is None else served.quiet.earliest(each.place, wanted)


# --- money ----------------------------------------------------------------------------------------------------------


def full_costs(costs: Costs, charges: Float[np.ndarray, " B"]) -> Int[np.ndarray, "B offers"]:
    """Contact and offer to its last day, of customers who pay `charges` [$ per 30 days], in micro-dollars.

    (discount · charge + cost) · days/30 + amount, rounded up: a reservation is never a fraction of a micro-dollar
    short. In whole numbers below 2⁶³: a share in millionths times a charge of a billion in dollars is 10¹⁵.
    """
    dollars, rest = np.divmod(np.rint(charges * MICROS).astype(np.int64)[:, None], MICROS)
    paid, rest = np.divmod(rest * costs.share, MICROS)
    whole, days = np.divmod((dollars * costs.share + paid + costs.cost) * costs.days, _MONTH)
    fraction = days * MICROS + rest * costs.days  # of _MONTH · MICROS
    return whole - (-fraction // (_MONTH * MICROS)) + costs.amounts + costs.contact


class Pace(NamedTuple):
    """Pace of a campaign now."""

    throttle: float
    """θ ∈ [0, 1], by which the chance of each contact is multiplied."""
    price: float | None
    """$ of value charged to the policy for a $ of spend; None: the policy knows one price, that of its training."""


def pace(campaign: CampaignView, prices: MultiplierTable | None, now: float) -> Pace:
    """Pace of a campaign at `now`, under a bundle with this table of prices, None for one without."""
    return Pace(throttle(campaign, now), None) if prices is None else _by_price(campaign, prices, now)


def throttle(campaign: CampaignView, now: float) -> float:
    """θ ∈ [0, 1] of a campaign at `now`; 1 before it starts, 0 after its end and without a budget."""
    left = campaign.left_micros / campaign.budget_micros if campaign.budget_micros else 0.0
    time_left = _time_left(campaign, now)
    return min(1.0, max(0.0, left) / time_left) if time_left > 0 else 0.0


def _by_price(campaign: CampaignView, prices: MultiplierTable, now: float) -> Pace:
    dearest, least = prices.multiplier[-1], prices.spend[-1]
    time_left = _time_left(campaign, now)
    if time_left <= 0:
        return Pace(0.0, dearest)
    budget = max(0, campaign.left_micros) / MICROS / campaign.customers_expected / time_left
    return Pace(budget / least, dearest) if budget < least else Pace(1.0, prices.for_budget(budget))


def _time_left(campaign: CampaignView, now: float) -> float:
    """Share of the campaign's days; 1 before it starts, 0 or less after its end."""
    return min(1.0, 1 - (now - campaign.starts_at) / (campaign.horizon_days * DAY))


class Basis(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a decision was made from, kept with it so that it can be explained later; erased with the customer.

    JSON in the ledger; what has its default is left out.
    """

    facts: Mapping[str, FactValue]
    exploration: float
    """Share of decisions drawn evenly from what is legal."""
    values: tuple[float, ...]
    """The policy's own expectation, in the order of bundle.program.VALUES."""
    customer: Customer = Customer()
    """What was known."""
    throttle: float = 1.0
    """θ of the campaign's pacing."""
    switch: KillSwitch = "policy"
    price: float | None = None
    """$ of value charged for a $ of spend, where the policy was told; None: the bundle's own."""
