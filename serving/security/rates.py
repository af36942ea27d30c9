"""Token buckets: how many requests a key may make, in memory and in constant time."""

from collections.abc import Callable


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
