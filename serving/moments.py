"""UTC epoch seconds as a moment; of the standard library alone, so that the ledger may use it too."""

import datetime as dt

_FIRST = dt.datetime(1, 1, 2, tzinfo=dt.UTC).timestamp()
_LAST = dt.datetime(9999, 12, 30, tzinfo=dt.UTC).timestamp()


EARLIEST, LATEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
"""The first and the last moment that anybody may speak of; further away is a slip."""

SHOWN_SECONDS = 0.001
"""How exactly answers show a moment; what is nearer than that is the same moment, given back."""


def utc(at: float) -> dt.datetime:
    """The moment; beyond the years 1 to 9999, which an older program let into the ledger, their end."""
    return dt.datetime.fromtimestamp(min(max(at, _FIRST), _LAST), dt.UTC)
