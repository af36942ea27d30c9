"""UUID version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits; sorted by time, unique without asking."""

import secrets

_DIGITS = 20  # hexadecimal, drawn for each id
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))  # two bits of a digit, behind the variant's 10₂


def uuids7(now: float, count: int) -> list[str]:
    """New ids at `now`, UTC epoch seconds; all of a micro-batch at once, for each look at the system's randomness costs
    as much as the rest."""
    milliseconds = f"{int(now * 1000) & (1 << 48) - 1:012x}"
    begin = f"{milliseconds[:8]}-{milliseconds[8:]}-7"
    drawn = secrets.token_hex(_DIGITS // 2 * count)
    return [_text(begin, drawn[start : start + _DIGITS]) for start in range(0, len(drawn), _DIGITS)]


def _text(begin: str, random: str) -> str:
    return f"{begin}{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:19]}"
