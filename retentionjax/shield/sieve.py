"""Many patterns at once: of a text only those are asked of which it holds a piece that they cannot match without.

A thousand alternatives tried at every character cost milliseconds. Most of them need some letters in a row, as
`(?:big|huge) savings?` needs `big saving` or `huge saving`, and most texts hold none of these (Cox 2012, "Regular
Expression Matching with a Trigram Index").
"""

import itertools
import operator
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

_GRAM = 5
"""Characters in a row by which a piece is looked up."""
_LONG = 8
"""Length that makes a piece rare enough: fewer pieces are better than longer ones."""
_MOST = 32
"""So many ways to say a part of a pattern are told apart."""
_SYMBOL = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:[:=!]|P?<(?:[=!]|\w+>))|[*+?][+?]?|\{(?:\d+(?:,\d*)?|,\d*)\}[+?]?|.",
    re.DOTALL,
)
"""An escape, a set, the beginning of a group, how often something stands, or any other character."""
_WHOLE = re.compile(r"\\[1-9]|\(\?(?![:=!]|<[=!]|P<)")
"""References, comments and flags: what may reach beyond a bar, or make no bar of one, so the pattern stays whole."""
_FEW = re.compile(r"\[(?!\^)(?:0-9|\\\W|[^\\\]-]|-(?=\]))+\]")
"""A set of characters named one by one, but for the digits."""
_OFTEN = re.compile(r"[*+?]|\{.+\}")
_AROUND = ("(?=", "(?!", "(?<=", "(?<!", "^", "$", "\\b")
"""What looks around and takes nothing."""
_EDGE = "\0"
"""The beginning or end of a pattern, which no letter stands beside."""
_BOUNDARY = "\b"
"""Stands between a letter and what is none, so that `top` is not sought in `stop`."""

Pieces = frozenset[str]
_NOTHING: Pieces = frozenset({""})


class Sieve:
    """Groups of patterns of folded text; a group is known by its place."""

    def __init__(self, groups: Sequence[Sequence[str]], *, of_words: bool = True) -> None:
        """`of_words`: each pattern holds between word boundaries."""
        form = r"(?<!\w)(?:{})(?!\w)" if of_words else "{}"
        split = [(group, each) for group, own in enumerate(groups) for one in own for each in alternatives(one)]
        self._groups = [group for group, _ in split]
        self._sources = [form.replace("{}", each) for _, each in split]
        self._regexes: dict[int, re.Pattern[str]] = {}
        needs = [{_piece(said) for said in needed(each, _EDGE if of_words else "^")} for _, each in split]
        grams = Counter(gram for piece in set[str]().union(*needs) for gram in _grams(piece))
        self._short: list[tuple[str, int]] = []
        """Pieces too short to be looked up, and whose they are."""
        self._by_gram: dict[str, list[tuple[str, int]]] = {}
        for place, need in enumerate(needs):
            for piece in sorted(need):
                rarest = min(_grams(piece), key=lambda gram: (grams[gram], gram), default=None)
                (self._short if rarest is None else self._by_gram.setdefault(rarest, [])).append((piece, place))

    def holds(self, text: str) -> bool:
        """Whether `text` holds any of the patterns."""
        return any(self._regex(place).search(text) for place in self._asked(text))

    def found(self, text: str) -> Iterator[tuple[int, re.Match[str]]]:
        """Each group's matches from left to right, as of its patterns in one: of two that begin together, the first."""
        asked = ((place, self._regex(place)) for place in self._asked(text))
        met = [(self._groups[place], regex, match) for place, regex in asked if (match := regex.search(text))]
        for group, each in itertools.groupby(met, key=operator.itemgetter(0)):
            left = [(regex, match) for _, regex, match in each]
            while left:
                first = min((match for _, match in left), key=re.Match.start)
                yield group, first
                end = first.end()
                past = end + (first.start() == end)  # no match of nothing is met twice
                again = (
                    (regex, match if match.start() >= end and match.end() >= past else regex.search(text, past))
                    for regex, match in left
                )
                left = [(regex, match) for regex, match in again if match and match.end() >= past]

    def _asked(self, text: str) -> list[int]:
        marked, sought = _marked(text), self._by_gram
        found = {place for gram in _grams(marked) for piece, place in sought.get(gram, ()) if piece in marked}
        return sorted(found.union(place for piece, place in self._short if piece in marked))

    def _regex(self, place: int) -> re.Pattern[str]:
        """Compiled when it is first asked: most never are."""
        if place not in self._regexes:
            self._regexes[place] = re.compile(self._sources[place])
        return self._regexes[place]


