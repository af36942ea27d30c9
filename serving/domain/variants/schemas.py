"""Wordings of messages, as they are proposed and shown."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serving.engine.contract import Channel, OfferName, Tone
from serving.fields import TEXT_PATTERN, MomentOut

State = Literal["proposed", "approved", "refused", "retired"]
VariantId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)", description="Start of the SHA-256 of kind and text")]
Text = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2000,
        pattern=TEXT_PATTERN,
        description="The message, with {sender}, {name}, {plan}, {tenure} and other facts where they differ",
        examples=["{sender}: Hi {name}, take 10% off for 30 days. Reply YES to accept. Reply STOP to opt out."],
    ),
]


class VariantIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wording somebody proposes."""

    offer: OfferName
    text: Text
    channel: Channel = "sms"
    tone: Tone = "warm"


class VariantsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wordings that somebody proposes."""

    variants: Annotated[tuple[VariantIn, ...], Meta(min_length=1, max_length=100)]


class VariantDecisionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of a wording."""

    state: Annotated[
        Literal["approved", "refused", "retired"],
        Meta(description="approved: sent from the next minute on; retired: not sent any more"),
    ]


class AnswersOut(msgspec.Struct, frozen=True):
    """What customers did with one wording."""

    sent: Annotated[int, Meta(ge=0)]
    accepted: Annotated[int, Meta(ge=0)]
    opted_out: Annotated[int, Meta(ge=0)]


class AcceptLiftOut(msgspec.Struct, frozen=True):
    """Accept rate less that of the shield's template; measured. The interval may be looked at every day."""

    estimate: float
    low: float
    high: float


class VariantOut(msgspec.Struct, frozen=True):
    """A wording, what the shield says of it, and what customers did."""

    variant_id: VariantId
    offer: OfferName
    channel: Channel
    tone: Tone
    text: Text
    author: Annotated[Literal["model", "person"], Meta(description="Who wrote it")]
    state: State
    examples: Annotated[tuple[str, ...], Meta(description="As customers would read it")]
    broken_rules: Annotated[
        tuple[str, ...], Meta(description="Rules of the shield that today's bundle says it breaks; then it is not sent")
    ]
    proposed_at: MomentOut
    proposed_by: str
    decided_at: MomentOut | None
    decided_by: str | None
    answers: AnswersOut
    template: Annotated[AnswersOut, Meta(description="The same of the shield's template of this kind")]
    lift: Annotated[AcceptLiftOut | None, Meta(description="Null before both were sent")]


class VariantsOut(msgspec.Struct, frozen=True):
    """Wordings by kind, the oldest first."""

    variants: tuple[VariantOut, ...]
