"""One bundle for all tests here, which none of them changes."""

from pathlib import Path

import bundles
import pytest

from retentionjax.bundle import Bundle, load


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make(tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return load(bundle_folder)
