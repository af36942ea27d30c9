"""Figures of a set of generated texts that show collapse and copying, without any model.

Words are runs of letters, digits and signs between spaces, in lower case, punctuation apart.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|%|\$")


def words(text: str) -> list[str]:
    """The words of `text` in lower case."""
    return _WORD.findall(text.lower())


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """Its runs of `n` words; a text of fewer words is one shorter run."""
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
