"""Customer tables and texts: public sets by name, a user's own tables by YAML schema, splits and catalog.

`load(name)` gives a checked Table, `split(table)` its 80/10/10 row positions.
Texts are in modules of their own: `messages` (the retention corpus), `text_loading` (public sets), `texts`.
The names below are imported when first used: pandas takes half a second, which `retentionjax data --help` need not.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retentionjax.data.loading import Mode, load
    from retentionjax.data.public_sets import SCHEMAS
    from retentionjax.data.schema import Provenance, Schema, Table
    from retentionjax.data.splits import Splits, split

__all__ = [
    "SCHEMAS",
    "Mode",
    "Provenance",
    "Schema",
    "Splits",
    "Table",
    "load",
    "split",
]

_HOME = {
    **dict.fromkeys(("Mode", "load"), "loading"),
    "SCHEMAS": "public_sets",
    **dict.fromkeys(("Provenance", "Schema"), "schema"),
    **dict.fromkeys(("Splits", "split"), "splits"),
    "Table": "schema",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
