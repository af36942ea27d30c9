"""Consent and ledger of a customer."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from retentionjax.decide.draws import Group
from serving.fields import TEXT_PATTERN, CampaignId, CustomerId, DecisionId, Micros, MomentOut

Channel = Literal["sms", "email", "push"]
Status = Annotated[
    Literal["granted", "denied", "opted_out", "unknown"],
    Meta(description="Only `granted` allows a contact"),
]
TimeZone = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._+/-]{1,64}$(?!\n)", description="IANA name", examples=["America/New_York"])
]


class ConsentIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Consent given or taken back now."""

    channel: Channel
    status: Status
    source: Annotated[
        str, Meta(pattern=TEXT_PATTERN, max_length=200, description="Who or what said so", examples=["web form"])
    ] = "api"
    time_zone: Annotated[TimeZone | None, Meta(description="Remembered with it, for quiet hours")] = None


class ConsentOut(msgspec.Struct, frozen=True):
    """Consent to one channel."""

    channel: Channel
    status: Status
    changed_at: MomentOut
    source: str


class ConsentsOut(msgspec.Struct, frozen=True):
    """Consent to each channel of which anything is known."""

    customer_id: CustomerId
    time_zone: str | None
    consents: tuple[ConsentOut, ...]
    released_micros: Annotated[Micros, Meta(description="Given back by contacts that were cancelled just now")] = 0


class ContactOut(msgspec.Struct, frozen=True):
    """One contact."""

    decision_id: DecisionId
    campaign_id: CampaignId
    channel: Channel
    offer: Annotated[str, Meta(description="Name of the offer")]
    send_at: MomentOut
    state: Annotated[
        Literal["reserved", "accepted", "declined", "expired", "cancelled"],
        Meta(description="reserved: planned or unanswered"),
    ]
    reserved_micros: Micros
    spent_micros: Micros
    accepted_at: MomentOut | None


class CustomerLedgerOut(msgspec.Struct, frozen=True):
    """All that the ledger holds of a customer."""

    customer_id: CustomerId
    time_zone: str | None
    churned_at: MomentOut | None
    observed_until: Annotated[MomentOut | None, Meta(description="Until when it is known that she stayed")]
    arms: Annotated[dict[CampaignId, Group], Meta(description="By campaign, what was drawn to decide about her")]
    revenue_micros: Annotated[int, Meta(description="All that she was reported to have paid")]
    consents: tuple[ConsentOut, ...]
    contacts: Annotated[tuple[ContactOut, ...], Meta(description="Oldest first")]
    decisions: Annotated[int, Meta(ge=0, description="How many, shadow included")]
