"""What goes into the ledger and what comes out of it. Money is whole micro-dollars, time UTC epoch seconds.

A *contact* is a message to a customer: planned by a decision for a moment `send_at`, and counted on the campaign day
of that moment, floor((send_at − starts_at)/86400). It is *executed* from that day on and *pending* before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from retentionjax.decide.draws import Arm, Group, Pilot

Clock = Callable[[], float]
"""Gives the time, UTC epoch seconds; tests freeze it."""

ConsentStatus = Literal["granted", "denied", "opted_out", "unknown"]
KillSwitch = Literal["policy", "baseline", "never"]
OutcomeKind = Literal["accepted", "declined", "churned", "opted_out", "kept", "revenue"]
OutcomeStatus = Literal["applied", "duplicate", "ignored", "refused", "unknown_decision"]
Role = Literal["decide", "report", "admin"]
SlotName = Literal["active", "canary", "shadow"]

DAY = 86_400.0  # seconds
MICROS = 1_000_000  # a dollar
IDEMPOTENCY_SECONDS = DAY  # an Idempotency-Key is remembered so long
RESERVATION_DAYS = 14  # a contact unanswered so many days after it was sent gives the discount it reserved back


class Assignment(msgspec.Struct, frozen=True):
    """The arm that a campaign drew for a customer."""

    arm: Arm
    acted: bool = False
    """Whether a pilot's arm was carried out."""
    recorded: bool = True
    """False: it is recorded with the first decision."""


_BY_POLICY = Assignment(Arm("policy", None, 1.0), recorded=False)


class CustomerView(msgspec.Struct, frozen=True):  # as a frozen dataclass it would cost four times as much to make
    """What the ledger knows of a customer, as a campaign sees it today."""

    customer_id: str
    campaign_id: str
    consent: Mapping[str, ConsentStatus]
    """By channel; a channel that is not there is unknown, see `consent_for`."""
    time_zone: str | None = None
    """IANA name."""
    contacts_days_ago: tuple[int, ...] = ()
    """Executed contacts of this and other campaigns in days of this campaign, ascending; 0 is today."""
    pending_offer: str | None = None
    """Name of the offer of the contact that is planned for a later day."""
    pending_days: int = 0
    """Days until it is sent; 0 without one."""
    running_offer: str | None = None
    """Name of the offer accepted last, while it protects."""
    protection_days_left: int = 0
    """Today included; `effect_days` on the day it was accepted, 0 without one."""
    account_used_micros: int = 0
    """Contact costs, and full costs of offers reserved or committed, in this campaign."""
    baseline_churn_probability: float | None = None
    """The first score of the customer in this campaign; None before it."""
    churned: bool = False
    assignment: Assignment = _BY_POLICY

    def consent_for(self, channel: str) -> ConsentStatus:
        """Consent to be contacted by `channel`."""
        return self.consent.get(channel, "unknown")


