"""The second reader: how much a message reads like those that may not be sent, learned from thousands of either kind.

Rules name what is wrong in words that somebody thought of; this finds what nobody thought of, and knows where a rule
strikes for nothing. Two models add up. One is linear, of words, their first letters, pairs of neighbours and pairs with
one word between, each weighed by its log-count ratio (Wang and Manning 2012, "Baselines and Bigrams", NBSVM) and fitted
by logistic regression. The other scores each word among its neighbours (`fault_scores.py`). Rules in doubt that strike
are evidence beside theirs. `python -m experiments.second_reader` teaches it. It judges wording alone, and only what
people write: of a model every run of words must be approved (`text.phrase`).
"""

import bisect
import functools
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from retentionjax.shield.fault_scores import FaultScores
from retentionjax.shield.lexicon import Language
from retentionjax.shield.reading import BLANK, Reading
from retentionjax.shield.verdict import Finding

BITS = 17
"""A feature is one of 2^BITS, by its hash."""
_MASK = (1 << BITS) - 1
LANGUAGES: tuple[Language, ...] = ("en",)
"""Languages that it has learned to read."""
_TOKEN = re.compile(rf"[a-z]+(?:'[a-z]+)*|\d+(?:[.,:]\d+)*|{BLANK}+|[%$€£?!\n]")
_STEM = 5
_SENTENCE = re.compile(r"[.!?\n](?=\s|$)")
_TOLD = 3


class Opinion(NamedTuple):
    """What the reader thinks of a message."""

    log_odds: float
    """Log-odds that it may not be sent, less those that are allowed: it is refused from 0 on."""
    start: int
    """Start of the sentence that holds the word with the highest score, in the plain text."""
    end: int
    words: tuple[str, ...]
    """The words of that sentence with the highest scores."""


@dataclass(frozen=True)
class SecondReader:
    """What one language's reader knows."""

    weights: Sequence[float]
    """[2^BITS]; log-odds that a message with this feature may not be sent."""
    bias: float
    scores: FaultScores
    share: float
    """What the log-odds of `scores` count for."""
    doubt: float
    """Log-odds that rules in doubt add where they strike."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """The reader in an npz file."""
        import numpy as np  # so that no command's help waits for it

        with np.load(path, allow_pickle=False) as file:
            bias, share, doubt = (float(file[key]) for key in ("bias", "share", "doubt"))
            return cls(file["weights"].tolist(), bias, FaultScores.of(file), share, doubt)

    @functools.cached_property
    def judged(self) -> "functools._lru_cache_wrapper[Opinion]":
        """Plain text (`Reading.plain`) → what is thought of it; kept, for a wording goes to many customers."""

        @functools.lru_cache(1024)
        def judged(plain: str) -> Opinion:
            seen: set[int] = set()
            tokens = []
            for places, match in features(plain):
                seen.update(places)
                tokens.append((match.group(), match.start()))
            log_odds, scores = self.scores.judge([token for token, _ in tokens])
            total = self.bias + math.fsum(map(self.weights.__getitem__, seen)) + self.share * log_odds
            return Opinion(total, *_worst(plain, tokens, scores))

        return judged

    def refuses(self, reading: Reading, doubted: Mapping[int, int]) -> bool:
        """Whether a message that rules in doubt strike is refused.

        `doubted`: place in the message as given (`Finding.start`) → how many of them strike there. The message must
        read like good ones in spite of them, and so must each sentence that is struck, for itself and in spite of all
        but one: whatever harmless things stand around it, a bad sentence is no better for them.
        """
        if self.judged(reading.plain).log_odds + self.doubt * bool(doubted) >= 0:
            return True
        struck = Counter[tuple[int, int]]()
        for start, rules in doubted.items():
            struck[_sentence(reading.plain, bisect.bisect_left(reading.origin, start))] += rules
        return any(
            self.judged(reading.plain[start:end].strip()).log_odds + self.doubt * (rules - 1) >= 0
            for (start, end), rules in struck.items()
        )

    def find(self, reading: Reading) -> Iterator[Finding]:
        """The sentence that reads worst, if the message reads like one that may not be sent."""
        judged = self.judged(reading.plain)
        if judged.log_odds >= 0:
            most = ", ".join(map(repr, judged.words))
            detail = f"it reads like messages that may not be sent, most of all for {most}"
            yield reading.finding("text.suspect", judged.start, judged.end, detail)


def _worst(plain: str, tokens: Sequence[tuple[str, int]], scores: Sequence[float]) -> tuple[int, int, tuple[str, ...]]:
    """Start and end of the sentence around the word with the highest score, and its words with the highest."""
    highest = tokens[max(range(len(scores)), key=scores.__getitem__)][1] if tokens else 0
    start, end = _sentence(plain, highest)
    order = sorted(range(len(scores)), key=lambda at: -scores[at])
    words = [tokens[at][0] for at in order if start <= tokens[at][1] < end and tokens[at][0].strip()]
    return start, end, tuple(dict.fromkeys(words))[:_TOLD]


def _sentence(plain: str, at: int) -> tuple[int, int]:
    """Start and end of the sentence around a place."""
    stops = [0, *(match.end() for match in _SENTENCE.finditer(plain) if match.end() < len(plain)), len(plain)]
    after = bisect.bisect_right(stops, at, hi=len(stops) - 1)
    return stops[after - 1], stops[after]


def features(plain: str) -> Iterator[tuple[tuple[int, ...], re.Match[str]]]:
    """What the reader sees of a folded text: of each word the places, in [0, 2^BITS), of what ends with it."""
    before = last = zlib.crc32(b">")
    for match in _TOKEN.finditer(plain):
        hashed, beside, apart, stem = _hashed(match.group())
        yield (hashed & _MASK, zlib.crc32(beside, last) & _MASK, zlib.crc32(apart, before) & _MASK, *stem), match
        before, last = last, hashed


@functools.lru_cache(1 << 14)
def _hashed(token: str) -> tuple[int, bytes, bytes, tuple[int, ...]]:
    """A token's hash, what it adds to that of the word before it and of the one before that, and its stem's place."""
    word = BLANK if token[0] == BLANK else "#" if token[0].isdigit() else token
    stem = (zlib.crc32(f"{word[:_STEM]}-".encode()) & _MASK,) if len(word) > _STEM else ()
    return zlib.crc32(word.encode()), f" {word}".encode(), f" _ {word}".encode(), stem


@functools.cache
def second_reader(language: Language) -> SecondReader | None:
    """The reader of a language; None where there is none, so that what is in doubt stays refused."""
    if language not in LANGUAGES:
        return None
    return SecondReader.load(Path(__file__).with_name(f"second_reader.{language}.npz"))
