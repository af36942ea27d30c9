"""One bundle for all tests here, which none of them changes."""

from pathlib import Path

import bundles
import pytest

from retentionjax.bundle import Bundle, load


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make(tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture(scope="session")
def bundle(folder: Path) -> Bundle:
    return load(folder)
