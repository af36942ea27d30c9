"""Moments: UTC epoch seconds inside, ISO 8601 outside."""

import datetime as dt
import functools
from typing import Annotated

from msgspec import Meta

Moment = Annotated[dt.datetime, Meta(tz=True, description="ISO 8601 with an offset", examples=["2026-11-26T10:15:00Z"])]
MomentOut = Annotated[str, Meta(description="UTC, ISO 8601", examples=["2026-11-26T10:15:00.125Z"])]


_FIRST = dt.datetime(1, 1, 2, tzinfo=dt.UTC).timestamp()
_LAST = dt.datetime(9999, 12, 30, tzinfo=dt.UTC).timestamp()


@functools.lru_cache(maxsize=1024)  # the decisions of a micro-batch share their moments
def iso(at: float) -> str:
    """Epoch seconds as UTC, ISO 8601, to the millisecond; beyond the years 1 to 9999: their end."""
    at = min(max(at, _FIRST), _LAST)
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
