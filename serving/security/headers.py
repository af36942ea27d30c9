"""Headers: those that every answer has, whatever made it, and those that a request has once.

Litestar's `before_send` sees 404 and 500 too.
"""

from collections.abc import Awaitable, Callable, Iterable

from litestar.types import Message, Scope

from serving.problems import Problem, field_error

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
    """The hook that adds the headers; with `behind_tls` the promise to stay with HTTPS as well."""
    tls = _SECURE if behind_tls else ()
    api, console = of_api(behind_tls=behind_tls), (*_ALWAYS, *_UNKEPT, *_CONSOLE, *tls)
    static = (*_ALWAYS, *_KEPT, *_CONSOLE, *tls)

    async def add(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            path = scope["path"]
            headers = static if path.startswith("/console/static/") else console if path.startswith("/console") else api
            message["headers"] = [*message["headers"], *headers]

    return add


def sole(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a header that may stand once, None where it does not. Raises Problem 400 where it stands twice."""
    values = [value for each, value in headers if each == name]
    if len(values) > 1:
        named = field_error(name.decode().title(), allowed="the header once")
        raise Problem(400, "malformed-request", "The request cannot be read", "A header is given twice.", [named])
    return values[0] if values else None
