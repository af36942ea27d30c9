"""The check itself: a message against its brief under the rules. Pure, deterministic, raises on no text."""

import operator
import re
from collections import Counter
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from typing import Literal

from retentionjax.shield import form, grounding, links, personal, wording
from retentionjax.shield.brief import Brief
from retentionjax.shield.phrasebook import Phrasebook
from retentionjax.shield.quantities import reader
from retentionjax.shield.reading import WORD, Reading, disguises, read
from retentionjax.shield.rules import Rules, load_rules
from retentionjax.shield.second_reader import second_reader
from retentionjax.shield.verdict import ACCEPT, Author, Finding, Severity, Verdict, Violation

_SENTENCE = re.compile(r"(?:[^.!?\n]+|\.(?=\w))+[?]?")
_SAYS_SOMETHING = 3
"""Fewer words are an interjection."""
_GREETING = 2
"""Number of words at the beginning that may be of any language: `Buenos días, Ann`."""
_FOREIGN = 2
"""Number of different small words of another language from which on a text is not in the brief's."""


def find(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    """A text in another language than the brief's, sentences to no purpose, and words that nobody has approved."""
    phrasing = rules.phrasing(brief.language)
    read = reader(brief.language)
    for match in _SENTENCE.finditer(reading.plain):
        said = match.group()
        if phrasing.purposes.served(said) or len(WORD.findall(said)) < _SAYS_SOMETHING or read.money.search(said):
            continue
        if not brief.offer.said(reading.folded[match.start() : match.end()], brief.language):
            yield reading.found("text.purpose", match, "a sentence that neither thanks, offers, asks nor helps")
    words = {word: (start, end) for word, start, end in reading.words}
    own = brief.vocabulary
    yield from _foreign(reading, brief, rules, words.keys() - own, frozenset(list(words)[:_GREETING]))
    approved = phrasing.words.sets["approved"]
    for word, place in words.items():
        if word in own:
            continue
        if not word.isascii():
            yield reading.finding("text.language", *place, f"letters that are not those of {brief.language}: {word!r}")
        elif word not in approved and not any(each.isdigit() for each in word):
            yield reading.finding("text.word", *place, f"a word that no approved text holds: {word!r}")


def _foreign(
    reading: Reading, brief: Brief, rules: Rules, words: set[str], greeting: AbstractSet[str]
) -> Iterator[Finding]:
    for language, small in rules.foreign_words[brief.language].items():
        found = words & small
        if len(found - greeting) >= _FOREIGN or len(found) > _FOREIGN:
            where = reading.plain.index(min(found))
            told = ", ".join(sorted(found))
            detail = f"words of another language ({language}): {told}; {brief.language} is asked for"
            yield reading.finding("text.language", where, where + len(min(found)), detail)


MOST = 4_000
"""Characters beyond this are not read: the message is too long for any channel anyway."""


def check(
    text: str,
    brief: Brief,
    rules: Rules | None = None,
    *,
    by: Author = "person",
    book: Phrasebook | None = None,
    despite: Collection[str] = (),
) -> Verdict:
    """Checks `text` as a message for `brief` and reports every rule that it breaks.

    Args:
        text: the message; of an e-mail, the body without the footer.
        by: who wrote it. Rules of the severity `models` block only what a model wrote.
        book: phrases that people have approved for messages of this kind; without it `text.phrase` is not checked.
        despite: rules in doubt that two people overruled for this wording; they only warn.

    Raises ConfigError if the rules do not cover the brief's language.
    """
    rules = rules or load_rules()
    phrasing = rules.phrasing(brief.language)
    kept = text[:MOST]
    reading = brief.offer.spare(brief.spare(read(kept)), brief.language)
    found: list[Finding] = [*form.find(reading, brief, rules)]
    second = second_reader(brief.language) if by == "person" else None
    if reading.folded.strip():
        found += disguises(reading)
        found += grounding.find(reading, brief, phrasing)
        found += wording.find(reading, brief, phrasing)
        found += find(reading, brief, rules)
        found += personal.find(reading, brief)
        found += links.find(reading, brief, rules)
        found += book.find(kept, brief) if book else ()
        found += second.find(reading) if second else ()
    if len(text) > MOST:
        found.append(Finding("channel.length", MOST, len(text), f"{len(text)} characters"))
    doubted = {each for each in found if rules.severities[brief.language, each.rule] == "doubt"}
    refused = any(severity(each.rule, brief, rules, by) == "block" for each in found if each not in doubted)
    struck = Counter(start for start, rule in {(each.start, each.rule) for each in doubted} if rule not in despite)
    harmless = second is not None and not refused and not second.refuses(reading, struck)
    return _verdict(found, brief, rules, by, despite if not harmless else {each.rule for each in doubted})


def grounded(text: str, brief: Brief, rules: Rules | None = None) -> bool:
    """Whether `text` says of the offer what is so, and states it: see `Verdict.grounded`."""
    return check(text, brief, rules).grounded


def severity(
    rule: str, brief: Brief, rules: Rules, by: Author, *, despite: Collection[str] = ()
) -> Literal["block", "doubt", "warn", "off"]:
    """How grave it is that a text of this author breaks a rule; one in doubt is not where it stands in `despite`."""
    grave: Severity = rules.severities[brief.language, rule]
    if grave == "models" or (rule == ACCEPT and grave == "block" and _answers(brief)):
        return "block" if by == "model" else "warn"
    if grave == "doubt":
        return "block" if by == "model" else "warn" if rule in despite else "doubt"
    return grave


def _answers(brief: Brief) -> bool:
    """Whether a reader who is told of no way to accept still has one: a discount by SMS is answered where it stands."""
    return brief.channel == "sms" and brief.offer.discount > 0


_PLACE = operator.attrgetter("start", "end", "rule", "detail")


def _verdict(found: list[Finding], brief: Brief, rules: Rules, by: Author, despite: Collection[str]) -> Verdict:
    violations = []
    for each in sorted(set(found), key=_PLACE):
        grave = severity(each.rule, brief, rules, by, despite=despite)
        if grave != "off":
            violations.append(Violation(each.rule, grave, each.start, each.end, each.detail))
    passed = all(each.severity == "warn" for each in violations)
    return Verdict(passed, tuple(violations), rules.version)
