"""Many patterns at once: of a text only those are asked of which it holds a piece that they cannot match without.

A thousand alternatives tried at every character cost milliseconds. Most of them need some letters in a row, as
`(?:big|huge) savings?` needs `big saving` or `huge saving`, and most texts hold none of these (Cox 2012, "Regular
Expression Matching with a Trigram Index"). All pieces are sought in one pass over the text (Aho and Corasick 1975,
"Efficient String Matching"), which takes some microseconds however many they are.
"""

import functools
import itertools
import operator
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence

import ahocorasick  # type: ignore[import-not-found]

_LONG = 10
"""Length that makes a piece rare enough: fewer pieces are better than longer ones."""
_MOST = 64
"""So many ways to say a part of a pattern are told apart."""
_SYMBOL = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:i?:|[=!]|P?<(?:[=!]|\w+>))|[*+?][+?]?|\{(?:\d+(?:,\d*)?|,\d*)\}[+?]?"
    r"|[a-z ]+(?![*+?{])|.",
    re.DOTALL,
)
"""An escape, a set, the beginning of a group, how often something stands, letters, or any other character."""
_WHOLE = re.compile(r"\\[1-9]|\(\?(?!i?:|[=!]|<[=!]|P<)")
"""References, comments and flags: what may reach beyond a bar, or make no bar of one, so the pattern stays whole."""
_FEW = re.compile(r"\[(?!\^)(?:0-9|A-Z|\\\W|[^\\\]-]|-(?=\]))+\]")
"""A set of characters named one by one, but for figures and capitals."""
_NAMED = {r"\d": string.digits, r"\n": "\n"}
"""Characters by another name; of folded text, which has no other figures."""
_OFTEN = re.compile(r"[*+?]|\{.+\}")
_AROUND = ("(?=", "(?!", "(?<=", "(?<!", "^", "$", "\\b")
"""What looks around and takes nothing."""
_EDGE = "\0"
"""The beginning or end of a pattern, which no letter stands beside."""
_BOUNDARY = "\b"
"""Stands between a letter and what is none, so that `top` is not sought in `stop`."""
_SAME = {"i": "iIİı", "k": "kK\u212a", "s": "sSſ"}
"""Letters of which a pattern that minds no case takes more than the small one and the capital."""

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
        whose: dict[str, list[int]] = {}
        for place, (_, each) in enumerate(split):
            for piece in {_piece(said) for said in needed(each, _EDGE)} if of_words else needed(each):
                whose.setdefault(piece, []).append(place)
        self._always = frozenset(whose.pop("", ()))
        """Patterns of which nothing is known that they need."""
        self._whose = _automaton(whose)
        self._of_words = of_words

    def holds(self, text: str) -> bool:
        """Whether `text` holds any of the patterns."""
        return any(self._regex(place).search(text) for place in self._asked(text))

    def found(self, text: str) -> Iterator[tuple[int, re.Match[str]]]:
        """Each group's matches from left to right, as of its patterns in one: of two that begin together, the first."""
        asked = ((place, self._regex(place)) for place in sorted(self._asked(text)))
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

    def _asked(self, text: str) -> frozenset[int]:
        marked = _marked(text) if self._of_words else text
        return self._always.union(*(places for _, places in self._whose.iter(marked)))

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
    """A pattern that is only sought where a text holds a piece that it needs."""

    def __init__(self, pattern: str, sign: str | None = None) -> None:
        """`sign`: a pattern of what every match holds, where that is rarer than the pieces in the pattern."""
        self.regex = re.compile(pattern)
        self._sign = sign

    @functools.cached_property
    def may_hold(self) -> Callable[[str], object]:
        """Whether a search is worth its while."""
        if self._sign:
            return re.compile(self._sign).search
        pieces = Pieces().union(*map(needed, alternatives(self.regex.pattern)))
        if "" in pieces:
            return lambda _: True
        sought = _automaton(dict.fromkeys(pieces, ()))
        return lambda text: next(sought.iter(text), None)

    def search(self, text: str, *within: int) -> re.Match[str] | None:
        """Its first match, between two places if they are given."""
        return self.regex.search(text, *within) if self.may_hold(text) else None

    def match(self, text: str, *within: int) -> re.Match[str] | None:
        """Its match at the beginning of a text, or of a place within it."""
        return self.regex.match(text, *within) if self.may_hold(text) else None

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
    return _sequence([edge, *_symbols(alternative), edge], 0, _NOTHING)[1]


