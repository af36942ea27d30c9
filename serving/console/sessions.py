"""Console sessions: a signed cookie, no state on the server, and a token that every form must carry.

The cookie holds the key's id, when it ends, a random word and a MAC of all three; the API key itself is in it nowhere.
It ends with the key: whether that still lives is asked at most every few seconds, as for the API.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from serving.ledger.types import ApiKey
from serving.security.gate import Caller

COOKIE = "retentionjax_session"
_DOMAIN = b"retentionjax console v1 "


@dataclass(frozen=True, slots=True)
class Session:
    """Of one signed-in browser."""

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
    """Makes and reads the cookies. `keys` lists the API keys from the ledger and is called in a thread."""

    def __init__(
        self,
        secret: str,
        keys: Callable[[], list[ApiKey]],
        *,
        seconds: float,
        cache_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = hashlib.sha256(_DOMAIN + (secret.encode() if secret else secrets.token_bytes(32))).digest()
        self._keys, self._seconds, self._cache_seconds, self._clock = keys, seconds, cache_seconds, clock
        self._live: dict[str, Caller] = {}
        self._listed = float("-inf")

    def start(self, caller: Caller) -> str:
        """The value of a new cookie."""
        content = f"{caller.key_id}.{int(self._clock() + self._seconds)}.{secrets.token_urlsafe(12)}"
        return f"{content}.{self._mac('session', content)}"

    async def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None for none, a forged or an old one, or one whose key was revoked."""
        content, _, mac = (cookie or "").rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", content).encode()):
            return None
        key_id, ends, _ = content.split(".")
        if self._clock() >= int(ends):
            return None
        caller = (await self._callers()).get(key_id)
        return Session(caller, self._mac("csrf", content)) if caller else None

    async def _callers(self) -> dict[str, Caller]:
        if self._clock() - self._listed > self._cache_seconds:
            listed = self._clock()
            keys = await asyncio.to_thread(self._keys)
            live = [key for key in keys if key.revoked_at is None]
            self._live, self._listed = {key.key_id: Caller(key.key_id, key.role, key.name) for key in live}, listed
        return self._live

    def _mac(self, purpose: str, content: str) -> str:
        digest = hmac.digest(self._secret, f"{purpose}:{content}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:24]).decode()


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
