"""A message as a reader sees it: NFKC, look-alike letters, digits of all scripts and emphasis marks folded to ASCII.

Rules match the folded text; `Reading.span` says where in the message as given the match stands.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from confusable_homoglyphs import confusables  # type: ignore[import-untyped]

from retentionjax.shield.verdict import Finding

_PUNCTUATION = {
    **dict.fromkeys("‘’‚‛ʼ′`´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−﹘﹣", "-"),
    "⁄": "/",
    "∕": "/",
    "٪": "%",
    "‰": "%",
    "․": ".",
    "。": ".",
}
# Letters whose table entry is another ASCII letter than the one people read.
_LETTERS = dict(zip("аеорсухіјѕԁһӏԛԝкмтнвАВЕЅІЈКМНОРСТУХ", "aeopcyxijsdhlqwkmthbabesijkmhopctyx", strict=True))
_EMPHASIS = frozenset("*_~`")
_UNUSUAL = re.compile(r"[^ -~\n]|[*_~`]")
"""Whatever is not folded to its own small letter."""
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")  # letters and marks that draw nothing
_DISGUISES = ("<font>", "<wide>", "<circle>", "<square>", "<super>", "<sub>")
_LATIN = re.compile(r"LATIN (?:SMALL |CAPITAL |LETTER SMALL CAPITAL )(?:LETTER )?(?:SCRIPT )?([A-Z])(?: WITH .*)?$")
"""Name of a Latin letter, with accents, hooks and strokes or as a small capital, in a square or circle too."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_STRANGE = re.compile(r"[\d\uff01-\uff5e]+")
"""Figures of any script, and letters and signs drawn as wide as Chinese ones."""
_SPELLED = re.compile(r"(?<![a-z0-9])(?:[a-z0-9]([ .,_*|/~+-]{1,2}))(?:[a-z0-9]\1)+[a-z0-9](?![a-z0-9])")
WORD = re.compile(r"[^\W_]+(?:'[^\W\d_]+)*")
"""A word of folded text."""
BLANK = "·"
"""Stands for each character of what is spared: it is in no word and no number."""
_ABBREVIATION = 3
"""Up to this many letters with dots between them are an abbreviation, though still read as a word: `s.u.e.`."""
_LEET = str.maketrans("013457@$!", "oieastasi")
_LEET_WORD = re.compile(r"(?<![\w@$])(?=[\w@$!]*[a-z])(?=[\w@$!]*[013457@$!])[a-z013457@$!]{3,}(?![\w@$])")


