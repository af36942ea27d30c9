"""Who is signed in: cookies that hold the key's id, when they end, a random word and a MAC of all three.

The API key is in them nowhere. A session ends with its key, and when its owner signs out: each page asks the ledger,
which all workers share, for both.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from serving.ledger import Ledger
from serving.security.gate import Caller

COOKIE = "retentionjax_session"
_DOMAIN = b"retentionjax console v1 "


@dataclass(frozen=True, slots=True)
class Session:
    """Session of one signed-in browser."""

    word: str
    ends_at: float
    caller: Caller
    csrf: str
    """What forms carry."""

    @property
    def may_decide(self) -> bool:
        """Whether decisions may be asked for."""
        return self.caller.role in ("decide", "admin")

    @property
    def may_report(self) -> bool:
        """Whether campaigns and bundles may be looked at."""
        return self.caller.role in ("report", "admin")

    @property
    def may_change(self) -> bool:
        """Whether settings may be changed."""
        return self.caller.role == "admin"


class Sessions:
    """Makes, reads and ends the cookies."""

    def __init__(
        self,
        secret: str,
        ledger: Ledger,
        *,
        seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = hashlib.sha256(_DOMAIN + (secret.encode() if secret else secrets.token_bytes(32))).digest()
        self._ledger, self._seconds, self._clock = ledger, seconds, clock

    def start(self, caller: Caller) -> str:
        """The value of a new cookie."""
        content = f"{caller.key_id}.{int(self._clock() + self._seconds)}.{secrets.token_urlsafe(12)}"
        return f"{content}.{self._mac('session', content)}"

    async def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None for none, a forged, old or ended one, or one whose key was revoked."""
        content, _, mac = (cookie or "").rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", content).encode()):
            return None
        key_id, ends, word = content.split(".")
        if self._clock() >= int(ends):
            return None
        key = await asyncio.to_thread(self._ledger.ask, lambda view: view.session_key(key_id, word))
        if key is None:
            return None
        return Session(word, float(ends), Caller(key.key_id, key.role, key.name), self._mac("csrf", content))

    def end(self, session: Session) -> None:
        """Ends a session in every worker at once."""
        with self._ledger.transaction() as tx:
            tx.end_session(session.word, session.ends_at)

    def _mac(self, purpose: str, content: str) -> str:
        digest = hmac.digest(self._secret, f"{purpose}:{content}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:24]).decode()


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
