"""The ledger: consent, contacts, offers, money, decisions and outcomes in SQL, on SQLite or PostgreSQL.

`Ledger.open(url, clock=time.time)`, then `with ledger.transaction() as tx` to write and `with ledger.read() as reader`
to read. `outcomes` states the rules on what follows from an outcome, `erasure` on what is forgotten, `export` what a
reward is. The three are imported when first used, so that `retentionjax keys --help` is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

from serving.ledger.types import (
    BudgetExceeded,
    CommitUnknown,
    CooldownBroken,
    DesignFixed,
    DuplicateRecord,
    HoldoutBroken,
    LedgerError,
    LedgerUnavailable,
)

if TYPE_CHECKING:
    from serving.ledger.ledger import Ledger, Reader, Transaction

__all__ = [
    "BudgetExceeded",
    "CommitUnknown",
    "CooldownBroken",
    "DesignFixed",
    "DuplicateRecord",
    "HoldoutBroken",
    "Ledger",
    "LedgerError",
    "LedgerUnavailable",
    "Reader",
    "Transaction",
]


def __getattr__(name: str) -> Any:
    if name not in ("Ledger", "Reader", "Transaction"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("serving.ledger.ledger"), name)