@dataclass(frozen=True, slots=True)
class CampaignView:
    """A campaign and its money. spent + reserved ≤ budget, always."""

    campaign_id: str
    budget_micros: int
    spent_micros: int
    """Contact costs and accepted discounts of answered, expired and accepted contacts."""
    reserved_micros: int
    """Full costs of contacts that are planned or unanswered."""
    starts_at: float
    horizon_days: int
    customers_expected: int
    salt: str = ""
    design: int = 0
    """Number of the design that the two below are."""
    holdout: float = 0.0
    """Share of its customers that it never contacts."""
    pilot: Pilot | None = None

    @property
    def left_micros(self) -> int:
        """Budget that is neither spent nor reserved."""
        return self.budget_micros - self.spent_micros - self.reserved_micros

    def day(self, at: float) -> int:
        """Campaign day of a moment; negative before the start, `horizon_days` or more after the end."""
        return int((at - self.starts_at) // DAY)


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as an administrator sets it."""

    campaign_id: str
    budget_micros: int
    starts_at: float
    horizon_days: int
    customers_expected: int
    holdout: float | None = None
    """None: as it was; of a new campaign `HOLDOUT`."""
    pilot: Pilot | None = None
    """None: as it was; of a new campaign, none."""
    salt: str | None = None
    """None: as it was; of a new campaign, drawn."""


@dataclass(slots=True)  # not frozen, which would make each of its many fields four times as dear
class DecisionRow:
    """One decision as it is recorded, with all that off-policy evaluation and an explanation need."""

    decision_id: str
    """UUID version 7."""
    customer_id: str
    campaign_id: str
    decided_at: float
    day: int
    """Campaign day of `decided_at`."""
    channel: str
    action: int
    """0 is wait."""
    offer: str | None
    """Name; None with wait."""
    delay: int
    """Days; 0 with wait."""
    send_at: float | None
    """None with wait."""
    reserve_micros: int
    """Contact cost and full cost of the offer; 0 with wait and in shadow."""
    contact_cost_micros: int
    """The part of `reserve_micros` that a declined contact costs."""
    observation: bytes | None
    """f32[features], little-endian; None, like the scores below, where the models failed."""
    mask: bytes
    """Bit a of byte a / 8, its lowest first, is set where action a was legal."""
    propensities: bytes
    """f32[actions], little-endian: those the action was drawn from."""
    churn_probability: float | None
    baseline_churn_probability: float | None
    accept_probability: float | None
    monthly_charge: float
    """$ per 30 days."""
    bundle_id: str
    policy_version: str
    rules_version: str
    slot: SlotName
    degradations: tuple[str, ...]
    executed: bool
    """False for shadow: recorded, never sent, no money."""
    message_json: bytes | None
    response: bytes
    """The JSON that was answered."""
    idempotency: tuple[str, str, str] | None
    """(API key id, Idempotency-Key, digest of the request), if the caller gave a key."""
    offer_days: int = 0
    """How long the offer runs once accepted, that day included; 0, as the next two, with wait."""
    effect_days: int = 0
    """How long it protects."""
    amount_micros: int = 0
    """The part of `reserve_micros` that is paid at once on acceptance."""
    basis: bytes | None = None
    """JSON: the facts and the history it was made from, for `/explanation`; emptied when the customer is erased."""
    pilot: bool = False
    """Whether it carries out the customer's arm of a pilot, be it to leave her alone."""
    variant_id: str = ""
    """Which wording a contact is sent; empty without one."""
    variant_propensity: float = 1.0
    """Probability with which that was drawn."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What an Idempotency-Key was answered with before."""

    request_digest: str
    decision_id: str
    response: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened after a decision, or to a customer whether or not there was one, as a caller reports it."""

    decision_id: str | None
    """None: of the customer `customer_id`, who churned, was kept or paid."""
    kind: OutcomeKind
    at: float
    """When it happened, not when it was reported; of *kept*, until when it is known that she stayed."""
    customer_id: str | None = None
    amount_micros: int = 0
    """Of *revenue*; a refund is below 0."""
    reference: str = ""
    """Of *revenue*: what tells this payment from her others."""


@dataclass(frozen=True, slots=True)
class OutcomeResult:
    """What the ledger made of an outcome; aligned with the outcomes given."""

    decision_id: str | None
    customer_id: str | None
    kind: OutcomeKind
    status: OutcomeStatus
    """applied · duplicate (same decision and kind, reported before) · ignored (true, but nothing follows from it) ·
    refused (it cannot be, or comes too late to be honoured) · unknown_decision."""
    detail: str = ""
    """Why it was ignored or refused, for the person who reported it."""
    released_micros: int = 0
    """Reservation given back to the campaign."""
    committed_micros: int = 0
    """Spent by this outcome, contact cost included."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Consent of one customer to one channel, and since when."""

    channel: str
    status: ConsentStatus
    changed_at: float
    source: str
    """Who or what said so."""


@dataclass(frozen=True, slots=True)
class BundleSlot:
    """A bundle that serves."""

    bundle_id: str
    path: str


@dataclass(frozen=True, slots=True)
class Slots:
    """Which bundles serve: `canary` the share `canary_weight` of the customers; `shadow` decides without effect."""

    active: BundleSlot | None = None
    canary: BundleSlot | None = None
    canary_weight: float = 0.0
    shadow: BundleSlot | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret, which nobody has but its owner."""

    key_id: str
    name: str
    role: Role
    created_at: float
    last_used_at: float | None
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class DueContact:
    """A contact to be sent now, with consent."""

    decision_id: str
    customer_id: str
    campaign_id: str
    send_at: float
    time_zone: str | None
    response: bytes
    """The decision as it was answered, JSON."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that a person set."""

    at: float
    who: str
    """The key's name and id, or the command line."""
    what: str
    value: str


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A recorded decision as it is read back."""

    decision_id: str
    customer_id: str
    campaign_id: str
    decided_at: float
    day: int
    channel: str
    action: int
    offer: str | None
    delay: int
    send_at: float | None
    contact_state: str | None
    """reserved · accepted · declined · expired · cancelled; None without a contact."""
    reserved_micros: int
    spent_micros: int
    observation: bytes | None
    """None once the customer is erased, as are the other facts below that can be None."""
    mask: bytes | None
    propensities: bytes | None
    churn_probability: float | None
    baseline_churn_probability: float | None
    accept_probability: float | None
    monthly_charge: float | None
    bundle_id: str
    policy_version: str
    rules_version: str
    slot: SlotName
    degradations: tuple[str, ...]
    executed: bool
    message_json: bytes | None
    response: bytes | None
    basis: bytes | None
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class RecentDecision:
    """A decision in a list."""

    decision_id: str
    customer_id: str
    campaign_id: str
    decided_at: float
    action: int
    slot: SlotName


@dataclass(frozen=True, slots=True)
class ContactRecord:
    """One contact in a customer's ledger."""

    decision_id: str
    campaign_id: str
    channel: str
    offer: str
    send_at: float
    state: str
    reserved_micros: int
    spent_micros: int
    accepted_at: float | None


@dataclass(frozen=True, slots=True)
class CustomerLedger:
    """All that the ledger holds of one customer."""

    customer_id: str
    time_zone: str | None
    churned_at: float | None
    observed_until: float | None
    """Until when it is known that she stayed; None where nobody said."""
    arms: Mapping[str, Group]
    """By campaign, what was drawn to decide about her."""
    revenue_micros: int
    """All that she was reported to have paid."""
    consent: tuple[Consent, ...]
    contacts: tuple[ContactRecord, ...]
    """Oldest first."""
    decisions: int
    """How many, shadow included."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """How many customers a campaign has drawn by now."""

    customers: int
    held_out: int
    in_pilot: int
    acted: int
    """Of the pilot's, whose arm was carried out."""


@dataclass(frozen=True, slots=True)
class DailySpend:
    """One campaign day: of the contacts counted on it, what is spent by now and what is still reserved."""

    day: int
    contacts: int
    spent_micros: int
    reserved_micros: int
