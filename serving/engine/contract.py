"""What the engine is asked, what it answers, and how it refuses; as JSON, and as packets between the two processes.

The JSON of an answer is made of structs that describe themselves in OpenAPI.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from retentionjax import errors
from retentionjax.decide.draws import Group
from retentionjax.decide.record_facts import FactFault
from retentionjax.errors import RetentionJaxError
from retentionjax.shield.brief import Channel, Tone
from serving.fields import CampaignId, CustomerId, DecisionId, Micros
from serving.ledger import CommitUnknown, LedgerError, LedgerUnavailable
from serving.ledger.types import DecisionRow, SlotName, Slots

FactValue = int | float | str | None


class Ask(msgspec.Struct, frozen=True):  # as a frozen dataclass it would cost four times as much to make
    """One decision that is wanted."""

    customer_id: str
    facts: Mapping[str, FactValue]
    """Facts under the names of the bundle's schema, the id left out."""
    campaign_id: str = "default"
    channel: Channel | None = None
    """None: the bundle's."""
    time_zone: str | None = None
    """IANA name; None: the one in the ledger, else unknown."""
    region: str | None = None
    """ISO 3166, a country or one of its regions; None: the one in the ledger, else unknown."""
    first_name: str | None = None
    tone: Tone | None = None
    """None: the bundle's."""
    baseline_churn_probability: float | None = None
    """The usual one, as the caller knows it; the ledger's goes before it."""
    dry_run: bool = False
    idempotency: tuple[str, str, str] | None = None
    """(API key id, Idempotency-Key, digest of the request)."""


class Given(msgspec.Struct, frozen=True, array_like=True):
    """An answer."""

    body: bytes
    """A `Decision` as JSON."""
    decision_id: str
    row: DecisionRow | None = None
    """The decision as it was recorded, or would have been but for `dry_run`; None if replayed."""
    replayed: bool = False
    """Whether it is the answer that this Idempotency-Key was given before."""


class EngineError(RetentionJaxError):
    """Root of the engine's refusals; nothing was written for any of them but `EngineLost`."""


class Overloaded(EngineError):  # noqa: N818 - a state, not a mistake
    """The queue is full."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"the queue is full; try again in {retry_after:.1f} s")
        self.retry_after = retry_after  # seconds


class DeadlineExceeded(EngineError):  # noqa: N818
    """It was not that decision's turn in time."""


class NotRunning(EngineError):  # noqa: N818
    """The engine has no bundle yet, or is shutting down."""


class EngineLost(EngineError):  # noqa: N818
    """The engine's process ended before it answered; whether the decision was written is not known."""


class NoCampaign(EngineError):  # noqa: N818
    """The campaign does not exist."""


class CampaignNotRunning(EngineError):  # noqa: N818
    """The campaign has not begun, or is over."""


class KeyReused(EngineError):  # noqa: N818
    """The Idempotency-Key was used with another request."""


class WrongFacts(EngineError):  # noqa: N818
    """Facts that do not fit the bundle's schema."""

    def __init__(self, faults: tuple[FactFault, ...]) -> None:
        super().__init__(f"facts do not fit: {', '.join(each.field for each in faults)}")
        self.faults = faults


Share = Annotated[float, Meta(ge=0, le=1)]
Action = Annotated[
    int,
    Meta(ge=0, description="0: wait; 1 + delays · offer + delay: the indices of an offer and a delay", examples=[7]),
]


Money = Annotated[float, Meta(ge=0)]
OfferName = Annotated[str, Meta(description="One of the bundle's offers, see `GET /v1/bundles`", examples=["ten"])]