def alternatives(pattern: str) -> list[str]:
    """`pattern` cut at the bars that are in no group: whatever matches it matches one of them, and each compiles."""
    if _WHOLE.search(pattern):
        return [pattern]
    found, depth = [""], 0
    for symbol in _SYMBOL.findall(pattern):
        depth += symbol.startswith("(") - (symbol == ")")
        if symbol == "|" and not depth:
            found.append("")
        else:
            found[-1] += symbol
    return found


class Guarded:
    """A pattern of folded text that is only sought where a text holds a piece that it needs."""

    def __init__(self, pattern: str, sign: str | None = None) -> None:
        """`sign`: a pattern of what every match holds, where that is rarer than the pieces in the pattern."""
        self.regex = re.compile(pattern)
        self._sign = re.compile(sign) if sign else None
        needs = Pieces().union(*(needed(each) for each in alternatives(pattern) if not sign))
        least = [each for each in needs if not any(other in each for other in needs - {each})]
        self._needs = least if len(least) <= _MOST else [""]

    def may_hold(self, text: str) -> bool:
        """Whether a search is worth its while."""
        return self._sign.search(text) is not None if self._sign else any(piece in text for piece in self._needs)

    def search(self, text: str, *within: int) -> re.Match[str] | None:
        """Its first match, between two places if they are given."""
        return self.regex.search(text, *within) if self.may_hold(text) else None

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Its matches."""
        return self.regex.finditer(text) if self.may_hold(text) else iter(())

    def sub(self, put: Callable[[re.Match[str]], str], text: str) -> str:
        """`text` with what `put` makes of its matches."""
        return self.regex.sub(put, text) if self.may_hold(text) else text


def needed(alternative: str, edge: str = "^") -> Pieces:
    """Pieces of which a text must hold one for it to match; the empty one where none is known.

    `edge` stands for the beginning and the end.
    """
    if _WHOLE.search(alternative):
        return _NOTHING
    return _sequence([edge, *_SYMBOL.findall(alternative), edge], 0, _NOTHING)[1]


def _any_of(symbols: Sequence[str], at: int, before: Pieces) -> tuple[Pieces | None, Pieces, int]:
    """All that alternatives may say (None where it cannot be told), what they need, and where their group ends."""
    whole: Pieces | None = Pieces()
    needs = Pieces()
    while True:
        said, need, at = _sequence(symbols, at, before)
        whole = None if whole is None or said is None else whole | said
        needs |= need
        if symbols[at] == ")":
            return whole, needs, at
        at += 1


def _sequence(symbols: Sequence[str], at: int, said: Pieces) -> tuple[Pieces | None, Pieces, int]:
    """All that one alternative may say behind what is `said` before it, what it needs, and where it ends."""
    needs: list[Pieces] = []
    told = True
    while at < len(symbols) and symbols[at] not in ("|", ")"):
        symbol, whole = symbols[at], _then(said, _letters(symbols[at]))
        need = whole or _NOTHING
        if symbol[0] == "(":
            whole, need, at = _any_of(symbols, at + 1, _NOTHING if symbol in _AROUND else said)
        at += 1
        if symbol in _AROUND:
            continue
        if at < len(symbols) and _OFTEN.match(symbols[at]):
            whole = whole | said if whole is not None and symbols[at][0] == "?" else None
            need = said if symbols[at].startswith(("?", "*", "{0", "{,")) else need
            at += 1
        if whole is None or len(whole) > _MOST:
            needs += [said, need]
            whole, told = _NOTHING, False
        said = whole
    return said if told else None, max((*needs, said), key=_worth), at


def _then(said: Pieces, letters: str) -> Pieces | None:
    return frozenset(before + letter for before in said for letter in letters) if letters else None


def _letters(symbol: str) -> str:
    """The characters that a symbol may stand for; none where they cannot be told."""
    if symbol == "\\d":
        return string.digits  # of folded text
    if _FEW.fullmatch(symbol):
        return symbol[1:-1].replace("0-9", string.digits).replace("\\", "")
    if len(symbol) == 2 and symbol[0] == "\\":
        return "" if symbol[1].isalnum() else symbol[1]
    return symbol if len(symbol) == 1 and symbol not in ".(" else ""


def _worth(need: Pieces) -> tuple[int, int]:
    """How seldom a text holds one of the pieces: the shortest counts, then how many there are."""
    return min(_LONG, *map(len, need)), -len(need)


def _marked(text: str) -> str:
    return re.sub(r"\b", _BOUNDARY, text)


def _piece(said: str) -> str:
    """What is sought in a marked text for a part of a pattern: beside its ends may stand anything, but at an edge."""
    marked = _marked(said)
    first = marked if said.startswith(_EDGE) else marked.removeprefix(_BOUNDARY)
    return (first if said.endswith(_EDGE) else first.removesuffix(_BOUNDARY)).replace(_EDGE, "")


def _grams(text: str) -> set[str]:
    return {text[start : start + _GRAM] for start in range(len(text) - _GRAM + 1)}
