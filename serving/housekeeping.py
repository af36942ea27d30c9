"""What the service does on its own: reservations that expire, history that is old enough to go, keys used last, and
wordings that customers like less than the template."""

import asyncio
import time

import structlog

from retentionjax.decide.comparing import is_worse
from serving.ledger import Ledger, LedgerUnavailable
from serving.ledger.wordings import COUNTED_EVERY
from serving.observability.metrics import Metrics
from serving.security.gate import Gate
from serving.settings import Settings

EVERY_SECONDS = 60.0
_PURGE_EVERY_SECONDS = 3600.0
_log = structlog.get_logger("serving.housekeeping")


class Housekeeping:
    """Runs beside the requests, in a thread of its own; several processes may do the same work without harm."""

    def __init__(self, ledger: Ledger, gate: Gate, settings: Settings, metrics: Metrics) -> None:
        self._ledger, self._gate, self._settings, self._metrics = ledger, gate, settings, metrics
        self._purge_at = self._retire_at = 0.0

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await asyncio.to_thread(self.once)
            await asyncio.sleep(EVERY_SECONDS)

    def once(self) -> None:
        """One round. A part that fails is logged and counted, keeps no other part from its turn, and is tried again."""
        for part in (self._expire, self._remember_keys, self._purge, self._retire):
            try:
                part()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round must come
                name = part.__name__.strip("_")
                self._metrics.housekeeping_failed(name, error)
                known = isinstance(error, LedgerUnavailable)
                _log.warning(
                    "housekeeping failed", part=name, error=type(error).__name__, exc_info=None if known else error
                )

    def _expire(self) -> None:
        if lapsed := self._ledger.lapse():
            _log.info("contacts that nobody was given to send are cancelled", contacts=lapsed)
        if expired := self._ledger.expire(self._settings.reservation_days):
            _log.info("reservations expired", contacts=expired)

    def _remember_keys(self) -> None:
        with self._ledger.transaction() as tx:
            tx.used_keys(self._gate.used())

    def _purge(self) -> None:
        if time.monotonic() < self._purge_at:
            return
        if purged := self._ledger.purge(self._settings.retention_days):
            _log.info("decisions past the retention period deleted", decisions=purged)
        self._purge_at = time.monotonic() + _PURGE_EVERY_SECONDS

    def _retire(self) -> None:
        """Wordings that are certainly worse than the template are sent no more."""
        if time.monotonic() < self._retire_at:
            return
        with self._ledger.read() as reader:
            approved = [each for each in reader.variants() if each.state == "approved"]
        for worse in (each.variant.id for each in approved if is_worse(*each.matched)):
            with self._ledger.transaction() as tx:
                tx.decide_variant(worse, "retired", "customers", was="approved")
            _log.info("a wording is retired: customers like the template better", variant=worse)
        self._retire_at = time.monotonic() + COUNTED_EVERY


class Probe:
    """Whether the ledger takes writes, asked at most once a second."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._asked, self._answer = float("-inf"), False

    async def writes(self) -> bool:
        """True after a transaction that wrote something."""
        if time.monotonic() - self._asked > 1.0:
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
