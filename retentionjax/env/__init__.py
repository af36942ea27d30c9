"""The retention campaign as a jittable gymnax environment: one customer, one day a step.

`RetentionEnv` is imported when first used: gymnax takes four seconds, which a process that only decides need not wait.
"""

import importlib
from typing import TYPE_CHECKING, Any

from retentionjax.env.types import EnvParams, EnvState, Population

if TYPE_CHECKING:
    from retentionjax.env.retention import RetentionEnv

__all__ = ["EnvParams", "EnvState", "Population", "RetentionEnv"]


def __getattr__(name: str) -> Any:
    if name != "RetentionEnv":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.retention").RetentionEnv
