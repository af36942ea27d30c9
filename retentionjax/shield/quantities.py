"""Numbers in folded text: percentages, amounts of money, durations and dates, in digits and in words."""

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Unit = Literal["minutes", "days", "months", "bills", "some"]

_ONES = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ONE = "|".join(sorted(_ONES, key=len, reverse=True))
NUMBER = rf"(?:\d[\d,]*(?:\.\d+)?|(?:a |one )?hundred|(?:{'|'.join(_TENS)})(?:[ -](?:{_ONE}))?|{_ONE}|zero|dozen)"
CURRENCIES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("USD", "CAD", "AUD", "NZD", "MXN", "ARS", "CLP", "COP", "SGD", "HKD", "TWD"), "$"),
        "EUR": "€",
        "GBP": "£",
        "JPY": "¥",
        "CNY": "¥",
        "INR": "₹",
        "KRW": "₩",
        "ILS": "₪",
        "TRY": "₺",
        "UAH": "₴",
        "BRL": "R$",
        "VND": "₫",
        "PHP": "₱",
        "NGN": "₦",
        **{code: code for code in ("CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN", "ZAR", "THB", "MYR")},
        **{code: code for code in ("IDR", "AED", "SAR", "EGP", "KES")},
    }
)
"""ISO 4217 code → the sign before an amount, or the code behind it."""
SIGNS = "$€£¥₹₩₪₺₴₫₱₦¢"
_MONEY_WORDS: Mapping[str, str] = MappingProxyType(
    {
        **{code.lower(): sign.lower()[-1] if not sign.isalpha() else code.lower() for code, sign in CURRENCIES.items()},
        **dict.fromkeys(("us$", "r$", "dollar", "buck", "real", "reais"), "$"),
        "euro": "€",
        "pound": "£",
        "quid": "£",
        "yen": "¥",
        "rupee": "₹",
        "cent": "¢",
        "penny": "¢",
        "pence": "¢",
    }
)
"""Words for money → the unit that they mean."""
_CODES = "|".join(code.lower() for code in CURRENCIES if code not in ("TRY", "COP", "RON"))

PERCENT = re.compile(rf"(?<![\w.,])({NUMBER})[ -]?(?:%|percent(?:age)?|per cent|pct)|%\s?(\d+)")
MONEY = re.compile(
    rf"(?:[{SIGNS}]|(?<!\w)(?:{_CODES}|us\$|r\$|dollars?) ?)\s?(\d[\d,]*(?:\.\d+)?)"
    rf"|(?<![\w.,])({NUMBER})[ -]?(?:(?:dollar|buck|euro|pound|cent|rupee)s?|{_CODES}|yen|quid|pence|[{SIGNS}])(?!\w)"
)
_UNITS: dict[str, tuple[Unit, float]] = {
    **dict.fromkeys(("second", "sec"), ("minutes", 1 / 60)),
    **dict.fromkeys(("minute", "min"), ("minutes", 1.0)),
    **dict.fromkeys(("hour", "hr"), ("minutes", 60.0)),
    **dict.fromkeys(("day", "night"), ("days", 1.0)),
    "week": ("days", 7.0),
    "fortnight": ("days", 14.0),
    **dict.fromkeys(("month", "mo", "mth"), ("months", 1.0)),
    "quarter": ("months", 3.0),
    **dict.fromkeys(("year", "yr"), ("months", 12.0)),
    "decade": ("months", 120.0),
    **dict.fromkeys(("bill", "payment", "statement", "invoice", "cycle", "period"), ("bills", 1.0)),
}
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_SOME = r"an?|half an?|several|a? ?few|(?:a )?couple(?: of)?|many|multiple"
DURATION = re.compile(
    rf"(?<![\w.,$])({NUMBER}|{_SOME})[ -]{{0,2}}"
    rf"(?:full |whole |more |extra |additional |business |calendar |straight |billing "
    rf"|monthly )*({_UNIT})(?:'?s'?)?(?!\w)"
)
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = "|".join(sorted({*MONTHS, *(name[:3] for name in MONTHS), "sept"}, key=len, reverse=True))
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ORDINAL = r"(?:st|nd|rd|th)"
DATES = (
    re.compile(r"(?<!\d)(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)"),
    re.compile(r"(?<!\d)(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y>\d{4}|\d\d)(?!\d)"),
    re.compile(rf"(?<!\w)(?P<mon>{_MONTH})\.? (?:the )?(?P<d>\d{{1,2}}){_ORDINAL}?(?:,? (?P<y>\d{{4}}))?(?![\d%])"),
    re.compile(rf"(?<!\d)(?P<d>\d{{1,2}}){_ORDINAL}?(?: of)?[ -](?P<mon>{_MONTH})(?!\w)\.?(?:,?[ -](?P<y>\d{{4}}))?"),
    re.compile(r"(?<![\d/$.,])(?!24/7|50/50)(?P<a>\d{1,2})/(?P<b>\d{1,2})(?![\d/%])"),
)
OTHER_TIMES = re.compile(
    rf"(?<!\w)(?:"
    rf"(?:by|until|till?|through|thru|before|on|this|next|every|ends?|expires?|of|coming)"
    rf" (?:{'|'.join(WEEKDAYS)}|mon|tue|wed|thu|fri)"
    rf"|(?:{'|'.join(WEEKDAYS)})s?"
    rf"|(?:in|until|till?|through|by|of|this|next|since|before|late|early|mid|end of) (?:{'|'.join(MONTHS)})"
    rf"|\d{{1,2}}{_ORDINAL}"
    r"|(?:tonight|tomorrow|yesterday|midnight|noon|weekends?|eom|eod)"
    r"|(?:ends?|expires?|valid|good|by|until|only|before) today"
    r"|end of (?:the |this |next |your )?(?:day|week|month|quarter|year|season|summer|winter|spring|fall)"
    r"|(?:within|in) (?:the|an?) (?:next )?(?:hour|day|week)|(?:this|next|coming) hour"
    r"|(?:this|next|until) (?:week|weekend|year|quarter|season|summer|winter|spring|fall|autumn)"
    r"|(?:christmas|thanksgiving|halloween|easter|new year'?s?(?: eve| day)?|black friday|cyber monday|labor day|"
    r"memorial day|independence day|valentine'?s?(?: day)?|mother'?s day|father'?s day)"
    r"|\d{1,2}(?::\d\d)? ?(?:am|pm|a\.m\.|p\.m\.|o'clock)"
    r"|(?:19|20)\d\d"
    r")(?!\w)"
)


