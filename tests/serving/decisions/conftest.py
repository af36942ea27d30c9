"""The whole application over a bundle that is made and compiled once."""

import functools
from collections.abc import Iterator
from pathlib import Path

import engines
import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.engine.slots import Served
from serving.ledger import Ledger


@pytest.fixture(scope="session")
def folder(checked: Path) -> Path:
    """A bundle that contacts readily and has a shield."""
    return checked


@pytest.fixture
def clock() -> engines.Clock:
    return engines.Clock()


@pytest.fixture
def client(folder: Path, tmp_path: Path, clock: engines.Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:  # type: ignore[type-arg]
    """A caller with the role `decide`; 64 customers have agreed to everything."""
    monkeypatch.setattr(Served, "load", engines.load)
    settings = engines.settings(folder, tmp_path, log_level="warning")
    ledger = Ledger.open(settings.database, clock=clock)
    engines.prepare(ledger, start=clock() - 3600)
    with ledger.transaction() as tx:
        _, token = tx.create_key("tests", "decide")
    ledger.close()
    engine = functools.partial(engines.engine, clock=clock)
    with TestClient(create_app(settings, clock=clock, engine=engine)) as made:
        made.headers["Authorization"] = f"Bearer {token}"
        yield made
