"""All that the ledger holds of one customer, row by row, as she may ask to see it."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from serving.ledger.views import Look
from serving.moments import utc

_NAMED = ("customers", "consents", "baselines", "assignments", "decisions", "contacts", "revenues")
HELD = dict.fromkeys(_NAMED, "customer_id = ?") | {
    "outcomes": "decision_id IN (SELECT decision_id FROM decisions WHERE customer_id = ?)",
    "changes": "what = 'consent of ' || ?",
}
"""Table → which of its rows are a customer's."""
_TIMES = ("_at", "_until")  # how the names of columns end that are UTC epoch seconds
_READ: dict[str, Callable[[bytes], Any]] = {
    "observation": lambda value: struct.unpack(f"<{len(value) // 4}f", value),
    "propensities": lambda value: struct.unpack(f"<{len(value) // 4}f", value),
    "mask": bytes.hex,
    "message_json": msgspec.json.decode,
    "response": msgspec.json.decode,
    "basis": msgspec.json.decode,
}


def held(look: Look, customer_id: str) -> Iterator[dict[str, Any]]:
    """Every row that is about the customer, with its `table`, ready to be written as JSON."""
    for table, which in HELD.items():
        names = look.columns(table)
        for row in look.stream(f"SELECT {', '.join(names)} FROM {table} WHERE {which}", customer_id):  # noqa: S608
            yield {"table": table} | {name: _shown(name, value) for name, value in zip(names, row, strict=True)}


def is_known(look: Look, customer_id: str) -> bool:
    """Whether there is such a row."""
    return any(look.rows(f"SELECT 1 FROM {table} WHERE {which} LIMIT 1", customer_id) for table, which in HELD.items())  # noqa: S608


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return _READ[name](value)
    if isinstance(value, float) and name.endswith(_TIMES):
        return utc(value)
    return value
