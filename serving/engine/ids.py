"""UUID version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits; sorted by time, unique without asking."""

import secrets


def uuid7(now: float) -> str:
    """A new id at `now`, UTC epoch seconds."""
    milliseconds = int(now * 1000) & (1 << 48) - 1
    random = secrets.randbits(74)
    number = milliseconds << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & (1 << 62) - 1
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
