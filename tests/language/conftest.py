"""Decoding as it is compiled fastest."""

import pytest

from retentionjax.language import stepwise


@pytest.fixture(autouse=True)
def _scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are scanned, however few the texts: apart they take twice as long to compile, and `test_sampler`, which
    asks for either by name, says that both write the same."""
    monkeypatch.setattr(stepwise, "FEW", 0)
