"""What every page needs: who is signed in, what serves, and forms that came from our own pages."""

import asyncio
import datetime as dt
import hashlib
import math
import re
import zoneinfo
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException, InternalServerException, NotFoundException
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Redirect

from retentionjax.company.money import money as in_words
from retentionjax.company.money import symbol
from retentionjax.shield.brief import CHANNEL_WORDS
from serving.console.sessions import COOKIE, Session, same
from serving.engine.contract import EngineError
from serving.fields import NAME_PATTERN
from serving.ledger import LedgerUnavailable, Reader
from serving.moments import utc
from serving.problems import Problem, allowed_methods, count, defect, field_error, invalid, ledger_unavailable
from serving.security.bodies import check_text
from serving.security.gate import LONGEST_KEY

HERE = Path(__file__).parent
STATIC = HERE / "static"
_LISTED = 20  # campaigns


def page(template: str, *, status: int = 200, currency: str = "USD", **values: Any) -> Response[str]:
    """A page or a part of one, as HTML; money on it is in `currency`."""
    text = _environment(currency).get_template(template).render(**values)
    return Response(text, status_code=status, media_type="text/html")


@cache
def _environment(currency: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(money=partial(money, currency=currency), percent=percent, words=words)
    environment.globals.update(asset=asset, moment=moment, sending=sending, symbol=symbol(currency))
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
    at = dt.datetime.fromisoformat(when) if isinstance(when, str) else utc(when)
    at = at.astimezone(zoneinfo.ZoneInfo(zone) if zone else dt.UTC)
    return f"{at.day} {at:%b %Y, %H:%M} {f'in {zone}' if zone else 'UTC'}"


def sending(decision: Any, zone: str) -> str:
    """When a contact is made: now, later today, or on which day; in words, by the clocks of `zone`.

    What nobody decided has no moment, and its delay in days.
    """
    send_at = getattr(decision, "send_at", None)
    if send_at is None:
        days: int = decision.delay_days
        return {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
    clock = zoneinfo.ZoneInfo(zone) if zone else dt.UTC
    decided, sent = (dt.datetime.fromisoformat(each).astimezone(clock) for each in (decision.decided_at, send_at))
    if sent - decided < _SOON:
        return "now"
    return f"today at {sent:%H:%M}" if sent.date() == decided.date() else f"on {sent.day} {sent:%b}"


_SOON = dt.timedelta(minutes=5)


def words(name: str) -> str:
    """A name as people write it: account_cap → account cap, sms → SMS."""
    return CHANNEL_WORDS.get(name, name.replace("_", " "))


Http = Request[Any, Any, Any]
HOME, SIGN_IN = "/console", "/console/sign-in"
TABS = (
    ("/console", "Campaign", ("report",)),
    ("/console/effect", "Effect", ("report",)),
    ("/console/decide", "Decide", ("decide",)),
    ("/console/customers", "Customers", ("report",)),
    ("/console/wordings", "Wordings", ("report",)),
    ("/console/bundles", "Bundles", ("report",)),
    ("/console/safety", "Safety", ("report",)),
)
"""Address, name, and whom it is for; an admin may see all."""
CHOSEN = "retentionjax_campaign"
"""Cookie of the campaign that was looked at last."""
DONE = {
    "saved": "Saved.",
    "drawn-anew": "Saved. The new share to hold out holds for customers who are not drawn yet; the others stay.",
    "ended": "Its end is set.",
    "not-running": "It is not running, so there is nothing to end. Nothing was changed.",
    "paused": "Paused: nobody is contacted by it until it is resumed.",
    "resumed": "Resumed.",
    "loaded": "Done.",
    "set": "Set.",
    "proposed": "Proposed. It is sent once it is approved.",
    "edited": "Proposed. It takes the place of the one it was edited from once it is approved.",
    "approved": "Approved.",
    "refused": "Refused.",
    "retired": "It is sent no more.",
}
"""What a page says was done, by the word in its address: an address can make it say nothing else."""


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


def number(form: Mapping[str, str], name: str, label: str = "", *, whole: bool = False) -> float | None:
    """A number of the form; None where it is empty. Raises Problem 422, which calls it `label`, for what is none."""
    text = form.get(name, "").strip()
    if not text:
        return None
    value = parsed(text)
    if value is None:
        raise invalid("A number is wanted.", field_error(label or name, text, "a number in the digits 0 to 9"))
    if whole and not value.is_integer():
        raise invalid("A whole number is wanted.", field_error(label or name, value, "a whole number"))
    return value


def parsed(text: str) -> float | None:
    """The number that `text` is, written as browsers send one; None for all else that Python would read as a number."""
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def check_origin(request: Http) -> None:
    """Raises Problem 403 for a form that another site sent; browsers say where it comes from."""
    origin, host = request.headers.get("origin"), request.headers.get("host")
    foreign = origin is not None and _split(origin).netloc != host
    if foreign or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "foreign-form", "This form is not ours", "It was sent by another site.")


def _split(address: str) -> SplitResult:
    """The parts of an address that a header gives; all empty for one that is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def is_part(request: Http) -> bool:
    """Whether HTMX asks, and wants only what changes."""
    return request.headers.get("hx-request") == "true"


def currency_of(request: Http) -> str:
    """Currency of the company whose bundle serves."""
    return str(request.app.state.engine.active.bundle.company.currency)


async def full_page(request: Http, template: str, *, title: str, status: int = 200, **values: Any) -> Response[str]:
    """A page in its frame."""
    mode = "policy"
    if request.scope.get("auth") is not None:
        mode = await asyncio.to_thread(request.app.state.ledger.ask, lambda view: view.kill_switch())
    surroundings = _surroundings(request) | {"mode": mode}
    return page(template, status=status, title=title, **{**surroundings, **values})


def _surroundings(request: Http) -> dict[str, Any]:
    """The frame of a page, but for what only the ledger knows."""
    session: Session | None = request.scope.get("auth")
    role = None if session is None else session.caller.role
    tabs = [(address, name) for address, name, roles in TABS if role in ("admin", *roles)]
    done = DONE.get(request.query_params.get("done", ""), "")
    frame: dict[str, Any] = {"session": session, "tabs": tabs, "here": request.url.path, "mode": "policy"}
    frame |= {"synthetic": False, "bundle": "", "done": done}
    if session is not None:
        active = request.app.state.engine.active
        frame |= {"currency": currency_of(request), "synthetic": active.synthetic, "bundle": active.id}
    return frame


def done_at(address: str, done: str) -> Redirect:
    """Sends the browser on to a page that says what was done, by a word of `DONE`."""
    return Redirect(f"{address}{'&' if '?' in address else '?'}done={done}", status_code=303)


def campaigns_of(request: Http, reader: Reader) -> tuple[list[str], str | None]:
    """The campaigns that a page lists, the latest first, and the one that it is about: `?id=`, else the one that was
    looked at last, else that of the latest decision, else the latest; None where there is none."""
    names = reader.campaign_ids(_LISTED)
    if asked := request.query_params.get("id"):
        return names, asked
    if (seen := looked_at(request)) and reader.campaign(seen) is not None:
        return names, seen
    decided = [each.campaign_id for each in reader.recent(1)]
    return names, next(iter([*decided, *names]), None)


def looked_at(request: Http) -> str | None:
    """The campaign that was chosen last in this browser, be it there or not."""
    name = request.cookies.get(CHOSEN, "")
    return name if re.search(NAME_PATTERN, name) else None


def remember_campaign(request: Http, response: Response[Any], name: str | None) -> None:
    """Has the browser remember which campaign was chosen, for the other pages; one that nobody named is no choice."""
    if name is not None and request.query_params.get("id"):
        response.set_cookie(Cookie(key=CHOSEN, value=name, path="/console", httponly=True, samesite="strict"))


def on_signed_out(request: Http, _error: SignedOut) -> Response[Any]:
    """Redirects to the sign-in page; HTMX is told to load it whole."""
    if is_part(request):
        return Response("", status_code=204, headers={"HX-Redirect": SIGN_IN})
    return Redirect(SIGN_IN, status_code=303)


def on_refusal(request: Http, error: Problem) -> Response[Any]:
    """A problem as a page, with the menu of who is signed in and the way back to the form."""
    count(request, error)
    try:
        frame = _surroundings(request)
    except EngineError:  # nothing serves yet, or any more
        frame = {"session": None, "tabs": (), "here": "", "mode": "policy", "synthetic": False, "bundle": ""}
    frame |= {"title": _TITLES.get(error.type, error.title), "done": "", "back": _back(request)}
    refused = page("refused.html", status=error.status, problem=error, part=is_part(request), **frame)
    refused.headers.update(error.headers)
    return refused


_TITLES = {"invalid-request": "That cannot be taken as it is"}


def _back(request: Http) -> str:
    """The page of the console that a refused form was sent from; the first page where the browser does not say."""
    sent_from = _split(request.headers.get("referer", ""))
    ours = sent_from.netloc == request.headers.get("host") and sent_from.path.startswith("/console/")
    if not ours:
        return HOME
    return sent_from.path + (f"?{sent_from.query}" if sent_from.query else "")


def on_http(request: Http, error: HTTPException) -> Response[Any]:
    """What Litestar refuses, as a page."""
    detail = _WORDS.get(error.status_code, "The request cannot be read.")
    allowed = allowed_methods(error)
    return on_refusal(request, Problem(error.status_code, "refused", "That did not work", detail, headers=allowed))


NO_FILE = (InternalServerException, ValueError)
"""What Litestar raises for the name of a file that none can have: one too long, one with U+0000."""


def on_no_file(request: Http, _error: Exception) -> Response[Any]:
    """A name that no file can have, as one that there is not."""
    return on_http(request, NotFoundException())


_WORDS = {404: "There is nothing here.", 405: "This address takes a form; it has no page of its own."}


def on_defect(request: Http, error: Exception) -> Response[Any]:
    """What is broken, as a page; the log knows more."""
    return on_refusal(request, defect(error))


def on_ledger_unavailable(request: Http, error: LedgerUnavailable) -> Response[Any]:
    """What will pass, as a page; the log says why."""
    return on_refusal(request, ledger_unavailable(error))


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
        count(request, problem)
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
