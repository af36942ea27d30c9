"""What a decision is to whoever asked for it: the JSON of an answer, as structs that describe themselves in OpenAPI."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serving.domain.identifiers import CampaignId, CustomerId, DecisionId, Micros

Share = Annotated[float, Meta(ge=0, le=1)]
Action = Annotated[
    int,
    Meta(ge=0, le=12, description="0: wait; 1 + 3 · offer + delay: the indices of an offer and a delay", examples=[7]),
]


class Offer(msgspec.Struct, frozen=True):
    """A discount on the monthly charge."""

    discount: Annotated[Share, Meta(description="Share of the charge; 0: a contact without one", examples=[0.1])]
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
    source: Annotated[Literal["model", "template"], Meta(description="Who wrote it")]
    channel: Literal["sms", "email", "push"]
    footer: Annotated[str, Meta(description="To be added below an e-mail; empty on other channels")]
    rules_version: Annotated[str, Meta(description="Of the shield's rules", examples=["2026.1"])]
    warnings: Annotated[tuple[Mark, ...], Meta(description="What the shield notes and lets pass")] = ()


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
            "contact_frequency, one_contact_a_day, kill_switch, no_shield, message, scoring_failed",
            examples=["cooldown"],
        ),
    ]
    actions: tuple[Action, ...]


class BundleVersion(msgspec.Struct, frozen=True):
    """What decided."""

    id: Annotated[str, Meta(description="SHA-256 of the bundle")]
    policy_version: Annotated[str, Meta(description="Start of the policy program's SHA-256", examples=["5b1f0c9a7e21"])]
    rules_version: Annotated[str, Meta(description="Of the shield's rules; empty without any")]
    slot: Annotated[Literal["active", "canary", "shadow"], Meta(description="Which of the bundles that serve")]
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
    propensity: Annotated[Share, Meta(description="Probability with which this very action was drawn")]
    channel: Literal["sms", "email", "push"]
    offer: Offer | None
    delay_days: Annotated[int | None, Meta(description="Of a contact, as the policy wanted it")]
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
            examples=[["message_template:deadline"]],
        ),
    ]
    dry_run: Annotated[bool, Meta(description="True: nothing was written and nothing may be sent")]


ENCODER = msgspec.json.Encoder()
