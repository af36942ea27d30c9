"""The ledger: consent, contacts, offers, money, decisions and outcomes in SQL, on SQLite or PostgreSQL.

`Ledger.open(url, clock=time.time)`, then `with ledger.transaction() as tx` to write and `with ledger.read() as reader`
to read. `outcomes` states the rules on what follows from an outcome, `erasure` on what is forgotten, `export` what a
reward is.
"""

from serving.ledger.ledger import Ledger, Reader, Transaction
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
