"""What Litestar does for every request and a decision can do without: together a third of what its HTTP part costs.

Arguments are looked for by name, checked again and handed over in a stack that closes nothing; a handler is copied for
each of its guards; an answer that is JSON already is made a response twice over.
"""

from collections.abc import Sequence
from typing import Any

from litestar import Response
from litestar.handlers import post
from litestar.types import ASGIApp, Receive, Scope, Send

from serving.security.bodies import StrictRequest


def lean_post(path: str, **options: Any) -> post:
    """`post` for a handler `(request, data) -> Encoded`, which is called directly; `options` as of `post`."""
    return post(path, middleware=[_straight], **options)


def _straight(app: ASGIApp) -> ASGIApp:  # noqa: ARG001 - Litestar gives the rest by this name
    """Middleware that leaves out the rest: guards, body, handler, answer."""

    async def answer(scope: Any, receive: Receive, send: Send) -> None:
        handler = scope["route_handler"]
        request = StrictRequest(scope, receive, send)
        for guard in handler.resolve_guards():
            await guard(request, handler)  # Litestar has made all of them asynchronous
        response = await handler.fn(request=request, data=await request.json())
        await response(scope, receive, send)

    return answer


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
