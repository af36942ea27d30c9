"""What a model may say: a recombination of what people have approved, and nothing of its own.

A model invents grammar ("Northwind here: Hi Ana", "Enjoy 10% off. Reply YES and enjoy") from words that are harmless
each. So every run of `RUN` words that it writes, stops and both ends of the message counted as words, must stand in a
text that somebody has approved. Runs cross from sentence to sentence, so a sentence stands only where one like it may.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from retentionjax.shield.brief import FACTS, Brief
from retentionjax.shield.reading import read
from retentionjax.shield.verdict import Finding

RULE = "text.phrase"
RUN = 6
"""Words of a run: of four, an answer may stand without its question ("Thanks for being with us! We'd love to help.");
of six, a short sentence is seen with both of its neighbours."""
_TOKEN = re.compile(r"\{\w+\}|[\w%$€£¥₹'.,/&+-]*[\w%]|[.?:,;-]|\n")
_EDGE = "¶"
"""Token for where a message begins and ends."""
STAND_INS: Mapping[str, str] = {fact: f"{{{fact}}}" for fact in FACTS}
"""Fact → what stands for it in an approved text."""


def mask(text: str, brief: Brief) -> str:
    """`text`, written for this brief with stand-ins for the names, with stand-ins for its facts as well.

    The longest facts first, so that one that is a part of another does not break it.
    """
    for fact, value in sorted(brief.known.items(), key=lambda each: -len(each[1])):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", STAND_INS[fact], text)
    return text


def tokens(text: str) -> list[str]:
    """Words, stand-ins and stops of a text; an exclamation mark is a full stop, a blank line a line break."""
    plain = re.sub(r"\s*\n\s*", " \n ", read(text).folded.replace("!", "."))
    return _TOKEN.findall(plain)


@dataclass(frozen=True)
class Phrasebook:
    """The runs of approved texts of one kind."""

    runs: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, *choices: Sequence[str]) -> "Phrasebook":
        """The runs of every text that is made of one phrase of each choice, in their order."""
        found: set[tuple[str, ...]] = set()
        ends: set[tuple[str, ...]] = {(_EDGE,)}
        for phrases in (*([tokens(phrase) for phrase in choice] for choice in choices), [[_EDGE]]):
            said = [(*end, *phrase) for end in ends for phrase in phrases]
            found.update(run for each in said for run in _runs(each))
            ends = {each[1 - RUN :] for each in said}
        return cls(frozenset(found))

    def __or__(self, other: "Phrasebook") -> "Phrasebook":
        """The runs of both."""
        return Phrasebook(self.runs | other.runs)

    def find(self, text: str, brief: Brief) -> Iterator[Finding]:
        """The finding that `text`, a message for `brief`, says what nobody has approved."""
        unknown = self.unknown(mask(brief.unfill(text), brief))
        if unknown is not None:
            where = " (¶ is where the message begins or ends)" if _EDGE in unknown else ""
            yield Finding(RULE, 0, len(text), f"no approved text contains these words in a row: {unknown!r}{where}")

    def unknown(self, text: str) -> str | None:
        """The first words in a row that no approved text holds; None where there are none."""
        found = next((run for run in _runs((_EDGE, *tokens(text), _EDGE)) if run not in self.runs), None)
        return None if found is None else " ".join(found)


def _runs(said: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(said[start : start + RUN]) for start in range(max(1, len(said) - RUN + 1)))
