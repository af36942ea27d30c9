"""Console sessions end with their key and with signing out, in every worker at once."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.console.sessions import Session, Sessions
from serving.ledger import Ledger
from serving.ledger.types import ApiKey
from serving.security.gate import Caller

SECRET = "s" * 32


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=time.time)
    yield opened
    opened.close()


@pytest.fixture
def key(ledger: Ledger) -> ApiKey:
    with ledger.transaction() as tx:
        return tx.create_key("dana", "admin")[0]


def workers(ledger: Ledger) -> list[Sessions]:
    return [Sessions(SECRET, ledger, seconds=3600.0) for _ in range(2)]


def read(sessions: Sessions, cookie: str) -> Session | None:
    return asyncio.run(sessions.read(cookie))


def test_signing_out_ends_this_session_in_every_worker_and_no_other(ledger: Ledger, key: ApiKey) -> None:
    first, second = workers(ledger)
    caller = Caller(key.key_id, key.role, key.name)
    one, other = first.start(caller), first.start(caller)
    session = read(second, one)
    assert session is not None
    assert session.caller == caller
    first.end(session)
    assert [read(each, one) for each in (first, second)] == [None, None]
    assert read(second, other) is not None


def test_a_revoked_key_ends_its_sessions_at_once(ledger: Ledger, key: ApiKey) -> None:
    first, second = workers(ledger)
    cookie = first.start(Caller(key.key_id, key.role, key.name))
    assert read(second, cookie) is not None
    with ledger.transaction() as tx:
        tx.revoke_key(key.key_id)
    assert read(second, cookie) is None


def test_ended_sessions_are_forgotten_once_they_would_be_over(ledger: Ledger, key: ApiKey) -> None:
    now = [time.time()]
    sessions = Sessions(SECRET, ledger, seconds=60.0, clock=lambda: now[0])
    caller = Caller(key.key_id, key.role, key.name)
    old = read(sessions, sessions.start(caller))
    assert old is not None
    with ledger.transaction() as tx:
        tx.end_session("long over", time.time() - 1)
    sessions.end(old)
    with ledger.read() as reader:
        assert reader.rows("SELECT session FROM ended_sessions") == [(old.word,)]
