"""Offer grounding: every percentage, amount, duration and date of a message is the one supplied, or a violation.

Where something is offered, any length of time is the offer's, but for the customer's tenure: what stands around a
duration tells which of the two it claims to be.
"""

import datetime as dt
import functools
import re
from collections.abc import Generator, Iterator
from dataclasses import fields

from retentionjax.shield import links
from retentionjax.shield.brief import Brief
from retentionjax.shield.lexicon import Language
from retentionjax.shield.phrasing import Phrasing
from retentionjax.shield.quantities import LEXICONS, SIGNS, Amount, Length, QuantityReader, reader
from retentionjax.shield.reading import Reading, fold, places
from retentionjax.shield.sieve import Guarded
from retentionjax.shield.verdict import Finding

_SENTENCE = re.compile(r"[!?;\n]|\.(?=\s|$)")
_PAID = re.compile(r"(?<!\w)(?:pay(?:ing)?|costs?|charged?)(?: (?!by |(?:drops|falls) ?$)[a-z]+){0,2} ?$")
_AT = re.compile(r"(?<!\w)(?:at|for|only|just|now) ?$")
_OF_PRICE = re.compile(r" of (?:[a-z']+ |·+ ){0,3}(?:price|bill|rate|cost|charge|fee)s?(?!\w)(?! off| back)")
_PAUSE = re.compile(r"[,:()]|\s-\s")
_SO = re.compile(r", (?:[^,]{1,30}, )?(?:so|asi que)(?!\w)")
_TOLD = re.compile(r"[^\W\d]{4}.* .*[^\W\d]{4}")
"""What follows from something told is no part of it: `the rain worked hard this week, so here's 10% off`."""
_PART = re.compile(r"[,:]| and | y ")
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[^\W\d]{4}")
"""A word with a meaning of its own: a length of time beside none of them (`for 30 days`) is an offer's."""
_YEAR, _NEARLY, _SPARE = 12.0, 4.0, 2.0
"""Months of a year, how many may lack of a tenure told as nearly reached, and how many more than whole years need no
word."""
_BEFORE, _AFTER = 80, 60
"""Characters before and after a quantity that are read, within its sentence."""


def find(reading: Reading, brief: Brief, phrasing: Phrasing) -> Iterator[Finding]:
    """Everything in the message that the offer and the facts do not bear out."""
    return Grounding(reading, brief).find(phrasing)


