"""What Litestar does for every request and a decision can do without: each is a tenth of what its HTTP part costs.

A handler is copied for each of its guards, and an answer that is JSON already is made a response twice over.
"""

from collections.abc import Sequence
from typing import Any

from litestar import Response
from litestar.connection import ASGIConnection
from litestar.handlers import post
from litestar.types import Receive, Scope, Send


class lean_post(post):  # noqa: N801 - a decorator, as Litestar's own
    """`post`, whose guards are given the handler itself, which they do not change."""

    async def authorize_connection(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        """Runs the guards."""
        for guard in self.resolve_guards():
            await guard(connection, self)  # type: ignore[misc]  # Litestar has made all of them asynchronous


class Encoded(Response[Any]):
    """200 with a body that is JSON already, sent as it is."""

    def __init__(self, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """`headers` beside type and length, their names in lower case."""
        self._body = body
        length = str(len(body)).encode()
        self._headers = [(b"content-type", b"application/json"), (b"content-length", length), *headers]

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Itself: it is an ASGI application."""
        return self

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        start: Any = {"type": "http.response.start", "status": 200, "headers": self._headers}
        body: Any = {"type": "http.response.body", "body": self._body, "more_body": False}
        await send(start)
        await send(body)
