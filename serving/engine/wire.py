"""What the service's process and its engine's say to each other: MessagePack over a pair of sockets.

A frame is four bytes of length and a message; all that is said within one turn of the event loop goes in one write.
"""

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Callable
from typing import Any, Protocol, cast

import msgspec

from retentionjax import errors
from retentionjax.decide.facts import FactFault
from serving.engine import contract
from serving.engine.contract import Ask, Given, Overloaded, WrongFacts
from serving.ledger import LedgerError, LedgerUnavailable
from serving.ledger.types import SlotName, Slots

_LENGTH = 4  # bytes
_BYTES = 1 << 18  # of a read


class Packet(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """`number` is the question's, which the answer repeats; 0 where nobody asked."""

    number: int


class Wanted(Packet, frozen=True):
    """A decision."""

    ask: Ask
    at: float
    """When it was asked for, monotonic seconds: one clock for all processes of a machine."""


class LineupChange(Packet, frozen=True):
    """A bundle put to work; without a path the slot is emptied. The answer is `Serving`."""

    path: str | None
    role: SlotName
    weight: float


class Scrape(Packet, frozen=True):
    """The engine's metrics."""


class Drain(Packet, frozen=True):
    """Nothing new comes; the engine finishes what it has and ends."""


class Answered(Packet, frozen=True):
    """A decision; with the row if it was a dry run, which the ledger does not know."""

    given: Given


class Failed(Packet, frozen=True):
    """An error that stands for itself."""

    kind: str
    text: str
    retry_after: float = 0.0
    faults: tuple[FactFault, ...] = ()


class Serving(Packet, frozen=True):
    """Which bundles serve now; the first one says that the engine is ready."""

    slots: Slots
    follows_pointer: bool


class Scraped(Packet, frozen=True):
    """Metrics in Prometheus' text format."""

    text: bytes


ToEngine = LineupChange | Scrape | Drain  # `Wanted` comes by a socket of its own
ToService = Answered | Failed | Serving | Scraped


class EngineFailed(errors.RetentionJaxError):
    """A defect in the engine; its log says more."""


_ERRORS: dict[str, Callable[[str], Exception]] = {
    kind.__name__: kind
    for kind in (
        contract.CampaignNotRunning, contract.DeadlineExceeded, contract.KeyReused, contract.NoCampaign,
        contract.NotRunning, LedgerError, LedgerUnavailable, errors.BundleError, errors.ConfigError, OSError,
        ValueError,
    )
}  # fmt: skip


def failed(number: int, error: BaseException) -> Failed:
    """What to send for an error."""
    if isinstance(error, WrongFacts):
        return Failed(number, "WrongFacts", str(error), faults=error.faults)
    if isinstance(error, Overloaded):
        return Failed(number, "Overloaded", str(error), retry_after=error.retry_after)
    kind = next((each.__name__ for each in type(error).__mro__ if each.__name__ in _ERRORS), "")
    return Failed(number, kind, str(error) if kind else type(error).__name__)


def error_of(found: Failed) -> Exception:
    """The error again; EngineFailed for one that is none of those that callers know."""
    if found.kind == "WrongFacts":
        return WrongFacts(found.faults)
    if found.kind == "Overloaded":
        return Overloaded(found.retry_after)
    return _ERRORS.get(found.kind, EngineFailed)(found.text)


_ENCODER = msgspec.msgpack.Encoder()


def frame(packet: Packet) -> bytes:
    """What is sent for a message. Raises UnicodeEncodeError or OverflowError for what MessagePack cannot hold."""
    encoded = _ENCODER.encode(packet)
    return len(encoded).to_bytes(_LENGTH) + encoded


class Frames:
    """Messages of one `kind`, or a union, out of bytes that come in pieces."""

    def __init__(self, kind: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._heard = bytearray()

    def of(self, data: bytes) -> list[Any]:
        """The messages that are complete with `data`."""
        self._heard += data
        found: list[Any] = []
        while len(self._heard) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._heard[:_LENGTH])
            if len(self._heard) < end:
                break
            found.append(self._decoder.decode(bytes(self._heard[_LENGTH:end])))
            del self._heard[:end]
        return found


class Pipe(Protocol):
    """The end of a thread that waits for what it is asked."""

    def receive(self, seconds: float | None) -> bytes:
        """What came; waits for it `seconds` at most, for good with None. Empty where nothing came: in time, before
        somebody called `wake`, or ever, the other end being gone."""

    def send(self, data: bytes) -> None:
        """Sends all of it; into the void once the other end is gone."""

    def wake(self) -> None:
        """Ends a wait, from any thread."""


class SocketPipe:
    """`Pipe` over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._open = connection, True
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)

    def receive(self, seconds: float | None) -> bytes:
        watched: list[Any] = [self._woken, *([self._connection] if self._open else [])]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._woken in ready:
            os.read(self._woken, 4096)
        if self._connection not in ready:
            return b""
        try:
            data = self._connection.recv(_BYTES)
        except ConnectionError:
            data = b""
        self._open = bool(data)
        return data

    def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the service is gone, and with it whoever asked
            self._connection.sendall(data)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of calls to wake up already
            os.write(self._waker, b".")


class Link(asyncio.Protocol):
    """The end of an event loop. `received` is given each message of the `kind` it understands; `lost` is called when
    the other end is gone."""

    def __init__(self, kind: Any, received: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._frames = Frames(kind)
        self._received, self._lost = received, lost
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._said: list[bytes] = []

    def say(self, packet: Packet) -> None:
        """Sends with whatever else is said in this turn of the loop; into the void once the other end is gone.

        Raises as `frame`, and then this message alone is not sent.
        """
        encoded = frame(packet)
        if not self._said:
            self._loop.call_soon(self._flush)
        self._said.append(encoded)

    def close(self) -> None:
        """Sends what was said, and hangs up."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        for message in self._frames.of(data):
            self._received(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        """See asyncio.Protocol."""
        self._transport = None
        self._lost()

    def _flush(self) -> None:
        said, self._said = self._said, []
        if said and self._transport is not None:
            self._transport.write(b"".join(said))
