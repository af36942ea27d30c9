"""What goes into the ledger and what comes out of it, and what it refuses. Money is whole micro-dollars, time
UTC epoch seconds.

A *contact* is a message to a customer: planned by a decision for a moment `send_at`, and counted on the campaign day
of that moment, floor((send_at − starts_at)/86400). It is *executed* from that day on and *pending* before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from retentionjax.decide.draws import Pilot
from retentionjax.errors import RetentionJaxError

Clock = Callable[[], float]
"""Gives the time, UTC epoch seconds; tests freeze it."""

ContactState = Literal["reserved", "accepted", "declined", "expired", "cancelled"]
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
    paused: bool | None = None
    """None: as it was; of a new campaign, not."""


@dataclass(slots=True)  # not frozen, which would make each of its many fields four times as dear
class DecisionFacts:
    """What is recorded of a decision and read back."""

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
    observation: bytes | None
    """f32[features], little-endian; None, like the scores below, where the models failed. Once its customer is erased
    it is None, as are all further fields below that can be."""
    mask: bytes | None
    """Bit a of byte a / 8, its lowest first, is set where action a was legal."""
    propensities: bytes | None
    """f32[actions], little-endian: those the action was drawn from."""
    churn_probability: float | None
    baseline_churn_probability: float | None
    accept_probability: float | None
    monthly_charge: float | None
    """$ per 30 days."""
    bundle_id: str
    policy_version: str
    rules_version: str
    slot: SlotName
    degradations: tuple[str, ...]
    executed: bool
    """False for shadow: recorded, never sent, no money."""
    message_json: bytes | None
    response: bytes | None
    """The JSON that was answered."""
    basis: bytes | None
    """JSON: the facts and the history it was made from, for `/explanation`."""


@dataclass(slots=True)
class DecisionRow(DecisionFacts):
    """One decision as it is recorded, with all that off-policy evaluation and an explanation need."""

    mask: bytes
    propensities: bytes
    response: bytes
    reserve_micros: int
    """Contact cost and full cost of the offer; 0 with wait and in shadow."""
    contact_cost_micros: int
    """The part of `reserve_micros` that a declined contact costs."""
    idempotency: tuple[str, str, str] | None
    """(API key id, Idempotency-Key, digest of the request), if the caller gave a key."""
    offer_days: int = 0
    """How long the offer runs once accepted, that day included; 0, as the next two, with wait."""
    effect_days: int = 0
    """How long it protects."""
    amount_micros: int = 0
    """The part of `reserve_micros` that is paid at once on acceptance."""
    pilot: bool = False
    """Whether it carries out the customer's arm of a pilot, be it to leave her alone."""
    variant_id: str = ""
    """Which wording a contact is sent; empty without one."""
    variant_propensity: float = 1.0
    """Probability with which that was drawn."""
    variant_choices: str = ""
    """Wordings that it was drawn from, see `decide.variants.choices`."""
    time_zone: str | None = None
    """The customer's time zone as the request said it, as the next one; None: as the ledger says."""
    region: str | None = None


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
    """Amount of *revenue*; a refund is below 0."""
    reference: str = ""
    """Reference of *revenue*: what tells this payment from her others."""


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
class Change:
    """Something that a person set."""

    at: float
    who: str
    """The key's name and id, or the command line."""
    what: str
    value: str
    was: str
    """What it was before; empty where there was nothing."""


class LedgerError(RetentionJaxError):
    """Root of what can go wrong with the ledger."""


class LedgerUnavailable(LedgerError):  # noqa: N818 - a state of the world, not a mistake of the caller's
    """The database is gone, full, or locked beyond the time allowed: nothing of the transaction counts."""


class CommitUnknown(LedgerUnavailable):
    """The connection broke while committing: the server may have kept the transaction or not. Repeating the request
    with its Idempotency-Key is safe in either case."""


class BudgetExceeded(LedgerError):  # noqa: N818
    """The database's own check said that a campaign's spent + reserved would pass its budget."""


class HoldoutBroken(LedgerError):  # noqa: N818
    """A contact to a customer whom its campaign holds out."""


class CooldownBroken(LedgerError):  # noqa: N818
    """The database's own indexes said that a customer has a contact that day, or one pending, already."""


class DesignFixed(LedgerError):  # noqa: N818
    """What a campaign's customers were drawn by already, which stays."""

    def __init__(self, field: str, allowed: str) -> None:
        super().__init__(f"{field}; allowed: {allowed}")
        self.field, self.allowed = field, allowed


class DuplicateRecord(LedgerError):  # noqa: N818
    """A decision id or an Idempotency-Key that is recorded already."""