class Grounding:
    """One message against its offer and facts."""

    def __init__(self, reading: Reading, brief: Brief) -> None:
        self._reading, self._brief, self._offer = reading, brief, brief.offer
        self._read: QuantityReader = reader(brief.language)
        self._around = _contexts(brief.language)
        self._text = reading.plain
        self._calm = self._around["harmless"].sub(_blank, reading.plain)
        """The text without the numbers that claim nothing."""
        self._say = fold(brief.offer.say or "")
        self._facts = {key: fold(value) for key, value in brief.known.items()}
        days = set() if brief.offer.days is None else {Length(float(brief.offer.days), "days")}
        self._running = set() if brief.offer.is_none else days | self._read.lengths(self._say)

    def find(self, phrasing: Phrasing) -> Iterator[Finding]:
        """All findings."""
        offer = self._offer
        percent = yield from self._percentages()
        amount = yield from self._prices()
        text = yield from self._dates()
        running, text = yield from self._durations(text)
        if not offer.is_none:
            yield from self._stated(percent, amount, running)
            yield from self._every("two", "offer.two", "a second offer")
        yield from self._numbers(text)
        yield from self._services(phrasing)

    def _services(self, phrasing: Phrasing) -> Iterator[Finding]:
        """A service that is said to be the customer's, where the facts that name hers do not name it."""
        if not self._facts.keys() & {"plan", "services"}:
            return
        own = " ".join((*self._facts.values(), fold(self._brief.sender.name)))
        for match in phrasing.words.services_regex.finditer(self._text):
            if match.group() not in own and self._around["owned"].search(_before(self._text, match.start())):
                yield self._reading.found("facts.service", match, "no fact names this service")
        words = self._facts.get("plan", "").split()
        if len(words) > 1 and words[-1] in self._text:
            other = rf"(?<!\w)({'|'.join(phrasing.words.tiers)})(?: \w+)? {re.escape(words[-1])}(?!\w)"
            for match in re.finditer(other, self._text) if phrasing.words.tiers else ():
                if match[1] not in own and self._around["owned"].search(_before(self._text, match.start())):
                    yield self._reading.found("facts.service", match, "her plan is another")

    def _stated(self, percent: bool, amount: bool, running: bool) -> Iterator[Finding]:
        """Whether the message says what is offered and for how long."""
        offer, told = self._offer, False
        if offer.say:
            wanted = self._read.quantities(self._say)
            numbers = bool(wanted) and wanted <= self._read.quantities(self._text)
            said = self._reading.folded, self._brief.language
            told = numbers or offer.said(*said) or offer.told_freely(*said) is not None
            for start in places(self._reading.folded, self._say):
                if joined := self._around["joined"].search(_after(self._text, start + len(self._say))):
                    end = start + len(self._say) + joined.end()
                    yield self._reading.finding("offer.two", start, end, "more is promised beside the offer")
        elif offer.discount:
            percent |= offer.said(self._reading.folded, self._brief.language)
        if offer.discount or offer.amount:
            told |= percent >= (offer.discount > 0) and amount >= (offer.amount > 0)
        if not told:
            yield Finding("offer.missing", 0, 0, f"the offer, {offer.words()}, is not stated")
        elif offer.limited and not running:
            yield Finding("offer.duration", 0, 0, f"how long the offer runs, {offer.span()}, is not stated")

    def _percentages(self) -> Generator[Finding, None, bool]:
        """Yields findings; returns whether the discount is stated."""
        around, stated, signs, last = self._around, False, 0, -1
        text = self._calm
        allowed = self._read.percentages(self._say) | ({self._offer.percent} if self._offer.discount else set())
        for match in self._read.percent.finditer(text):
            signs += match.group().count("%")
            before, after = _before(text, match.start()), _after(text, match.end())
            if self._read.percentage(match) not in allowed:
                yield self._found("offer.percent", match, f"{self._offer.words() or 'nothing'} is offered")
            elif around["qualifies"].search(before) or around["otherwise"].search(after) or _is_paid(before, after):
                yield self._found("offer.percent", match, "the percentage is claimed of something else")
            elif around["adds"].search(before) or (
                last >= 0
                and len(before) > match.start() - last
                and (around["joins"].search(between := text[last : match.start()]) or not _PAUSE.search(between))
            ):
                yield self._found("offer.two", match, "the offer is given twice")
            elif around["states_after"].search(after) or around["states_before"].search(before[-60:]):
                stated = True
            else:
                yield self._found("offer.percent", match, "a percentage of what is not said")
            last = match.end()
        if text.count("%") > signs:
            where = text.index("%")
            yield self._reading.finding("offer.percent", where, where + 1, "a percentage that cannot be read")
        yield from self._every("bare", "offer.percent", "a discount of no unit")
        return stated

    def _prices(self) -> Generator[Finding, None, bool]:
        """Yields findings; returns whether the amount of money is stated."""
        text, around, stated, covered = self._text, self._around, False, 0
        for match in self._read.money.finditer(text):
            covered += sum(match.group().count(sign) for sign in SIGNS)
            before, after = _before(text, match.start()), _after(text, match.end())
            told = self._read.amount(match)
            country = re.search(r"[a-z]*$", text[: match.start()])
            if match[1] and country and not self._offer.currency.lower().startswith(country[0]):
                yield self._found("offer.price", match, f"the amount is in {self._offer.currency}")
            cut = bool(around["cut_before"].search(before) or around["cut_after"].search(after))
            if (
                self._offer.amount
                and told.is_of(self._offer.amount, self._offer.currency)
                and not (around["paid_before"].search(before) and not around["cut_after"].search(after))
            ):
                if around["qualifies"].search(before):
                    yield self._found("offer.price", match, "the amount is claimed of something else")
                elif around["adds"].search(before) or around["regular"].search(after):
                    yield self._found("offer.two", match, "the amount is given more than once")
                elif around["beside"].search(after):
                    yield self._found("offer.two", match, "more is promised beside the offer")
                stated = True
            elif not self._is_known(told, cut):
                yield self._found("offer.price", match, "an amount that was not supplied")
        if sum(text.count(sign) for sign in SIGNS) > covered:
            where = next(index for index, each in enumerate(text) if each in SIGNS)
            yield self._reading.finding("offer.price", where, where + 1, "an amount that cannot be read")
        return stated

    def _is_known(self, told: Amount, cut: bool) -> bool:
        """Whether the facts or the company's words hold the amount: the charge as what is paid, the saving as a cut."""
        charge, saving = (self._read.amounts(self._facts.get(key, "")) for key in ("charge", "saving"))
        if told in self._read.amounts(self._say) or (told in charge and not cut):
            return True
        return told in saving and cut and self._offer.discount > 0

    def _dates(self) -> Generator[Finding, None, str]:
        """Yields findings; returns the text with what was read as dates blanked out."""
        text, dated = self._calm, False
        ends = None if self._offer.is_none else self._offer.ends
        for pattern in self._read.dates:
            for match in list(pattern.finditer(text)):
                if self._is_end(match, ends) and not self._around["starts"].search(_before(text, match.start())):
                    dated = True
                else:
                    rule = self._of_offer("offer.date", match)
                    yield self._found(rule, match, f"the last day to accept is {ends}" if ends else "no date was given")
                text = text[: match.start()] + " " * len(match.group()) + text[match.end() :]
        for match in self._read.times.finditer(text):
            day = self._read.weekday(match.group())
            repeats_date = dated and ends is not None and day == ends.weekday()
            if not repeats_date and not self._in_facts(match.group()) and self._is_term(match):
                rule = self._of_offer("offer.date", match)
                yield self._found(rule, match, "a time that was not given")
        return text

    def _is_term(self, match: re.Match[str]) -> bool:
        """Whether a time is said of the offer, of taking it, or as what something runs to or begins on."""
        before, after = _before(match.string, match.start()), _after(match.string, match.end())
        said, due = before + after, self._around["deadline"].search(before + match.group())
        taken = self._around["taken"].search(said)
        if self._offer.is_none:
            return bool(due and taken)
        stated = self._reading.folded[match.start() - len(before) : match.end() + len(after)]
        told = self._offer.said(stated, self._brief.language)
        if _TOLD.search(_PART.split(before)[-1]):
            after = _SO.split(after)[0]
        return bool(due or taken or told or not self._stands_alone(before, after))

    def _of_offer(self, rule: str, match: re.Match[str]) -> str:
        """`rule`, or `facts.number` where nothing is offered and the sentence speaks of nothing to be taken."""
        before, after = _before(match.string, match.start()), _after(match.string, match.end())
        bound = self._around["binds"].search(before)
        claims = bound or self._around["taken"].search(before + after) or not _WORD.search(before + after)
        return rule if claims or not self._offer.is_none else "facts.number"

    def _is_end(self, match: re.Match[str], ends: dt.date | None) -> bool:
        if ends is None:
            return False
        years = (None, ends.year, ends.year % 100)
        return any(
            (day, month) == (ends.day, ends.month) and year in years for day, month, year in self._read.days_of(match)
        )

    def _durations(self, text: str) -> Generator[Finding, None, tuple[bool, str]]:
        """Yields findings; returns whether the text says how long the offer runs, and it without all durations."""
        told, rest = False, text
        known = {each for value in self._facts.values() for each in self._read.lengths(value)}
        for match in self._read.duration.finditer(text):
            rest = rest[: match.start()] + _blank(match) + rest[match.end() :]
            before, after = _before(text, match.start()), _after(text, match.end())
            if self._claims_nothing(match, before, after):
                continue
            length = self._read.length(match)
            told_so = any(length == each or self._is_about(length, each, before) for each in known)
            told_so = told_so and not self._around["binds"].search(before)
            part, comma, _ = after.partition(",")
            opens = comma and self._around["opens"].search(before) and self._stands_alone("", part)
            apart = opens or self._comes_first(match, before) or self._stands_alone(*_clause(before, after))
            if self._is_tenure(before, after) or (told_so and apart):
                if not told_so and not (self._offer.percent == 100 and length in self._running):
                    yield self._found("facts.tenure", match, "the customer's tenure was not given so")
            elif problem := self._duration_problem(length, before, after):
                yield self._found(self._of_offer("offer.duration", match), match, problem)
            else:
                told = True
                if self._around["beside"].search(after):
                    yield self._found("offer.two", match, "more is promised beside the offer")
        if self._offer.limited:
            for match in self._around["next"].finditer(rest):
                if self._around["bound"].search(_before(text, match.start())):
                    yield self._found("offer.duration", match, f"the offer runs {self._offer.span()}")
        return told, rest

    def _claims_nothing(self, match: re.Match[str], before: str, after: str) -> bool:
        """Whether a duration is a rate (`a month`), a plan's name, what it takes to reply, or the like."""
        around = self._around
        rate = self._read.is_article(match.group()) and not around["article"].search(before)
        return bool(
            (rate and not around["tenure_after"].search(after))
            or around["harmless"].match(match.string, match.start())
            or self._is_plan(match.group())
            or (self._read.unit(match) == "minutes" and self._takes(match, before, after))
        )

    def _takes(self, match: re.Match[str], before: str, after: str) -> bool:
        """Whether minutes or hours are what something takes, and no time to answer in."""
        if self._around["takes"].search(before):
            return True
        urges = self._around["deadline"].search(before + match.group()) and self._around["taken"].search(before + after)
        return not urges and self._stands_alone(before, after)

    def _is_plan(self, words: str) -> bool:
        """Whether the words are how a fact is named (`month-to-month`), and no number with its unit."""
        return self._in_facts(words) and re.fullmatch(r"\d+ \w+", words) is None

    def _is_tenure(self, before: str, after: str) -> bool:
        """Whether a duration claims to be how long the customer has been there."""
        around = self._around
        if around["offer_after"].search(after) or around["binds"].search(before):
            return False
        if around["tenure_before"].search(before):
            return True
        return not around["offer_before"].search(before) and bool(around["tenure_after"].search(after))

    def _is_about(self, told: Length, known: Length, before: str) -> bool:
        """Whether a tenure is told in round words that are so: `over three years` of 38 months, `nearly five` of 59,
        `two` of 26."""
        if told.unit != "months" or known.unit != "months":
            return False
        if self._around["past"].search(before):
            return told.amount <= known.amount < told.amount + max(told.amount / 4, min(told.amount, _YEAR))
        lacks = told.amount - known.amount
        if -_SPARE <= lacks <= 0 and told.amount % _YEAR == 0:
            return True
        return self._around["nearly"].search(before) is not None and 0 < lacks <= min(_NEARLY, told.amount / 4)

    def _stands_alone(self, before: str, after: str) -> bool:
        """Whether the sentence speaks of no offer: no percentage or amount stands in it, and nothing that runs."""
        said = before + after
        offered = self._around["offer_before"].search(before) or self._around["offer_after"].search(after)
        return not (offered or self._read.percent.search(said) or self._read.money.search(said))

    def _duration_problem(self, told: Length, before: str, after: str) -> str:
        """What is wrong with a duration that is no tenure; empty if nothing."""
        if self._around["binds"].search(before):
            return "nothing binds the customer for so long"
        if self._offer.is_none:
            claims = bool(self._around["taken"].search(before + after))
            if told.unit in ("some", "minutes"):
                claims = claims and bool(self._around["deadline"].search(f"{before}{told.amount}"))
            elif not claims:
                claims = not (self._stands_alone(before, after) and _WORD.search(before + after))
            return "no such duration was given" if claims else ""
        given = not self._offer.runs
        window = given and self._around["window"].search(before)
        claimed = window and self._around["taken"].search(_PART.split(before)[-1])
        once = told == Length(1.0, "bills") or self._stands_alone(before, after)  # `$40 comes off one bill`
        if given and once and not claimed:
            return ""  # given at once: it has no length that another could contradict
        loose = self._around["loose"].search(before) and not window
        runs = told in self._running or (told == Length(_YEAR, "months") and Length(365.0, "days") in self._running)
        if runs and not loose and not self._around["extends_after"].search(after):
            return ""
        return "the offer is given once" if self._offer.days is None else f"the offer runs {self._offer.span()}"

    def _numbers(self, text: str) -> Iterator[Finding]:
        """A number that is no percentage, amount, duration or date, and that nobody supplied.

        `text` is without durations and dates.
        """
        for pattern in (self._read.percent, self._read.money, self._around["harmless"]):
            if not _DIGIT.search(text):
                return
            text = pattern.sub(_blank, text)
        text = links.LINK.sub(_blank, text)
        for known in self._facts.values():
            text = text.replace(known, " " * len(known))
        for match in re.finditer(r"[^\s\d]*\d+(?:[.,:/-]?\w)*", text):
            if not self._is_word_of_facts(match.group()):
                rule = "facts.number" if self._offer.is_none or self._is_aside(match) else "offer.number"
                yield self._found(rule, match, "a number that was not supplied")

    def _is_aside(self, match: re.Match[str]) -> bool:
        """Whether a whole number stands in a sentence that speaks of no offer, nor of anything to be paid or had."""
        before, after = _before(self._text, match.start()), _after(self._text, match.end())
        claims = any(self._around[each].search(before + after) for each in ("taken", "binds", "had"))
        alone = self._stands_alone(before, after) and bool(_WORD.search(before + after))
        return alone and not claims and not re.search(r"\d[.,]\d", match.group())

    def _comes_first(self, match: re.Match[str], before: str) -> bool:
        """Whether a duration stands in its sentence before an offer that is given once, and so is not the offer's."""
        told = self._offer.said(self._reading.folded[match.start() - len(before) : match.start()], self._brief.language)
        return not (self._offer.runs or told or self._read.money.search(before) or self._read.percent.search(before))

    def _every(self, context: str, rule: str, detail: str) -> Iterator[Finding]:
        return (self._found(rule, match, detail) for match in self._around[context].finditer(self._text))

    def _found(self, rule: str, match: re.Match[str], detail: str) -> Finding:
        return self._reading.found(rule, match, detail)

    def _is_word_of_facts(self, number: str) -> bool:
        """Whether a fact holds it as a word, as the plan `business 5-line` does `5-line`, and not `5`."""
        return any(number in value.split() for value in self._facts.values())

    def _in_facts(self, words: str) -> bool:
        return any(words in value for value in self._facts.values())


@functools.cache
def _contexts(language: Language) -> dict[str, Guarded]:
    contexts = LEXICONS[language].contexts
    return {each.name: Guarded(getattr(contexts, each.name)) for each in fields(contexts)}


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def _clause(before: str, after: str) -> tuple[str, str]:
    """What stands around a quantity up to the colons next to it."""
    return before.rpartition(":")[2], after.partition(":")[0]


def _is_paid(before: str, after: str) -> bool:
    """Whether a percentage is what is to be paid, not what is taken off."""
    paid = _PAID.search(before) or (_AT.search(before) and _OF_PRICE.match(after))
    return paid is not None and not re.match(r" ?(?:less|lower|off|cheaper|menos)", after)


def _before(text: str, start: int) -> str:
    """What stands before `start` in its sentence."""
    window = text[max(0, start - _BEFORE) : start]
    ends = [match.end() for match in _SENTENCE.finditer(window)]
    return window[ends[-1] :] if ends else window


def _after(text: str, end: int) -> str:
    window = text[end : end + _AFTER]
    stop = _SENTENCE.search(window)
    return window[: stop.start()] if stop else window
