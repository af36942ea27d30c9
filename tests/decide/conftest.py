"""One compiled program for all tests here."""

import deciders
import pytest

from retentionjax.bundle import Bundle
from retentionjax.decide import program
from retentionjax.decide.program import Decider


@pytest.fixture(scope="session")
def decider(bundle: Bundle) -> Decider:
    made = Decider(bundle, sizes=(1, 8))
    made.warm()
    return made


@pytest.fixture(autouse=True)
def _traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the command, which loads its bundle anew; what tests import is the class itself."""
    monkeypatch.setattr(program, "Decider", deciders.decider)
