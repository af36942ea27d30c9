"""What the service does on its own: reservations that expire, history that is old enough to go, keys used last."""

import asyncio
import time
from collections.abc import Callable

import structlog

from serving.ledger import Ledger, LedgerUnavailable
from serving.security.gate import Gate
from serving.settings import Settings

EVERY_SECONDS = 60.0
_PURGE_EVERY_SECONDS = 3600.0
_log = structlog.get_logger("serving.housekeeping")


class Housekeeping:
    """Runs beside the requests, in a thread of its own; several processes may do the same work without harm."""

    def __init__(self, ledger: Ledger, gate: Gate, settings: Settings, clock: Callable[[], float]) -> None:
        self._ledger, self._gate, self._settings, self._clock = ledger, gate, settings, clock
        self._purge_at = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.once)
            except LedgerUnavailable:
                _log.warning("housekeeping waits for the ledger")
            await asyncio.sleep(EVERY_SECONDS)

    def once(self) -> None:
        """One round. Raises LedgerUnavailable."""
        with self._ledger.transaction() as tx:
            expired = tx.expire(self._clock(), reservation_days=self._settings.reservation_days)
            tx.used_keys(self._gate.used())
        if expired:
            _log.info("reservations expired", contacts=expired)
        if time.monotonic() >= self._purge_at:
            self._purge()
            self._purge_at = time.monotonic() + _PURGE_EVERY_SECONDS

    def _purge(self) -> None:
        purged = 0
        while True:  # a few thousand at a time, so that decisions get their turn in between
            with self._ledger.transaction() as tx:
                found = tx.purge(self._settings.retention_days)
            purged += found
            if not found:
                break
        if purged:
            self._ledger.forget()
            _log.info("decisions past the retention period deleted", decisions=purged)


class Probe:
    """Whether the ledger takes writes, asked at most once a second."""

    def __init__(self, ledger: Ledger, fresh_seconds: float = 1.0) -> None:
        self._ledger, self._fresh_seconds = ledger, fresh_seconds
        self._asked, self._answer = float("-inf"), False

    async def writes(self) -> bool:
        """True after a transaction that wrote something."""
        if time.monotonic() - self._asked > self._fresh_seconds:
            self._answer = await asyncio.to_thread(self._write)
            self._asked = time.monotonic()
        return self._answer

    def _write(self) -> bool:
        try:
            with self._ledger.transaction() as tx:
                tx.touch()
        except LedgerUnavailable:
            return False
        return True
