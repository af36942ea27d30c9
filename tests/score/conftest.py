"""What scoring a table needs, made once."""

import deciders
import pytest

from retentionjax.score import scorer


@pytest.fixture(autouse=True)
def _traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "Decider", deciders.decider)
