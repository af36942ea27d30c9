"""What a message may offer: nothing, a discount, an amount of money, or what the company says in its own words."""

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from retentionjax.errors import ConfigError
from retentionjax.shield.lexicon import LANGUAGES, Language
from retentionjax.shield.quantities import CURRENCIES, date_text, reader
from retentionjax.shield.reading import fold

Kind = Literal["discount", "amount", "words"]

_LONGEST = 60


@dataclass(frozen=True)
class OfferTerms:
    """What a customer gets on accepting; without discount, amount and words it is a contact without an offer."""

    discount: float = 0.0
    """Share of the charge in [0, 1]; a free month is 1.0 for 30 days."""
    _: KW_ONLY
    amount: float = 0.0
    """Money credited once on acceptance, in `currency`."""
    say: str | None = None
    """The company's own, trusted words for it, as `one month free` or `twice the speed`; then messages say these."""
    days: int = 30
    """How long it runs once accepted."""
    ends: dt.date | None = None
    """Last day to accept."""
    currency: str = "USD"
    """ISO 4217 code, of CURRENCIES."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a field out of its range, naming it and what is allowed."""
        if not 0 <= self.discount <= 1:
            raise ConfigError(f"Offer.discount is {self.discount!r}; allowed: 0 to 1, the share of the charge")
        if not 0 <= self.amount < math.inf:
            raise ConfigError(f"Offer.amount is {self.amount!r}; allowed: 0 or more, in {self.currency}")
        if not 1 <= self.days <= 365:
            raise ConfigError(f"Offer.days is {self.days!r}; allowed: 1 to 365")
        if self.currency not in CURRENCIES:
            raise ConfigError(f"Offer.currency is {self.currency!r}; allowed: {', '.join(CURRENCIES)}")
        say = self.say
        if say is not None and not (
            say.strip() == say and 0 < len(say) <= _LONGEST and say.isprintable() and not set("{}") & set(say)
        ):
            raise ConfigError(f"Offer.say is {say!r}; allowed: one line of 1 to {_LONGEST} characters without braces")

    @property
    def is_none(self) -> bool:
        """Whether it is a contact without an offer."""
        return not self.kinds

    @cached_property
    def kinds(self) -> frozenset[Kind]:
        """What it consists of; nothing for a contact without an offer."""
        parts: dict[Kind, object] = {"discount": self.discount, "amount": self.amount, "words": self.say}
        return frozenset(kind for kind, part in parts.items() if part)

    @property
    def percent(self) -> float:
        """The discount in percent of the charge, to a hundredth."""
        return round(self.discount * 100, 2)

    @cached_property
    def limited(self) -> bool:
        """Whether a message must say how long it runs: unless it is paid at once, or the company's words say it."""
        told = any(reader(language).lengths(fold(self.say or "")) for language in LANGUAGES)
        return bool(self.kinds - {"amount"}) and not told

    def words(self, language: Language = "en") -> str:
        """`10% off`, `a $15 credit` or the company's words, without how long it runs; empty for no offer."""
        spoken = _FORMS[language]
        parts = (
            [spoken.discount.format(percent=f"{self.percent:g}".replace(".", spoken.point))] if self.discount else []
        )
        parts += [spoken.credit(money(self.amount, self.currency, language))] if self.amount else []
        return self.say or spoken.both.join(parts)

    def span(self, language: Language = "en") -> str:
        """How long it runs: `1 day`, `30 days`."""
        day, days = _FORMS[language].days
        return f"1 {day}" if self.days == 1 else f"{self.days} {days}"

    def text(self, language: Language = "en") -> str:
        """`10% off for 30 days`, with the last day to accept if there is one; empty for no offer."""
        if self.is_none:
            return ""
        until = _FORMS[language].until.format(date=date_text(self.ends, language)) if self.ends else ""
        return f"{self.words(language)}{self.running(language)}{until}"

    def running(self, language: Language = "en") -> str:
        """` for 30 days`; empty where a message need not say it."""
        return _FORMS[language].running.format(span=self.span(language)) if self.limited else ""


def money(amount: float, currency: str, language: Language = "en") -> str:
    """`$15`, `£7.50`, `15 SEK`, in Spanish `15 €`, `7,50 €`: without decimals where there are none."""
    figure = f"{amount:,.0f}" if round(amount, 2) == round(amount) else f"{amount:,.2f}"
    if language == "es":
        figure = figure.replace(",", "").replace(".", ",")
    sign = CURRENCIES[currency]
    behind = sign.isalpha() or (language == "es" and sign == "€")
    return f"{figure} {sign}" if behind else f"{sign}{figure}"


@dataclass(frozen=True)
class _Forms:
    """How a language says an offer."""

    point: str
    """Before the decimals."""
    discount: str
    credit: Callable[[str], str]
    both: str
    running: str
    until: str
    days: tuple[str, str]
    """One of them, and many."""


def _english_credit(money: str) -> str:
    """`a $15 credit`, `an $8 credit`: as it is read aloud."""
    return ("an " if re.match(r"\D?(?:8|1[18](?!\d))", money) else "a ") + f"{money} credit"


_FORMS: Mapping[Language, _Forms] = MappingProxyType(
    {
        "en": _Forms(
            ".", "{percent}% off", _english_credit, " and ", " for {span}", ", accept by {date}", ("day", "days"),
        ),
        "es": _Forms(
            ",", "un {percent}% de descuento", lambda money: f"un abono de {money}", " y ", " durante {span}",
            ", responda antes del {date}", ("día", "días"),
        ),
    }
)  # fmt: skip
