"""UUID version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits; sorted by time, unique without asking."""

import secrets

_RANDOM_BYTES = 10  # 80 bits, of which six are not used


def uuids7(now: float, count: int) -> list[str]:
    """New ids at `now`, UTC epoch seconds; all of a micro-batch at once, for each look at the system's randomness costs
    as much as the rest."""
    milliseconds = int(now * 1000) & (1 << 48) - 1
    drawn = secrets.token_bytes(_RANDOM_BYTES * count)
    return [
        _text(milliseconds, int.from_bytes(drawn[start : start + _RANDOM_BYTES]))
        for start in range(0, len(drawn), _RANDOM_BYTES)
    ]


def _text(milliseconds: int, random: int) -> str:
    number = milliseconds << 80 | 7 << 76 | (random >> 62 & 0xFFF) << 64 | 2 << 62 | random & (1 << 62) - 1
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