class OfferMade(msgspec.Struct, frozen=True):
    """What is offered with a contact; all figures 0: a contact without an offer."""

    name: OfferName
    words: Annotated[str, Meta(description="What it is", examples=["10 % off for 30 days"])]
    discount: Annotated[Share, Meta(description="Share of the charge that is not paid while it runs", examples=[0.1])]
    amount: Annotated[Money, Meta(description="Credited once, on acceptance")]
    cost: Annotated[Money, Meta(description="What it costs per 30 days while it runs")]
    days: Annotated[int, Meta(ge=1, description="How long it runs once accepted", examples=[30])]


class Mark(msgspec.Struct, frozen=True):
    """What the shield says of a place in a text."""

    rule: Annotated[str, Meta(description="The rule", examples=["offer.percent"])]
    severity: Literal["block", "warn"]
    start: Annotated[int, Meta(ge=0, description="First character")]
    end: Annotated[int, Meta(ge=0, description="One past the last")]
    detail: Annotated[str, Meta(description="What is wrong there")]


class Message(msgspec.Struct, frozen=True):
    """A text that the shield has passed; nothing else is ever here."""

    text: Annotated[str, Meta(description="The message", examples=["Northwind: enjoy 10% off for 30 days. …"])]
    source: Annotated[Literal["variant", "template"], Meta(description="An approved wording, or the shield's template")]
    channel: Channel
    footer: Annotated[str, Meta(description="Text to be added below an e-mail; empty on other channels")]
    rules_version: Annotated[str, Meta(description="Version of the shield's rules", examples=["2026.1"])]
    warnings: Annotated[tuple[Mark, ...], Meta(description="What the shield notes and lets pass")] = ()
    variant_id: Annotated[
        str, Meta(description="Which wording it is, see `GET /v1/variants`; the template has one too")
    ] = ""
    variant_propensity: Annotated[Share, Meta(description="Probability with which this wording was drawn")] = 1.0
    variant_choices: Annotated[
        str, Meta(description="Wordings it was drawn from: alike for customers among whom they may be compared")
    ] = ""


class Churn(msgspec.Struct, frozen=True):
    """Probability of leaving within the bundle's risk window."""

    today: Annotated[Share, Meta(description="Today's score", examples=[0.31])]
    baseline: Annotated[Share, Meta(description="The first score in this campaign", examples=[0.24])]
    state: Annotated[Literal["calm", "elevated"], Meta(description="The risk state that the two amount to")]


class Removed(msgspec.Struct, frozen=True):
    """A rule that took actions away."""

    rule: Annotated[
        str,
        Meta(
            description="pending, cooldown, fatigue, account_cap, campaign_budget, campaign_end, consent, churned, "
            "contact_frequency, one_contact_a_day, paused, kill_switch, no_shield, message, scoring_failed, holdout, "
            "pilot",
            examples=["cooldown"],
        ),
    ]
    actions: tuple[Action, ...]


class BundleVersion(msgspec.Struct, frozen=True):
    """What decided."""

    id: Annotated[str, Meta(description="SHA-256 of the bundle")]
    policy_version: Annotated[str, Meta(description="Start of the policy program's SHA-256", examples=["5b1f0c9a7e21"])]
    rules_version: Annotated[str, Meta(description="Version of the shield's rules; empty without any")]
    slot: Annotated[SlotName, Meta(description="Which of the bundles that serve")]
    synthetic_data: Annotated[bool, Meta(description="Whether the bundle was made from made-up customers")]


