"""Off-policy evaluation: what a policy would have been worth, from the log of another one that acted by propensities.

A log (`DecisionLog`) is a table of decisions with the propensity of every action; decisions about one customer in one
campaign form an episode, and a contextual decision is an episode of one. `evaluate(log, target)` checks support and
overlap and gives six estimates with intervals; it refuses, by `OverlapError`, where the log cannot answer. The names
below are imported when first used, so that `--help` is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retentionjax.evaluation.off_policy.evaluation import OffPolicyReport, OffPolicySettings, evaluate
    from retentionjax.evaluation.off_policy.ledger_file import read, write
    from retentionjax.evaluation.off_policy.log import DecisionLog
    from retentionjax.evaluation.off_policy.overlap import Overlap, OverlapError

__all__ = [
    "DecisionLog",
    "OffPolicyReport",
    "OffPolicySettings",
    "Overlap",
    "OverlapError",
    "evaluate",
    "read",
    "write",
]

_HOME = {
    "DecisionLog": "log",
    "Overlap": "overlap",
    "OverlapError": "overlap",
    "OffPolicyReport": "evaluation",
    "OffPolicySettings": "evaluation",
    "evaluate": "evaluation",
    "read": "ledger_file",
    "write": "ledger_file",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
