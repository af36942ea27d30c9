"""RetentionJax: whom to contact, with which offer, and when, under a budget.

>>> import retentionjax as rj  # doctest: +SKIP
>>> company = rj.Company(table, charge="fee", left="churned", window_days=30, offers={"ten": {"discount": 0.1}})
>>> run = rj.train(company, out="runs/acme")
>>> run.bundle.decide(table)
>>> rj.load("runs/acme").decide(table)  # later, or elsewhere
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["ChurnClassifier", "Company", "__version__", "load", "train"]

_HOME = {
    "ChurnClassifier": "retentionjax.tabular.estimator",
    "Company": "retentionjax.company",
    "load": "retentionjax.decide.decision",
    "train": "experiments.train",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, since the modules behind it are heavy."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
