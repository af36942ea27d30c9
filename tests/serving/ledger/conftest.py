"""A ledger on each database: the same tests hold for SQLite and for PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import ledger_rows
import postgres_server
import pytest

from serving.ledger import Ledger


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Server]:
    """A PostgreSQL server; skips the test, by name, where there is none."""
    with postgres_server.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    url: str = request.getfixturevalue("postgres").new_database()
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a ledger in which nothing stands; of SQLite's the first who opens it makes the file."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    with request.getfixturevalue("postgres").ledger() as url:
        yield url


@pytest.fixture
def clock() -> ledger_rows.FrozenClock:
    return ledger_rows.FrozenClock()


@pytest.fixture
def ledger(database: str, clock: ledger_rows.FrozenClock) -> Iterator[Ledger]:
    """An open ledger with the campaign `spring`: $100, from day 0 on."""
    opened = Ledger.open(database, clock=clock, wait_seconds=2.0)
    with opened.transaction() as tx:
        tx.put_campaign(ledger_rows.campaign())
    yield opened
    opened.close()
