"""Bundles for all tests here, which none of them changes; each is compiled once."""

from pathlib import Path

import bundles
import engines
import pytest

from serving.engine import process
from serving.engine.slots import Served


@pytest.fixture(scope="session")
def folder(checked: Path) -> Path:
    """A bundle that contacts readily and has a shield."""
    return checked


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another bundle than `folder`."""
    return bundles.make_checked(tmp_path_factory.mktemp("served") / "other", seed=1)


@pytest.fixture(scope="session")
def served(folder: Path) -> Served:
    return engines.load(str(folder), engines.SIZES)


@pytest.fixture(autouse=True)
def _compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Served, "load", engines.load)


@pytest.fixture
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine looks every tenth of a second for what others changed, and not every two seconds."""
    monkeypatch.setattr(process, "FIRST_SECONDS", 0.1)
