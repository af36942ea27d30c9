"""One bundle for all tests here, which none of them changes."""

from pathlib import Path

import bundles
import pytest

from retentionjax.bundle import Bundle, load
from retentionjax.decide.program import Decider


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make(tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture(scope="session")
def bundle(folder: Path) -> Bundle:
    return load(folder)


@pytest.fixture(scope="session")
def decider(bundle: Bundle) -> Decider:
    made = Decider(bundle, sizes=(1, 8))
    made.warm()
    return made
