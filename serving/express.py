"""The short way to the addresses that are asked thousands of times a second: one look-up instead of Litestar's layers.

For each request Litestar checks and normalises the address, collects the handler's exception handlers, wraps what is
sent three times, looks for arguments by their names, copies the handler for each guard and makes a response twice. All
that costs as much as reading the request does. Here handler, guards and limits are looked up once, when the service
starts. Handlers are declared, described in OpenAPI and callable as any other; another spelling of the address
("/v1/decisions/") goes the long way.

Bodies are read strictly on either way, at the cost of one typed decode and one scan for keys in the common case; what
is wrong with one, `security.bodies` says. And every answer has the same headers, whatever made it.
"""

import functools
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.empty import Empty

from serving.observability.metrics import Metrics
from serving.problems import Problem, field_error, invalid, problem_response
from serving.security.bodies import INT64, checked, misfit, rows_apart, with_whole_numbers

Headers = Sequence[tuple[bytes, bytes]]
Refuse = Callable[[Request[Any, Any, Any], Any], Response[Any]]
HEAD = "asked_by_head"
"""Key in the scope of a request that asks by HEAD for what GET would answer, and must leave all as it is."""
_IMPOSSIBLE = 10**9  # more strings than any body can hold
_JSON = b"application/json"
_IN_UTF8 = re.compile(rb'application/json\s*(?:;\s*charset=(?:utf-8|"utf-8")\s*)?', re.IGNORECASE)


# --- requests -------------------------------------------------------------------------------------------------------


