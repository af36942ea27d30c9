"""What offers and contacts do: from a prior, through a company's own log, to a posterior (see README.md).

The names below are imported when first used, so that `--help` is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retentionjax.effects.log import Log, from_frames
    from retentionjax.effects.posterior import Estimate, Posterior, draws_to_params, estimate
    from retentionjax.effects.refusals import Refusal

__all__ = ["Estimate", "Log", "Posterior", "Refusal", "draws_to_params", "estimate", "from_frames"]

_HOME = {
    "Estimate": "posterior",
    "Log": "log",
    "Posterior": "posterior",
    "Refusal": "refusals",
    "draws_to_params": "posterior",
    "estimate": "posterior",
    "from_frames": "log",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
