"""Figures of a set of generated texts that show collapse, copying and rambling, without any model.

Words are runs of letters, digits and signs between spaces, in lower case, punctuation apart.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|%|\$")


@dataclass(frozen=True)
class Lengths:
    """Lengths of texts, in one unit."""

    mean: float
    sd: float
    p10: float
    median: float
    p90: float
    longest: float


@dataclass(frozen=True)
class TextMetrics:
    """What there is to say of a system's texts."""

    distinct_1: float
    distinct_2: float
    distinct_texts: float
    """Share of texts that no other one equals."""
    template_overlap: float
    """Mean of `nearest_overlap`."""
    copied: float
    """Share of texts all of whose n-grams stand in one training text."""
    characters: Lengths
    words: Lengths


def words(text: str) -> list[str]:
    """The words of `text` in lower case."""
    return _WORD.findall(text.lower())


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """Its runs of `n` words; a text of fewer words is one shorter run. Raises ValueError for n < 1."""
    if n < 1:
        raise ValueError(f"n is {n}; allowed: 1 or more")
    spoken = words(text)
    if len(spoken) < n:
        return [tuple(spoken)] if spoken else []
    return [tuple(spoken[start : start + n]) for start in range(len(spoken) - n + 1)]


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct n-grams as a share of all of `texts` together (Li et al. 2016); 0 without any.

    It falls as a set of texts grows, so compare only sets of as many texts.
    """
    counts = Counter(run for text in texts for run in ngrams(text, n))
    total = counts.total()
    return len(counts) / total if total else 0.0


def nearest_overlap(texts: Sequence[str], training: Sequence[str], n: int = 3) -> Float[np.ndarray, " texts"]:
    """Share of each text's distinct n-grams that stands in the one training text that holds most of them.

    1: copied from a training text or from one template; 0: no run of n words in common with any.
    """
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, known in enumerate(dict.fromkeys(training)):
        for run in set(ngrams(known, n)):
            holders[run].append(number)
    shares = np.zeros(len(texts))
    for row, text in enumerate(texts):
        runs = set(ngrams(text, n))
        found = Counter(number for run in runs for number in holders.get(run, ()))
        if runs and found:
            shares[row] = found.most_common(1)[0][1] / len(runs)
    return shares


def lengths(sizes: Sequence[int] | Sequence[float]) -> Lengths:
    """Statistics of sizes in whatever unit (characters, words, tokens). Raises ValueError for none."""
    if not len(sizes):
        raise ValueError("there are no texts to measure")
    values = np.asarray(sizes, dtype=np.float64)
    p10, median, p90 = np.quantile(values, [0.1, 0.5, 0.9]).tolist()
    return Lengths(float(values.mean()), float(values.std()), p10, median, p90, float(values.max()))


def measure(texts: Sequence[str], training: Sequence[str], n: int = 3) -> TextMetrics:
    """All of the above that need no brief, for the texts of one system. Raises ValueError for no texts."""
    overlap = nearest_overlap(texts, training, n)
    counts = Counter(texts)
    return TextMetrics(
        distinct_1=distinct(texts, 1),
        distinct_2=distinct(texts, 2),
        distinct_texts=_share([counts[text] == 1 for text in texts]),
        template_overlap=float(overlap.mean()) if len(overlap) else 0.0,
        copied=_share((overlap >= 1.0).tolist()),
        characters=lengths([len(text) for text in texts]),
        words=lengths([len(words(text)) for text in texts]),
    )


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else float("nan")
