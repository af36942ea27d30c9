"""The short way to the addresses that are asked thousands of times a second: one look-up instead of Litestar's layers.

For each request Litestar checks and normalises the address, collects the handler's exception handlers, wraps what is
sent three times, looks for arguments by their names, copies the handler for each guard and makes a response twice. All
that costs as much as reading the request does. Here handler, guards and limits are looked up once, when the service
starts. Handlers are declared, described in OpenAPI and callable as any other; another spelling of the address
("/v1/decisions/") goes the long way.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from litestar import Litestar, Request, Response
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from serving.observability.metrics import Metrics
from serving.problems import field_error, invalid, problem_response
from serving.security.bodies import StrictRequest

Headers = Sequence[tuple[bytes, bytes]]
Refuse = Callable[[Request[Any, Any, Any], Any], Response[Any]]


class Encoded(Response[Any]):
    """200 with a body that is JSON already, sent as it is."""

    def __init__(self, body: bytes, headers: Headers = ()) -> None:
        """`headers` beside type and length, their names in lower case."""
        self._body = body
        length = str(len(body)).encode()
        self._headers = [(b"content-type", b"application/json"), (b"content-length", length), *headers]

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Itself: it is an ASGI application."""
        return self

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send, more: Headers = ()) -> None:
        """`more` headers."""
        start: Any = {"type": "http.response.start", "status": 200, "headers": [*self._headers, *more]}
        body: Any = {"type": "http.response.body", "body": self._body, "more_body": False}
        await send(start)
        await send(body)


class Express(Litestar):
    """Litestar with a short way to some handlers `(request, data) -> Encoded`."""

    __slots__ = ("_express", "_headers")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Takes what Litestar takes."""
        self._express: dict[str, ASGIApp] = {}
        super().__init__(*arguments, **options)

    def express(
        self,
        names: Sequence[str],
        metrics: Metrics,
        headers: Headers,
        middleware: Callable[[ASGIApp], ASGIApp] | None = None,
    ) -> None:
        """Opens it for POST to the handlers of these `name`s; `headers` go with every answer."""
        self._headers = headers
        for name in names:
            found = self.get_handler_index_by_name(name)
            if found is None:
                raise ValueError(f"no handler has the name {name!r}")
            for path in found["paths"]:
                way = _way(found["handler"], path, metrics, headers)
                self._express[path] = middleware(way) if middleware else way

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
        elif scope["method"] == "POST" and (way := self._express.get(scope["path"])):
            scope["app"] = scope["litestar_app"] = self
            await way(scope, receive, send)
        else:
            if scope["method"] == "HEAD":  # the server answers as to GET, and leaves the body out
                scope = {**scope, "method": "GET"}
            if b"%00" in scope["query_string"]:
                refused = invalid("The query holds the character U+0000.", field_error("query", allowed="other text"))
                send = _with(self._headers, send)
                await problem_response(refused).to_asgi_response(app=None, request=Request(scope))(scope, receive, send)
                return
            await super().__call__(scope, receive, send)


def _way(handler: Any, path: str, metrics: Metrics, headers: Headers) -> ASGIApp:
    guards = handler.resolve_guards()  # all asynchronous: Litestar has seen to it
    function, observe = handler.fn, metrics.request
    refusals: Mapping[Any, Refuse] = handler.resolve_exception_handlers()

    async def way(scope: Any, receive: Receive, send: Send) -> None:
        begun, status = time.perf_counter(), 500
        scope["route_handler"], scope["path_template"], scope["path_params"] = handler, path, {}
        request = StrictRequest(scope, receive, send)
        try:
            try:
                for guard in guards:
                    await guard(request, handler)
                answer: Encoded = await function(request=request, data=await request.json())
            except Exception as error:  # noqa: BLE001 - answered by the handler for its kind, as Litestar does
                refused = _refuse_by(refusals, error)(request, error)
                status = refused.status_code or status
                await refused.to_asgi_response(app=None, request=request)(scope, receive, _with(headers, send))
            else:
                status = 200
                await answer(scope, receive, send, headers)
        finally:
            observe(path, status, time.perf_counter() - begun)

    return way


def _refuse_by(refusals: Mapping[Any, Refuse], error: Exception) -> Refuse:
    """The handler of the error's class or the nearest of its bases; there is one for Exception."""
    return next(refusals[kind] for kind in type(error).__mro__ if kind in refusals)


def _with(headers: Headers, send: Send) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return sending
