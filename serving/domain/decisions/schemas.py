"""What is asked for, and what is said about a decision beside the decision itself (`serving.engine.answer`)."""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from retentionjax.env.constraints import COSTS
from serving.engine.contract import Action, Churn, Decision, FactValue, Message, OfferMade, OfferName, Share
from serving.fields import TEXT_PATTERN, CampaignId, CustomerId, Micros
from serving.ledger.types import ContactState, KillSwitch, OutcomeKind
from serving.problems import ProblemDetails

MOST = 1000
"""Decisions a batch may ask for."""
MOST_POINTS = 50
"""Values a what-if may try."""
Facts = Annotated[
    dict[str, FactValue],
    Meta(
        description="The customer's facts by the bundle's schema, without the id; see `GET /v1/bundles`",
        examples=[{"months": 12, "monthly_charge": 70.35, "plan": "basic"}],
        max_length=200,
    ),
]
Channel = Annotated[Literal["sms", "email", "push"], Meta(description="How to reach her; the bundle's, if left out")]
Tone = Annotated[Literal["warm", "formal", "brief"], Meta(description="Tone of the message; the bundle's, if left out")]
FirstName = Annotated[
    str, Meta(pattern=TEXT_PATTERN, max_length=100, description="Name to greet; used only if it looks like a name")
]
TimeZone = Annotated[
    str,
    Meta(
        max_length=64,
        description="IANA name; the ledger's, if left out; unknown, it must be a fit hour in every zone",
        examples=["America/Chicago"],
    ),
]
Region = Annotated[
    str,
    Meta(
        max_length=64,
        description="ISO 3166: her country, or its region where regions have quiet hours of their own; the ledger's, "
        "if left out; unknown, the country of the time zone, else of the company, in its strictest region",
        examples=["US-FL", "DE"],
    ),
]


Baseline = Annotated[float, Meta(gt=0, lt=1, examples=[0.12])]


class DecisionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One decision. Risk, cooldown, consent and budget are never asked of the caller."""

    customer_id: CustomerId
    facts: Facts
    campaign_id: CampaignId = "default"
    channel: Channel | None = None
    time_zone: TimeZone | None = None
    region: Region | None = None
    first_name: FirstName | None = None
    tone: Tone | None = None
    baseline_churn_probability: Annotated[
        Baseline | None,
        Meta(
            description="Her usual risk, from scores before this campaign: far below today's means that something has "
            "happened. Only where the ledger has no score of hers yet; `churn.baseline` says which one counted"
        ),
    ] = None
    dry_run: Annotated[bool, Meta(description="Decide as if, and write nothing")] = False
    explain: Annotated[bool, Meta(description="Answer with the explanation")] = False


class DecisionsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many decisions, each by itself: one that is refused keeps none of the others from being made."""

    decisions: Annotated[tuple[msgspec.Raw, ...], Meta(min_length=1, max_length=MOST)]
    """Each a DecisionIn, read by itself."""


class ActionOut(msgspec.Struct, frozen=True):
    """One of the actions."""

    action: Action
    name: Annotated[str, Meta(description="The action in words", examples=["10 % off tomorrow"])]
    propensity: Annotated[Share, Meta(description="Probability with which it is drawn")]
    removed_by: Annotated[tuple[str, ...], Meta(description="Rules that forbid it")]


class ConstraintOut(msgspec.Struct, frozen=True):
    """A rule at work."""

    rule: Annotated[str, Meta(examples=["cooldown"])]
    actions: Annotated[tuple[Action, ...], Meta(description="Actions that it took away")]
    why: Annotated[str, Meta(description="Why it is, in words")]


class OfferWorthOut(msgspec.Struct, frozen=True):
    """A contact today with one offer and never again, against never again a contact: exact, by the bundle's model."""

    offer: OfferName
    words: Annotated[str, Meta(examples=["10 % off for 30 days"])]
    acceptance: Annotated[Share, Meta(description="Probability that she accepts")]
    gain: Annotated[float, Meta(description="Money, expected")]
    cost: Annotated[float, Meta(description="Money, expected spend")]
    net: Annotated[float, Meta(description="Money: gain less multiplier × cost")]
    is_legal: Annotated[bool, Meta(description="Whether it may be made today")]


