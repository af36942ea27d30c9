"""Answers that a client does not take, what it sends after its request, and large downloads cost others nothing."""

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import pytest
from served_app import FACTS, Running, session

from serving.console import overview
from serving.ledger import Ledger
from serving.security import connections
from serving.security.connections import Awaited


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


def test_who_takes_an_answer_slowly_gets_all_of_it(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.SECONDS, Awaited.TAKING, 2.0)
    monkeypatch.setattr(connections, "_LOOK_SECONDS", 0.05)
    with to(service) as made:
        made.sendall(UNREAD + b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        parts = []
        while part := made.recv(65_536):
            parts.append(part)
            time.sleep(0.03)
    assert b"".join(parts).endswith(b'{"status":"alive"}')
    assert len(parts) * 0.03 > 2.0


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
    service: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with to(service, 2048) as made:
        made.sendall(UNREAD)
        made.recv(100)
    until = time.monotonic() + 60
    while not _alive(service):
        assert time.monotonic() < until
    time.sleep(0.5)
    assert "Exception in ASGI application" not in caplog.text


def test_campaigns_are_written_for_download_one_at_a_time(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    go, begun = threading.Event(), list[str]()
    archive = overview._archive

    def waits(ledger: Ledger, name: str) -> IO[bytes]:
        begun.append(name)
        assert go.wait(60)
        return archive(ledger, name)

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


def test_who_finds_no_room_is_told_when_to_come_again(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 0)
    with to(service) as made:
        made.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        found = made.recv(4096)
    assert found.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in found