@dataclass(frozen=True)
class Length:
    """A duration: comparable only in its own unit, for a month is not 30 days."""

    amount: float
    unit: Unit


@dataclass(frozen=True)
class Amount:
    """Money: a figure and the sign, word or code beside it."""

    figure: float
    unit: str

    def is_of(self, figure: float, currency: str) -> bool:
        """Whether it is that much of the currency; dollars of all countries share their sign."""
        return math.isclose(self.figure, figure) and _MONEY_WORDS[currency.lower()] == self.unit


def number(words: str) -> float:
    """`12`, `1,200.50`, `twenty-five`, `a hundred` as a number; NaN for what is none of NUMBER."""
    words = words.strip()
    if words[:1].isdigit():
        digits = words.replace(",", "." if re.fullmatch(r"\d+,\d{1,2}", words) else "").rstrip(".")
        return float(digits)
    if words.endswith("hundred"):
        return 100.0
    if words in ("zero", "dozen"):
        return 0.0 if words == "zero" else 12.0
    tens, _, ones = words.replace("-", " ").partition(" ")
    if tens in _TENS:
        return 10.0 * (_TENS.index(tens) + 2) + (_ONES.index(ones) + 1 if ones in _ONES else 0)
    return _ONES.index(words) + 1.0 if words in _ONES else float("nan")


def quantities(text: str) -> set[float | Amount | Length]:
    """Every percentage, amount and duration in `text`, in any case."""
    return {*percentages(text), *amounts(text), *lengths(text)}


def percentages(text: str) -> set[float]:
    """Every percentage in `text`, in any case."""
    return {number(match[1] or match[2]) for match in PERCENT.finditer(text.lower())}


def amount_of(match: re.Match[str]) -> Amount:
    """The amount a match of MONEY tells."""
    unit = re.sub(r"[\d.,\s-]|" + NUMBER, "", match.group()).strip()
    return Amount(number(match[1] or match[2]), _MONEY_WORDS.get(unit, _MONEY_WORDS.get(unit.removesuffix("s"), unit)))


def amounts(text: str) -> set[Amount]:
    """Every amount of money in `text`, in any case."""
    return {amount_of(match) for match in MONEY.finditer(text.lower())}


def length(match: re.Match[str]) -> Length:
    """The duration a match of DURATION tells."""
    unit, factor = _UNITS[match[2]]
    if re.fullmatch(_SOME, match[1]):
        return Length(factor, unit) if match[1] in ("a", "an") else Length(0.0, "some")
    return Length(number(match[1]) * factor, unit)


def lengths(text: str) -> set[Length]:
    """Every duration in `text`, in any case."""
    return {length(match) for match in DURATION.finditer(text.lower())}


def date_text(day: dt.date) -> str:
    """`December 31, 2026`: the way dates are written in prompts and templates, whatever the locale."""
    return f"{MONTHS[day.month - 1].capitalize()} {day.day}, {day.year}"


def month_of(name: str) -> int:
    """1 to 12 for a month's name or its first three letters."""
    return next(index for index, month in enumerate(MONTHS, 1) if month.startswith(name[:3]))
