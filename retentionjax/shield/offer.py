"""What a message may offer: nothing, a discount, an amount of money, or what the company says in its own words."""

import datetime as dt
import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from types import MappingProxyType
from typing import Literal

from retentionjax.errors import ConfigError
from retentionjax.shield.lexicon import LANGUAGES, Language
from retentionjax.shield.quantities import CURRENCIES, LEXICONS, date_text, reader
from retentionjax.shield.reading import BLANK, Reading, fold

Kind = Literal["discount", "amount", "words"]

_LONGEST = 60
_WHOLE = 100
"""Percent of the charge: nothing is left to pay."""
_STEM = 5
"""Letters of a word of the company's by which it is known in another form: `doubled`, `we can double`."""


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
    days: int | None = 30
    """How long it runs once accepted; None: it is given once, as `a free vase`, and no message says how long."""
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
        if self.days is None and self.discount:
            raise ConfigError(f"Offer.days is None of a discount of {self.discount:g}; allowed: 1 to 365")
        if self.days is not None and not 1 <= self.days <= 365:
            raise ConfigError(f"Offer.days is {self.days!r}; allowed: 1 to 365, or None for what is given once")
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

    @functools.cached_property
    def kinds(self) -> frozenset[Kind]:
        """What it consists of; nothing for a contact without an offer."""
        parts: dict[Kind, object] = {"discount": self.discount, "amount": self.amount, "words": self.say}
        return frozenset(kind for kind, part in parts.items() if part)

    @property
    def percent(self) -> float:
        """The discount in percent of the charge, to a hundredth."""
        return round(self.discount * 100, 2)

    def share(self, language: Language = "en") -> str:
        """The discount as it is written: `10%`, `7.5%`, in Spanish `7,5%`."""
        return f"{self.percent:g}%".replace(".", _FORMS[language].point)

    @functools.cached_property
    def limited(self) -> bool:
        """Whether a message must say how long it runs: unless it is given at once, or the company's words say it."""
        said = re.sub(r"(?<!\w)free ", "", fold(self.say or ""))  # `a free month of films`
        told = any(reader(language).lengths(said) for language in LANGUAGES)
        return self.runs and not told

    @property
    def runs(self) -> bool:
        """Whether it lasts for `days`, and is not given at once."""
        return self.days is not None and bool(self.kinds - {"amount"})

    def words(self, language: Language = "en") -> str:
        """`10% off`, `a $15 credit` or the company's words, without how long it runs; empty for no offer."""
        spoken = _FORMS[language]
        parts = [spoken.discount.format(share=self.share(language))] if self.discount else []
        parts += [spoken.credit(money(self.amount, self.currency, language))] if self.amount else []
        return self.say or spoken.both.join(parts)

    def span(self, language: Language = "en") -> str:
        """How long it runs: `1 day`, `30 days`; empty for what is given once."""
        if self.days is None:
            return ""
        day, days = _FORMS[language].days
        return f"1 {day}" if self.days == 1 else f"{self.days} {days}"

    def text(self, language: Language = "en") -> str:
        """`10% off for 30 days`, with the last day to accept if there is one; empty for no offer."""
        if self.is_none:
            return ""
        until = _FORMS[language].until.format(date=date_text(self.ends, language)) if self.ends else ""
        return f"{self.words(language)}{self.running(language)}{until}"

    def said(self, text: str, language: Language = "en") -> bool:
        """Whether the folded `text` says the offer in the company's words, or in others that mean the same."""
        ways = self._ways(language)
        return bool(ways and ways.search(text)) or bool(self.say and _in_other_order(self.say).search(text))

    def told_freely(self, text: str, language: Language) -> re.Match[str] | None:
        """Where the folded `text`, in English, says that a gift is free, if it names all of it, in whatever order.

        `plain linen bags … we'd be happy for you to have one, free`: only one thing is called free, and that is a word
        of the gift's, or what stands for one.
        """
        words = fold(self.say or "") if self.days is None and language == "en" else ""
        if not _FREELY.search(words):
            return None
        stems = [each[:_STEM] for each in re.findall(r"[a-z]{3,}", _FREELY.sub("", words))]
        found = list(_FREELY.finditer(text))
        if len(found) != 1 or not all(re.search(rf"(?<!\w){stem}", text) for stem in stems):
            return None
        thing = rf"(?:it|one|them|this|these|{'|'.join(stems)})"
        before = re.search(rf"(?<!\w){thing}[a-z]*,?(?: (?:is|are|comes?|all|yours))*,? $", text[: found[0].start()])
        after = re.match(rf" (?:[a-z]+ )?{thing}", text[found[0].end() :])
        return found[0] if before or after else None

    def spare(self, reading: Reading, language: Language = "en") -> Reading:
        """`reading` with what `said` finds blanked out in `plain`: no rule strikes the offer for how it is said."""
        ways, plain = self._ways(language), reading.plain
        if ways and ways.search(plain):
            plain = ways.sub(lambda match: BLANK * len(match.group()), plain)
        elif free := self.told_freely(reading.folded, language):
            plain = plain[: free.start()] + BLANK * len(free.group()) + plain[free.end() :]
        return replace(reading, plain=plain) if plain != reading.plain else reading

    def _ways(self, language: Language) -> re.Pattern[str] | None:
        return _ways(self.say, self.percent, language, is_gift=bool(self.say) and self.days is None)

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
    """The character before the decimals."""
    discount: str
    credit: Callable[[str], str]
    both: str
    running: str
    until: str
    days: tuple[str, str]
    """One of them, and many."""
    shares: Mapping[float, str]
    """Percentage → how it is said as a fraction. This and all below are patterns of folded text."""
    off: str
    """Words for so much taken off, with {share}."""
    rest: str
    """What is left to pay, with {rest}."""
    halved: str
    """Half off, in words of its own."""
    same: tuple[tuple[str, str], ...]
    """Company's words as a pattern → what means the same, with its groups filled in: both of folded text."""


