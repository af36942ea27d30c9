"""`/v1/contacts/due` and `/v1/contacts/sent`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta

from serving.engine.contract import Decision, Message, OfferMade
from serving.fields import CampaignId, CustomerId, DecisionId, MomentOut, iso
from serving.ledger.records import DueContact
from serving.ledger.types import DAY
from serving.problems import responses
from serving.security.gate import requires

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


LATEST = DAY
"""Seconds after which a message that was not sent is not sent any more; its reservation comes back by itself."""
_LATE = 900.0  # seconds; quiet hours may have begun since

Limit = Annotated[int, QueryParameter(ge=1, le=MOST, description="How many at most")]


@get(
    "/v1/contacts/due",
    operation_id="listDueContacts",
    summary="Messages to be sent now",
    tags=["contacts"],
    guards=[requires("decide")],
    responses=responses(),
    sync_to_thread=True,
)
def list_due(request: Request[Any, Any, Any], limit: Limit = 100) -> DuesOut:
    """Consent, departures, the kill switch and quiet hours are looked at again now. Listed until reported as sent."""
    return DuesOut(tuple(due_now(request.app.state, limit)))


@post(
    "/v1/contacts/sent",
    operation_id="reportSentContacts",
    summary="Report what was sent",
    tags=["contacts"],
    status_code=200,
    guards=[requires("decide")],
    responses=responses(413, 415),
    sync_to_thread=True,
)
def report_sent(request: Request[Any, Any, Any], data: JSONBody[SentIn]) -> SentOut:
    """What was sent is listed no more; reporting twice is once."""
    with request.app.state.ledger.transaction() as tx:
        return SentOut(tx.sent(data.decision_ids))


def due_now(state: Any, limit: int) -> list[DueOut]:
    """What may be sent now."""
    now: float = state.clock()
    with state.ledger.read() as view:
        if view.kill_switch() == "never":
            return []
        found: list[DueContact] = view.due(now, now - LATEST, limit)
    quiet = state.engine.lineup.active.served.quiet
    fit = [
        each
        for each in found
        if now - each.send_at < _LATE or quiet is None or quiet.earliest(each.time_zone, now) <= now
    ]
    return [out for each in fit if (out := _out(each)) is not None]


def _out(contact: DueContact) -> DueOut | None:
    decision = msgspec.json.decode(contact.response, type=Decision)
    if decision.message is None:
        return None
    return DueOut(
        contact.decision_id,
        contact.customer_id,
        contact.campaign_id,
        iso(contact.send_at),
        decision.message,
        decision.offer,
    )
