"""What every page needs: who is signed in, what serves, and forms that came from our own pages."""

import asyncio
import base64
import datetime as dt
import hashlib
import hmac
import secrets
import time
import zoneinfo
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Redirect

from retentionjax.company.money import money as in_words
from retentionjax.company.money import symbol
from serving.ledger import Ledger, LedgerUnavailable
from serving.problems import Problem, field_error, invalid, on_exception
from serving.security.bodies import check_text
from serving.security.gate import LONGEST_KEY, Caller

HERE = Path(__file__).parent
STATIC = HERE / "static"
_LISTED = 20  # campaigns


def page(template: str, *, status: int = 200, currency: str = "USD", **values: Any) -> Response[str]:
    """A page or a part of one, as HTML; money on it is in `currency`."""
    text = _environment(currency).get_template(template).render(**values)
    return Response(text, status_code=status, media_type="text/html; charset=utf-8")


@cache
def _environment(currency: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(money=partial(money, currency=currency), percent=percent, factor=factor, words=words)
    environment.globals.update(asset=asset, moment=moment, symbol=symbol(currency))
    return environment


@cache
def asset(name: str) -> str:
    """The address of a static file; it changes with the file, so browsers may keep it."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/console/static/{name}?v={digest}"


def money(micros: float, currency: str) -> str:
    """2_500_000 → €2.50."""
    return in_words(micros / 1e6, currency, cents=True)


def percent(share: float, digits: int = 1) -> str:
    """0.123 → 12.3 %."""
    return f"{100 * share:.{digits}f} %"


def moment(when: str | float, zone: str = "") -> str:
    """A moment for people, ISO 8601 or epoch seconds: 26 Nov 2026, 10:15 UTC, or as the clocks of `zone` show it."""
    at = dt.datetime.fromisoformat(when) if isinstance(when, str) else dt.datetime.fromtimestamp(when, dt.UTC)
    at = at.astimezone(zoneinfo.ZoneInfo(zone) if zone else dt.UTC)
    return f"{at.day} {at:%b %Y, %H:%M} {f'in {zone}' if zone else 'UTC'}"


def factor(value: float) -> str:
    """1.5 → ×1.50."""
    return f"×{value:.2f}"


def words(name: str) -> str:
    """account_cap → account cap."""
    return name.replace("_", " ")


Http = Request[Any, Any, Any]
HOME, SIGN_IN = "/console", "/console/sign-in"
TABS = (
    ("/console", "Campaign"),
    ("/console/effect", "Effect"),
    ("/console/decide", "Decide"),
    ("/console/wordings", "Wordings"),
    ("/console/bundles", "Bundles"),
    ("/console/safety", "Safety"),
)


class SignedOut(Exception):  # noqa: N818 - a state, not a mistake
    """There is no session, or it has ended."""


Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


def signed_in(*roles: str) -> Guard:
    """A guard: a session whose key has one of `roles`, or is an admin's. Raises SignedOut or Problem 403."""
    allowed = frozenset(("admin", *roles))

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        state = connection.app.state
        session = await state.sessions.read(connection.cookies.get(COOKIE))
        if session is None:
            raise SignedOut
        state.gate.charge(session.caller, 1.0)
        connection.scope["auth"] = session
        if session.caller.role not in allowed:
            detail = f"This page wants the role {' or '.join(sorted(allowed))}; this key's is {session.caller.role}."
            raise Problem(403, "forbidden", "The key's role may not do this", detail)

    guard.roles = allowed  # type: ignore[attr-defined]  # a test walks all routes and looks for it
    return guard


async def read_form(request: Http) -> dict[str, str]:
    """The fields of a form that one of our pages sent. Raises Problem 403 for any other origin."""
    check_origin(request)
    fields = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    for name, value in fields.items():
        check_text(value, name)
    session: Session = request.auth
    if not same(fields.pop("csrf", ""), session.csrf):
        raise Problem(403, "foreign-form", "This form is not ours, or is too old", "Reload the page and try again.")
    return fields


def number(form: Mapping[str, str], name: str) -> float | None:
    """A number of the form; None where it is empty. Raises Problem 422 for what is none."""
    text = form.get(name, "").strip()
    try:
        return float(text) if text else None
    except ValueError:
        raise invalid("A number is wanted.", field_error(name, text, "a number")) from None


def check_origin(request: Http) -> None:
    """Raises Problem 403 for a form that another site sent; browsers say where it comes from."""
    origin, host = request.headers.get("origin"), request.headers.get("host")
    foreign = origin is not None and urlsplit(origin).netloc != host
    if foreign or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "foreign-form", "This form is not ours", "It was sent by another site.")


def is_part(request: Http) -> bool:
    """Whether HTMX asks, and wants only what changes."""
    return request.headers.get("hx-request") == "true"


def currency_of(request: Http) -> str:
    """Currency of the company whose bundle serves."""
    return str(request.app.state.engine.lineup.active.served.bundle.company.currency)


async def full_page(request: Http, template: str, *, title: str, status: int = 200, **values: Any) -> Response[str]:
    """A page in its frame."""
    return page(template, status=status, title=title, **(await _surroundings(request)), **values)


async def _surroundings(request: Http) -> Mapping[str, Any]:
    session: Session | None = request.scope.get("auth")
    surroundings: dict[str, Any] = {"session": session, "tabs": TABS, "here": request.url.path, "mode": "policy"}
    surroundings |= {"synthetic": False, "bundle": "", "done": request.query_params.get("done", "")[:100]}
    if session is not None:
        active = request.app.state.engine.lineup.active.served
        mode = await asyncio.to_thread(request.app.state.ledger.ask, lambda view: view.kill_switch())
        surroundings |= {
            "currency": currency_of(request),
            "mode": mode,
            "synthetic": active.synthetic,
            "bundle": active.id,
        }
    return surroundings


