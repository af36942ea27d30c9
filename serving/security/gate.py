"""The gate: whose key is this, and has it requests left?

A key that was verified is trusted for a few seconds. Presented keys are kept as SHA-256 digests only. The ledger holds
digests too and compares in constant time; the table here is looked up by digest, so its timing tells nothing about a
key.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from serving.express import sole
from serving.ledger.types import ApiKey, Role
from serving.problems import Problem, field_error, invalid, too_many, unauthorised


class Bucket:
    """Holds up to `burst` tokens and gains `rate` of them a second."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst, self._tokens, self._at = rate, burst, burst, now

    def take(self, tokens: float, now: float) -> float:
        """Takes `tokens` and returns 0; or takes nothing and returns the seconds until there are enough.

        More than a burst is taken as a burst, or it could never be had.
        """
        wanted = min(tokens, self._burst)
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < wanted:
            return (wanted - self._tokens) / self._rate
        self._tokens -= wanted
        return 0.0

    def give_back(self, tokens: float) -> None:
        """What was taken for nothing."""
        self._tokens = min(self._burst, self._tokens + tokens)


class Buckets:
    """One bucket a name. Beyond `most` names the oldest is forgotten, so that strangers cannot fill the memory."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float], *, most: int = 10_000) -> None:
        self._rate, self._burst, self._clock, self._most = rate, burst, clock, most
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, tokens: float = 1.0) -> float:
        """See `Bucket.take`; a rate of 0 means no limit."""
        if not self._rate:
            return 0.0
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[name] = Bucket(self._rate, self._burst, now)
        return bucket.take(tokens, now)

    def give_back(self, name: str, tokens: float = 1.0) -> None:
        """What was taken for nothing."""
        if (bucket := self._buckets.get(name)) is not None:
            bucket.give_back(tokens)


Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]
SCHEME = b"bearer "
LONGEST_KEY = 200  # characters of an Authorization header; ours have less
_FAILURES = 5.0  # wrong keys a second from one address; each costs a look into the ledger
_FAILURE_BURST = 20.0  # looks for one address at a time, too: a right key gives its place back


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request."""

    key_id: str
    role: Role
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"


