"""The lift by the ledger's rows: who is compared, until which day, and what kept it from being measured; and what the
bundle's effects say the contacts should have changed, effect by effect, to stand beside it.

Days on which the hazard h is multiplied by k bring (k − 1)·h departures more, while the customer is there; of those
that they spare, whoever would leave later is no departure fewer in the end. So days a to b count
(k − 1)·(e^{−h(T − b)} − e^{−h(T − a)}) at T, the end of what is known; h is the hazard of the score that the contact
was decided with. Summed: the multiplier of an accepted offer while it protects, the effect of a contact for its days,
fatigue for the days on which an earlier contact still counts. Where several act at once each is taken by itself, and
risk within a customer as constant: of 40,000 simulated customers those offered 20 % off had 4.9 ± 0.4 points fewer
departures in 30 days where this says 4.9.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from retentionjax.company.offers import NONE
from retentionjax.env.types import EnvParams
from retentionjax.errors import DataError
from retentionjax.evaluation.lift import ENOUGH, FollowedCustomers, Lift, Payments, measure
from serving.ledger.records import AssignedCustomer, CampaignRecord, MadeContact
from serving.ledger.types import DAY, MICROS
from serving.ledger.views import CampaignView, read_pilot

_ALL = 1 - 1e-9
"""A share above which nobody is left: shares that add up to 1 may be short of it by rounding."""


@dataclass(frozen=True)
class Study:
    """Two sides that chance alone has made, and what is known of them."""

    campaign: CampaignView
    rows: tuple[AssignedCustomer, ...]
    customers: FollowedCustomers
    contacts: tuple[MadeContact, ...]
    """Contacts of these customers."""
    known_days: float
    """Whole days of the campaign until which most of them are known; 0 where nobody was ever heard of."""
    payers: tuple[int, int]
    """Customers of whom a payment was reported, of all who are known."""
    reports_revenue: bool
    """Whether payments are reported of so many that they are what customers paid, see `_are_reported`."""
    purged_contacts: int
    """Contacts of the campaign that are not among `contacts` any more."""

    @property
    def known_until(self) -> float:
        """The same as UTC epoch seconds."""
        return self.campaign.starts_at + self.known_days * DAY


@dataclass(frozen=True)
class Found:
    """The lift, or in words why there is none yet."""

    study: Study
    lift: Lift | None
    reason: str = ""


def against_holdout(campaign: CampaignView, record: CampaignRecord) -> Study:
    """The policy's customers against those held out; customers of a pilot are not among them, nor those whom a design
    without a hold-out drew, or one whose pilot left the policy nobody."""
    rows = [row for row in record.customers if row.arm != "pilot" and row.holdout > 0 and _held_share(row) < _ALL]
    return _study(campaign, record, rows, [row.arm == "holdout" for row in rows], [_held_share(row) for row in rows])


def of_pilot(campaign: CampaignView, record: CampaignRecord) -> dict[str, Study]:
    """Each arm of the pilot against its customers who were left alone; empty where nobody was."""
    rows = [row for row in record.customers if row.arm == "pilot"]
    if not any(row.pilot_arm == NONE for row in rows):
        return {}
    found = {}
    for arm in sorted({str(row.pilot_arm) for row in rows} - {NONE}):
        pair = [row for row in rows if row.pilot_arm in (NONE, arm) and arm in _shares(row)]
        shares = [_shares(row)[NONE] / (_shares(row)[NONE] + _shares(row)[arm]) for row in pair]
        found[arm] = _study(campaign, record, pair, [row.pilot_arm == NONE for row in pair], shares)
    return found


def find(study: Study) -> Found:
    """The lift on each day until most customers are known."""
    if not len(study.customers.held):
        return Found(study, None, _nobody(study.campaign))
    if study.known_days <= 0:
        return Found(study, None, "no customer has been reported as kept or churned yet")
    days = np.arange(1.0, math.floor(study.known_days) + 1)
    try:
        return Found(study, measure(study.customers, days))
    except DataError as error:
        return Found(study, None, str(error))


def _nobody(campaign: CampaignView) -> str:
    holdout, pilot = campaign.holdout, campaign.pilot
    if pilot is not None and holdout + pilot.share >= _ALL:
        return "the pilot takes everybody who is not held out, so the policy has no customers to compare"
    if holdout:
        return f"the hold-out of {holdout:.1%} has no customers yet; they are drawn with their first decisions"
    return "the campaign holds out nobody, so there is nobody to compare its customers with"


def days_to_enough(lift: Lift, study: Study) -> float:
    """Days until `ENOUGH` have left on both sides, at the pace so far; 0 where they have, ∞ while nobody has, and where
    a side will never have so many customers."""
    fewest = int(lift.left[:, -1].min())
    if fewest >= ENOUGH:
        return 0.0
    if not fewest or min(most_customers(study)) < ENOUGH:
        return math.inf
    return float(lift.days[-1]) * (ENOUGH / fewest - 1)


def most_customers(study: Study) -> tuple[int, int]:
    """How many customers the campaign's side and the held-out side will have: those drawn by now, or their share of
    all whom the campaign expects."""
    campaign, held = study.campaign, int(study.customers.held.sum())
    share = campaign.holdout + (campaign.pilot.share if campaign.pilot is not None else 0.0)
    expected = [round(campaign.customers_expected * part) for part in (1 - share, campaign.holdout)]
    return max(len(study.customers.held) - held, expected[0]), max(held, expected[1])


def _held_share(row: AssignedCustomer) -> float:
    """Among those who are not in the pilot."""
    pilot = None if row.pilot is None else read_pilot(row.pilot)
    share = pilot.share if pilot is not None and row.assigned_at < pilot.ends_at else 0.0
    return min(row.holdout / (1 - share), 1.0) if share < 1 else 1.0


def _shares(row: AssignedCustomer) -> dict[str, float]:
    return {} if row.pilot is None else dict(read_pilot(row.pilot).arms)


def _study(
    campaign: CampaignView,
    record: CampaignRecord,
    rows: Sequence[AssignedCustomer],
    held: Sequence[bool],
    shares: Sequence[float],
) -> Study:
    place = {row.customer_id: number for number, row in enumerate(rows)}
    contacts = tuple(contact for contact in record.contacts if contact.customer_id in place)
    paid = [(place[name], at, micros) for name, at, micros in record.revenues if name in place]

    def days(moments: Sequence[float | None], missing: float) -> Float[np.ndarray, " N"]:
        return np.array([missing if at is None else (at - campaign.starts_at) / DAY for at in moments], float)

    # Whole days: a nightly report reaches its customers within minutes, not at one moment.
    known = np.floor(days([row.observed_until for row in rows], -math.inf))
    left = days([row.churned_at for row in rows], math.inf)
    stayed = known[np.isinf(left) & np.isfinite(known)]
    spans = np.where(np.isfinite(left), left, known) - days([row.assigned_at for row in rows], 0.0)
    has_paid = np.isin(np.arange(len(rows)), [row[0] for row in paid])
    reported = all(_are_reported(has_paid[side], spans[side]) for side in (np.array(held, bool), ~np.array(held, bool)))
    # What an accepted offer costs is in what customers pay; where their charges stand for it, it is not.
    costs = [(place[each.customer_id], each.send_at, each.contact_cost_micros) for each in contacts]
    if not reported:
        costs += [
            (place[each.customer_id], each.accepted_at, each.offer_cost_micros)
            for each in contacts
            if each.accepted_at is not None
        ]
    customers = FollowedCustomers(
        held=np.array(held, bool),
        held_share=np.array(shares, float),
        entered=days([row.assigned_at for row in rows], 0.0),
        left=left,
        known_until=known,
        risk=_numbers([row.churn_probability for row in rows]),
        charge=_numbers([row.monthly_charge for row in rows]),
        spend=_payments(costs, campaign.starts_at),
        revenue=_payments(paid, campaign.starts_at) if reported else None,
    )
    until = float(np.quantile(stayed, 0.5, method="lower")) if len(stayed) else 0.0
    payers = int((has_paid & (spans > 0)).sum()), int((spans > 0).sum())
    return Study(campaign, tuple(rows), customers, contacts, max(until, 0.0), payers, reported, record.purged_contacts)


_BILLED_DAYS = 30  # after so many days with the company a customer has had a bill
_REPORTED = 0.95  # share of those with a bill of whom a payment must be known; the rest may have paid nothing


def _are_reported(has_paid: Bool[np.ndarray, " N"], spans: Float[np.ndarray, " N"]) -> bool:
    """Whether the payments of one side are reported: of nearly all who are known for the days of a bill, and of half of
    all who are known. Unknown is not nothing: with a few reports everybody else would seem to have paid none.

    Args:
        spans: days from the draw for which each customer is known; -∞ where nobody said.
    """
    known, billed = spans > 0, spans >= _BILLED_DAYS
    return bool(billed.any() and has_paid[billed].mean() >= _REPORTED and has_paid[known].mean() >= 0.5)


def _payments(sums: Sequence[tuple[int, float, int]], starts_at: float) -> Payments:
    who, when, micros = (np.array(column) for column in zip(*sums, strict=True)) if sums else ([], [], [])
    return Payments(np.array(who, int), (np.array(when, float) - starts_at) / DAY, np.array(micros, float) / MICROS)


def _numbers(values: Sequence[float | None]) -> Float[np.ndarray, " N"]:
    return np.array([math.nan if value is None else value for value in values], float)


def believed_departures(study: Study, params: EnvParams, offers: Mapping[str, object]) -> dict[str, float]:
    """Change of departures per customer of the contacted side, by effect; effects that did not act are left out.

    Args:
        params: the constants of the bundle that decides.
        offers: its offers by name, in their order.
    """
    multipliers = dict(zip(offers, np.asarray(params.hazard_multiplier, float).tolist(), strict=True))
    ends = {
        row.customer_id: min(study.known_until, math.inf if row.churned_at is None else row.churned_at)
        for row in study.rows
    }
    found: dict[str, float] = {}
    for customer, group in groupby(study.contacts, key=lambda each: each.customer_id):
        spell = _Spell(ends[customer], study.known_until)
        for name, change in _of_customer(list(group), spell, params, multipliers):
            found[name] = found.get(name, 0.0) + change
    count = int((~study.customers.held & study.customers.known(np.array([study.known_days]))[:, 0]).sum())
    return {name: change / count for name, change in found.items()} if count else {}


class _Spell(NamedTuple):
    there: float
    """Time until which the customer was there."""
    known: float
    """The end of what is known of anybody."""

    def share(self, hazard: float, begins: float, days: float) -> float:
        """Departures, at `known`, that a hazard of so much brings in so many days; 0 for days after she left."""
        ends = min(begins + days * DAY, self.there)
        if ends <= begins:
            return 0.0
        first, last = ((self.known - at) / DAY for at in (begins, ends))
        return math.exp(-hazard * last) - math.exp(-hazard * first)


def _of_customer(
    contacts: list[MadeContact], spell: _Spell, params: EnvParams, multipliers: Mapping[str, float]
) -> list[tuple[str, float]]:
    window = float(params.fatigue_window_days)
    found = []
    for number, contact in enumerate(contacts):
        if contact.churn_probability is None:
            continue
        hazard = -math.log1p(-contact.churn_probability) / float(params.risk_window_days)
        if contact.accepted_at is not None and contact.offer in multipliers:
            spared = spell.share(hazard, contact.accepted_at, contact.effect_days)
            found.append((f"hazard_multiplier.{contact.offer}", (multipliers[contact.offer] - 1) * spared))
        # Until the next contact, which begins the days anew.
        free = (contacts[number + 1].send_at - contact.send_at) / DAY if number + 1 < len(contacts) else math.inf
        touched = spell.share(hazard, contact.send_at, min(float(params.contact_effect_days), free))
        found.append(("contact_effect", math.expm1(float(params.contact_effect)) * touched))
        earlier = sum(contact.send_at - each.send_at < window * DAY for each in contacts[:number])
        if earlier:
            tired = spell.share(hazard, contact.send_at, min(window, free))
            found.append(("fatigue_hazard", math.expm1(float(params.fatigue_hazard) * earlier) * tired))
    return [(name, change) for name, change in found if change]
