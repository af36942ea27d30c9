"""Numbers in folded text: percentages, amounts of money, durations and dates, in digits and in words of a language."""

import datetime as dt
import functools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from retentionjax.shield.english import ENGLISH
from retentionjax.shield.lexicon import Language, Lexicon, Unit
from retentionjax.shield.sieve import Guarded
from retentionjax.shield.spanish import SPANISH

CURRENCIES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("USD", "CAD", "AUD", "NZD", "MXN", "ARS", "CLP", "COP", "SGD", "HKD", "TWD"), "$")
    | {"EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "¥", "INR": "₹", "KRW": "₩", "ILS": "₪", "TRY": "₺", "UAH": "₴"}
    | {"BRL": "R$", "VND": "₫", "PHP": "₱", "NGN": "₦"}
    | {code: code for code in ("CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN", "ZAR", "THB", "MYR")}
    | {code: code for code in ("IDR", "AED", "SAR", "EGP", "KES")}
)
"""ISO 4217 code → the sign before an amount, or the code behind it."""
SIGNS = "$€£¥₹₩₪₺₴₫₱₦¢"
_CODES = "|".join(code.lower() for code in CURRENCIES if code not in ("TRY", "COP", "RON"))
LEXICONS: Mapping[Language, Lexicon] = MappingProxyType({"en": ENGLISH, "es": SPANISH})


@dataclass(frozen=True)
class Length:
    """A duration: comparable only in its own unit, for a month is not 30 days."""

    amount: float
    unit: Unit


@dataclass(frozen=True)
class Amount:
    """Money: a figure and the sign or code that stands, or is meant, beside it."""

    figure: float
    unit: str

    def is_of(self, figure: float, currency: str) -> bool:
        """Whether it is that much of the currency; dollars of all countries share their sign."""
        return math.isclose(self.figure, figure) and _unit_of(currency) == self.unit


Quantity = float | Amount | Length
"""A percentage, an amount or a duration."""


