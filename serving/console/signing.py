"""Signing in with an API key, and out."""

import asyncio
from typing import Any

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.response import Redirect

from serving.console.frame import HOME, SIGN_IN, Http, check_origin, full_page, read_form, signed_in
from serving.console.sessions import COOKIE
from serving.problems import Problem
from serving.security.gate import LONGEST_KEY


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
