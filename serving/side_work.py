"""Work beside the decisions: what-ifs and explanations, one at a time on a thread of their own, judging wordings on
another, lifts on a third, and downloads of campaigns on a fourth.

A what-if takes some 70 ms of CPU, and so much again for each value that is tried; a large campaign's lift takes
seconds, and so does the first list of wordings after a start. On the threads that read keys, consent and the ledger, a
few callers would keep everybody waiting. What looks at all contacts of a campaign uses some of these, see `scanned`.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from serving.problems import Problem, too_many, unavailable
from serving.security.gate import Caller

MOST_WAITING = 16
MOST_OF_ONE_KEY = 4
DEADLINE_SECONDS = 10.0
LONG_SECONDS = 120.0
"""What a lift may take, and a list of wordings: its first after a start judges them all, 0.2 to 1.5 s of CPU a kind."""
TOKENS = 50.0
"""What one explanation or what-if costs its key, in decisions; by CPU it is about that."""

Result = TypeVar("Result")
Check = Callable[[], None]
"""Raises Problem 503 when the time is over; long work asks now and then."""


MOST_SCANS = 4
"""Looks at all contacts of a campaign at a time: a million take a second, and threads must be left for consent."""


async def scanned(state: Any, work: Callable[..., Result], *arguments: Any) -> Result:
    """What `work` returns, which looks at so many rows that it waits for its turn, however long."""
    async with state.scans:
        return await asyncio.to_thread(work, *arguments)


class SideWork:
    """Takes what there is room for and refuses the rest at once."""

    def __init__(self, deadline_seconds: float = DEADLINE_SECONDS, what: str = "what-ifs and explanations") -> None:
        self._seconds, self._what = deadline_seconds, what
        self._thread = ThreadPoolExecutor(1, "side-work")
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()

    async def run(self, caller: Caller, work: Callable[[Check], Result]) -> Result:
        """What `work` returns.

        Raises Problem 429 where this key has too much waiting, 503 where all have or it is not done in time, and what
        `work` raises.
        """
        self._enter(caller.key_id)
        ends = time.monotonic() + self._seconds

        def check() -> None:
            if time.monotonic() > ends:
                raise self._late()

        def job() -> Result:
            check()
            return work(check)

        doing: Future[Result] = self._thread.submit(job)
        doing.add_done_callback(lambda _: self._leave(caller.key_id))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(doing), self._seconds)
        except TimeoutError:
            raise self._late() from None

    def close(self) -> None:
        """Drops what waits; what is under way ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _late(self) -> Problem:
        detail = f"It was not done in the {self._seconds:g} s that {self._what} may take, waiting included."
        return unavailable("deadline-exceeded", detail, 1.0)

    def _enter(self, key_id: str) -> None:
        with self._lock:
            if self._waiting[key_id] >= MOST_OF_ONE_KEY:
                raise too_many(f"This key has too many {self._what} waiting.", 1.0)
            if self._waiting.total() >= MOST_WAITING:
                raise unavailable("overloaded", f"Too many {self._what} wait.", 1.0)
            self._waiting[key_id] += 1

    def _leave(self, key_id: str) -> None:
        with self._lock:
            self._waiting[key_id] -= 1
            self._waiting += Counter()  # forgets who has none