class Gate:
    """Admits requests by their API key.

    `verify` gives the live key of a presented text, or None; it reads the ledger and is called in a thread.
    """

    def __init__(
        self,
        verify: Callable[[str], ApiKey | None],
        *,
        rate: float,
        burst: float,
        cache_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verify, self._clock, self._cache_seconds = verify, clock, cache_seconds
        self._rates = Buckets(rate, burst, clock)
        self._failures = Buckets(_FAILURES, _FAILURE_BURST, clock)
        self._known: dict[bytes, tuple[Caller, float]] = {}
        self._used: dict[str, float] = {}
        self._readers = ThreadPoolExecutor(2, "keys")  # its own: whatever else waits for threads, keys do not
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._looks: dict[str, set[asyncio.Task[Caller | None]]] = {}  # by address

    async def admit(self, connection: ASGIConnection[Any, Any, Any, Any], tokens: float) -> Caller:
        """The caller, with `tokens` taken. Raises Problem 400 for two Authorization headers, 401 or 429."""
        value = sole(connection.scope["headers"], b"authorization")
        if value is None:
            raise unauthorised("There is no Authorization header.")
        if value[:7].lower() != SCHEME or len(value) > LONGEST_KEY:
            raise unauthorised("The Authorization header is not `Bearer` and a key.")
        client = connection.scope["client"]
        caller = await self.identify(value[7:].strip(), client[0] if client else "")
        self.charge(caller, tokens)
        return caller

    async def identify(self, presented: bytes, address: str) -> Caller:
        """The owner of a key. Raises LedgerUnavailable, Problem 401 or, where `address` tried too many, 429."""
        digest = hashlib.sha256(presented).digest()
        while True:
            known = self._known.get(digest)
            if known is not None and self._clock() < known[1]:
                return known[0]
            look = self._asking.get(digest) or self._look(digest, presented, address, stranger=known is None)
            if look is not None:
                break
            # All places of the address are taken; those of right keys come back, those of wrong ones do not.
            await asyncio.wait(self._looks[address], return_when=asyncio.FIRST_COMPLETED)
        caller = await asyncio.shield(look)
        if caller is None:
            raise unauthorised("This key is not known, or was revoked.")
        return caller

    def charge(self, caller: Caller, tokens: float, *, instead_of: float = 0.0) -> None:
        """Takes `tokens` of the caller's; `instead_of` those that the gate took before it was known what the request
        costs, so that a wait is one for all of them. Raises Problem 429."""
        self._rates.give_back(caller.key_id, instead_of)
        if (wait := self._rates.take(caller.key_id, tokens)) > 0:
            raise too_many("This key has made too many requests.", wait)

    def used(self) -> dict[str, float]:
        """Keys that were verified since the last call, and when (UTC epoch seconds)."""
        used, self._used = self._used, {}
        return used

    def _look(
        self, digest: bytes, presented: bytes, address: str, *, stranger: bool
    ) -> asyncio.Task[Caller | None] | None:
        """Asks the ledger, once for all requests with that key; None while the address has no place left.

        Raises Problem 429 where wrong keys took all places.
        """
        looks = self._looks.get(address)
        if stranger and (wait := self._failures.take(address)) > 0:
            if looks:
                return None
            raise too_many("Too many keys that were not known before came from this address.", wait)
        look = self._asking[digest] = asyncio.create_task(self._look_up(digest, presented))
        self._looks.setdefault(address, set()).add(look)
        look.add_done_callback(lambda done: self._looked(digest, address, done, stranger=stranger))
        return look

    def _looked(self, digest: bytes, address: str, look: asyncio.Task[Caller | None], *, stranger: bool) -> None:
        del self._asking[digest]
        self._looks[address].discard(look)
        if not self._looks[address]:
            del self._looks[address]
        # A ledger that is gone says nothing of the key.
        if stranger and (look.cancelled() or look.exception() is not None or look.result() is not None):
            self._failures.give_back(address)

    async def _look_up(self, digest: bytes, presented: bytes) -> Caller | None:
        asked = self._clock()
        loop = asyncio.get_running_loop()
        key = await loop.run_in_executor(self._readers, self._verify, presented.decode("ascii", "replace"))
        if key is None:
            self._known.pop(digest, None)  # it was revoked
            return None
        caller = Caller(key.key_id, key.role, key.name)
        self._used[key.key_id] = time.time()
        self._known[digest] = (caller, asked + self._cache_seconds)
        return caller


def requires(*roles: Role, tokens: float = 1.0) -> Guard:
    """A guard that lets callers of one of `roles` pass, and `admin` always; `tokens` are what the call costs its key.

    `request.auth` is the Caller afterwards. The guard raises Problem 401 (no valid key), 403 (another role) or
    429 (too many requests).
    """
    allowed = frozenset(("admin", *roles))

    async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        gate = connection.app.state.gate
        caller = connection.scope["auth"] = await gate.admit(connection, tokens)
        if caller.role not in allowed:
            detail = f"This key has the role {caller.role}; this address wants {' or '.join(sorted(allowed))}."
            raise Problem(403, "forbidden", "The key's role may not do this", detail)
        if connection.scope["query_string"]:
            _refuse_stray(connection, handler)

    guard.roles = allowed  # type: ignore[attr-defined]  # a test walks all routes and looks for it
    return guard


def _refuse_stray(connection: Connection, handler: BaseRouteHandler) -> None:
    """Raises Problem 422 for a parameter of the query that the address of the API does not have, or that stands twice:
    whoever misspells one would get an answer to another question."""
    if not connection.url.path.startswith("/v1/"):
        return  # scrapers add what they like
    known = handler.parsed_fn_signature.parameters.keys() - {"request", "data"} - connection.path_params.keys()
    given: set[str] = set()
    for name, value in connection.query_params.multi_items():
        if name not in known:
            named = field_error(name, value, ", ".join(sorted(known)) or "no parameter in the query")
            raise invalid("A parameter of the query is unknown.", named)
        if name in given:
            raise invalid("A parameter of the query is given twice.", field_error(name, value, "the parameter once"))
        given.add(name)
