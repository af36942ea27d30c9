"""Wordings: the phrase rules of the YAML, profanity, and names that are not the customer's."""

import functools
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from retentionjax.shield.brief import Brief
from retentionjax.shield.form import keywords
from retentionjax.shield.lexicon import Language
from retentionjax.shield.phrasing import Hit, PhraseRule, Phrasing
from retentionjax.shield.quantities import CURRENCIES, LEXICONS, reader
from retentionjax.shield.reading import WORD, Reading, unspelled, words_of
from retentionjax.shield.sieve import Guarded
from retentionjax.shield.verdict import Finding

_MASKED = Guarded(
    r"(?i:(?<!\w)(?:f[*#@$%!.-]{1,3}(?:c?k)(?:ing|ed|er)?|f[*#@]{2,3}|sh[*#@!]t|s[*#@]{2,3}t|b[*#@!]tch"
    r"|a[*#@$]{2}(?:hole)?|c[*#@]nt)(?!\w))"
)
_GREETING = re.compile(
    r"(?i:(?<!\w)(?:hi|hello|hey|dear|greetings|good (?:morning|afternoon|evening|day)|welcome(?: back)?"
    r"|thanks(?: again)?|thank you(?: so much)?|many thanks|hola|estimad[oa]s?|querid[oa]s?"
    r"|buen(?:os d[ií]as|as tardes)|(?:muchas )?gracias)),? "
    r"((?:(?:[Mm]r|[Mm]rs|[Mm]s|[Dd]r|[Ss]r|[Ss]ra)\.? )?[^\W\d_a-zа-я][^\W\d_]*(?:['’-][^\W\d_]+)*)"
)
_OPENING = re.compile(
    r"^\s*(?:[^\n:]{1,30}: )?((?:(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? )?[A-Z][a-z]+(?:['’-][A-Z]?[a-z]+)*)"
    r"(?:, (?=[a-z\d$])|,\n|:\s|! | -\s)"
)
_MENUS = ("Settings", "Menu", "Account", "App", "Profile", "Parents", "Camera", "Calls", "Recent")
_VOCATIVE = re.compile("," + "".join(rf"(?<!{each},)" for each in _MENUS) + r" ([A-Z][a-z]+)(?=[.!?](?:\s|$))")
"""Spoken to at the end of a sentence; behind the name of a menu stands that of its entry: `Settings, Audio`."""
_CAPITAL = re.compile(
    r"(?=[A-Z])(?:(?<=[^\W_] )(?=([A-Z][^\W\d_]+(?:['’&-][^\W\d_]+)*)(?![\w'’]| [Tt]eam))"
    r"|(?<![\w@./&-])(?=([A-Z]{2,4})(?![\w@/&-])))"
)
"""A capital within a sentence, or an abbreviation: a proper name, of a company, a place, another plan."""
_STREET = re.compile(r" (?:Street|Road|Lane|Avenue|Square|Station|Park|Hill|Way|Place|Drive|Bridge|Market)(?!\w)")
_CLAUSE = re.compile(
    r"[!?;:\n]|[.,](?!\d)|\s-\s|(?<!\w)(?:and|but|then|or|so|plus|while|y|e|pero|luego|entonces|mientras)(?!\w)"
)
_STOP = re.compile(r"[!?\n]|\.(?!\w)")
_BETWEEN = re.compile(r"[\s'\"-]{1,3}")
"""What may stand between the words of a phrase."""

Word = tuple[str, int, int]
"""A word, its start and its end in the folded text."""


def find(reading: Reading, brief: Brief, phrasing: Phrasing) -> Iterator[Finding]:
    """Every wording that may not stand."""
    words = reading.words
    disguised = unspelled(reading)
    for rule, start, end, detail in (
        *_patterns(reading.plain, phrasing, disguised),
        *_listed(reading.plain, words, phrasing),
        *_listed(reading.plain, disguised, phrasing),
    ):
        if rule.applies(brief) and not _excused(rule, reading, start, end, brief):
            yield reading.finding(rule.id, start, end, f"{rule.why}: {detail!r}")
    yield from _profanity(reading, (*words, *disguised), phrasing)
    yield from _names(reading, brief, phrasing)


def _patterns(text: str, phrasing: Phrasing, disguised: list[Word]) -> Iterator[Hit]:
    yield from phrasing.hits(text)
    for rule in phrasing.phrases if disguised else ():
        for word, start, end in disguised:
            if rule.regex and rule.regex.fullmatch(word):
                yield rule, start, end, word


def _listed(text: str, words: Sequence[Word], phrasing: Phrasing) -> Iterator[Hit]:
    """Words and phrases of the lists."""
    said, listed = [word for word, *_ in words], phrasing.listed
    for place, word in enumerate(said):
        for rule, sequence in listed(word):
            end = place + len(sequence)
            if said[place + 1 : end] == sequence[1:] and all(
                _BETWEEN.fullmatch(text, one[2], other[1]) for one, other in pairwise(words[place:end])
            ):
                yield rule, words[place][1], words[end - 1][2], " ".join(sequence)


