"""Offer grounding: every percentage, price, duration and date of a message is the one supplied, or a violation.

Two lengths of time are legitimate, the offer's days and the customer's tenure, and must not be swapped: what stands
around a duration tells which of the two it claims to be.
"""

import datetime as dt
import re
from collections.abc import Generator, Iterator

from retentionjax.shield import links
from retentionjax.shield.brief import Brief
from retentionjax.shield.offer import Offer
from retentionjax.shield.quantities import (
    DATES,
    DURATION,
    MONEY,
    OTHER_TIMES,
    PERCENT,
    SIGNS,
    WEEKDAYS,
    Amount,
    Length,
    amount_of,
    amounts,
    length,
    lengths,
    month_of,
    number,
    percentages,
    quantities,
)
from retentionjax.shield.reading import Reading, spare
from retentionjax.shield.rules import Rules
from retentionjax.shield.verdict import Finding

_SENTENCE = re.compile(r"[!?;\n]|\.(?=\s|$)")
_STATES_BEFORE = re.compile(r"sav\w+|discount|reduc\w+|lower|cut|less|take|knock|drop|offer|enjoy|get")
_STATES_AFTER = re.compile(
    r"^[ -]*(?:[a-z']+ ){0,4}?(?:off|discount|less|lower|reduction|savings?|cheaper)(?!\w)|^ (?:of|on|from) your"
)
_QUALIFIES = re.compile(
    r"(?:up to|at least|more than|less than|over|around|almost|nearly|as much as|minimum of|maximum of|sav\w+ about"
    r"|from|between|only|\d ?(?:-|to|and|or))(?: an?| the)? ?$"
)
_ADDS = re.compile(r"(?:another|extra|additional|further|second|plus|or|also)(?: an?| the)? ?$")
_OTHERWISE = re.compile(
    r"^[ -]*(?:more|extra|faster|bonus|cash|increase|higher|rise|back|interest|apr|satisf\w*|of (?:our|all|customers)"
    r"|(?:each|every|per|a) (?:day|week|month|year)|happier|sure|certain)"
)
_TWO = re.compile(
    r"(?<!\w)(?:two|2|three|3|both|several|multiple|another|second|additional|extra|more|other)"
    r" (?:special |great |exclusive |new )?(?:offers|offer|discounts?|deals?)(?!\w)"
    r"|choose (?:between|from|one)|your choice of|(?:whichever|which ever) (?:you|one)"
    r"|(?:on top of|combin\w+ with|stack\w*|in addition to)[^.!?]{0,25}(?:off|discount|offer|%)"
)
_JOINS = re.compile(r"(?<!\w)(?:plus|and|or|also|another|extra|then)(?!\w)|[+&]")
_BARE = re.compile(r"(?<![\w$€£.,%/-])\d+(?:\.\d+)? (?:off|discount)(?!\w)")
_PRICE_CUT_BEFORE = re.compile(
    r"(?:sav\w+|credits?|discount|off|back|only|just|now|pay|get|reduced to|down to|cut)(?: of| for| you| by| to)? ?$"
)
_PAID_BEFORE = re.compile(r"(?:pay|only|just|now|for|reduced to|down to|at)(?: only| just)? ?$")
_REGULAR = re.compile(r"^(?: [a-z]+){0,2} ?(?:a|per|each|every|/) ?(?:day|week|month|bill|year)")
_PRICE_CUT_AFTER = re.compile(r"^ ?(?:off|discount|credit|back|savings?|less|cheaper|lower|reduction)")
_FILLER = (
    r"(?:(?:for|of|these|those|the|past|last|your|over|more|than|a|as|us|being|with|about|nearly|almost"
    r"|our|customer|,|by) ?)*$"
)
_TENURE_BEFORE = (
    r"(?:with (?:us|{sender})|customer|together|been|member|thank(?:s| you)|appreciate|grateful|loyal(?:ty)?"
    r"|stay(?:ed|ing)|celebrat\w+|spent|reach(?:ed|ing)?),? ?" + _FILLER
)
_TENURE_AFTER = (
    r"^'? ?(?:already |now )?(?:with (?:us|{sender})|as (?:a|our)|of (?:being|loyalty|service"
    r"|your)|together|ago|contract|agreement|commitment|term)"
)
_OFFER_BEFORE = re.compile(
    r"(?:%|percent|off|discounts?|lower|less|savings?|offer|bill|charge|plan|price|rate|it|runs?|lasts?|valid"
    r"|good|yours)"
    r"(?: [a-z'-]+){0,5} ?(?:for|over|during|through|lasting|lasts?|runs?|valid|good|of|next) ?"
    r"(?:the |a |next |full |up to |whole |your |first )*$"
)
_OFFER_AFTER = re.compile(r"^ ?(?:of |at |with )?\d+ ?%")
_LOOSE = re.compile(
    r"(?:up to|at least|more than|almost|nearly|minimum of|another|within|in|after|before|less than"
    r"|(?:for|lasts?|lasting) over)(?: the| your)?(?: next| first)? ?$"
)
_ARTICLE = re.compile(r"(?:for|over|next|whole|full|in|within|another|first|than) ?$")
_NEXT = re.compile(
    r"(?<!\w)(?:(?:next|first|this|current|upcoming|coming|following|second) (?:months?|bills?|payment"
    r"|invoice|statement|billing (?:cycle|period))|(?:months|weeks|years|days))(?!\w)"
)
_BOUND = re.compile(r"(?:off|%|for|over|discount)(?: [a-z']+){0,3} ?$")
_DIGIT = re.compile(r"\d")
_HARMLESS = re.compile(r"(?<!\w)(?:24/7|24 ?x ?7|[345]g|wi-?fi [4-7])(?!\w)")
_STARTS = re.compile(r"(?:starts?|starting|begins?|beginning|from|after|since)(?: on)? ?$")


