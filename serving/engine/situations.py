"""What the program takes, of what the ledger knows: each customer's standing, and what is forbidden today."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from retentionjax.decide.customer import Customer
from retentionjax.decide.draws import Group, Pilot
from retentionjax.decide.facts import Row
from retentionjax.decide.program import Conditions
from retentionjax.env.types import NO_OFFER
from serving.engine.contract import Ask, FactValue
from serving.engine.money import pace
from serving.engine.slots import Choices, Served
from serving.ledger.types import DAY, MICROS, CampaignView, CustomerView, KillSwitch

_LONGEST_POSTPONED = 8 * DAY  # the shield looks no further for an hour that is fit


@dataclass(slots=True)
class Situation:
    """One customer about whom a decision is to be made now."""

    ask: Ask
    view: CustomerView
    campaign: CampaignView
    row: Row
    """Encoded facts."""
    day: int
    """Of the campaign, today."""
    costs: tuple[int, ...] = ()
    """Micro-dollars of a contact with each offer, in full."""
    barred: dict[str, int] = field(default_factory=dict)
    """Rule → bit set of the actions it takes away, beyond the rules of the environment."""
    pilot: Pilot | None = None
    """That runs and that she takes part in."""
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
    def zone(self) -> str | None:
        """The recipient's time zone, as far as anybody said."""
        return self.ask.time_zone or self.view.time_zone

    @property
    def baseline(self) -> float | None:
        """The usual churn probability: the ledger's, or the caller's where that has none; None where nobody knows."""
        known = self.view.baseline_churn_probability
        return self.ask.baseline_churn_probability if known is None else known

    def customer(self, choices: Choices) -> Customer:
        """What the ledger knows, as the program takes it; an offer that the bundle does not have protects nobody."""
        view = self.view
        running = choices.index(view.running_offer)
        return Customer(
            day=self.day,
            contacts_days_ago=view.contacts_days_ago,
            account_used=view.account_used_micros / MICROS,
            running_offer=running,
            protection_days_left=0 if running == NO_OFFER else view.protection_days_left,
            pending_offer=choices.index(view.pending_offer, unknown=0),
            pending_days=view.pending_days,
            baseline=self.baseline,
        )


def conditions(
    situations: Sequence[Situation], served: Served, now: float, switch: KillSwitch, exploration: float
) -> Conditions:
    """What each customer's campaign can pay and nobody forbids; fills in `costs` and `barred` of the situations."""
    full = served.costs.full(np.array([each.charge for each in situations]))
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
    return wanted if served.quiet is None else served.quiet.earliest(each.zone, wanted)


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
