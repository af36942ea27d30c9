"""Guards of handlers: `guards=[requires("decide")]`. They run before the body is read."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from serving.problems import Problem

Role = Literal["decide", "report", "admin"]
Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


def requires(*roles: Role, tokens: float = 1.0) -> Guard:
    """A guard that lets callers of one of `roles` pass, and `admin` always; `tokens` are what the call costs its key.

    `request.auth` is the Caller afterwards. The guard raises Problem 401 (no valid key), 403 (another role) or
    429 (too many requests).
    """
    allowed = frozenset(("admin", *roles))

    async def guard(connection: Connection, _handler: BaseRouteHandler) -> None:
        gate = connection.app.state.gate
        caller = connection.scope["auth"] = await gate.admit(connection, tokens)
        if caller.role not in allowed:
            detail = f"This key has the role {caller.role}; this address wants {' or '.join(sorted(allowed))}."
            raise Problem(403, "forbidden", "The key's role may not do this", detail)

    guard.roles = allowed  # type: ignore[attr-defined]  # a test walks all routes and looks for it
    return guard
