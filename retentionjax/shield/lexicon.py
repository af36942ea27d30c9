"""What grounding must know of a language: how it says numbers, lengths of time, dates, and what stands around them.

A context is a regular expression over folded text: `…_before` is matched up to the quantity, `…_after` from it on. In
the text that they see, names, plans and the company's own words are blanked out with `·`. Each language is one file
(`english.py`, `spanish.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Unit = Literal["minutes", "days", "months", "bills", "some"]


@dataclass(frozen=True)
class Contexts:
    """What stands around a quantity, and tells what it is claimed to be."""

    states_before: str
    """A percentage that a discount is said of."""
    states_after: str
    qualifies: str
    """A percentage made vague: `up to`, `at least`."""
    adds: str
    """A second offer: `another`, `plus`."""
    otherwise: str
    """A percentage of something else: `more`, `of our customers`."""
    joins: str
    """Words between two mentions of the offer that make them two offers."""
    two: str
    """Words for more than one offer."""
    bare: str
    """A number off, of no unit."""
    cut_before: str
    """An amount that is taken off."""
    cut_after: str
    paid_before: str
    """An amount that is to be paid."""
    regular: str
    """An amount that comes again: `a month`."""
    tenure_before: str
    """A time that the customer has been there."""
    tenure_after: str
    offer_before: str
    """A time that the offer runs."""
    offer_after: str
    opens: str
    """What stands before a tenure that opens its sentence, and ends in a comma: `After nine months of rain, …`."""
    loose: str
    """A time made vague: `up to`, `within`."""
    window: str
    """Words before the time within which an amount may be claimed: `in the next`."""
    past: str
    """A tenure told as a little less than it is: `over`."""
    nearly: str
    """A tenure told as a little more than it is: `almost`."""
    article: str
    """Words before `a month` where it is a length and no rate."""
    extends_after: str
    """A time said to go on: `and beyond`."""
    beside: str
    """Something more, named behind the offer: `and a router`."""
    joined: str
    """Something more, named behind the company's words: `and soda are yours`."""
    next: str
    """A length without a number: `your next bill`."""
    bound: str
    """Words before such a length where it is the offer's."""
    deadline: str
    """A time that something runs to, begins on or must be done by, up to its end: `by Friday`."""
    binds: str
    """Words before, and in, a time for which the customer would be bound: `renews for another 12 months`."""
    taken: str
    """Words of taking an offer: a time beside them is the offer's."""
    had: str
    """Words of what is paid or had: a number beside them is claimed of it."""
    starts: str
    """A date that something begins on."""
    owned: str
    """What a service is said to be the customer's by, or what the offer is on: `your`."""
    takes: str
    """Words before a few minutes that are what it takes to reply."""
    harmless: str
    """Numbers that claim nothing: `24/7`."""


@dataclass(frozen=True)
class Lexicon:
    """The words of one language, folded: lower case, without accents."""

    ones: Mapping[str, int]
    """Number words that stand alone, or behind one of `tens` or `hundreds`."""
    tens: Mapping[str, int]
    hundreds: Mapping[str, int]
    joint: str
    """What stands between tens and ones, as a pattern."""
    behind_hundreds: str
    """What stands between hundreds and the rest, as a pattern."""
    percent: str
    """`percent`, as a pattern."""
    money: Mapping[str, str]
    """Singular of a word for money → its unit, as `dollar` → `$`."""
    units: Mapping[str, tuple[Unit, float]]
    """Singular of a word for a length of time → unit and factor."""
    plural: str
    """What may follow a unit, as a pattern."""
    article: str
    """`a`, `an`, as a pattern."""
    half: str
    """`half a`, as a pattern."""
    and_half: str
    """` and a half`, before or behind a unit, as a pattern."""
    conjunction: str
    """`and`, between years and months."""
    some: str
    """A number that is not told: `several`, as a pattern."""
    between: str
    """Words between a number and its unit: `full `, as a pattern."""
    months: tuple[str, ...]
    weekdays: tuple[str, ...]
    dates: tuple[str, ...]
    """Patterns with the groups d, mon and y, in which {month} and {ordinal} are filled in."""
    ordinal: str
    times: str
    """Days and hours that are no date of the calendar, as a pattern; {weekday} and {month} are filled in."""
    contexts: Contexts
