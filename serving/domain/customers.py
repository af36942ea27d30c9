"""`/v1/customers/{customer_id}/consent` and `/ledger`."""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from litestar import Request, get, put
from litestar.params import JSONBody
from msgspec import Meta

from retentionjax.decide.draws import Group
from retentionjax.shield.brief import Channel
from serving.domain import guarded
from serving.domain.decisions.controllers import refuse_unknown_place
from serving.domain.decisions.schemas import Region
from serving.fields import (
    TEXT_PATTERN,
    ZONE_PATTERN,
    CampaignId,
    CustomerId,
    CustomerInPath,
    DecisionId,
    Micros,
    Moment,
    MomentOut,
    shown,
)
from serving.ledger import Ledger
from serving.ledger.types import Consent, ConsentStatus, ContactState
from serving.problems import epoch, not_found

Status = Annotated[
    ConsentStatus,
    Meta(description="Only `granted` allows a contact"),
]
TimeZone = Annotated[str, Meta(pattern=ZONE_PATTERN, description="IANA name", examples=["America/New_York"])]


class ConsentIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Consent given or taken back."""

    channel: Channel
    status: Status
    source: Annotated[
        str, Meta(pattern=TEXT_PATTERN, max_length=200, description="Who or what said so", examples=["web form"])
    ] = "api"
    at: Annotated[
        Moment | None,
        Meta(description="When she said so; now, if left out. What she said later of this channel stays"),
    ] = None
    time_zone: Annotated[TimeZone | None, Meta(description="Remembered with it, for quiet hours")] = None
    region: Annotated[Region | None, Meta(description="Remembered with it, for quiet hours")] = None


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
    region: str | None
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
        ContactState,
        Meta(description="reserved: planned or unanswered"),
    ]
    reserved_micros: Micros
    spent_micros: Micros
    accepted_at: MomentOut | None


class CustomerLedgerOut(msgspec.Struct, frozen=True):
    """A customer's ledger in short; `retentionjax ledger show` has every row."""

    customer_id: CustomerId
    time_zone: str | None
    region: str | None
    churned_at: MomentOut | None
    observed_until: Annotated[MomentOut | None, Meta(description="Time until which it is known that she stayed")]
    arms: Annotated[dict[CampaignId, Group], Meta(description="What was drawn to decide about her, by campaign")]
    revenue_micros: Annotated[int, Meta(description="All that she was reported to have paid")]
    consents: tuple[ConsentOut, ...]
    contacts: Annotated[tuple[ContactOut, ...], Meta(description="Oldest first")]
    decisions: Annotated[int, Meta(ge=0, description="How many, shadow included")]


CONSENT = "/v1/customers/{customer_id:str}/consent"


@get(
    CONSENT,
    sync_to_thread=True,
    **guarded("customers", "readConsent", "What a customer consented to", "decide", "report"),
)
def read_consent(request: Request[Any, Any, Any], customer_id: CustomerInPath) -> ConsentsOut:
    """A channel that is not listed is unknown, and unknown is no consent."""
    return _known(request.app.state.ledger, customer_id)


@put(
    CONSENT,
    sync_to_thread=True,
    **guarded("customers", "putConsent", "Give or take back consent to a channel", "decide", also=(413, 415)),
)
def put_consent(request: Request[Any, Any, Any], customer_id: CustomerInPath, data: JSONBody[ConsentIn]) -> ConsentsOut:
    """Holds at once; contacts that are planned and no longer consented to are cancelled."""
    refuse_unknown_place(data.time_zone, data.region)
    at = None if data.at is None else epoch(data.at, "at")
    with request.app.state.ledger.transaction() as tx:
        released = tx.set_consent(customer_id, data.channel, data.status, source=data.source, at=at)
        if data.time_zone is not None or data.region is not None:
            tx.set_place(customer_id, time_zone=data.time_zone, region=data.region)
    return _known(request.app.state.ledger, customer_id, released)


@get(
    "/v1/customers/{customer_id:str}/ledger",
    sync_to_thread=True,
    **guarded("customers", "readCustomerLedger", "A customer's consent, contacts and money", "report", also=(404,)),
)
def read_ledger(request: Request[Any, Any, Any], customer_id: CustomerInPath) -> CustomerLedgerOut:
    """Contacts with their money, consent, whether she has left, and how many decisions there are. All that is held of
    her, scores, facts and messages too, `retentionjax ledger show` writes."""
    with request.app.state.ledger.read() as view:
        found = view.customer_ledger(customer_id)
    if found is None:
        raise not_found("customer", "customer_id", customer_id)
    contacts = tuple(shown(ContactOut, each) for each in found.contacts)
    more: dict[str, Any] = {"arms": dict(found.arms), "consents": _consents(found.consent), "contacts": contacts}
    return shown(CustomerLedgerOut, found, **more)


def _known(ledger: Ledger, customer_id: str, released_micros: int = 0) -> ConsentsOut:
    found = ledger.ask(lambda view: view.customer_ledger(customer_id))
    if found is None:  # or forgotten just now
        return ConsentsOut(customer_id, None, None, (), released_micros)
    return ConsentsOut(customer_id, found.time_zone, found.region, _consents(found.consent), released_micros)


def _consents(found: Iterable[Consent]) -> tuple[ConsentOut, ...]:
    return tuple(shown(ConsentOut, each) for each in found)