def _english_credit(money: str) -> str:
    """`a $15 credit`, `an $8 credit`: as it is read aloud."""
    return ("an " if re.match(r"\D?(?:8|1[18](?!\d))", money) else "a ") + f"{money} credit"


_OF_CHARGE = (
    r"(?:the |your )?(?:usual |regular |normal |full |monthly |account |card |membership |·+ )*"
    r"(?:bill|price|charge|cost|rate|fee)"
)
_LESS = r"(?:off|less|lower|cheaper)(?! (?:every|each|all|any))(?!\w)"
_ON_US = r"(?:free(?: of charge)?|for free|on us|on the house|at no (?:charge|cost))"
_NO_BILL = rf"your next bill (?:is|will be) (?:zero|{_ON_US})"
_FREE = (
    rf"(?:an?|one|1) (?:whole |full )?{{0}}(?: of [a-z·]+(?: [a-z·]+)?)?,? {_ON_US}"
    rf"|(?:an?|one|1|your|your next|your first) (?:whole |full )?free {{0}}(?: of service)?"
    rf"|(?:your (?:next |first |coming )?|the (?:next |first |coming )|this ){{0}}"
    rf"(?: back| (?:of|with) [a-z·]+(?: [a-z·]+){{{{0,2}}}}?)?,?"
    rf"(?: (?:is|will be|can be|could be))? {_ON_US}"
    r"|(?:pay(?:ing)? nothing|no (?:charge|bill|cost|payment)) for"
    r" (?:an?|one|1|the next|your next) (?:whole |full )?{0}"
    rf"|we(?:'ll| will|'d like to) (?:cover|pay for) (?:an?|one|1|your next) {{0}}"
    rf"|(?:an?|one|1) {{0}}(?: of [a-z]+)? without a bill|an? {{0}}'s service(?: from [a-z·]+)?,? {_ON_US}"
    r"|it(?:'s| is) (?:all )?on (?:the house|us)"
    rf"|your (?:next {{0}}'s bill|bill for (?:an?|one|1|the next) {{0}}) (?:is|will be) {_ON_US}"
)
_FOR_NOTHING = (
    r"free of charge|for (?:free|nothing)|(?:is |are |be |come |comes )?free"
    r"(?= ?(?:[.,:;!?()\n-]|$|\d|for|with|if|as|and|when|once|just|to you|in|until)(?!\w))"
    r"|free (?:months?|\d+ days|[a-z]+ days)|on (?:us|the house)|at (?:no (?:extra )?(?:charge|cost)|zero cost)"
    r"|no (?:charge|bill|cost|fee)s?|(?:nothing|zero|not a cent|no money) to pay|(?:cost|pay|charge)s?(?: you)? nothing"
    r"|without (?:a )?(?:bill|charge|payment|paying)|(?:bill|fee|charge|payment)[ -]free|off the hook|zero dollars"
)
"""What is free is said so, whatever it is, where the whole charge is waived."""
_FREELY = re.compile(r"(?<!\w)(?:(?<!feel )free(?!ly| of (?!charge))|gratis|complimentary|on the house)(?!\w)")
_AS_A_GIFT = rf"(?: for you|,? from [a-z·]+)?(?:,| is| are|,? and it's) (?:yours |all )*{_ON_US}"
_TWICE = (
    r"(?:twice|two times|double|2 ?x)(?: the| your)?(?: internet| download| connection)? {0}|double[ -]{0}|doubled {0}"
    r"|doubl(?:e|es|ing) (?:the|your)(?: internet| download| connection)? {0}|{0},?(?: is| gets| would be)? doubled"
)
_FORMS: Mapping[Language, _Forms] = MappingProxyType(
    {
        "en": _Forms(
            ".", "{share} off", _english_credit, " and ", " for {span}", ", accept by {date}", ("day", "days"),
            shares={
                10.0: "(?:a |one[ -])tenth",
                20.0: "(?:a |one[ -])fifth",
                25.0: "(?:a |one[ -])quarter",
                30.0: "three[ -]tenths",
                33.33: "(?:a |one[ -])third",
                50.0: "(?:a |one[ -])?half",
                40.0: "two[ -]fifths",
                60.0: "three[ -]fifths",
                66.67: "two[ -]thirds",
                70.0: "seven[ -]tenths",
                75.0: "three[ -]quarters",
                80.0: "four[ -]fifths",
                90.0: "nine[ -]tenths",
            },
            off=rf"{{share}} {_LESS}|by {{share}}|(?:take|cut|knock) (?:off )?{{share}} (?:of|off) {_OF_CHARGE}",
            rest=rf"pay(?:ing)? (?:only |just )?{{rest}} of (?:what you usually pay|{_OF_CHARGE})",
            halved=(
                rf"in half|{_OF_CHARGE}(?: is)? halved"
                rf"|(?:at )?half[ -](?:of )?{_OF_CHARGE}|halv(?:e|ed|ing) {_OF_CHARGE}"
                r"|pay(?:ing)? (?:only |just )?half|half (?:of )?what (?:it is|you(?: usually)? pay)(?: now)?"
            ),
            same=(
                (r"(?:an?|one|1) (?:free )?(day|week|month)(?: free| for free| on us)?", _FREE),
                (r"(?:an?|one|1) (?:free )?month(?: free| for free| on us)?", _NO_BILL),
                (r"(?:an?|one|1) free ([a-z]+(?: [a-z]+){0,2})", _FREE),
                (r"(?:twice|double|2x) (?:the |your )?(\w+)", _TWICE),
                (r"(?:twice|double|2x) (?:the |your )?speed", "twice as fast"),
            ),
        ),
        "es": _Forms(
            ",", "un {share} de descuento", lambda money: f"un abono de {money}", " y ", " durante {span}",
            ", responda hasta el {date}", ("día", "días"),
            shares={},
            off="{share} menos",
            rest=r"pag(?:ue|a|ando) (?:solo )?el {rest} de (?:su|tu) (?:factura|precio|cuota)",
            halved=r"(?:a |la )?mitad (?:de|del) (?:precio|su factura|tu factura)",
            same=(),
        ),
    }
)  # fmt: skip


