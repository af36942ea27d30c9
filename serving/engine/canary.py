"""Whether a canary does harm: its last decisions against the limits of the settings.

A limit is passed when more decisions of the window are bad than the limit allows of a full one, so a canary that is
bad from its first decision on goes back long before the window is full.
"""

from collections import deque
from typing import Literal, NamedTuple

from serving.settings import Settings

Limit = Literal["error_rate", "p99", "block_rate"]
_P99 = 0.01  # share of decisions that may be slower than the limit on the 99th percentile


class Seen(NamedTuple):
    """One decision of the canary."""

    failed: bool
    slow: bool
    blocked: bool


class Watch:
    """Of one canary. Used by the writer's thread only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._window: deque[Seen] = deque(maxlen=settings.canary_window)

    def saw(self, count: int, *, failed: bool, seconds: float, blocked: int) -> None:
        """A micro-batch of `count` decisions that took `seconds`; `blocked` of their messages were refused."""
        slow = seconds * 1000 > self._settings.canary_p99_ms
        self._window.extend(Seen(failed, slow, place < blocked) for place in range(count))

    @property
    def passed(self) -> Limit | None:
        """The first limit that is passed, if any."""
        size, settings = self._settings.canary_window, self._settings
        if sum(each.failed for each in self._window) > settings.canary_error_rate * size:
            return "error_rate"
        if sum(each.slow for each in self._window) > _P99 * size:
            return "p99"
        if sum(each.blocked for each in self._window) > settings.canary_block_rate * size:
            return "block_rate"
        return None
