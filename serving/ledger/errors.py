"""What the ledger refuses, and when it cannot be reached."""

from retentionjax.errors import RetentionJaxError


class LedgerError(RetentionJaxError):
    """Root of what can go wrong with the ledger."""


class LedgerUnavailable(LedgerError):  # noqa: N818 - a state of the world, not a mistake of the caller's
    """The database is gone, full, or locked beyond the time allowed: nothing of the transaction counts.

    Where the connection broke while committing, the server may have kept it; repeating the request with its
    Idempotency-Key is safe in either case.
    """


class BudgetExceeded(LedgerError):  # noqa: N818
    """The database's own check said that a campaign's spent + reserved would pass its budget."""


class HoldoutBroken(LedgerError):  # noqa: N818
    """A contact to a customer whom its campaign holds out."""


class CooldownBroken(LedgerError):  # noqa: N818
    """The database's own indexes said that a customer has a contact that day, or one pending, already."""


class DesignFixed(LedgerError):  # noqa: N818
    """What a campaign's customers were drawn by already, which stays."""

    def __init__(self, field: str, allowed: str) -> None:
        super().__init__(f"{field}; allowed: {allowed}")
        self.field, self.allowed = field, allowed


class DuplicateRecord(LedgerError):  # noqa: N818
    """A decision id or an Idempotency-Key that is recorded already."""
