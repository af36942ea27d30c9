"""What the service's tests share."""

from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
import structlog


@pytest.fixture(scope="session")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that contacts readily and has a shield: one for all tests here, so that it is compiled once."""
    return bundles.make_checked(tmp_path_factory.mktemp("checked") / "bundle")


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A test that starts the service in this process must not leave its log, and a stream closed since, to the next."""
    yield
    structlog.reset_defaults()
