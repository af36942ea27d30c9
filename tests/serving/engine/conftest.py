"""Bundles for all tests here, which none of them changes; each is compiled once."""

from pathlib import Path

import bundles
import engines
import pytest

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
