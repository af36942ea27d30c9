"""One compiled program for all tests here."""

import pytest

from retentionjax.bundle import Bundle
from retentionjax.decide.program import Decider


@pytest.fixture(scope="session")
def decider(bundle: Bundle) -> Decider:
    made = Decider(bundle, sizes=(1, 8))
    made.warm()
    return made
