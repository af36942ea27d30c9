"""What is due, and what was sent."""

from typing import Annotated

import msgspec
from msgspec import Meta

from serving.engine.contract import Message, OfferMade
from serving.fields import CampaignId, CustomerId, DecisionId, MomentOut

MOST = 1000


class DueOut(msgspec.Struct, frozen=True):
    """One message to be sent now."""

    decision_id: Annotated[DecisionId, Meta(description="Names the message: whoever sends it sends it once")]
    customer_id: CustomerId
    campaign_id: CampaignId
    send_at: Annotated[MomentOut, Meta(description="Since when it is due")]
    message: Message
    offer: OfferMade | None


class DuesOut(msgspec.Struct, frozen=True):
    """The messages that are due, the longest due first."""

    contacts: tuple[DueOut, ...]


class SentIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was handed to the carrier."""

    decision_ids: Annotated[tuple[DecisionId, ...], Meta(min_length=1, max_length=MOST)]


class SentOut(msgspec.Struct, frozen=True):
    """How many of them were not known as sent."""

    sent: Annotated[int, Meta(ge=0)]