def find(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    """Everything in the message that the offer and the facts do not bear out."""
    offer = brief.offer
    spoken, text = spare(reading.folded, offer.say or "")
    percent = yield from _percentages(reading, text, offer)
    amount = yield from _prices(reading, text, brief)
    if not offer.is_none:
        told = spoken or _same_numbers(text, offer.say or "")
        if not (told or ((percent or amount) and percent >= (offer.discount > 0) and amount >= (offer.amount > 0))):
            yield Finding("offer.missing", 0, 0, f"the offer, {offer.words}, is not stated")
        yield from (reading.found("offer.two", match, "a second offer") for match in _TWO.finditer(text))
    left = yield from _dates(reading, text, brief)
    yield from _durations(reading, brief, left)
    yield from _numbers(reading, brief, left)
    yield from _services(reading, text, brief, rules)


def _same_numbers(text: str, say: str) -> bool:
    """Whether the text holds every quantity of the company's words, of which there must be one."""
    wanted = quantities(say)
    return bool(wanted) and wanted <= quantities(text)


def _percentages(reading: Reading, text: str, offer: Offer) -> Generator[Finding, None, bool]:
    """Yields findings; returns whether the discount is stated."""
    stated, read_signs, last = False, 0, -1
    allowed = percentages(offer.say or "") | ({offer.percent} if offer.discount else set())
    for match in PERCENT.finditer(text):
        read_signs += match.group().count("%")
        before, after = _before(text, match.start()), _after(text, match.end())
        if number(match[1] or match[2]) not in allowed:
            yield reading.found("offer.percent", match, f"{offer.words or 'nothing'} is offered")
        elif _QUALIFIES.search(before) or _OTHERWISE.search(after):
            yield reading.found("offer.percent", match, "the percentage is claimed of something else")
        elif _ADDS.search(before) or (
            last >= 0 and len(before) > match.start() - last and _JOINS.search(text[last : match.start()])
        ):
            yield reading.found("offer.two", match, "the offer is given twice")
        elif _STATES_AFTER.search(after) or _STATES_BEFORE.search(before[-40:]):
            stated = True
        else:
            yield reading.found("offer.percent", match, "a percentage of what is not said")
        last = match.end()
    if text.count("%") > read_signs:
        where = text.index("%")
        yield reading.finding("offer.percent", where, where + 1, "a percentage that cannot be read")
    yield from (reading.found("offer.percent", match, "a discount of no unit") for match in _BARE.finditer(text))
    return stated


def _prices(reading: Reading, text: str, brief: Brief) -> Generator[Finding, None, bool]:
    """Yields findings; returns whether the amount of money is stated."""
    stated, covered, offer = False, 0, brief.offer
    for match in MONEY.finditer(text):
        covered += sum(match.group().count(sign) for sign in SIGNS)
        before, after = _before(text, match.start()), _after(text, match.end())
        told = amount_of(match)
        cut = bool(_PRICE_CUT_BEFORE.search(before) or _PRICE_CUT_AFTER.search(after))
        if offer.amount and told.is_of(offer.amount, offer.currency) and not _PAID_BEFORE.search(before):
            if _ADDS.search(before) or _REGULAR.search(after):
                yield reading.found("offer.two", match, "the amount is given more than once")
            stated = True
        elif not _known_amount(told, brief, cut):
            yield reading.found("offer.price", match, "an amount that was not supplied")
    if sum(text.count(sign) for sign in SIGNS) > covered:
        where = next(index for index, each in enumerate(text) if each in SIGNS)
        yield reading.finding("offer.price", where, where + 1, "an amount that cannot be read")
    return stated


def _known_amount(told: Amount, brief: Brief, cut: bool) -> bool:
    """Whether the facts, or the company's words, hold the amount: the charge as what is paid, the saving as a cut."""
    known = {key: amounts(brief.known.get(key, "")) for key in ("charge", "saving")}
    own = amounts(brief.offer.say or "")
    saved = cut and brief.offer.discount > 0 and told in known["saving"]
    return told in own or saved or (told in known["charge"] and not cut)


def _dates(reading: Reading, text: str, brief: Brief) -> Generator[Finding, None, str]:
    """Yields findings; returns the text with what was read as dates blanked out."""
    ends = None if brief.offer.is_none else brief.offer.ends
    dated = False
    for pattern in DATES:
        for match in list(pattern.finditer(text)):
            if _is_date(match, ends) and not _STARTS.search(_before(text, match.start())):
                dated = True
            else:
                detail = f"the last day to accept is {ends}" if ends else "no date was given"
                yield reading.found("offer.date", match, detail)
            text = text[: match.start()] + " " * len(match.group()) + text[match.end() :]
    for match in OTHER_TIMES.finditer(text):
        weekday = next((day for day in WEEKDAYS if day in match.group()), None)
        repeats_date = dated and ends is not None and weekday == WEEKDAYS[ends.weekday()]
        if not repeats_date and not _in_facts(match.group(), brief):
            yield reading.found("offer.date", match, "a time that was not given")
    return text


def _is_date(match: re.Match[str], ends: dt.date | None) -> bool:
    if ends is None:
        return False
    parts = match.groupdict()
    if "a" in parts:
        days_months = {(int(parts["a"]), int(parts["b"])), (int(parts["b"]), int(parts["a"]))}
    else:
        days_months = {(int(parts["d"]), int(parts["m"]) if "m" in parts else month_of(parts["mon"]))}
    year = parts.get("y")
    return (ends.day, ends.month) in days_months and (year is None or int(year) in (ends.year, ends.year % 100))


def _durations(reading: Reading, brief: Brief, text: str) -> Iterator[Finding]:
    known = {each for value in brief.known.values() for each in lengths(value)}
    sender = re.escape(brief.sender.name.lower())
    tenure_before, tenure_after = _TENURE_BEFORE.format(sender=sender), _TENURE_AFTER.format(sender=sender)
    for match in DURATION.finditer(text):
        before, after = _before(text, match.start()), _after(text, match.end())
        if match[1] in ("a", "an") and not _ARTICLE.search(before):
            continue  # a rate: $70 a month
        if _in_facts(match.group(), brief) and not re.fullmatch(r"\d+ \w+", match.group()):
            continue
        tenure = not _OFFER_AFTER.search(after) and bool(
            re.search(tenure_before, before) or re.search(tenure_after, after)
        )
        if problem := _duration_problem(length(match), brief, known, tenure, before):
            yield reading.found("facts.tenure" if tenure else "offer.duration", match, problem)
    if brief.offer.is_none or not _NEXT.search(text):
        return
    for match in _NEXT.finditer(DURATION.sub(_blank, text)):
        if _BOUND.search(_before(text, match.start())):
            yield reading.found("offer.duration", match, f"the offer runs {brief.offer.span}")


def _duration_problem(told: Length, brief: Brief, known: set[Length], tenure: bool, before: str) -> str:
    """What is wrong with a duration; empty if nothing."""
    offer = brief.offer
    of_offer = not offer.is_none and told in {Length(float(offer.days), "days"), *lengths(offer.say or "")}
    of_facts = told in known
    if tenure:
        return "" if of_facts else "the customer's tenure was not given so"
    if of_facts and not _OFFER_BEFORE.search(before):
        return ""
    if of_offer and not _LOOSE.search(before):
        return ""
    return "no such duration was given" if offer.is_none else f"the offer runs {offer.span}"


def _numbers(reading: Reading, brief: Brief, text: str) -> Iterator[Finding]:
    """A number that is no percentage, amount, duration or date, and that nobody supplied."""
    for pattern in (PERCENT, MONEY, DURATION, _HARMLESS, links.LINK):
        if not _DIGIT.search(text):
            return
        text = pattern.sub(_blank, text)
    for known in (*brief.known.values(), brief.sender.name):
        text = text.replace(known.lower(), " " * len(known))
    for match in re.finditer(r"[^\s\d]*\d+(?:[.,:/-]?\w)*", text):
        yield reading.found("facts.number", match, "a number that was not supplied")


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def _services(reading: Reading, text: str, brief: Brief, rules: Rules) -> Iterator[Finding]:
    """A service named that no fact of the customer names."""
    own = " ".join((*brief.known.values(), brief.sender.name)).lower()
    for match in rules.words.services_regex.finditer(text):
        if match.group() not in own:
            yield reading.found("facts.service", match, "no fact names this service")


def _in_facts(words: str, brief: Brief) -> bool:
    return any(words in value.lower() for value in brief.known.values())


def _before(text: str, start: int) -> str:
    """What stands before `start` in its sentence, at most 80 characters."""
    window = text[max(0, start - 80) : start]
    ends = [match.end() for match in _SENTENCE.finditer(window)]
    return window[ends[-1] :] if ends else window


def _after(text: str, end: int) -> str:
    window = text[end : end + 60]
    stop = _SENTENCE.search(window)
    return window[: stop.start()] if stop else window
