"""Which of many rules may meet a text, quickly: at the start of a word, only patterns of its first letter are tried.

Joined into one regular expression all patterns are tried at every word, which took a tenth of a check.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

_WORD_START = re.compile(r"(?<!\w)\w")
_CLASS = re.compile(r"\[[^\\^\]][^\\\]]*\]")
_RANGE = re.compile("(.)-(.)")


class Prefilter:
    """Ids of rules by the first letters of their patterns, which are to match whole words of folded text."""

    def __init__(self, patterns: Mapping[str, Sequence[str]]) -> None:
        by_letter: dict[str, list[tuple[str, str]]] = {}
        for rule, those in patterns.items():
            for pattern in (part for each in those for part in _parts(each)):
                letters = initials(pattern)
                for letter in letters if letters and all(each.isalnum() for each in letters) else ("",):
                    by_letter.setdefault(letter, []).append((rule, pattern))
        self._rules = {letter: {rule for rule, _ in pairs} for letter, pairs in by_letter.items()}
        self._regexes = {
            letter: re.compile(rf"(?<!\w)(?:{'|'.join(pattern for _, pattern in pairs)})(?!\w)")
            for letter, pairs in by_letter.items()
        }
        self._unlettered = self._regexes.pop("", None)

    def among(self, text: str) -> set[str]:
        """Ids of the rules that may meet `text`: every one that does, and some that begin with the same letter."""
        letters = {
            start.group()
            for start in _WORD_START.finditer(text)
            if (regex := self._regexes.get(start.group())) and regex.match(text, start.start())
        }
        if self._unlettered and self._unlettered.search(text):
            letters.add("")
        return {rule for letter in letters for rule in self._rules[letter]}


def initials(pattern: str) -> set[str] | None:
    """The characters that a match of `pattern` may begin with; None where this does not tell."""
    while pattern.startswith(("(?<!", "(?<=", "(?!", "(?=")):
        pattern = pattern[_closing(pattern, 0) + 1 :]
    if pattern.startswith("(?:"):
        end = _closing(pattern, 0)
        inner = [initials(each) for each in _parts(pattern[3:end])]
        first = None if None in inner else {letter for each in inner for letter in each or ()}
    elif match := _CLASS.match(pattern):
        end = match.end() - 1
        spelled = _RANGE.sub(lambda ends: "".join(map(chr, range(ord(ends[1]), ord(ends[2]) + 1))), match[0][1:-1])
        first = set(spelled)
    else:
        end, first = 0, {pattern[0]} if pattern[:1].isalnum() else None
    rest = pattern[end + 1 :]
    if first is None or rest[:1] not in ("?", "*"):
        return None if rest[:1] == "{" else first
    following = initials(rest[1:])
    return None if following is None else first | following


def _parts(pattern: str) -> Iterator[str]:
    """The parts of `pattern` between the bars that stand in no brackets."""
    start = depth = 0
    for place, character in _plain(pattern):
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            yield pattern[start:place]
            start = place + 1
    yield pattern[start:]


def _closing(pattern: str, opening: int) -> int:
    """Where the bracket at `opening` closes."""
    depth = 0
    for place, character in _plain(pattern):
        depth += place >= opening and (character == "(") - (character == ")")
        if place >= opening and not depth:
            return place
    raise ValueError(f"{pattern!r} closes no bracket at {opening}")


def _plain(pattern: str) -> Iterator[tuple[int, str]]:
    """Each character that is neither escaped nor in a class, with its place."""
    for match in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", pattern, re.DOTALL):
        if len(match.group()) == 1:
            yield match.start(), match.group()
