"""How a file is written, and what its cells may be called: shared by customers, contacts and departures."""

import codecs
import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from retentionjax.checked import Checked

INFER = "infer"
OTHERS = "others"
SOURCE = "source:"
"""A file of this form is a public data set by its name: `source:telco`. Names of a company's own files never clash."""
_CONDITION = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(.*\S)\s*")
MISSING = "missing"
_OTHER_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b")


class _DateOrColumn:
    """A mark: text that is an ISO date is that date, any other text names a column."""

    def structure(self, value: Any, structure: Callable[..., Any]) -> dt.date | str | None:
        """The date or the column's name."""
        if value is None or isinstance(value, dt.date):
            return None if value is None else structure(value, dt.date)
        text: str = str(value)[:10] if type(value).__name__ == "datetime64" else structure(value, str)
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            if _OTHER_DATE.match(text):
                form = "a date in company.yaml is written 2026-09-30, whatever the form of those in the files"
                raise ValueError(f"is {text!r}; allowed: {form}; or a column's name") from None
            return text


class _WordOrTexts:
    """A mark: one word that is allowed by itself, or a list of texts."""

    def __init__(self, word: str) -> None:
        self.word = word

    def structure(self, value: Any, structure: Callable[..., Any]) -> str | tuple[str, ...]:
        """The word or the texts."""
        if value == self.word:
            return self.word
        if isinstance(value, str) or value is None:
            raise ValueError(f"is {value!r}; allowed: {self.word}, or a list such as [a, b]")
        texts: tuple[str, ...] = structure(value, tuple[str, ...])
        return texts


class _AsGiven:
    """A mark: a path in text, or a table that is kept as it is."""

    def structure(self, value: Any, structure: Callable[..., Any]) -> Any:
        """The path, or whatever has columns, of Arrow and Polars as pandas has it."""
        value = value.to_pandas() if hasattr(value, "to_pandas") else value
        return value if hasattr(value, "columns") or value is None else structure(value, str)


File = Annotated[Any, _AsGiven()]
"""A path or address (csv, csv.gz, parquet), a query (.sql), `source:<name>` of a public set, a DataFrame, or None: not
here."""
DateOrColumn = Annotated[dt.date | str | None, _DateOrColumn()]
Categories = Annotated[str | tuple[str, ...], _WordOrTexts(INFER)]
"""Allowed categories, or `infer`: those that occur."""
Ignored = Annotated[str | tuple[str, ...], _WordOrTexts(OTHERS)]
"""Columns deliberately not used, or `others`: every one that is not named."""


@dataclass(frozen=True)
class CellReading(Checked):
    """How the cells of a text file are written; a Parquet file or DataFrame only needs `missing` and `aliases`."""

    encoding: str = "utf-8"
    """Python's name of it; a byte order mark is understood."""
    separator: str = ","
    """One character between cells."""
    decimal: str = "."
    """The character before the fraction of a number."""
    thousands: str = ""
    """The character between groups of three digits; empty: none."""
    prefix: str = ""
    """Text before numbers, such as `$`; the company's currency is understood without it."""
    suffix: str = ""
    """Text after numbers, such as `kWh`."""
    missing: tuple[str, ...] = ("",)
    """What stands for a missing value, besides an empty cell."""
    dates: str = ""
    """Form of dates, as `%d.%m.%Y`; empty: 2026-06-01, with a time of day or without."""
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Column → text of a cell → what it stands for; an empty text stands for a missing value."""

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: separators that clash or are no single characters, an unknown encoding, dates without a day."""
        found = []
        if len(self.separator) != 1 or self.separator in '"\r\n':
            found.append(("separator", f"is {self.separator!r}; allowed: one character, such as ',' or ';'"))
        if len(self.decimal) != 1 or self.decimal.isalnum():
            found.append(("decimal", f"is {self.decimal!r}; allowed: one character, such as '.' or ','"))
        if len(self.thousands) > 1 or self.thousands.isalnum() or self.thousands == self.decimal:
            found.append(("thousands", f"is {self.thousands!r}; allowed: one character other than the decimal one"))
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            found.append(("encoding", f"{self.encoding!r} is unknown; allowed: such as utf-8, utf-16, cp1252"))
        if self.dates and not ({"%d", "%j"} & set(re.findall("%.", self.dates))):
            found.append(("dates", f"is {self.dates!r}; allowed: a form such as %d.%m.%Y"))
        return found


@dataclass(frozen=True)
class Condition(Checked):
    """A comparison with a cell: rows that fit are left out and counted. In company.yaml `"<= 0"` or `missing`."""

    operator: str
    value: str = ""

    @staticmethod
    def shorthand(value: Any) -> dict[str, Any]:
        """The condition that `"<= 0"` or `missing` stands for."""
        text = str(value).strip()
        if text == MISSING:
            return {"operator": MISSING}
        match = _CONDITION.fullmatch(text)
        return {"operator": match[1], "value": match[2]} if match else {"operator": text}

    def wrong(self) -> list[tuple[str, str]]:
        """A fault if the condition has another form."""
        if self.operator == MISSING or (self.operator in ("<=", ">=", "==", "!=", "<", ">") and self.value):
            return []
        return [("", f"is {str(self)!r}; allowed: such as '<= 0', '== test', or {MISSING}")]

    def __str__(self) -> str:
        """The condition as it is written in company.yaml."""
        return f"{self.operator} {self.value}".strip()


def twice(roles: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of key and sentence for columns that stand in two of `roles`, pairs of key and column."""
    first: dict[str, str] = {}
    found = []
    for key, column in roles:
        if column in first:
            found.append((key, f"column {column!r} is named twice: {first[column]} has it too"))
        first.setdefault(column, key)
    return found