@functools.lru_cache(1024)
def _in_other_order(say: str) -> re.Pattern[str]:
    """A sentence that holds each of the company's words in some form; none where a number or `free` is one of them."""
    words = fold(say)
    stems = [each[:_STEM] for each in re.findall(r"[a-z]{4,}", words)]
    whole = len(stems) > 1 and not re.search(r"\d|(?<!\w)(?:free|one|two|month|half|double|twice)(?!\w)", words)
    return re.compile("".join(rf"(?=[^.!?\n]*(?<!\w){stem})" for stem in stems) if whole else r"(?!)")


@functools.lru_cache(1024)
def _ways(say: str | None, percent: float, language: Language, *, is_gift: bool) -> re.Pattern[str] | None:
    """The company's words and whatever means the same; of a gift also that it is free."""
    spoken, ways = _FORMS[language], []
    if say:
        words = fold(say)
        ways.append(re.escape(words))
        if is_gift and language == "en":  # its words are blanked out already
            ways.append(f"{BLANK}{{{len(words)}}}{_AS_A_GIFT}")
        for shape, same in spoken.same:
            if match := re.fullmatch(shape, words):
                ways.append(same.format(*match.groups()))
    if percent == _WHOLE and language == "en":  # not of `a free router`, beside which the charge stays
        ways.append(_FOR_NOTHING)
    elif percent and not say:
        left = round(100 - percent, 2)
        rest = rf"{re.escape(f'{left:g}')} ?(?:%|{LEXICONS[language].percent})"
        ways.append(spoken.rest.format(rest=rf"(?:{rest}|{spoken.shares.get(left, '(?!)')})"))
        if share := spoken.shares.get(percent):
            ways.append(spoken.off.format(share=share))
        if percent == left:
            ways.append(spoken.halved)
    return re.compile(rf"(?<!\w)(?:{'|'.join(ways)})(?!\w)") if ways else None
