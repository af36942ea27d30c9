"""Messages that are due: asked for at `/v1/contacts/due` and reported at `/v1/contacts/sent`, or posted to an address
of the operator's, with the same JSON.

A batch that is answered with 2xx is reported as sent, so it comes once, and again only where the answer was lost: the
receiver knows a message by its `decision_id`. The body is signed with the setting `webhook_secret`, HMAC-SHA-256 over
time and body, in the header `RetentionJax-Signature: t=SECONDS,v1=HEX`. One worker at a time does it.
"""

import asyncio
import hmac
import http.client
import time
import urllib.error
import urllib.request
import uuid
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import structlog
from litestar import Request, get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta

from serving.domain import guarded
from serving.engine.contract import Decision, Message, OfferMade
from serving.engine.messages import QuietHoursCache
from serving.express import HEAD, decode
from serving.fields import TEXT_PATTERN, CampaignId, CustomerId, DecisionId, MomentOut, shown
from serving.ledger import LedgerUnavailable, Reader
from serving.ledger.outcomes import LATEST
from serving.ledger.records import DueContact
from serving.problems import Problem

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


_LONGEST = 200
ListedId = Annotated[str, Meta(pattern=TEXT_PATTERN, max_length=_LONGEST)]


class SentIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was handed to the carrier."""

    decision_ids: Annotated[
        tuple[msgspec.Raw, ...],
        Meta(min_length=1, max_length=MOST, description="Ids as listed; what is no message is named in `unknown`"),
    ]
    """Each a ListedId, read by itself: one that is wrong must not keep the others from being known as sent, or they
    are sent again."""


class SentOut(msgspec.Struct, frozen=True):
    """How many of them were not known as sent, and which could not be."""

    sent: Annotated[int, Meta(ge=0)]
    refused: Annotated[
        tuple[DecisionId, ...],
        Meta(
            description="Cancelled before, and a later contact took their place or the budget is used up: not counted"
        ),
    ] = ()
    unknown: Annotated[
        tuple[ListedId, ...],
        Meta(description="No decision that made a contact: not counted; what is no text as JSON; each cut"),
    ] = ()


_LATE = 900.0  # seconds; quiet hours may have begun since
_ASKED_EVERY = 60.0
"""Seconds between two times that the ledger is told that the list is asked for. One that takes no writes, as on a full
disk, lists nothing from then on: what is sent could not be reported, nor be stopped by the kill switch."""

Limit = Annotated[int, QueryParameter(ge=1, le=MOST, description="How many at most")]


@get(
    "/v1/contacts/due",
    sync_to_thread=True,
    **guarded("contacts", "listDueContacts", "Messages to be sent now", "decide"),
)
def list_due(request: Request[Any, Any, Any], limit: Limit = 100) -> DuesOut:
    """Consent, departures, the kill switch and quiet hours are looked at again now. Listed until reported as sent."""
    return DuesOut(tuple(due_now(request.app.state, limit, remember=HEAD not in request.scope)))


@post(
    "/v1/contacts/sent",
    status_code=200,
    sync_to_thread=True,
    **guarded("contacts", "reportSentContacts", "Report what was sent", "decide", also=(413, 415)),
)
def report_sent(request: Request[Any, Any, Any], data: JSONBody[SentIn]) -> SentOut:
    """What was sent is listed no more; reporting twice is once."""
    ids, strange = list[str](), list[str]()
    for each in data.decision_ids:
        try:
            ids.append(decode(bytes(each), ListedId))
        except Problem:
            strange.append(_named(each))
    with request.app.state.ledger.transaction() as tx:
        sent, refused, unknown = tx.sent(ids)
    return SentOut(sent, tuple(refused), (*unknown, *strange))


def _named(listed: msgspec.Raw) -> str:
    """What is no id, as a text: itself if it is too long, else as JSON; cut."""
    try:
        text: str = msgspec.json.decode(listed, type=Annotated[str, Meta(pattern=TEXT_PATTERN)])
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = bytes(listed).decode(errors="replace")
    return text[:_LONGEST]


def due_now(state: Any, limit: int, *, remember: bool = True) -> list[DueOut]:
    """What may be sent now; the ledger remembers what was listed, since the rest was certainly not sent."""
    now: float = state.clock()
    quiet = state.engine.active.quiet
    with state.ledger.read() as view:
        found, last = _due(view, now, limit, quiet), view.asked()
    is_known = last is not None and 0 <= now - last.last < _ASKED_EVERY
    if remember and (not is_known or any(each.listed_at is None for each in found)):
        with state.ledger.transaction() as tx:  # what was cancelled since the look above is not listed
            found = _due(tx, now, limit, quiet)
            tx.listed([each.decision_id for each in found])
    return [_out(each) for each in found]


def _due(view: Reader, now: float, limit: int, quiet: QuietHoursCache | None) -> list[DueContact]:
    """What may be sent now. Late contacts are told apart by their places, of which there are few, before the limit:
    however many wait for the morning, they keep nobody else waiting."""
    if view.kill_switch() == "never":
        return []
    late = now - _LATE
    shut = (
        []
        if quiet is None
        else [each for each in view.late_places(now - LATEST, late) if quiet.earliest(each, now) > now]
    )
    return view.due(now, now - LATEST, limit, late, shut)


def _out(contact: DueContact) -> DueOut:
    decision = msgspec.json.decode(contact.response, type=Decision)
    return shown(DueOut, contact, message=decision.message, offer=decision.offer)


EVERY_SECONDS = 15.0
_AT_ONCE = 100
_TIMEOUT = 10.0
_LEASE_SECONDS = 60.0
_log = structlog.get_logger("serving.webhook")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect what it is, an answer other than 2xx: urllib would ask its target with GET, without the
    messages and with their signature, and take its 200 for theirs."""

    def redirect_request(self, *_: Any) -> None:
        """None: an HTTPError is raised."""