def _symbols(pattern: str) -> Iterator[str]:
    """The symbols of a pattern, within `(?i:…)` a set of both cases for each letter."""
    caseless = [False]
    for symbol in _SYMBOL.findall(pattern):
        if symbol.startswith("("):
            caseless.append(caseless[-1] or symbol == "(?i:")
        elif symbol == ")":
            caseless.pop()
        if caseless[-1] and (symbol[0].isalnum() or symbol[0] == " "):
            yield from map(_either_case, symbol)
        else:
            yield _either_case("".join(_said(symbol))) if caseless[-1] and _FEW.fullmatch(symbol) else symbol


def _either_case(letters: str) -> str:
    """A set of the letters, small and capital."""
    return f"[{''.join(_SAME.get(each, each + each.upper()) for each in letters.lower())}]"


def _any_of(symbols: Sequence[str], at: int, before: Pieces) -> tuple[Pieces, Pieces, int]:
    """What a text ends with behind alternatives, what they need, and where their group ends."""
    ends, needs = Pieces(), Pieces()
    while True:
        said, need, at = _sequence(symbols, at, before)
        ends, needs = ends | said, needs | need
        if symbols[at] == ")":
            return ends, needs, at
        at += 1


def _sequence(symbols: Sequence[str], at: int, said: Pieces) -> tuple[Pieces, Pieces, int]:
    """What a text ends with behind one alternative, if before it with one of `said`; what it needs; where it ends."""
    need = said
    while at < len(symbols) and symbols[at] not in ("|", ")"):
        symbol, start = symbols[at], at
        behind, inner, at = _one(symbols, start, said)
        if symbol in _AROUND:
            continue
        often = symbols[at] if at < len(symbols) and _OFTEN.match(symbols[at]) else ""
        at += bool(often)
        if often[:1] in ("*", "+", "{") or len(behind) > _MOST:
            behind = _one(symbols, start, _NOTHING)[0]  # the last time
        if often.startswith(("?", "*", "{0", "{,")):
            behind, inner = behind | said, said
        said = behind if len(behind) <= _MOST else _NOTHING
        need = max(need, inner, said, key=_worth)
    return said, need, at


def _one(symbols: Sequence[str], at: int, said: Pieces) -> tuple[Pieces, Pieces, int]:
    """What `_sequence` tells, of a single symbol or group."""
    if symbols[at][0] == "(":
        ends, needs, at = _any_of(symbols, at + 1, _NOTHING if symbols[at] in _AROUND else said)
        return ends, needs, at + 1
    told = _said(symbols[at])
    ends = frozenset(before + each for before in said for each in told) if told else _NOTHING
    return ends, ends, at + 1


def _said(symbol: str) -> Sequence[str]:
    """What a symbol may stand for; nothing where it cannot be told."""
    if symbol in _NAMED:
        return _NAMED[symbol]
    if _FEW.fullmatch(symbol):
        named = symbol[1:-1].replace("0-9", string.digits).replace("A-Z", string.ascii_uppercase)
        return named.replace("\\", "")
    if symbol[0] == "\\":
        return "" if symbol[1].isalnum() else symbol[1]
    return () if symbol[0] in ".([" else (symbol,)


def _worth(need: Pieces) -> tuple[float, int]:
    """How seldom a text holds one of the pieces: the shortest counts, a figure less, then how many there are."""
    return min(_LONG, *map(len, need)) - 0.5 * (not need.isdisjoint(string.digits)), -len(need)


def _automaton(whose: Mapping[str, Sequence[int]]) -> ahocorasick.Automaton:
    """Finds the pieces of a text; it knows whose they are."""
    found = ahocorasick.Automaton()
    for piece, places in (whose or {_EDGE * 2: ()}).items():  # there is none of nothing
        found.add_word(piece, places)
    found.make_automaton()
    return found


def _marked(text: str) -> str:
    return re.sub(r"\b", _BOUNDARY, text)


def _piece(said: str) -> str:
    """What is sought in a marked text for a part of a pattern: beside its ends may stand anything, but at an edge."""
    marked = _marked(said)
    first = marked if said.startswith(_EDGE) else marked.removeprefix(_BOUNDARY)
    return (first if said.endswith(_EDGE) else first.removesuffix(_BOUNDARY)).replace(_EDGE, "")
