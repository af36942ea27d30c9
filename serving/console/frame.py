"""What every page needs: who is signed in, what serves, and forms that came from our own pages."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Redirect

from serving.console.pages import page
from serving.console.sessions import COOKIE, Session, same
from serving.ledger import LedgerUnavailable
from serving.problems import Problem, on_exception
from serving.security.bodies import check_text

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
    """Of the company whose bundle serves."""
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
        mode = await asyncio.to_thread(_mode, request.app.state.ledger)
        surroundings |= {
            "currency": currency_of(request),
            "mode": mode,
            "synthetic": active.synthetic,
            "bundle": active.id,
        }
    return surroundings


def _mode(ledger: Any) -> str:
    with ledger.read() as view:
        return str(view.kill_switch())


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
