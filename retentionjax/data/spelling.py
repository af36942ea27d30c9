"""How people write names, numbers, and yes and no."""

import math
import re
import unicodedata
from collections.abc import Iterable

from retentionjax.company.money import symbols
from retentionjax.company.reading import CellReading
from retentionjax.errors import DataError

_SPACES = "[\\s\u00a0\u202f]"
TRUE, FALSE = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
UNKNOWN = ("nan", "na", "n/a", "null")


def composed(text: str) -> str:
    """A text whose accents are parts of their letters: macOS writes ä as a and two dots."""
    return unicodedata.normalize("NFC", text)


def composed_names(names: Iterable[str], where: str) -> list[str]:
    """The names of columns or fields, each composed. Raises DataError, beginning with `where`, for two that are then
    the same: which of them is meant nobody can tell."""
    spelt: dict[str, str] = {}
    for name in names:
        if (same := composed(name)) in spelt:
            both = f"{spelt[same]!a} and {name!a}"  # as they are printed they look alike
            raise DataError(f"{where}: {both} are the same name, {same!r}; allowed: every name once")
        spelt[same] = name
    return list(spelt)


def plain(text: str) -> str:
    """A name or category without spaces around it, its accents composed."""
    return composed(text.strip())


def number(text: str) -> float | None:
    """The finite number that Python reads in a text; None where it is none."""
    try:
        return float(text) if math.isfinite(float(text)) else None
    except ValueError:
        return None


def flag(text: str, yes: str, no: str) -> str:
    """`yes` or `no` where a text means it, the text itself otherwise."""
    value = number(text)
    if value is not None and value.is_integer() and str(int(value)) in (yes, no):
        return str(int(value))
    for true, false in ((yes, no), (no, yes)):
        if true.lower() in TRUE and false.lower() in FALSE and text.lower() in (*TRUE, *FALSE):
            return true if text.lower() in TRUE else false
    return text


def group(thousands: str) -> str:
    """The character between groups of three digits, as RE2 finds it; any space for a space."""
    return _SPACES if thousands.isspace() else re.escape(thousands)


def number_form(reading: CellReading, currency: str) -> str:
    """What a number looks like, in RE2: its sign, and its digits without what stands beside them, as groups."""
    before = "|".join(re.escape(each) for each in (reading.prefix, *symbols(currency)) if each)
    after = "|".join(re.escape(each) for each in (reading.suffix, *symbols(currency)) if each)
    decimal = re.escape(reading.decimal)
    whole = r"\d+" if not reading.thousands else rf"(?:\d{{1,3}}(?:{group(reading.thousands)}\d{{3}})+|\d+)"
    digits = rf"(?:{whole}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][-+]?\d+)?"
    sign = rf"(?:([-+−]?){_SPACES}*(?:{before})?|(?:{before}){_SPACES}*([-+−]))"
    return rf"^{sign}{_SPACES}*({digits}){_SPACES}*(?:{after})?$"


def number_hint(value: str, reading: CellReading) -> str:
    """What to say under `reading` for a number that is written another way."""
    text = value.strip()
    if "," in text and reading.decimal == "." and not reading.thousands:
        if re.fullmatch(r"\D{0,4}\d{1,3}(,\d{3})+(\.\d+)?\D{0,4}", text):
            return '; if "," groups thousands, say reading: {thousands: ","}'
        if re.fullmatch(r"\D{0,4}[\d.]+,\d+\D{0,4}", text):
            return '; if "," is the decimal sign, say reading: {decimal: ","}'
    other = "." if reading.decimal == "," else ","
    if reading.decimal + reading.thousands != "." and re.fullmatch(
        rf"\D{{0,4}}\d+{re.escape(other)}\d+\D{{0,4}}", text
    ):
        return f'; by what reading says, "{reading.decimal}" is the decimal sign, not "{other}"'
    if re.fullmatch(r"\D{1,4}[\d.,]+|[\d.,]+\D{1,4}", text):
        return "; text beside numbers is told by reading: {prefix: , suffix: }"
    return ""
