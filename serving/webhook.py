"""Messages that are due, sent to an address of the operator's: POST with JSON, as `GET /v1/contacts/due` lists them.

A batch that is answered with 2xx is reported as sent, so it comes once, and again only where the answer was lost: the
receiver knows a message by its `decision_id`. The body is signed with the setting `webhook_secret`, HMAC-SHA-256 over
time and body, in the header `RetentionJax-Signature: t=SECONDS,v1=HEX`. One worker at a time does it.
"""

import asyncio
import hmac
import http.client
import time
import urllib.error
import urllib.request
import uuid
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog

from serving.domain.contacts import DuesOut, due_now
from serving.ledger import LedgerUnavailable

EVERY_SECONDS = 15.0
_AT_ONCE = 100
_TIMEOUT = 10.0
_LEASE_SECONDS = 60.0
_log = structlog.get_logger("serving.webhook")


class Webhook:
    """Runs beside the requests, in a thread of its own."""

    def __init__(self, state: Any) -> None:
        self._state, self._name = state, str(uuid.uuid4())
        self._address: str = state.settings.webhook

    async def run(self) -> None:
        """Runs until it is cancelled. What fails is logged, counted and tried again."""
        while True:
            try:
                while await asyncio.to_thread(self.once) == _AT_ONCE:
                    pass
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round must come
                self._state.metrics.housekeeping_failed("webhook", error)
                _log.warning("the webhook failed", again_in_seconds=EVERY_SECONDS, **self._why(error))
            await asyncio.sleep(EVERY_SECONDS)

    def once(self) -> int:
        """Sends what is due now; how many messages. Raises OSError where the address does not take them."""
        with self._state.ledger.transaction() as tx:
            if not tx.lease("webhook", self._name, _LEASE_SECONDS):
                return 0
        due = due_now(self._state, _AT_ONCE)
        if due:
            self._post(msgspec.json.encode(DuesOut(tuple(due))))
            with self._state.ledger.transaction() as tx:
                tx.sent([each.decision_id for each in due])
        return len(due)

    def _why(self, error: Exception) -> dict[str, Any]:
        """What a person needs to know of a failure: of the address its host alone, since the rest may hold a secret,
        and of the answer its status alone, since what it says is the receiver's."""
        why: dict[str, Any] = {"error": type(error).__name__}
        if isinstance(error, urllib.error.HTTPError):
            why["answered"] = error.code
        elif isinstance(error, urllib.error.URLError):
            why["reason"] = str(error.reason)
        elif isinstance(error, OSError | LedgerUnavailable):
            why["reason"] = str(error)
        elif not isinstance(error, http.client.HTTPException | ValueError):  # these quote the address
            why["exc_info"] = error
        return why if isinstance(error, LedgerUnavailable) else {"host": urlsplit(self._address).hostname, **why}

    def _post(self, body: bytes) -> None:
        settings = self._state.settings
        headers = {"Content-Type": "application/json"}
        if settings.webhook_secret:
            headers["RetentionJax-Signature"] = signature(settings.webhook_secret, body, int(time.time()))
        request = urllib.request.Request(self._address, body, headers, method="POST")  # noqa: S310 - http(s), checked
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310
            pass


def signature(secret: str, body: bytes, at: int) -> str:
    """The header's value for a body sent `at` UTC epoch seconds."""
    return f"t={at},v1={hmac.digest(secret.encode(), f'{at}.'.encode() + body, 'sha256').hex()}"
