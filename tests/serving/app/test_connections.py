"""Answers that a client does not take, what it sends after its request, and large downloads cost others nothing."""

import asyncio
import contextlib
import json
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import pytest
import uvicorn
from served_app import FACTS, Running, session
from uvicorn.server import ServerState

from serving.console import overview
from serving.ledger import Ledger
from serving.problems import Problem, unavailable
from serving.security import connections
from serving.security.connections import SECONDS, Awaited, LimitedProtocol
from serving.side_work import Check


def to(service: Running, receive_bytes: int | None = None) -> socket.socket:
    """A connection, of whose answers the network takes few if so wanted."""
    host, port = service.url.removeprefix("http://").split(":")
    made = socket.socket()
    if receive_bytes is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.settimeout(10)
    made.connect((host, int(port)))
    return made


UNREAD = b"GET /console/static/htmx.min.js HTTP/1.1\r\nHost: a\r\n\r\n" * 160  # 8 MB of answers


@pytest.mark.parametrize("makes_room", [False, True])
def test_who_takes_no_answer_keeps_no_connection(
    service: Running, monkeypatch: pytest.MonkeyPatch, *, makes_room: bool
) -> None:
    monkeypatch.setitem(connections.SECONDS, Awaited.TAKING, 600.0 if makes_room else 1.0)
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(connections, "_LOOK_SECONDS", 0.05)
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(stuck := to(service, 2048))
            stuck.sendall(UNREAD)
        until = time.monotonic() + 60
        while not _alive(service):
            assert time.monotonic() < until, "nobody else is let in"
            time.sleep(0.1)


def _alive(service: Running) -> bool:
    with to(service) as made, contextlib.suppress(ConnectionResetError, TimeoutError):
        made.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        return made.recv(100).startswith(b"HTTP/1.1 200 ")
    return False


class Answers(asyncio.Transport):
    """Bytes that wait for a client, of which the test takes some."""

    unsent, ended = 0, False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.ended = True


class Hours(asyncio.SelectorEventLoop):
    """A loop whose time is what the test says."""

    now = 0.0

    def time(self) -> float:
        return self.now


def test_who_takes_an_answer_slowly_gets_all_of_it() -> None:
    with contextlib.closing(Hours()) as loop:
        made = LimitedProtocol(config(_nothing), ServerState(), {}, loop)
        made.connection_made(answers := Answers())
        made._await(None)  # all of its request is there
        for hour in range(1, 100):  # a byte each time, just before it would be too late
            answers.unsent = 200 - hour
            loop.now += SECONDS[Awaited.TAKING] - 1
            made._look()
            assert not answers.ended
        loop.now += SECONDS[Awaited.TAKING] + 1
        made._look()
        assert answers.ended


async def _nothing(_: Any, __: Any, ___: Any) -> None:
    pass


def config(app: Any) -> uvicorn.Config:
    made = uvicorn.Config(app, http=LimitedProtocol, log_config=None, access_log=False, ws="none")
    made.load()
    return made


def test_each_request_of_a_connection_that_ends_is_told() -> None:
    async def run() -> None:
        begun, told, state = asyncio.Event(), asyncio.Event(), ServerState()

        async def app(_: Any, receive: Any, __: Any) -> None:
            begun.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            told.set()

        of = config(app)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: LimitedProtocol(of, state, {}), "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)  # the second waits behind the first
            await begun.wait()
            next(iter(state.connections)).abort()  # type: ignore[union-attr]
            await told.wait()
            writer.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_trailer_is_no_header(service: Running) -> None:
    body = json.dumps({"customer_id": "trailer", "facts": FACTS, "dry_run": True}).encode()
    key = b"Authorization: Bearer " + service.keys["decide"].encode() + b"\r\n"
    head = b"POST /v1/decisions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    for before, after, status in ((key, b"Idempotency-Key: \xff\r\n", b"200"), (b"", key, b"401")):
        with to(service) as made:
            made.sendall(head + before + b"\r\n" + chunks + after + b"\r\n")
            assert made.recv(100).startswith(b"HTTP/1.1 " + status)


def test_who_goes_away_with_answers_on_their_way_is_no_defect(
    service: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[LimitedProtocol]()
    begins = LimitedProtocol.connection_made

    def begins_seen(self: LimitedProtocol, transport: asyncio.Transport) -> None:
        begins(self, transport)
        made.append(self)

    monkeypatch.setattr(LimitedProtocol, "connection_made", begins_seen)
    until = time.monotonic() + 60
    with to(service, 2048) as client:
        client.sendall(UNREAD)
        while not made or not made[0].flow.write_paused:
            assert time.monotonic() < until, "the network takes 8 MB that nobody takes from it"
            time.sleep(0.01)
    while made[0] in made[0].connections or made[0].tasks:
        assert time.monotonic() < until, "it is not over"
        time.sleep(0.01)
    assert "Exception in ASGI application" not in caplog.text


def test_campaigns_are_written_for_download_one_at_a_time(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    go, begun = threading.Event(), list[str]()
    archive = overview._archive

    def waits(ledger: Ledger, name: str, check: Check) -> IO[bytes]:
        begun.append(name)
        assert go.wait(60)
        return archive(ledger, name, check)

    monkeypatch.setattr(overview, "_archive", waits)
    with session(service, "report") as client, ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(client.get, "/console/export?id=default") for _ in range(6)]
        until = time.monotonic() + 60
        while sum(each.done() for each in asked) < 2:
            assert time.monotonic() < until, "two are more than one key may have waiting"
            time.sleep(0.05)
        assert begun == ["default"]
        go.set()
        assert sorted(each.result().status_code for each in asked) == [200] * 4 + [429] * 2


def test_an_archive_that_nobody_waits_for_any_more_is_given_up(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = tempfile.TemporaryFile, list[IO[bytes]]()

    def seen() -> IO[bytes]:
        made.append(real())
        return made[-1]

    def late() -> None:
        raise unavailable("deadline-exceeded", "It was not done in time.", 1.0)

    monkeypatch.setattr(tempfile, "TemporaryFile", seen)
    with pytest.raises(Problem, match="503"):
        overview._archive(service.ledger, "default", late)
    assert [each.closed for each in made] == [True]


def test_who_finds_no_room_is_told_when_to_come_again(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 0)
    with to(service) as made:
        made.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        found = made.recv(4096)
    assert found.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in found