def _excused(rule: PhraseRule, reading: Reading, start: int, end: int, brief: Brief) -> bool:
    """Whether the place is in a harmless wording or sentence, or in a clause that states the offer and may hold it."""
    needed = rule.only_with_regex
    if needed and not needed.search(reading.plain, *sentence(reading.plain, start, end)):
        return True
    harmless = (match for regex in rule.harmless_regexes for match in regex.finditer(reading.plain))
    if any(match.start() <= start and end <= match.end() for match in harmless):
        return True
    return rule.apart_from_offer and not brief.offer.is_none and _states_offer(reading, start, end, brief)


def sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Start and end of the sentence around a place of a text."""
    first = max((match.end() for match in _STOP.finditer(text, 0, start)), default=0)
    following = _STOP.search(text, end)
    return first, following.start() if following else len(text)


def _states_offer(reading: Reading, start: int, end: int, brief: Brief) -> bool:
    """Whether the clause around a place holds a percentage or an amount, or says the offer in other words."""
    text = reading.plain
    first = max((match.end() for match in _CLAUSE.finditer(text, 0, start)), default=0)
    following = _CLAUSE.search(text, end)
    last = following.start() if following else len(text)
    read = reader(brief.language)
    return any(
        pattern.search(text, first, last) is not None for pattern in (read.percent, read.money)
    ) or brief.offer.said(reading.folded[first:last], brief.language)


def _profanity(reading: Reading, words: tuple[Word, ...], phrasing: Phrasing) -> Iterator[Finding]:
    for match in _MASKED.finditer(reading.text):
        yield Finding("tone.profanity", *match.span(), "profanity")
    is_profane = phrasing.words.is_profane
    for word, start, end in words:
        if is_profane(word):
            yield reading.finding("tone.profanity", start, end, "profanity")


def _names(reading: Reading, brief: Brief, phrasing: Phrasing) -> Iterator[Finding]:
    """A greeting of someone else, or anyone else's first name."""
    text, known = reading.text, phrasing.words.sets
    own = brief.vocabulary
    seen = set()
    # "Aida, Northwind here": after a greeting the sender's capital is as good as a small letter.
    calm = text.replace(f", {brief.sender.name}", f", {brief.sender.name.lower()}")
    spoken_to = brief.name is None or brief.name in text
    for pattern in (_GREETING, _OPENING, _VOCATIVE):
        for match in pattern.finditer(calm):
            words = words_of(match[1])
            if pattern is _OPENING and spoken_to and words.isdisjoint(known["names"]):
                continue  # `Dinner, sorted.`: whoever is spoken to by her own name needs no second one
            if not all(word in own or word in known["openers"] for word in words) and match.start(1) not in seen:
                seen.add(match.start(1))
                yield Finding("name.wrong", *match.span(1), _wrong_name(brief, match[1]))
    seen |= {start for start, _ in keywords(text)}
    seen |= {match.start() for match in _signature(brief.sender.name).finditer(text)}
    capitals = [each for each in _capitals(text, brief, phrasing, own) if each.start not in seen]
    yield from capitals
    seen |= {each.start for each in capitals}
    for match in WORD.finditer(reading.folded):
        word = match.group().removesuffix("'s")
        if word in known["names"] and word not in own:
            start, end = reading.span(*match.span())
            if text[start].isupper() and start not in seen:
                yield Finding("name.wrong", start, end, _wrong_name(brief, word))


def _capitals(text: str, brief: Brief, phrasing: Phrasing, own: frozenset[str]) -> Iterator[Finding]:
    """Capitals within sentences that nobody gave: a stranger's name where it stands so."""
    known, quiet = phrasing.words.sets, text.lower()
    common = (own, known["openers"], known["acronyms"], known["approved"], _dated(brief.language))
    before, after = phrasing.strangers.regexes
    for match in _CAPITAL.finditer(text):
        span = match.span(match.lastindex or 0)
        name = text[slice(*span)]
        forms = {name, name.removesuffix("'s")}  # a plan may be called `Captain's`
        if any(all(any(word in some for some in common) for word in words_of(form)) for form in forms):
            continue
        if not phrasing.title_regex.search(text, 0, span[0]):
            told = not _STREET.match(text, span[1]) and (
                before.search(quiet, 0, span[0]) or after.match(quiet, span[1])
            )
            yield Finding("name.wrong" if told else "name.unknown", *span, f"a name that nobody gave: {name!r}")


@functools.lru_cache(1024)
def _signature(sender: str) -> Guarded:
    """Signatures: `Sam, product team at Northwind`, or `Sam, product team` above the sender's name."""
    name, who = re.escape(sender), r"[A-Z]\w+(?: [A-Z]\w+)?(?:, [a-z ]+)?"
    return Guarded(
        rf"(?<![^\n]){who}(?:(?:,| from| at| of)? |\n){name}(?: team)?(?![^\n])"
        rf"|(?<=[.!?] ){who}(?:,| from| at| of) {name}(?=[.!])"
    )


@functools.cache
def _dated(language: Language) -> frozenset[str]:
    """Words that are written with a capital: months and days, and currencies."""
    lexicon = LEXICONS[language]
    days = {*lexicon.months, *lexicon.weekdays, *(f"{day}s" for day in lexicon.weekdays)}
    return frozenset(days | {name[:3] for name in days} | {code.lower() for code in CURRENCIES})


def _wrong_name(brief: Brief, word: str) -> str:
    return f"the customer is {brief.name or 'not named'}: {word!r}"