@dataclass(frozen=True)
class Reading:
    """A message and its folded form."""

    text: str
    folded: str
    """ASCII lower case wherever a character has such a form."""
    origin: Sequence[int]
    """Position in `text` of each character of `folded`, and len(text) at the end."""
    plain: str
    """`folded`, with what is the customer's or the sender's own blanked out (`Brief.spare`)."""

    @functools.cached_property
    def words(self) -> Sequence[tuple[str, int, int]]:
        """The words of `plain`, each with its start and end."""
        return [(match.group(), *match.span()) for match in WORD.finditer(self.plain)]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place in `text` of folded[start:end]."""
        first = self.origin[start]
        return first, (self.origin[end - 1] + 1 if end > start else first)

    def finding(self, rule: str, start: int, end: int, detail: str) -> Finding:
        """A finding at folded[start:end]."""
        return Finding(rule, *self.span(start, end), detail)

    def found(self, rule: str, match: re.Match[str], detail: str) -> Finding:
        """A finding at a match in `folded`."""
        return self.finding(rule, match.start(), match.end(), f"{detail}: {match.group()!r}")


def read(text: str) -> Reading:
    """Folds `text`; emphasis marks, invisible characters and combining marks leave nothing behind."""
    if text.isascii() and _EMPHASIS.isdisjoint(text):
        return Reading(text, text.lower(), range(len(text) + 1), text.lower())
    pieces: list[str] = []
    origin: list[int] = []
    last = 0
    for match in _UNUSUAL.finditer(text):
        index, piece = match.start(), _folded(match.group())
        pieces += [text[last:index].lower(), piece]
        origin += [*range(last, index), *([index] * len(piece))]
        last = index + 1
    pieces.append(text[last:].lower())
    origin += range(last, len(text))
    folded = "".join(pieces)
    return Reading(text, folded, [*origin, len(text)], folded)


@functools.lru_cache(4096)
def fold(words: str) -> str:
    """`words` as `read` folds them, without blanks around."""
    return read(words).folded.strip()


@functools.lru_cache(4096)
def words_of(text: str) -> frozenset[str]:
    """The words of `text`, folded."""
    return frozenset(WORD.findall(fold(text)))


def places(text: str, words: str) -> Iterator[int]:
    """Where `words` stands in `text` as whole words; sought without a pattern, for there is one of each customer."""
    start = text.find(words) if words else -1
    while start >= 0:
        end = start + len(words)
        whole = not (_in_word(text[start - 1 : start]) or _in_word(text[end : end + 1]))
        if whole:
            yield start
        start = text.find(words, end if whole else start + 1)


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def blanked(text: str, words: str) -> str:
    """The folded `text` with the folded `words` blanked out, its length unchanged."""
    for start in places(text, words):
        text = text[:start] + BLANK * len(words) + text[start + len(words) :]
    return text


def unspelled(reading: Reading) -> list[tuple[str, int, int]]:
    """Words disguised by digits (`gu4rantee`) or spelled out (`f.r.e.e`), undone: (word, start, end in folded)."""
    words = [
        (match.group().translate(_LEET).strip("!"), match.start(), match.end())
        for match in _LEET_WORD.finditer(reading.folded)
    ]
    return words + [
        (re.sub(r"[^a-z0-9]", "", match.group()).translate(_LEET), match.start(), match.end())
        for match in _SPELLED.finditer(reading.folded)
    ]


def disguises(reading: Reading) -> list[Finding]:
    """Characters that hide something: invisible ones, letters of another script or style, spelled-out words."""
    found = [
        reading.found("text.obfuscated", match, "letters spelled apart")
        for match in _SPELLED.finditer(reading.folded)
        if sum(each.isalpha() for each in match.group()) > _ABBREVIATION
    ]
    text = reading.text
    for match in re.finditer(r"[^ -~\n]", text):
        character = match.group()
        if invisible(character) and not _joins_emoji(text, match.start()):
            found.append(Finding("text.invisible", *match.span(), f"invisible character U+{ord(character):04X}"))
    if not text.isascii():
        found += [
            Finding("text.homoglyph", *match.span(), f"figures or signs of another script: {match.group()!r}")
            for match in _STRANGE.finditer(text)
            if not match.group().isascii()
        ]
        found += [
            Finding("text.homoglyph", *match.span(), f"letters of several alphabets in one word: {match.group()!r}")
            for match in _WORD.finditer(text)
            if not match.group().isascii() and _disguised(match.group())
        ]
    return found


@functools.lru_cache(4096)
def invisible(character: str) -> bool:
    """Whether a character draws nothing: controls but the line feed, formats, private use, unassigned, blanks."""
    return character != "\n" and (
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or character in _BLANK
    )


def _joins_emoji(text: str, index: int) -> bool:
    """A zero-width joiner between two pictures, as in family emoji."""
    around = text[index - 1 : index] + text[index + 1 : index + 2]
    return text[index] == "\u200d" and len(around) == 2 and all(ord(each) >= 0x2600 for each in around)


@functools.lru_cache(4096)
def _folded(character: str) -> str:
    if character in _EMPHASIS or invisible(character):
        return ""
    if character.isascii():
        return character.lower()
    if character in _PUNCTUATION:
        return _PUNCTUATION[character]
    if character in _LETTERS:
        return _LETTERS[character]
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    latin = _LATIN.search(unicodedata.name(character, ""))
    if latin:
        return latin[1].lower()
    plain = [
        each for each in unicodedata.normalize("NFKD", character) if unicodedata.category(each) not in ("Mn", "Me")
    ]
    return "".join(_look_alikes().get(each) or _PUNCTUATION.get(each, each).casefold() for each in plain)


@functools.cache
def _look_alikes() -> dict[str, str]:
    """Letter beyond ASCII → the ASCII letter it is drawn like, by Unicode's table of confusables."""
    table: dict[str, str] = {}
    for character, entries in confusables.confusables_data.items():
        if len(character) == 1 and not character.isascii() and character.isalpha():
            ascii_letters = sorted(
                {each["c"].lower() for each in entries if len(each["c"]) == 1 and each["c"].isascii()}
            )
            letters = [each for each in ascii_letters if each.isalpha()]
            if letters:
                table[character] = _LETTERS.get(character, letters[0])
    return table


@functools.lru_cache(4096)
def _disguised(word: str) -> bool:
    """A letter that only looks Latin beside one that is, or letters in a style that belongs to formulas."""
    if any(unicodedata.decomposition(each).startswith(_DISGUISES) for each in word):
        return True
    alien = [each for each in word if not each.isascii() and _alien(each)]
    return bool(alien) and any(unicodedata.name(each, "").startswith("LATIN") for each in word if each not in alien)


def _alien(character: str) -> bool:
    """A letter of another alphabet, or a Latin one that is drawn like plain ASCII without being decomposable to it."""
    if not character.isalpha() or unicodedata.normalize("NFKD", character)[0].isascii():
        return False
    latin = unicodedata.name(character, "").startswith("LATIN")
    return not latin or (character in _look_alikes() and character not in "ıøłđħŧ")
