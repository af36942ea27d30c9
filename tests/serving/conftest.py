"""What the service's tests share."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A test that starts the service in this process must not leave its log, and a stream closed since, to the next."""
    yield
    structlog.reset_defaults()
