"""The second reader: how much a message reads like those that may not be sent, learned from thousands of either kind.

Rules name what is wrong in words that somebody thought of; this finds what nobody thought of, and knows where a rule
strikes for nothing. A linear model of words, their first letters, pairs of neighbours and pairs with one word between,
each weighed by its log-count ratio (Wang and Manning 2012, "Baselines and Bigrams", NBSVM) and fitted by logistic
regression: `python -m experiments.second_reader`. It judges wording alone, and only what people write: of a model every
run of words must be approved (`text.phrase`).
"""

import bisect
import functools
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

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
_SPARED = 8.0
"""How many times its log-odds better than needed a message must read for a rule about a sentence to be doubted."""


class Opinion(NamedTuple):
    """What the reader thinks of a message."""

    log_odds: float
    """Log-odds that it may not be sent."""
    sentences: tuple[tuple[int, int, float], ...]
    """Start and end of each sentence in the plain text, and its share of the log-odds."""


@dataclass(frozen=True)
class SecondReader:
    """What one language's reader knows."""

    weights: Sequence[float]
    """[2^BITS]; log-odds that a message with this feature may not be sent."""
    bias: float
    suspect: float
    """Log-odds from which on a message is refused."""
    clear: float
    """Log-odds below which a rule in doubt may be doubted."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """The reader in an npz file."""
        import numpy as np  # so that no command's help waits for it

        with np.load(path, allow_pickle=False) as file:
            limits = (float(file[key]) for key in ("bias", "suspect", "clear"))
            return cls(file["weights"].tolist(), *limits)

    @functools.cached_property
    def judged(self) -> "functools._lru_cache_wrapper[Opinion]":
        """Plain text (`Reading.plain`) → what is thought of it; kept, for a wording goes to many customers."""
        weights = self.weights

        @functools.lru_cache(1024)
        def judged(plain: str) -> Opinion:
            ends = [*(match.end() for match in _SENTENCE.finditer(plain)), len(plain)]
            seen: dict[int, int] = {}  # place → the sentence that holds it last
            for places, match in features(plain):
                seen.update(dict.fromkeys(places, bisect.bisect_right(ends, match.start(), hi=len(ends) - 1)))
            log_odds = self.bias + math.fsum(map(weights.__getitem__, seen))
            sums = [0.0] * len(ends)
            for place, sentence in seen.items():
                sums[sentence] += weights[place]
            return Opinion(log_odds, tuple(zip([0, *ends], ends, sums, strict=False)))

        return judged

    def harmless(self, reading: Reading, start: int) -> bool:
        """Whether a rule that strikes at this place of the message as given, `Finding.start`, may be doubted.

        The whole message must read like good ones, and the sentence, for itself, not like bad ones: the better the
        message, the more is let pass of a sentence.
        """
        judged = self.judged(reading.plain)
        at = bisect.bisect_left(reading.origin, start)
        own = next((each for first, last, each in judged.sentences if first <= at < last), 0.0)
        spare = self.clear - judged.log_odds
        return spare > 0 and own < spare / _SPARED

    def find(self, reading: Reading) -> Iterator[Finding]:
        """The sentence that reads worst, if the message as a whole reads like one that may not be sent."""
        judged = self.judged(reading.plain)
        if judged.log_odds < self.suspect:
            return
        start, end, _ = max(judged.sentences, key=lambda sentence: sentence[2])
        weight: dict[str, float] = {}
        for places, match in features(reading.plain):
            if start <= match.start() < end:
                for place in places:
                    weight[match.group()] = weight.get(match.group(), 0.0) + self.weights[place]
        most = sorted(weight, key=lambda word: -weight[word])[:_TOLD]
        detail = f"it reads like messages that may not be sent, most of all for {', '.join(map(repr, most))}"
        yield reading.finding("text.suspect", start, end, detail)


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