def campaign_names(ledger: Any) -> list[str]:
    """The campaigns that a page lists, the latest first."""
    names: list[str] = ledger.ask(lambda view: view.campaign_ids(_LISTED))
    return names


def on_signed_out(request: Http, _error: SignedOut) -> Response[Any]:
    """Redirects to the sign-in page; HTMX is told to load it whole."""
    if is_part(request):
        return Response("", status_code=204, headers={"HX-Redirect": SIGN_IN})
    return Redirect(SIGN_IN, status_code=303)


def on_refusal(request: Http, error: Problem) -> Response[Any]:
    """A problem as a page."""
    return page(
        "refused.html", status=error.status, title=error.title, problem=error, part=is_part(request), done="",
        session=None, tabs=(), here="", mode="policy", synthetic=False, bundle="",
    )  # fmt: skip


def on_http(request: Http, error: HTTPException) -> Response[Any]:
    """What Litestar refuses, as a page."""
    detail = "There is nothing here." if error.status_code == 404 else "The request cannot be read."
    return on_refusal(request, Problem(error.status_code, "refused", "That did not work", detail))


def on_defect(request: Http, error: Exception) -> Response[Any]:
    """What is broken, as a page; the log knows more."""
    if isinstance(error, LedgerUnavailable):
        return on_refusal(
            request, Problem(503, "ledger-unavailable", "Not available now", "The ledger cannot be reached.")
        )
    on_exception(request, error)
    return on_refusal(request, Problem(500, "defect", "The service failed", "Its log says why."))


@get("/sign-in")
async def show_sign_in(request: Http) -> Response[str]:
    """The form."""
    return await full_page(request, "sign_in.html", title="Sign in", problem="")


@post("/sign-in", status_code=200)
async def sign_in(request: Http) -> Response[Any]:
    """Starts a session for the owner of a key; the page says no more than that a key is wrong."""
    check_origin(request)
    key = str((await request.form()).get("key", ""))[:LONGEST_KEY].strip()
    client = request.client
    try:
        caller = await request.app.state.gate.identify(key.encode(), client.host if client else "")
    except Problem as problem:
        shown = "This key is not known, or was revoked." if problem.status == 401 else problem.detail
        return await full_page(request, "sign_in.html", title="Sign in", status=problem.status, problem=shown)
    settings = request.app.state.settings
    cookie = Cookie(
        key=COOKIE,
        value=request.app.state.sessions.start(caller),
        path="/console",
        httponly=True,
        samesite="strict",
        secure=settings.secure_cookies,
        max_age=int(settings.session_hours * 3600),
    )
    return Redirect(HOME, status_code=303, cookies=[cookie])


@post("/sign-out", guards=[signed_in("decide", "report")], status_code=200)
async def sign_out(request: Http) -> Response[Any]:
    """Ends the session and forgets the cookie."""
    await read_form(request)
    await asyncio.to_thread(request.app.state.sessions.end, request.auth)
    gone = Cookie(key=COOKIE, value="", path="/console", httponly=True, samesite="strict", max_age=0)
    return Redirect(SIGN_IN, status_code=303, cookies=[gone])


# --- sessions --------------------------------------------------------------------------------------------------------
# The cookie holds the key's id, when it ends, a random word and a MAC of all three; the API key is in it nowhere. It
# ends with the key, and when its owner signs out: each page asks the ledger, which all workers share, for both.


COOKIE = "retentionjax_session"
_DOMAIN = b"retentionjax console v1 "


@dataclass(frozen=True, slots=True)
class Session:
    """Session of one signed-in browser."""

    word: str
    ends_at: float
    caller: Caller
    csrf: str
    """What forms carry."""

    @property
    def may_decide(self) -> bool:
        """Whether decisions may be asked for."""
        return self.caller.role in ("decide", "admin")

    @property
    def may_report(self) -> bool:
        """Whether campaigns and bundles may be looked at."""
        return self.caller.role in ("report", "admin")

    @property
    def may_change(self) -> bool:
        """Whether settings may be changed."""
        return self.caller.role == "admin"


class Sessions:
    """Makes, reads and ends the cookies."""

    def __init__(
        self,
        secret: str,
        ledger: Ledger,
        *,
        seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = hashlib.sha256(_DOMAIN + (secret.encode() if secret else secrets.token_bytes(32))).digest()
        self._ledger, self._seconds, self._clock = ledger, seconds, clock

    def start(self, caller: Caller) -> str:
        """The value of a new cookie."""
        content = f"{caller.key_id}.{int(self._clock() + self._seconds)}.{secrets.token_urlsafe(12)}"
        return f"{content}.{self._mac('session', content)}"

    async def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None for none, a forged, old or ended one, or one whose key was revoked."""
        content, _, mac = (cookie or "").rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", content).encode()):
            return None
        key_id, ends, word = content.split(".")
        if self._clock() >= int(ends):
            return None
        key = await asyncio.to_thread(self._ledger.ask, lambda view: view.session_key(key_id, word))
        if key is None:
            return None
        return Session(word, float(ends), Caller(key.key_id, key.role, key.name), self._mac("csrf", content))

    def end(self, session: Session) -> None:
        """Ends a session in every worker at once."""
        with self._ledger.transaction() as tx:
            tx.end_session(session.word, session.ends_at)

    def _mac(self, purpose: str, content: str) -> str:
        digest = hmac.digest(self._secret, f"{purpose}:{content}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:24]).decode()


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
