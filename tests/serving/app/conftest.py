"""One service for the tests of this folder; a test that changes what others see starts its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import served_app
from served_app import Running


@pytest.fixture(scope="session")
def bundle(checked: Path) -> Path:
    """Contacts readily, and has a shield."""
    return checked


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("service")
    with served_app.serve(folder, bundle, console_examples=str(served_app.example(folder))) as running:
        yield running