class Decision(msgspec.Struct, frozen=True):
    """One decision: contact or wait, with which offer, when, in which words."""

    decision_id: DecisionId
    customer_id: CustomerId
    campaign_id: CampaignId
    decided_at: Annotated[str, Meta(description="UTC, ISO 8601", examples=["2026-11-26T10:15:00.125Z"])]
    day: Annotated[int, Meta(ge=0, description="Day of the campaign, from 0")]
    decision: Literal["contact", "wait"]
    action: Action
    propensity: Annotated[
        Share, Meta(description="Probability with which this very action was drawn, given the reason")
    ]
    channel: Channel
    offer: OfferMade | None
    delay_days: Annotated[int | None, Meta(description="Days until a contact, as the policy wanted it")]
    send_at: Annotated[
        str | None,
        Meta(
            description="When the message is to be sent: UTC, ISO 8601, outside the recipient's quiet hours",
            examples=["2026-11-26T15:00:00Z"],
        ),
    ]
    message: Message | None
    reserved_micros: Annotated[Micros, Meta(description="Taken from the campaign's budget until an outcome arrives")]
    churn: Churn | None
    rules: Annotated[tuple[Removed, ...], Meta(description="Constraints that took actions away")]
    bundle: BundleVersion
    degradations: Annotated[
        tuple[str, ...],
        Meta(
            description="What of this answer is less than it should be, by name",
            examples=[["canary_failed"]],
        ),
    ]
    dry_run: Annotated[bool, Meta(description="True: nothing was written and nothing may be sent")]
    reason: Annotated[
        Group,
        Meta(
            description="What decides about this customer: the policy; the hold-out, whom the campaign never contacts; "
            "or a pilot, which makes the one contact that she was drawn to, or none"
        ),
    ] = "policy"


ENCODER = msgspec.json.Encoder()

# --- between the two processes --------------------------------------------------------------------------------------


class Packet(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """`number` is the question's, which the answer repeats; 0 where nobody asked."""

    number: int


class Wanted(Packet, frozen=True):
    """A decision."""

    ask: Ask
    at: float
    """When it was asked for, monotonic seconds: one clock for all processes of a machine."""


class LineupChange(Packet, frozen=True):
    """A bundle put to work; without a path the slot is emptied. The answer is `Serving`."""

    path: str | None
    role: SlotName
    weight: float


class Scrape(Packet, frozen=True):
    """The engine's metrics."""


class Drain(Packet, frozen=True):
    """Nothing new comes; the engine finishes what it has and ends."""


class Answered(Packet, frozen=True):
    """A decision; with the row if it was a dry run, which the ledger does not know."""

    given: Given


class Failed(Packet, frozen=True):
    """An error that stands for itself."""

    kind: str
    text: str
    retry_after: float = 0.0
    faults: tuple[FactFault, ...] = ()


class Serving(Packet, frozen=True):
    """Which bundles serve now; the first one says that the engine is ready."""

    slots: Slots
    follows_pointer: bool


class Scraped(Packet, frozen=True):
    """Metrics in Prometheus' text format."""

    text: bytes


ToEngine = LineupChange | Scrape | Drain  # `Wanted` comes by a socket of its own
ToService = Answered | Failed | Serving | Scraped


class EngineFailed(errors.RetentionJaxError):
    """A defect in the engine; its log says more."""


_ERRORS: dict[str, Callable[[str], Exception]] = {
    kind.__name__: kind
    for kind in (
        CampaignNotRunning, DeadlineExceeded, KeyReused, NoCampaign,
        NotRunning, LedgerError, LedgerUnavailable, CommitUnknown, errors.BundleError, errors.ConfigError,
        errors.RetentionJaxError, OSError, ValueError,
    )
}  # fmt: skip


def failed(number: int, error: BaseException) -> Failed:
    """What to send for an error."""
    if isinstance(error, WrongFacts):
        return Failed(number, "WrongFacts", str(error), faults=error.faults)
    if isinstance(error, Overloaded):
        return Failed(number, "Overloaded", str(error), retry_after=error.retry_after)
    kind = next((each.__name__ for each in type(error).__mro__ if each.__name__ in _ERRORS), "")
    return Failed(number, kind, str(error) if kind else type(error).__name__)


def error_of(found: Failed) -> Exception:
    """The error again; EngineFailed for one that is none of those that callers know."""
    if found.kind == "WrongFacts":
        return WrongFacts(found.faults)
    if found.kind == "Overloaded":
        return Overloaded(found.retry_after)
    return _ERRORS.get(found.kind, EngineFailed)(found.text)