class QuantityReader:
    """The quantities of a text in one language."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        ones, tens = _any(lexicon.ones), _any(lexicon.tens)
        below = rf"(?:{tens})(?:{lexicon.joint}(?:{ones}))?|{ones}"
        hundreds = rf"(?:{_any(lexicon.hundreds)})(?:{lexicon.behind_hundreds}(?:{below}))?"
        figures = rf"\d[\d,]*(?:\.\d+)?|{hundreds}|{below}"
        months = _any({*lexicon.months, *(name[:3] for name in lexicon.months), "sept"})
        words = {"month": months, "weekday": _any(lexicon.weekdays), "ordinal": lexicon.ordinal}
        self.percent = Guarded(rf"(?<![\w.,])({figures})[ -]?(?:%|{lexicon.percent})|%\s?(\d+)")
        self.money = Guarded(
            rf"(?:([{SIGNS}])|(?<!\w)({_CODES}|us\$|r\$|{_any(lexicon.money)})s? ?)\s?(\d[\d,]*(?:\.\d+)?)"
            rf"|(?<![\w.,])({figures})[ -]?(?:({_any(lexicon.money)}){lexicon.plural}|({_CODES}|[{SIGNS}]))(?!\w)"
        )
        self.duration = Guarded(
            rf"(?<![\w.,$])(?P<figure>{figures}|{lexicon.half}|{lexicon.article}|{lexicon.some})"
            rf"(?P<more>{lexicon.and_half})?[ -]{{0,2}}"
            rf"(?:(?:{lexicon.between}) )*(?P<unit>{_any(lexicon.units)}){lexicon.plural}(?!\w)"
            rf"(?:(?P<half>{lexicon.and_half})(?!\w)"
            rf"| {lexicon.conjunction} (?P<odd>{figures}) (?P<small>{_any(lexicon.units)}){lexicon.plural}(?!\w))?"
        )
        self.dates = (
            Guarded(r"(?<!\d)(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)"),
            Guarded(r"(?<!\d)(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y>\d{4}|\d\d)(?!\d)"),
            *(Guarded(pattern.format(**words)) for pattern in lexicon.dates),
            Guarded(r"(?<![\d/$.,])(?!24/7|50/50)(?P<a>\d{1,2})/(?P<b>\d{1,2})(?![\d/%])"),
        )
        self.times = Guarded(rf"(?<!\w)(?:{lexicon.times.format(**words)})(?!\w)")
        rate = rf"{lexicon.article} (?:(?!full|whole|enter|complet)\w+ )*\S+"
        self.is_article = functools.lru_cache(1 << 12)(lambda words: re.fullmatch(rate, words) is not None)
        """Whether a duration has `a` for its number, which may be a rate (`a month`, not `a full month`)."""
        self.lengths = functools.lru_cache(1 << 12)(self._lengths)
        """Every duration in a folded text; kept, for the texts of facts and offers are few."""
        self._length = functools.lru_cache(1 << 12)(self._length_of)

    def number(self, words: str) -> float:
        """`12`, `1,200.50`, `twenty-five`, `a hundred` as a number; NaN for what is none."""
        words = words.strip()
        if words[:1].isdigit():
            return float(words.replace(",", "." if re.fullmatch(r"\d+,\d{1,2}", words) else "").rstrip("."))
        if words in self._lexicon.ones:
            return float(self._lexicon.ones[words])
        for name, value in self._lexicon.hundreds.items():
            if found := re.fullmatch(rf"{name}(?:{self._lexicon.behind_hundreds}(.+))?", words):
                return value + (self.number(found[1]) if found[1] else 0.0)
        first, *rest = re.split(self._lexicon.joint, words, maxsplit=1)
        if first not in self._lexicon.tens:
            return math.nan
        return float(self._lexicon.tens[first] + sum(self._lexicon.ones[each] for each in rest))

    def percentage(self, match: re.Match[str]) -> float:
        """The percentage that a match of `percent` tells."""
        return self.number(match[1] or match[2])

    def amount(self, match: re.Match[str]) -> Amount:
        """The amount that a match of `money` tells."""
        sign, word = match[1] or match[6] or "", match[2] or match[5] or ""
        unit = sign or self._lexicon.money.get(word, word)
        return Amount(self.number(match[3] or match[4]), _unit_of(unit.upper()))

    def length(self, match: re.Match[str]) -> Length:
        """The duration that a match of `duration` tells."""
        return self._length(*match.group("figure", "more", "unit", "half", "odd", "small"))

    def _length_of(
        self, figure: str, more: str | None, told_unit: str, half: str | None, odd: str | None, small: str | None
    ) -> Length:
        unit, factor = self._lexicon.units[told_unit]
        if re.fullmatch(self._lexicon.half, figure):
            return Length(factor / 2, unit)
        if re.fullmatch(self._lexicon.some, figure):
            return Length(0.0, "some")
        told = 1.0 if re.fullmatch(self._lexicon.article, figure) else self.number(figure)
        told += 0.5 * ((more is not None) + (half is not None))
        if odd is None or small is None:
            return Length(told * factor, unit)
        small_unit, share = self._lexicon.units[small]
        return Length(told * factor + self.number(odd) * (share if small_unit == unit else math.nan), unit)

    def unit(self, match: re.Match[str]) -> Unit:
        """The unit of a match of `duration`, whether or not its number is told."""
        return self._lexicon.units[match["unit"]][0]

    def _lengths(self, text: str) -> frozenset[Length]:
        return frozenset(self.length(match) for match in self.duration.finditer(text))

    def amounts(self, text: str) -> set[Amount]:
        """Every amount of money in `text`, folded."""
        return {self.amount(match) for match in self.money.finditer(text)}

    def percentages(self, text: str) -> set[float]:
        """Every percentage in `text`, folded."""
        return {self.percentage(match) for match in self.percent.finditer(text)}

    def quantities(self, text: str) -> set[Quantity]:
        """Every percentage, amount and duration in `text`, folded."""
        return {*self.percentages(text), *self.amounts(text), *self.lengths(text)}

    def days_of(self, match: re.Match[str]) -> Iterator[tuple[int, int, int | None]]:
        """The days (day, month, year if told) that a match of one of `dates` may mean."""
        parts = match.groupdict()
        year = int(parts["y"]) if parts.get("y") else None
        if "a" in parts:
            yield int(parts["a"]), int(parts["b"]), year
            yield int(parts["b"]), int(parts["a"]), year
        else:
            months = enumerate(self._lexicon.months, 1)
            told = parts.get("mon")
            month = next(index for index, name in months if name.startswith(told[:3])) if told else int(parts["m"])
            yield int(parts["d"]), month, year

    def weekday(self, text: str) -> int | None:
        """Monday 0 … Sunday 6, if `text` names a day of the week."""
        return next((index for index, name in enumerate(self._lexicon.weekdays) if name in text), None)


@functools.cache
def reader(language: Language) -> QuantityReader:
    """The reader of a language."""
    return QuantityReader(LEXICONS[language])


def date_text(day: dt.date, language: Language = "en") -> str:
    """`December 31, 2026`, `31 de diciembre de 2026`: as prompts and templates write dates, whatever the locale."""
    month = LEXICONS[language].months[day.month - 1]
    return f"{month.capitalize()} {day.day}, {day.year}" if language == "en" else f"{day.day} de {month} de {day.year}"


def _unit_of(code: str) -> str:
    """The sign that amounts of a currency, by its code or sign, are told by."""
    sign = CURRENCIES.get(code, code)
    return sign if sign.isalpha() else sign[-1]


def _any(words: Iterator[str] | Mapping[str, object] | set[str] | tuple[str, ...]) -> str:
    """A pattern of any of the words, the longest first."""
    return "|".join(re.escape(word).replace("\\ ", " ") for word in sorted(words, key=len, reverse=True))