class ReasonOut(msgspec.Struct, frozen=True):
    """What a fact does to the churn score."""

    field: str
    value: FactValue
    risk_without: Annotated[Share, Meta(description="Risk of leaving had this fact no say; such steps do not add up")]
    risk: Annotated[Share, Meta(description="Risk of leaving as it is")]
    log_odds: Annotated[
        float, Meta(description="Added to the log-odds before calibration (SHAP); above 0 raises the risk")
    ]


if TYPE_CHECKING:

    class ExpectedOut(msgspec.Struct, frozen=True):
        """Uplift and, by name, every cost."""

        def __init__(self, **values: float) -> None: ...
else:
    ExpectedOut = msgspec.defstruct(
        "ExpectedOut",
        [
            (name, Annotated[float, Meta(description=unit)])
            for name, unit in {"uplift": "Money over never contacting", **{n: c.unit for n, c in COSTS.items()}}.items()
        ],
        frozen=True,
        module=__name__,
        namespace={"__doc__": "What the policy expects from here on, for this customer and campaign."},
    )


class PacingOut(msgspec.Struct, frozen=True):
    """What was done to the policy's chances."""

    throttle: Annotated[Share, Meta(description="Factor on the chance of each contact")]
    multiplier: Annotated[
        float | None,
        Meta(description="Value charged for a unit of spend, as the policy was told; null: its training's multiplier"),
    ]
    exploration: Annotated[Share, Meta(description="Share of decisions drawn evenly from what is legal")]
    kill_switch: KillSwitch


class ExplanationOut(msgspec.Struct, frozen=True):
    """Why a decision is what it is."""

    actions: tuple[ActionOut, ...]
    constraints: tuple[ConstraintOut, ...]
    expected: Annotated[ExpectedOut | None, Meta(description="null where a simple rule or nothing decided")]
    offers: Annotated[tuple[OfferWorthOut, ...], Meta(description="Empty while a contact is planned")]
    never_contact_value: Annotated[float | None, Meta(description="Money, expected, without another contact")]
    multiplier: Annotated[float | None, Meta(description="Value that a unit of budget is worth elsewhere")]
    reasons: Annotated[tuple[ReasonOut, ...], Meta(description="Facts that move the risk most, strongest first")]
    pacing: PacingOut | None = None
    incomplete: Annotated[
        tuple[str, ...],
        Meta(
            description="Offers, multiplier and reasons are missing: bundle_not_serving, they need the bundle that "
            "decided; no_time, ask for the explanation by itself"
        ),
    ] = ()


class DecisionOut(Decision, frozen=True):
    """A decision, with its explanation if that was asked for."""

    explanation: ExplanationOut | None = None


class OutcomeSeen(msgspec.Struct, frozen=True):
    """What was reported of a decision."""

    kind: OutcomeKind
    at: Annotated[str, Meta(description="UTC, ISO 8601")]


class RecordedDecision(msgspec.Struct, frozen=True):
    """A decision as the ledger has it, and what came of it."""

    decision: Decision
    executed: Annotated[bool, Meta(description="False for what a shadow would have done")]
    contact_state: Annotated[ContactState | None, Meta(description="null to wait")]
    reserved_micros: Micros
    spent_micros: Micros
    outcomes: tuple[OutcomeSeen, ...]


class ResultOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """Result of one decision of a batch: either of the two."""

    decision: Annotated[DecisionOut | None, Meta(description="The decision, if it was made")] = None
    problem: Annotated[ProblemDetails | None, Meta(description="The problem, if it was refused")] = None


class DecisionsOut(msgspec.Struct, frozen=True):
    """One result for each decision asked for, in the same order."""

    decided: Annotated[int, Meta(ge=0, description="How many were made")]
    refused: Annotated[int, Meta(ge=0, description="How many were not")]
    results: tuple[ResultOut, ...]


