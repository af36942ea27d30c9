"""How varied a set of generated texts is, without any model.

Words are runs of letters, digits and signs between spaces, in lower case, punctuation apart.
"""

import re
from collections import Counter
from collections.abc import Sequence

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
