"""Keeps the bundles that serve in step with the pointer, and with what other processes on the same ledger activate."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from retentionjax.errors import RetentionJaxError
from serving.observability.metrics import Metrics

FIRST_SECONDS = 2.0  # between two looks while all goes well
LONGEST_SECONDS = 60.0  # after failure upon failure, each of which doubles the pause
_log = structlog.get_logger("serving.engine")


async def follow(
    sync: Callable[[], Awaitable[None]], metrics: Metrics, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Calls `sync` again and again until it is cancelled.

    What fails leaves everything as it is, is counted, and is logged once until `sync` succeeds again. Nothing that is
    raised ends it: the client of a bucket may raise anything.
    """
    pause, told = FIRST_SECONDS, set[str]()
    while True:
        await sleep(pause)
        try:
            await sync()
        except Exception as error:  # noqa: BLE001 - see above
            pause = min(2 * pause, LONGEST_SECONDS)
            metrics.follow_failure(type(error).__name__)
            if repr(error) not in told:
                told.add(repr(error))
                known = isinstance(error, RetentionJaxError | OSError)
                tell = _log.warning if known else _log.error
                tell("the bundles that are to serve cannot be followed now", exc_info=error)
        else:
            pause, told = FIRST_SECONDS, set()