# --- what if --------------------------------------------------------------------------------------------------

Days = Annotated[int, Meta(ge=0, le=3650)]
Dollars = Annotated[float, Meta(ge=0, le=1e9)]
Price = Annotated[float, Meta(ge=0, le=1000)]


class PendingIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A contact already planned."""

    offer: OfferName
    days: Annotated[Days, Meta(description="Days until it is sent")]


class HistoryIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A history that could have happened in this campaign."""

    day: Annotated[Days, Meta(description="Day of the campaign, from 0")] = 0
    contacts_days_ago: Annotated[tuple[Days, ...], Meta(max_length=90, description="Days since each, from 1")] = ()
    account_used: Annotated[Dollars | None, Meta(description="Money; what the contacts cost, if left out")] = None
    running_offer: Annotated[OfferName | None, Meta(description="Offer that runs, with `offer_days_left`")] = None
    offer_days_left: Annotated[Days | None, Meta(description="Days that it still protects, today included")] = None
    pending: PendingIn | None = None
    baseline_churn_probability: Annotated[Share | None, Meta(description="The usual score; today's, if left out")] = (
        None
    )


class OfferIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Figures of one offer other than the bundle's."""

    discount: Share | None = None
    amount: Dollars | None = None
    cost: Dollars | None = None


class OverridesIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Constants other than the bundle's."""

    multiplier: Annotated[
        Price | None, Meta(description="Value that a unit of budget is worth elsewhere; moves `net` only")
    ] = None
    offers: Annotated[
        dict[str, OfferIn] | None,
        Meta(description="Other figures of offers, by their names", examples=[{"ten": {"discount": 0.15}}]),
    ] = None
    contact_cost: Annotated[Dollars | None, Meta(description="Money")] = None
    account_cap: Annotated[Dollars | None, Meta(description="Money a customer and campaign")] = None
    cooldown_days: Annotated[int, Meta(ge=0, le=365)] | None = None
    fatigue_cap: Annotated[int, Meta(ge=0, le=31)] | None = None


class VaryIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that is moved while all others stay."""

    name: Annotated[
        str,
        Meta(
            max_length=120,
            description="`facts.NAME`, `history.day`, `history.account_used`, `history.baseline_churn_probability`, "
            "`overrides.multiplier`, `overrides.contact_cost`, `overrides.account_cap`, `overrides.cooldown_days`, "
            "`overrides.fatigue_cap`, or `overrides.offers.NAME.discount`, `.amount`, `.cost`",
            examples=["facts.monthly_charge"],
        ),
    ]
    values: Annotated[tuple[int | float | str, ...], Meta(min_length=1, max_length=MOST_POINTS)]


class SimulationIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision about a customer and a history that need not exist."""

    facts: Facts
    customer_id: CustomerId = "what-if"
    history: HistoryIn = HistoryIn()
    overrides: OverridesIn = OverridesIn()
    channel: Channel | None = None
    first_name: FirstName | None = None
    tone: Tone | None = None
    vary: Annotated[VaryIn | None, Meta(description="Simulates once for each value besides")] = None


class Simulated(msgspec.Struct, frozen=True):
    """What the policy would do. Consent, hold-out, pilot, quiet hours and the campaign's money are left out."""

    decision: Literal["contact", "wait"]
    action: Annotated[Action, Meta(description="Drawn by a hash of customer, campaign `default` and day")]
    offer: OfferMade | None
    delay_days: int | None
    churn: Churn
    monthly_charge: Annotated[float, Meta(description="Money per 30 days")]
    explanation: ExplanationOut
    message: Annotated[Message | None, Meta(description="The checked template; null to wait or without a shield")]


class SimulatedPoint(msgspec.Struct, frozen=True):
    """The simulation at one value."""

    value: int | float | str
    result: Simulated


class SimulationOut(msgspec.Struct, frozen=True):
    """Nothing of it was written."""

    bundle_id: str
    synthetic_data: bool
    result: Simulated
    points: tuple[SimulatedPoint, ...]
