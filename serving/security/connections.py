"""Connections: how much may a stranger send, and how slowly?

uvicorn has no limits for heads and bodies under httptools. A refusal is written at once and the connection closed,
after a moment in which what is still on its way is thrown away: closed sooner, the network would drop the refusal with
it.
"""

import asyncio
import enum
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.express import given_twice, of_api
from serving.problems import MEDIA_TYPE, Problem, details_of, unavailable
from serving.security.bodies import BATCH_BODY_LIMIT

URL_LIMIT = 8 * 1024  # bytes
HEAD_LIMIT = 32 * 1024  # bytes of all headers
MOST_HEADERS = 100
RAW_BODY_LIMIT = 2 * BATCH_BODY_LIMIT  # bytes; a body in small chunks is longer on its way than it is
MOST_CONNECTIONS = 900  # of one worker, below the 1,024 files that a process may often have open
_LOOK_SECONDS = 0.5


class Awaited(enum.Enum):
    """What a connection waits for from its client."""

    HEAD = enum.auto()
    BODY = enum.auto()
    CLOSE = enum.auto()
    TAKING = enum.auto()
    """That it takes something of an answer that is ready for it; beside the others."""


SECONDS = {Awaited.HEAD: 10.0, Awaited.BODY: 30.0, Awaited.CLOSE: 2.0, Awaited.TAKING: 120.0}
"""How long at most. The network holds megabytes, so who takes 20 KB a second may seem to take nothing for a minute."""


