"""When a contact may be sent: never in the recipient's quiet hours; one that would fall into them waits for their end.

Without a time zone every zone the customer may be in counts, and the strictest region's hours (`shield.contact`).
"""

import datetime as dt
from functools import lru_cache

from retentionjax.errors import DataError
from retentionjax.shield import Recipient, Rules, may_contact
from retentionjax.shield.brief import CHANNELS

_QUARTER = 900.0  # seconds; quiet hours begin and end on a quarter of an hour in every zone
_REACHABLE = frozenset(CHANNELS)  # whether she agreed to be contacted at all is another question


class QuietHours:
    """The quiet hours of a bundle's rules, remembered for each zone and quarter of an hour."""

    def __init__(self, rules: Rules) -> None:
        self._opens = lru_cache(maxsize=4096)(lambda zone, quarter: _opens(zone, quarter, rules))

    def earliest(self, zone: str | None, at: float) -> float:
        """The first moment at or after `at` that is fit, both UTC epoch seconds.

        Raises DataError for a zone that is unknown, or where no moment of the next days is fit.
        """
        quarter = at // _QUARTER
        opens = self._opens(zone, quarter)
        return at if opens == quarter * _QUARTER else opens


def _opens(zone: str | None, quarter: float, rules: Rules) -> float:
    moment = dt.datetime.fromtimestamp(quarter * _QUARTER, dt.UTC)
    permission = may_contact(Recipient(consent=_REACHABLE, time_zone=zone), "sms", moment, rules)
    if permission.earliest is None:
        raise DataError(f"time zone {zone!r}: the rules leave no hour in the next days for a contact")
    return permission.earliest.timestamp()


def is_zone(name: str) -> bool:
    """Whether `name` is a time zone that this machine knows."""
    try:
        _known(name)
    except DataError:
        return False
    return True


@lru_cache(maxsize=1024)
def _known(name: str) -> None:
    may_contact(Recipient(consent=frozenset(), time_zone=name), "sms", dt.datetime.fromtimestamp(0, dt.UTC))