def sole(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a header that may stand once, None where it does not. Raises Problem 400 where it stands twice."""
    values = [value for each, value in headers if each == name]
    if len(values) > 1:
        raise given_twice(name)
    return values[0] if values else None


def given_twice(name: bytes) -> Problem:
    """400 for a header that may stand once."""
    named = field_error(name.decode().title(), allowed="the header once")
    return Problem(400, "malformed-request", "The request cannot be read", "A header is given twice.", [named])


def decode(body: bytes, kind: Any) -> Any:
    """`body` as `kind`, any type that msgspec decodes.

    Raises Problem: 400 for what is no JSON in UTF-8, 422 for what does not fit, each naming the field where there is
    one.
    """
    try:
        decoded = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if (taken := _with_rows_apart(body, kind)) is not None:
            return taken
        plain = checked(body)  # finds what is wrong with the JSON itself
        try:
            return _converted(plain, kind)
        except msgspec.ValidationError as error:
            raise misfit(error, plain, kind) from None
    if b"\\" in body or body.count(b'"') != 2 * _strings(decoded):
        checked(_without_raw(body, decoded))  # only here can a key stand twice
    return decoded


def _converted(plain: Any, kind: Any) -> Any:
    """Plain values as `kind`. Raises ValidationError."""
    if (name := _rows_of(kind)) and isinstance(plain, dict) and isinstance(rows := plain.get(name), list):
        fits = _of_so_many(kind, {**plain, name: [None] * len(rows)})
        return msgspec.structs.replace(fits, **{name: tuple(msgspec.Raw(msgspec.json.encode(row)) for row in rows)})
    return msgspec.convert(with_whole_numbers(plain), kind)  # 90.0 is an integer, JSON Schema says


def _with_rows_apart(body: bytes, kind: Any) -> Any:
    """`body` as `kind`, a struct whose only field is a tuple of `msgspec.Raw`; None where it is none, or does not fit.

    The rows are judged by themselves later. msgspec refuses all for one that holds NaN or half a surrogate pair, as
    Python writes them, although it has no need to look into any.
    """
    name = _rows_of(kind)
    if name is None or (rows := rows_apart(body, name)) is None:
        return None
    try:
        fits = _of_so_many(kind, {name: [None] * len(rows)})
    except msgspec.ValidationError:
        return None
    return msgspec.structs.replace(fits, **{name: tuple(map(msgspec.Raw, rows))})


@functools.cache
def _rows_of(kind: Any) -> str | None:
    """The only field of a struct of rows that are read by themselves; None for another kind."""
    fields = msgspec.structs.fields(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ()
    if len(fields) != 1:
        return None
    rows = getattr(fields[0].type, "__origin__", fields[0].type)  # without what `Annotated` says of it
    return fields[0].name if rows == tuple[msgspec.Raw, ...] else None


def _of_so_many(kind: Any, plain: dict[str, Any]) -> Any:
    """A struct of rows with null for each row. Raises ValidationError where these are too many or there is more."""
    return msgspec.json.decode(msgspec.json.encode(plain), type=kind)


def _without_raw(body: bytes, decoded: Any) -> bytes:
    """`body` with null for each part that is read by itself later, and judged by itself."""
    pieces, place = [], 0
    fields = decoded.__struct_fields__ if isinstance(decoded, msgspec.Struct) else ()
    for part in (each for name in fields if isinstance(rows := getattr(decoded, name), tuple) for each in rows):
        if isinstance(part, msgspec.Raw):
            begin = body.index(bytes(part), place)
            pieces += [body[place:begin], b"null"]
            place = begin + len(bytes(part))
    return b"".join([*pieces, body[place:]])


@functools.cache
def _fields_of_struct(kind: Any) -> tuple[tuple[str, Any, Any], ...]:
    """(name, default, what makes a default) of each; msgspec.NODEFAULT where there is none."""
    return tuple((each.name, each.default, each.default_factory) for each in msgspec.structs.fields(kind))


def _strings(value: Any) -> int:
    """How many strings, keys included, JSON of `value` has at least: a field that has its default may not be there.

    Without escapes each string has two quotes in the text, and a key that was given twice has lost its own; so has, by
    a count that cannot be right, a number beyond int64.
    """
    if isinstance(value, msgspec.Struct):
        count = 0
        for name, default, made in _fields_of_struct(type(value)):
            each = getattr(value, name)
            if each is not default and (made is msgspec.NODEFAULT or each != made()):
                count += 1 + (each.__class__ is str or _strings(each))
        return count
    if type(value) is dict:  # each request passes here, so the commonest values are not looked at one by one
        kinds = list(map(type, value.values()))
        strings = kinds.count(str)
        if strings + kinds.count(float) < len(kinds):
            strings += sum(_strings(each) for each in value.values() if type(each) not in (str, float))
        return len(value) + strings
    if isinstance(value, list | tuple):
        return sum(map(_strings, value))
    if isinstance(value, msgspec.Raw):  # read by itself later
        return bytes(value).count(b'"') // 2
    if isinstance(value, int) and not -INT64 <= value < INT64:
        return _IMPOSSIBLE
    return isinstance(value, str)


class StrictRequest(Request[Any, Any, Any]):
    """Litestar's request, whose JSON is decoded straight to the type that the handler's `data` has."""

    __slots__ = ()

    async def json(self) -> Any:
        """The body as the type of `data`. Raises Problem: see `decode`; 415 for another type or an encoding."""
        encoding = sole(self.scope["headers"], b"content-encoding") or b""
        if encoding.lower() not in (b"", b"identity"):
            named = field_error("Content-Encoding", encoding.decode("latin-1"), "no encoding: the body as it is")
            raise Problem(415, "unsupported-media-type", "Unsupported media type", "The body is encoded.", [named])
        given = sole(self.scope["headers"], b"content-type")
        if given not in (None, b"", _JSON) and not _IN_UTF8.fullmatch(given):
            named = field_error("Content-Type", given.decode("latin-1"), "application/json, with no charset or utf-8")
            detail = "The body must be application/json, in UTF-8."
            raise Problem(415, "unsupported-media-type", "Unsupported media type", detail, [named])
        field = self.route_handler.parsed_data_field
        return decode(await self.body(), Any if field is None else field.annotation)

    async def body(self) -> bytes:
        """The body, read once. Raises Problem 413 as soon as it is larger than the handler takes, or says so."""
        if self._body is Empty:
            limit = self.route_handler.resolve_request_max_body_size()
            most, size, more = math.inf if limit is None else limit, 0, True
            if int(next((value for name, value in self.scope["headers"] if name == b"content-length"), 0)) > most:
                raise _too_large(most)
            parts: list[bytes] = []
            while more:
                event: Any = await self.receive()
                if event["type"] != "http.request":
                    raise HTTPException(status_code=400)  # the client has gone, nobody reads this
                parts.append(event.get("body", b""))
                size, more = size + len(parts[-1]), event.get("more_body", False)
                if size > most:
                    raise _too_large(most)
            self._body = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._body


def _too_large(most: float) -> Problem:
    named = field_error("body", allowed=f"{most:,} bytes at most")
    detail = "The body is larger than this address takes."
    return Problem(413, "body-too-large", "The body is too large", detail, [named])


# --- headers of answers ---------------------------------------------------------------------------------------------

# Nothing that the API answers is to be run, framed, guessed at or kept.
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_UNKEPT = ((b"cache-control", b"no-store"),)
_KEPT = ((b"cache-control", b"public, max-age=86400"),)  # the address of a static file changes with the file
_API = (
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
# The console's scripts and styles are files of ours; nothing inline, nothing from elsewhere.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_CONSOLE = (
    (b"referrer-policy", b"same-origin"),  # with none at all, browsers do not say where a form comes from
    (b"content-security-policy", _POLICY),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_SECURE = ((b"strict-transport-security", b"max-age=31536000"),)


def of_api(*, behind_tls: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Those of the API's answers."""
    return (*_ALWAYS, *_UNKEPT, *_API, *(_SECURE if behind_tls else ()))


def secured(*, behind_tls: bool) -> Callable[[Message, Scope], Awaitable[None]]:
    """The hook that adds the headers, Litestar's `before_send`, which sees 404 and 500 too; with `behind_tls` the
    promise to stay with HTTPS as well."""
    tls = _SECURE if behind_tls else ()
    api, console = of_api(behind_tls=behind_tls), (*_ALWAYS, *_UNKEPT, *_CONSOLE, *tls)
    static = (*_ALWAYS, *_KEPT, *_CONSOLE, *tls)

    async def add(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            path, kept = scope["path"], message["status"] < 400  # a refusal is another's word tomorrow
            is_static = kept and path.startswith("/console/static/")
            headers = static if is_static else console if path.startswith("/console") else api
            message["headers"] = [*message["headers"], *headers]

    return add


# --- the short way --------------------------------------------------------------------------------------------------


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
        if scope["type"] == "lifespan":  # the server's protocol refuses some requests itself, and counts them there
            scope.setdefault("state", {})["metrics"] = self.state.metrics
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = scope["litestar_app"] = self
        if scope["method"] == "POST" and (way := self._express.get(scope["path"])):
            await way(scope, receive, send)
        else:
            if scope["method"] == "HEAD":  # the server answers as to GET, and leaves the body out
                scope = {**scope, "method": "GET", HEAD: True}
            if b"%00" in scope["query_string"]:
                refused = invalid("The query holds the character U+0000.", field_error("query", allowed="other text"))
                request, send = Request[Any, Any, Any](scope), _with(self._headers, send)
                answer = problem_response(request, refused)
                await answer.to_asgi_response(app=None, request=request)(scope, receive, send)
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