class _Parser:
    """httptools', for which no request offers another protocol.

    A client may do so with any request (Java's offers HTTP/2 with each), and a server that does not speak it answers as
    if it had not. But httptools ends there and drops the body. So the head is read again without the offer.
    """

    reason = ""
    """Why the parser ended."""

    def __init__(self, protocol: "LimitedProtocol") -> None:
        self._protocol = protocol
        self._begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    @property
    def offers_another_protocol(self) -> bool:
        """Whether the request does whose head is read now. CONNECT asks for one, and no address knows the method."""
        return bool(self._parser.should_upgrade()) and self._parser.get_method() != b"CONNECT"

    def feed_data(self, data: bytes) -> None:
        """See httptools."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            if not self.offers_another_protocol:
                raise
            head = self._head()
            self._begin()
            self.feed_data(head + data[offered.args[0] :])
        except httptools.HttpParserError as error:
            self.reason = str(error)
            raise

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self._protocol)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def _head(self) -> bytes:
        method, version = self._parser.get_method(), self._parser.get_http_version().encode()
        headers = [name + b": " + value + b"\r\n" for name, value in self._protocol.headers if name != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self._protocol.url, version, b"".join(headers))


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's, with limits; `http=` of its configuration."""

    _awaited: Awaited | None
    """None while a request is whole: it is answered, or the next one may be long in coming."""
    _since: float
    _bytes: int
    """Bytes of the head or the body that is awaited, so far."""
    _resumed: bool
    """Whether what is awaited began in an earlier piece of data."""
    _cycles: list[Any]
    """Requests that were not answered when the last one came, and that one."""
    _unsent: int
    """Bytes of answers that the client had not taken at the last look."""
    _taken: float
    """The loop's time when it last took some, or nothing was left."""
    _fault: Problem | None
    _timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Makes room for itself where there are too many."""
        super().connection_made(transport)
        self.parser: Any = _Parser(self)
        self._bytes, self._fault, self._resumed = 0, None, False
        self._cycles, self._unsent, self._taken = [], 0, self.loop.time()
        self._await(Awaited.HEAD)
        self._look_again()
        if len(self.connections) > MOST_CONNECTIONS:
            _make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See uvicorn."""
        self._timer.cancel()
        self._disconnect()  # uvicorn tells the last request alone
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what a head or a body takes, beyond the piece of data in which it began."""
        if self._awaited is Awaited.CLOSE:
            return
        self._resumed = True
        super().data_received(data)
        if self._resumed:
            self._count(len(data))

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._awaited is Awaited.HEAD and self._bytes > HEAD_LIMIT:
            self._refuse(_head_too_large())
        elif self._awaited is Awaited.BODY and self._bytes > RAW_BODY_LIMIT:
            self._refuse(_body_too_large())

    def on_message_begin(self) -> None:
        """See uvicorn."""
        super().on_message_begin()
        self._await(Awaited.HEAD)

    def on_url(self, url: bytes) -> None:
        """Raises Problem, which ends the parser, for one that is too long."""
        super().on_url(url)
        if len(self.url) > URL_LIMIT:
            self._fail(Problem(414, "url-too-long", "The URL is too long", f"It may have {URL_LIMIT:,} bytes."))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Leaves out what comes after the body: a trailer says nothing of who asks, or how."""
        if self._awaited is Awaited.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Raises Problem, which ends the parser, for too much of them, or where they announce too long a body."""
        if self.parser.offers_another_protocol:
            return
        if len(self.headers) > MOST_HEADERS or sum(len(name) + len(value) for name, value in self.headers) > HEAD_LIMIT:
            self._fail(_head_too_large())
        if sum(name == b"host" for name, _ in self.headers) > 1:
            self._fail(given_twice(b"host"))
        announced = next((value for name, value in self.headers if name == b"content-length"), b"0")
        if int(announced) > BATCH_BODY_LIMIT:
            self._fail(_body_too_large())
        self._await(Awaited.BODY)
        super().on_headers_complete()
        self._cycles = [*(each for each in self._cycles if not each.response_complete), self.cycle]

    def on_message_complete(self) -> None:
        """See uvicorn."""
        if self.parser.offers_another_protocol:
            return
        self._await(None)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where the parser ended."""
        detail = f"It is not HTTP/1.1: {self.parser.reason or msg}"
        self._refuse(self._fault or Problem(400, "malformed-request", "The request cannot be read", detail))

    def abort(self) -> None:
        """Ends the connection at once; what is still to be answered is not written to it any more."""
        self._disconnect()
        self.transport.abort()

    def _disconnect(self) -> None:
        for each in self._cycles:
            each.disconnected = True
            each.message_event.set()

    @property
    def waits_since(self) -> float:
        """The loop's time since when no request is under way, or nothing of an answer is taken; infinity else."""
        if self._unsent and self.loop.time() - self._taken > 2 * _LOOK_SECONDS:
            return self._taken
        idle = self._awaited is Awaited.HEAD or (self._awaited is None and self._answered)
        return self._since if idle else float("inf")

    @property
    def _answered(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def _await(self, awaited: Awaited | None) -> None:
        self._awaited, self._since, self._bytes, self._resumed = awaited, self.loop.time(), 0, False

    def _look_again(self) -> None:
        self._timer = self.loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._taken = now
        self._unsent = unsent
        late = self._awaited is not None and now - self._since > SECONDS[self._awaited]
        if (late and self._awaited is Awaited.CLOSE) or now - self._taken > SECONDS[Awaited.TAKING]:
            self.abort()
        elif late:
            self._refuse(Problem(408, "too-slow", "The request came too slowly", "It was not whole in time."))
        self._look_again()

    def _fail(self, problem: Problem) -> None:
        self._fault = problem
        raise problem

    def _refuse(self, problem: Problem) -> None:
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        body, answered = self._awaited is Awaited.BODY, self._answered
        if (answered if body else not answered) or (body and (cycle.response_started or self.pipeline)):
            self.transport.close()  # there is an answer already, or another would come between
            return
        if body:
            cycle.disconnected = True
            cycle.message_event.set()
        self.app_state["metrics"].refusal(problem.type)
        self.transport.write(_encoded(problem, self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._await(Awaited.CLOSE)


def _make_room(newest: LimitedProtocol) -> None:
    """Ends the connection that has waited longest without a request; refuses the newest where none waits.

    What is ended leaves at the next turn of the loop, and many may come in one turn, all at the same time.
    """
    others: list[Any] = [each for each in newest.connections if each is not newest and not each.transport.is_closing()]
    if len(others) < MOST_CONNECTIONS:
        return
    oldest = min(others, key=lambda each: each.waits_since, default=None)
    if oldest is None or oldest.waits_since == float("inf"):
        newest._refuse(unavailable("overloaded", "There are too many connections.", 1.0))  # noqa: SLF001
    else:
        oldest.abort()


def _head_too_large() -> Problem:
    detail = f"All headers may have {HEAD_LIMIT:,} bytes, and be {MOST_HEADERS}."
    return Problem(431, "head-too-large", "The headers are too large", detail)


def _body_too_large() -> Problem:
    detail = f"No body may have more than {BATCH_BODY_LIMIT:,} bytes."
    return Problem(413, "body-too-large", "The body is too large", detail)


def _encoded(problem: Problem, more: list[tuple[bytes, bytes]]) -> bytes:
    body = msgspec.json.encode(details_of(problem))
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        *of_api(behind_tls=False),
        *more,
    ]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[problem.status] + lines + b"\r\n" + body
