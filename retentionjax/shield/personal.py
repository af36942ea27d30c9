"""Personal data that has no place in a message: cards, social security numbers, e-mail addresses, phones, IBANs.

All are sought in the folded text, so that other digits, invisible characters and emphasis marks hide nothing.
"""

import re
from collections.abc import Iterator

import phonenumbers

from retentionjax.shield.brief import Brief
from retentionjax.shield.reading import Reading
from retentionjax.shield.sieve import Guarded
from retentionjax.shield.verdict import Finding

_BETWEEN = r"(?:[^\w%$]{0,4}|\s*(?:and|then)\s*)"
_CARD = re.compile(rf"(?<!\w)\d(?:{_BETWEEN}\d){{12,18}}(?!\w)")
_CARD_TAIL = Guarded(
    r"\b(?:card|visa|mastercard|amex|account)(?: number)?(?: that)? (?:ending|ends|ended)(?: in| with)? ?:?\s?\d{2,4}\b"
)
_SSN = re.compile(r"(?<![\d-])(?!000|666)\d{3}([-. /–])\d{2}\1\d{4}(?![\d-])")
_SSN_NAMED = Guarded(r"\b(?:ssn|social security)\b\D{0,15}\d[\d -]{3,}")
_EMAIL = re.compile(r"[\w.+%-]{1,64}@((?:[\w-]{1,63}\.){1,6}[a-z]{2,24})")
_EMAIL_SPOKEN = re.compile(
    r"[\w.+-]+ ?(?:\(at\)|\[at\]| at ) ?[\w-]+ ?(?:\(dot\)|\[dot\]| dot ) ?(?:com|net|org|edu|gov|io|co|example)\b"
)
_PHONE = re.compile(
    r"(?<![\w$.,/])(?:\+?1[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w%])"
    r"|(?<![\w$])\+\d(?:[ ().-]{0,2}\d){6,14}"
)
_MANY_DIGITS = re.compile(r"\d(?:[^\w]{0,3}\d){6,}")
_IBAN = re.compile(r"(?<![a-z0-9])[a-z]{2}\d\d(?:[ .-]?[a-z0-9]){11,30}")
_SPOKEN = Guarded(
    r"(?<!\w)(?:zero|oh|one|two|three|four|five|six|seven|eight|nine)(?:[\s,-]+(?:zero|oh|one|two|three|four"
    r"|five|six|seven|eight|nine)){5,}(?!\w)"
)
IBAN_LENGTHS = {
    "ad": 24, "ae": 23, "at": 20, "be": 16, "bg": 22, "br": 29, "ch": 21, "cy": 28, "cz": 24, "de": 22, "dk": 18,
    "ee": 20, "es": 24, "fi": 18, "fr": 27, "gb": 22, "gi": 23, "gr": 27, "hr": 21, "hu": 28, "ie": 22, "il": 23,
    "is": 26, "it": 27, "li": 21, "lt": 20, "lu": 20, "lv": 21, "mc": 27, "mt": 31, "nl": 18, "no": 15, "pl": 28,
    "pt": 25, "ro": 24, "sa": 24, "se": 24, "si": 19, "sk": 24, "sm": 27, "tr": 26, "ua": 29,
}  # fmt: skip
"""Length by country, ISO 13616 registry."""


def find(reading: Reading, brief: Brief) -> Iterator[Finding]:
    """Every piece of personal data in the message; the sender's own e-mail addresses are none."""
    text = reading.folded
    if "@" in text or " at " in text or "at)" in text or "at]" in text:
        for match in (*_EMAIL.finditer(text), *_EMAIL_SPOKEN.finditer(text)):
            if not (match.lastindex and brief.sender.owns_host(match[1])):
                yield reading.finding("pii.email", *match.span(), "an e-mail address")
    for match in _SPOKEN.finditer(text):
        yield reading.finding("pii.digits", *match.span(), "a number dictated digit by digit")
    for match in _CARD_TAIL.finditer(text):
        yield reading.finding("pii.card", *match.span(), "the end of a card or account number")
    for match in _SSN_NAMED.finditer(text):
        yield reading.finding("pii.ssn", *match.span(), "a social security number")
    if _MANY_DIGITS.search(text):
        yield from _numbers(reading)
    if re.search(r"[a-z]{2}\d\d", text):
        yield from _ibans(reading)


def luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right (ISO/IEC 7812-1)."""
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def iban(code: str) -> bool:
    """Whether `code` (lower case, no separators) is an IBAN: its country's length and ISO 7064 mod 97-10."""
    if IBAN_LENGTHS.get(code[:2]) != len(code):
        return False
    return int("".join(str(int(each, 36)) for each in code[4:] + code[:4])) % 97 == 1


def _numbers(reading: Reading) -> Iterator[Finding]:
    text = reading.folded
    cards: list[tuple[int, int]] = []
    for start in (match.start() for match in re.finditer(r"(?<!\w)\d", text)):
        # Overlapping on purpose: a card may stand behind other digits.
        match = _CARD.match(text, start)
        if match and not any(first <= start < last for first, last in cards):
            digits = re.sub(r"\D", "", match.group())
            if any(luhn(digits[:size]) for size in range(len(digits), 12, -1)) and len(set(digits)) > 1:
                cards.append(match.span())
                yield reading.finding("pii.card", *match.span(), "a card number")
    if not cards and (parts := _split_card(text)):
        cards.append(parts)
        yield reading.finding("pii.card", *parts, "a card number in parts")
    for match in _SSN.finditer(text):
        yield reading.finding("pii.ssn", *match.span(), "a social security number")
    spans = {match.span() for match in _PHONE.finditer(text)}
    spans |= {(found.start, found.end) for found in phonenumbers.PhoneNumberMatcher(text, "US")}
    for start, end in sorted(spans):
        if not any(first < end and start < last for first, last in cards):
            yield reading.finding("pii.phone", start, end, "a telephone number")


def _split_card(text: str) -> tuple[int, int] | None:
    """Start and end of groups of at least four digits, with words between them, that make up a card number."""
    groups = list(re.finditer(r"(?<!\d)\d{4,}(?!\d)", text))
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group.group()
            if 13 <= len(digits) <= 19 and digits[0] in "3456" and luhn(digits):
                return groups[first].start(), group.end()
    return None


def _ibans(reading: Reading) -> Iterator[Finding]:
    for match in _IBAN.finditer(reading.folded):
        size = IBAN_LENGTHS.get(match.group()[:2], 0)
        if size and iban(re.sub(r"[ .-]", "", match.group())[:size]):
            yield reading.finding("pii.iban", *match.span(), "a bank account number (IBAN)")
