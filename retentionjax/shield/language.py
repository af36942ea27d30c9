"""The language of a message: its words and its purpose."""

import re
from collections.abc import Iterator

from retentionjax.shield.brief import Brief
from retentionjax.shield.quantities import reader
from retentionjax.shield.reading import WORD, Reading, fold
from retentionjax.shield.rules import Rules
from retentionjax.shield.verdict import Finding

_SENTENCE = re.compile(r"(?:[^.!?\n]|\.(?=\w))+[?]?")
_SAYS_SOMETHING = 3
"""Fewer words are an interjection."""
_FOREIGN = 2
"""From so many different small words of another language on, a text is not in the brief's."""


def find(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    """A text in another language than the brief's, sentences to no purpose, and words that nobody has approved."""
    phrasing = rules.phrasing(brief.language)
    say, read = fold(brief.offer.say or ""), reader(brief.language)
    for match in _SENTENCE.finditer(reading.plain):
        said = match.group()
        if len(WORD.findall(said)) < _SAYS_SOMETHING or phrasing.purposes.regex.search(said) or read.money.search(said):
            continue
        if not say or say not in reading.folded[match.start() : match.end()]:
            yield reading.found("text.purpose", match, "a sentence that neither thanks, offers, asks nor helps")
    words = {match.group(): match for match in WORD.finditer(reading.plain)}
    own = {word for each in brief.own_words for word in WORD.findall(fold(each))}
    yield from _foreign(reading, brief, rules, words.keys() - own)
    approved = phrasing.words.sets["approved"]
    for word, match in words.items():
        if word in own:
            continue
        if not word.isascii():
            yield reading.found("text.language", match, f"letters that are not those of {brief.language}")
        elif word not in approved and not any(each.isdigit() for each in word):
            yield reading.found("text.word", match, "a word that no approved text holds")


def _foreign(reading: Reading, brief: Brief, rules: Rules, words: set[str]) -> Iterator[Finding]:
    spoken = rules.small_words[brief.language]
    for language, small in rules.small_words.items():
        found = words & small - spoken
        if language != brief.language and len(found) >= _FOREIGN:
            where = reading.plain.index(min(found))
            told = ", ".join(sorted(found))
            detail = f"words of another language ({language}): {told}; {brief.language} is asked for"
            yield reading.finding("text.language", where, where + len(min(found)), detail)
