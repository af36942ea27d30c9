"""Headers that every answer has, whatever made it: Litestar's `before_send`, which sees 404 and 500 too."""

from collections.abc import Awaitable, Callable

from litestar.types import Message, Scope

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