_OPENER = urllib.request.build_opener(_NoRedirects)


class Webhook:
    """Runs beside the requests, in a thread of its own."""

    def __init__(self, state: Any) -> None:
        self._state, self._name = state, str(uuid.uuid4())
        self._address: str = state.settings.webhook

    async def run(self) -> None:
        """Runs until it is cancelled. What fails is logged, counted and tried again."""
        while True:
            try:
                while await asyncio.to_thread(self.once) == _AT_ONCE:
                    pass
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round must come
                self._state.metrics.housekeeping_failed("webhook", error)
                _log.warning("the webhook failed", again_in_seconds=EVERY_SECONDS, **self._why(error))
            await asyncio.sleep(EVERY_SECONDS)

    def once(self) -> int:
        """Sends what is due now; how many messages. Raises OSError where the address does not take them."""
        with self._state.ledger.transaction() as tx:
            if not tx.lease("webhook", self._name, _LEASE_SECONDS):
                return 0
        due = due_now(self._state, _AT_ONCE)
        if due:
            self._post(msgspec.json.encode(DuesOut(tuple(due))))
            with self._state.ledger.transaction() as tx:
                tx.sent([each.decision_id for each in due])
        return len(due)

    def _why(self, error: Exception) -> dict[str, Any]:
        """What a person needs to know of a failure: of the address its host alone, since the rest may hold a secret,
        and of the answer its status alone, since what it says is the receiver's."""
        why: dict[str, Any] = {"error": type(error).__name__}
        if isinstance(error, urllib.error.HTTPError):
            why["answered"] = error.code
        elif isinstance(error, urllib.error.URLError):
            why["reason"] = str(error.reason)
        elif isinstance(error, OSError | LedgerUnavailable):
            why["reason"] = str(error)
        elif not isinstance(error, http.client.HTTPException | ValueError):  # these quote the address
            why["exc_info"] = error
        return why if isinstance(error, LedgerUnavailable) else {"host": urlsplit(self._address).hostname, **why}

    def _post(self, body: bytes) -> None:
        settings = self._state.settings
        headers = {"Content-Type": "application/json"}
        if settings.webhook_secret:
            headers["RetentionJax-Signature"] = signature(settings.webhook_secret, body, int(time.time()))
        request = urllib.request.Request(self._address, body, headers, method="POST")  # noqa: S310 - http(s), checked
        with _OPENER.open(request, timeout=_TIMEOUT):
            pass


def signature(secret: str, body: bytes, at: int) -> str:
    """The header's value for a body sent `at` UTC epoch seconds."""
    return f"t={at},v1={hmac.digest(secret.encode(), f'{at}.'.encode() + body, 'sha256').hex()}"
