"""Wordings: the phrase rules of the YAML, profanity, and names that are not the customer's."""

import functools
import re
from collections.abc import Iterator

from retentionjax.shield.brief import Brief
from retentionjax.shield.reading import Reading, read, spare, unspelled
from retentionjax.shield.rules import PhraseRule, Rules
from retentionjax.shield.verdict import Finding

_MASKED = re.compile(
    r"(?<!\w)(?:f[*#@$%!.-]{1,3}(?:c?k)(?:ing|ed|er)?|f[*#@]{2,3}|sh[*#@!]t|s[*#@]{2,3}t|b[*#@!]tch"
    r"|a[*#@$]{2}(?:hole)?|c[*#@]nt)(?!\w)",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"(?i:(?<!\w)(?:hi|hello|hey|dear|greetings|good (?:morning|afternoon|evening|day)|welcome(?: back)?"
    r"|thanks(?: again)?|thank you(?: so much)?|many thanks)),? "
    r"((?:(?:[Mm]r|[Mm]rs|[Mm]s|[Dd]r)\.? )?[^\W\d_a-zа-я][^\W\d_]*(?:['’-][^\W\d_]+)*)"
)
_OPENING = re.compile(r"^\s*(?:[^\n:]{1,30}: )?([A-Z][a-z]+(?:['’-][A-Z]?[a-z]+)*)(?:, (?=[a-z\d$])|,\n|:\s|! | -\s)")
_VOCATIVE = re.compile(r", ([A-Z][a-z]+)(?=[.!?](?:\s|$))")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")


def find(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    """Every wording that may not stand."""
    plain = reading.folded
    for words in (brief.sender.name, brief.offer.say or ""):
        _, plain = spare(plain, words)
    unnamed = spare(plain, brief.name or "")[1]
    disguised = unspelled(reading)
    for rule in rules.phrases:
        if (
            brief.channel in rule.channels
            and brief.tone in rule.tones
            and brief.offer.kinds.isdisjoint(rule.unless_offered)
        ):
            yield from _phrases(reading, unnamed if rule.spares_name else plain, rule, disguised)
    yield from _profanity(reading, unnamed, disguised, rules)
    yield from _names(reading, brief, rules)


def _phrases(reading: Reading, text: str, rule: PhraseRule, disguised: list[tuple[str, int, int]]) -> Iterator[Finding]:
    for match in rule.regex.finditer(text):
        yield reading.found(rule.id, match, rule.why)
    for word, start, end in disguised:
        if rule.regex.fullmatch(word):
            yield reading.finding(rule.id, start, end, f"{rule.why}: {word!r} in disguise")


def _profanity(reading: Reading, text: str, disguised: list[tuple[str, int, int]], rules: Rules) -> Iterator[Finding]:
    for match in _MASKED.finditer(reading.text):
        yield Finding("tone.profanity", *match.span(), "profanity")
    words = [(match.group(), *match.span()) for match in _WORD.finditer(text)]
    stems = rules.words.profanity_stems
    for word, start, end in (*words, *disguised):
        if word in rules.words.sets["profanity"] or word.startswith(stems):
            yield reading.finding("tone.profanity", start, end, "profanity")


def _names(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    """A greeting of someone else, or anyone else's first name."""
    text = reading.text
    own = {word for each in (brief.name or "", brief.sender.name, *brief.known.values()) for word in _words(each)}
    own |= rules.words.sets["openers"]
    seen = set()
    # "Aida, Northwind here": after a greeting the sender's capital is as good as a small letter.
    calm = text.replace(f", {brief.sender.name}", f", {brief.sender.name.lower()}")
    for pattern in (_GREETING, _OPENING, _VOCATIVE):
        for match in pattern.finditer(calm):
            words = _words(match[1])
            if not own.issuperset(words) and match.start(1) not in seen:
                seen.add(match.start(1))
                yield Finding(
                    "name.wrong", *match.span(1), f"the customer is {brief.name or 'not named'}: {match[1]!r}"
                )
    for match in _WORD.finditer(reading.folded):
        word = match.group().removesuffix("'s")
        start, end = reading.span(*match.span())
        if word in rules.words.sets["names"] and word not in own and text[start].isupper() and start not in seen:
            yield Finding("name.wrong", start, end, f"the customer is {brief.name or 'not named'}: {word!r}")


@functools.lru_cache(4096)
def _words(text: str) -> list[str]:
    return _WORD.findall(read(text).folded)
