"""How people write names, numbers, and yes and no."""

import json
import math
import re
import unicodedata
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from retentionjax.company.money import SIGNS, symbols
from retentionjax.company.reading import CellReading
from retentionjax.errors import DataError

_SPACES = "[\\s\u00a0\u202f]"
TRUE, FALSE = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
UNKNOWN = ("nan", "na", "n/a", "null")
_FEW = 2
_NOTHING = (*UNKNOWN, "none", "nil", "blank", "unknown", "missing", "n.a.")


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
    if re.fullmatch(r"\(.*\d.*\)|.*\d[\s\u00a0]*[-−]", text):
        return '; a number below 0 has its "-" before it'
    if not reading.thousands:
        for mark in ",.'’ \u00a0\u202f":
            grouped = rf"\D{{0,4}}\d{{1,3}}({re.escape(mark)}\d{{3}})+(?:(?!{re.escape(mark)})([.,])\d+)?\D{{0,4}}"
            if (match := re.fullmatch(grouped, text)) and (match[2] or mark != reading.decimal):
                shown, point = " " if mark.isspace() else mark, match[2] or reading.decimal
                decimal = "" if point == reading.decimal else f'decimal: "{point}", '
                return f'; if "{shown}" groups thousands, say reading: {{{decimal}thousands: "{shown}"}}'
        if reading.decimal == "." and re.fullmatch(r"\D{0,4}\d+,\d+\D{0,4}", text):
            return '; if "," is the decimal sign, say reading: {decimal: ","}'
    other = "." if reading.decimal == "," else ","
    if reading.decimal + reading.thousands != "." and re.fullmatch(
        rf"\D{{0,4}}\d+{re.escape(other)}\d+\D{{0,4}}", text
    ):
        return f'; by what reading says, "{reading.decimal}" is the decimal sign, not "{other}"'
    if match := re.fullmatch(r"(?P<prefix>[^\d.,+−-]{1,8})[\d.,]+|[\d.,]+(?P<suffix>[^\d.,+−-]{1,8})", text):
        side = "prefix" if match["prefix"] else "suffix"
        return _affix_hint(side, match[side].strip(), reading)
    return missing_hint(value, reading)


def _affix_hint(side: str, words: str, reading: CellReading) -> str:
    """What to say of text beside a number: `prefix` and `suffix` hold for the whole file, and one of each."""
    if owners := [code for code in SIGNS if words in symbols(code)]:
        return f"; if the company's money is {' or '.join(owners[:3])}, say currency: {owners[0]}"
    if getattr(reading, side):
        return f"; the file's {side} is {getattr(reading, side)!r}, and one file has one {side}"
    return f"; text beside numbers is told by reading: {{{side}: {json.dumps(words, ensure_ascii=False)}}}"


def may_be_grouped(texts: pa.ChunkedArray, reading: CellReading) -> str:
    """A warning where every decimal sign of a column is followed by three digits, as those of 1.299 and 12.450 are:
    it may group thousands. Empty where one is not, or where one number is below 1 or is as long as no group."""
    mark, other = reading.decimal, "," if reading.decimal == "." else "."
    marked = pc.filter(texts, pc.match_substring(texts, mark))
    form = rf"^\D*[1-9]\d{{0,2}}{re.escape(mark)}\d{{3}}\D*$"
    if reading.thousands or len(marked.unique()) < _FEW or not pc.all(pc.match_substring_regex(marked, form)).as_py():
        return ""
    said = f"every {mark!r} is followed by three digits, as in {marked[0].as_py()!r}, which is read as a fraction"
    return f'{said}: if it groups thousands, say reading: {{decimal: "{other}", thousands: "{mark}"}}'


def missing_hint(value: str, reading: CellReading) -> str:
    """What to say of a text that may stand for an empty cell, as `n/a`, `-`, `#REF!` or 0000-00-00."""
    text = value.strip()
    if not text or not (text.lower().strip("()") in _NOTHING or re.fullmatch(r"#.*|[^\w+]*|[0./: -]*", text)):
        return ""
    codes = json.dumps([*reading.missing, text], ensure_ascii=False)
    return f"; if it stands for an empty cell, say reading: {{missing: {codes}}}"
