"""Whether preference pairs can be told apart by what they should not: length, or the words alone.

The bag-of-words baseline is a Bradley-Terry model that sees no brief, only which words chosen and rejected hold;
trained on the train split and judged on the test split. Near 0.5 a flaw can only be seen by reading the brief; near
1 it is a matter of words.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from retentionjax.data.messages import Pair
from retentionjax.errors import DataError

_WORD = re.compile(r"[a-z]+|\d+|[^\sa-z\d]")


@dataclass(frozen=True)
class Audit:
    """What gives the rejected message away, in all and by flaw."""

    length_correlation: float
    """Pearson correlation of characters with being chosen, over both texts of each pair."""
    longer_rejected: float
    """Share of pairs whose rejected text is the longer one (ties count half)."""
    length_by_flaw: dict[str, float]
    """Mean characters of rejected less chosen."""
    words: float
    """Accuracy of the bag of words on the test pairs; a tie counts half."""
    words_by_flaw: dict[str, float]
    token_by_flaw: dict[str, float]
    """Share of test pairs that the best single word tells: it stands more often in one of the two than in the other."""


def audit(train: Sequence[Pair], test: Sequence[Pair]) -> Audit:
    """Measures `test` by length, and by a bag of words that has learnt from `train`. Raises DataError for no pairs."""
    if not train or not test:
        raise DataError("an audit of pairs needs some of train and of test; one of them is empty")
    lengths = np.array([[len(pair.chosen), len(pair.rejected)] for pair in test], dtype=np.float64)
    chosen = np.tile([1.0, 0.0], (len(test), 1))
    difference = lengths[:, 1] - lengths[:, 0]
    right = words_right(train, test)
    flaws = np.array([pair.flaw for pair in test])
    by_flaw = {flaw: flaws == flaw for flaw in dict.fromkeys(flaws.tolist())}
    counts = _differences(test, _vocabulary(test))
    return Audit(
        length_correlation=float(np.corrcoef(lengths.ravel(), chosen.ravel())[0, 1]),
        longer_rejected=float(np.mean(_half_for_ties(difference))),
        length_by_flaw={flaw: float(difference[rows].mean()) for flaw, rows in by_flaw.items()},
        words=float(right.mean()),
        words_by_flaw={flaw: float(right[rows].mean()) for flaw, rows in by_flaw.items()},
        token_by_flaw={flaw: _best_token(counts[rows]) for flaw, rows in by_flaw.items()},
    )


def words_right(train: Sequence[Pair], test: Sequence[Pair], *, steps: int = 300) -> Float[np.ndarray, " test"]:
    """1 where a bag of words that has learnt from `train` prefers the chosen text, 0.5 for a tie, else 0."""
    vocabulary = _vocabulary(train)
    weights = _fit(_differences(train, vocabulary), steps)
    return _half_for_ties(_differences(test, vocabulary) @ weights)


def _half_for_ties(margins: np.ndarray) -> Float[np.ndarray, " pairs"]:
    return np.where(np.abs(margins) < 1e-9, 0.5, np.asarray(margins > 0, dtype=np.float64))


def _bag(text: str) -> Counter[str]:
    """How often each word, number and mark stands in `text`."""
    return Counter(_WORD.findall(text.lower()))


def _vocabulary(pairs: Sequence[Pair]) -> dict[str, int]:
    """Words of more than one pair, numbered."""
    frequency = Counter(word for pair in pairs for word in _bag(pair.chosen + " " + pair.rejected))
    return {word: number for number, word in enumerate(word for word, count in frequency.items() if count > 1)}


def _differences(pairs: Sequence[Pair], vocabulary: dict[str, int]) -> sp.csr_matrix:
    """[pairs, words]: how much oftener the chosen text holds each word than the rejected one."""
    cells = [
        (row, vocabulary[word], count)
        for row, pair in enumerate(pairs)
        for bag, sign in ((_bag(pair.chosen), 1), (_bag(pair.rejected), -1))
        for word, number in bag.items()
        if word in vocabulary
        for count in [sign * number]
    ]
    rows, columns, counts = np.array(cells).reshape(-1, 3).T
    return sp.csr_matrix((counts.astype(np.float64), (rows, columns)), shape=(len(pairs), len(vocabulary)))


def _best_token(differences: sp.csr_matrix) -> float:
    """The largest share of rows of [pairs, words] that one column tells by its sign alone."""
    signs = differences.sign()
    more = np.asarray((signs > 0).mean(axis=0)).max(initial=0.0)
    less = np.asarray((signs < 0).mean(axis=0)).max(initial=0.0)
    return float(max(more, less))


def _fit(rows: sp.csr_matrix, steps: int) -> Float[np.ndarray, " words"]:
    """Weights w that maximise Σ log σ(w·x) − ‖w‖²/2 by accelerated gradient ascent."""
    weights = np.zeros(rows.shape[1])
    ahead = weights
    # The curvature is at most ‖X‖²/4 + 1, and ‖X‖² at most the largest column sum times the largest row sum of |X|.
    size = float(abs(rows).sum(axis=0).max() * abs(rows).sum(axis=1).max())
    rate = 1.0 / (1.0 + 0.25 * size)
    for step in range(steps):
        pull = rows.T @ (1.0 / (1.0 + np.exp(np.clip(rows @ ahead, -30.0, 30.0)))) - ahead
        following = ahead + rate * pull
        ahead = following + step / (step + 3.0) * (following - weights)
        weights = following
    return weights
