"""What training hands to serving: one folder, verified, in which nothing can execute.

`write(folder, contents)` makes it, `load(folder)` gives a Bundle that scores customers and runs the policy without
any training code. The names below are imported when first used, so that `retentionjax bundle --help` is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retentionjax.bundle.loading import Bundle, load
    from retentionjax.bundle.manifest import FORMAT_VERSION, Manifest
    from retentionjax.bundle.program import Program
    from retentionjax.bundle.writing import Contents, with_metrics, write

__all__ = ["FORMAT_VERSION", "Bundle", "Contents", "Manifest", "Program", "load", "with_metrics", "write"]

_HOME = {
    **dict.fromkeys(("Bundle", "load"), "loading"),
    **dict.fromkeys(("FORMAT_VERSION", "Manifest"), "manifest"),
    **dict.fromkeys(("Contents", "with_metrics", "write"), "writing"),
    "Program": "program",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
