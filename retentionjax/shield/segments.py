"""Length of a short message as networks bill it: 3GPP TS 23.038 alphabets, 160/153 and 70/67 units a segment."""

from dataclasses import dataclass
from typing import Literal

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€\f")


@dataclass(frozen=True)
class SegmentCount:
    """What a text takes."""

    alphabet: Literal["gsm", "ucs2"]
    units: int
    """Septets, or UTF-16 code units."""
    segments: int


def measure(text: str) -> SegmentCount:
    """Alphabet, units and segments of a short message; a character of two units is never split over segments."""
    gsm = all(each in _BASIC or each in _EXTENDED for each in text)
    sizes = [(2 if each in _EXTENDED else 1) if gsm else (2 if ord(each) > 0xFFFF else 1) for each in text]
    single, part = (160, 153) if gsm else (70, 67)
    units = sum(sizes)
    return SegmentCount("gsm" if gsm else "ucs2", units, 1 if units <= single else _parts(sizes, part))


def _parts(sizes: list[int], part: int) -> int:
    parts, used = 1, 0
    for size in sizes:
        if used + size > part:
            parts, used = parts + 1, 0
        used += size
    return parts
