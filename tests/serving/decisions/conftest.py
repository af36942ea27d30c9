"""The whole application over a bundle that is made and compiled once."""

from collections.abc import Iterator
from pathlib import Path

import engines
import pytest
from litestar.testing import TestClient

from serving.engine.slots import Served


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
    with engines.caller(engines.settings(folder, tmp_path), clock) as made:
        yield made
