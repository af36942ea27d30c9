"""How the service's process and its engine's talk: MessagePack over a pair of sockets.

A frame is four bytes of length and a message; all that is said within one turn of the event loop goes in one write.
"""

import asyncio
import contextlib
import itertools
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

import msgspec

from serving.engine.contract import Answered, Ask, Failed, Given, NotRunning, Overloaded, Packet, Wanted, error_of

_LENGTH = 4  # bytes
_BYTES = 1 << 18  # of a read
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


class Questions:
    """What the service has asked the engine, and is not answered yet."""

    def __init__(self, most: int) -> None:
        """`most` may be under way at once."""
        self._most, self._numbers = most, itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._begun: dict[int, float] = {}  # when each decision under way was asked for, monotonic seconds
        self._decisions: Link | None = None
        self._up = self._draining = False
        self._seconds = 0.0  # a decision takes of late

    async def decide(self, ask: Ask) -> Given:
        """One decision, recorded before it is answered; a `dry_run` is answered only.

        Raises WrongFacts, NoCampaign, CampaignNotRunning, KeyReused, Overloaded, DeadlineExceeded, NotRunning (see
        `contract`) and LedgerUnavailable, in each of which cases nothing was written; EngineLost and CommitUnknown,
        where it may have been.
        """
        begun = time.monotonic()
        if len(self._asked) >= self._most:
            raise Overloaded(max(0.1, self._seconds))
        number = next(self._numbers)
        self._begun[number] = begun
        try:
            answered: Answered = await self._ask(Wanted(number, ask, begun), self._decisions)
        finally:
            del self._begun[number]
        self._seconds += 0.1 * (time.monotonic() - begun - self._seconds)
        return answered.given

    @property
    def _waited(self) -> float:
        """Seconds that the oldest decision under way has waited; 0 where none is."""
        return time.monotonic() - next(iter(self._begun.values())) if self._begun else 0.0

    def _ask(self, question: Packet, link: Link | None) -> "asyncio.Future[Any]":
        if link is None or not self._up or self._draining:
            raise NotRunning("the engine starts or stops")
        link.say(question)
        future = self._asked[question.number] = asyncio.get_running_loop().create_future()
        return future

    def _answered(self, packet: Packet) -> None:
        future = self._asked.pop(packet.number, None)
        if future is None or future.done():
            return
        if isinstance(packet, Failed):
            future.set_exception(error_of(packet))
        else:
            future.set_result(packet)
