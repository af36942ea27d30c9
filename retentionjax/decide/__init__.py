"""The decision: contact or wait, with which offer, when, and why; one program for one customer and for millions.

`decide(Decider(bundle), customer)` gives a Decision; `retentionjax decide` prints it. The names below are imported when
first used, so that `--help` is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retentionjax.decide.customer import Customer
    from retentionjax.decide.decision import Decision, decide
    from retentionjax.decide.program import Decider

__all__ = ["Customer", "Decider", "Decision", "decide"]

_HOME = {"Customer": "customer", "Decider": "program", "Decision": "decision", "decide": "decision"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
