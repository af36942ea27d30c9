"""Does a column tell the outcome nearly by itself? Then it was mostly written down after it, and nobody has it before.

A column is judged by AUC: a number by its rank, whichever way it points; and both numbers, in bins, and categories by
the share of positives that each value has in the other half of the rows, a missing value being a value too. So no
column is found by the luck of having many values.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

PERFECT = 0.98
"""AUC that no fact known beforehand reaches: risk models of churn have 0.7 to 0.9."""
KEY = "leak_"
"""Prefix of the column's name in a summary; the value is its AUC."""
_FEWEST = 10
"""Rows of the rarer outcome below which a column may tell it by luck."""
_MOST = 200_000
"""Rows that are looked at, evenly spread: more change nothing."""
_BINS = 32


def telling(
    frame: pd.DataFrame, label: np.ndarray, numeric: Sequence[str], categorical: Sequence[str], whole: float = 0.0
) -> dict[str, float]:
    """Columns that tell `label` with an AUC of `PERFECT` or more, the best first.

    `whole`: AUC of a model of all of them; where it is as high though no column is, the best column is named.
    """
    step = -(-len(label) // _MOST)
    frame, label = frame.iloc[::step], np.asarray(label, np.int64)[::step]
    if min(label.sum(), len(label) - label.sum()) < _FEWEST:
        return {}
    found = {name: _of_number(frame[name].to_numpy(np.float64), label) for name in numeric}
    found |= {name: _of_codes(pd.factorize(frame[name])[0] + 1, label) for name in categorical}
    ranked = sorted(found.items(), key=lambda item: -item[1])
    perfect = {name: value for name, value in ranked if value >= PERFECT}
    return perfect or (dict(ranked[:1]) if whole >= PERFECT else {})


def of_summary(summary: Mapping[str, float]) -> dict[str, float]:
    """The columns that a stage's summary names."""
    return {name.removeprefix(KEY): value for name, value in summary.items() if name.startswith(KEY)}


def words(found: Mapping[str, float]) -> str:
    """What is to be said of them; empty where there are none."""
    if not found:
        return ""
    named = ", ".join(f"{name} (AUC {value:.3f} by itself)" for name, value in found.items())
    return (
        f"The outcome is told nearly perfectly by {named}: was that written down when or after the customer left? Then "
        "nobody has it of those who are still there, and every figure here is too good to be true. Leave it out under "
        "customers.ignore, and train again."
    )


def _of_number(values: np.ndarray, label: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.5
    below = np.where(np.isnan(values), known.min() - 1, values)
    ranked = _auc(label, below)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))
    codes = np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, side="right"))
    return max(ranked, 1 - ranked, _of_codes(codes, label))


def _of_codes(codes: np.ndarray, label: np.ndarray) -> float:
    """AUC of each row's share of positives among the rows of its code in the other half."""
    half = np.random.default_rng(0).permutation(len(codes)) % 2
    share, base = np.empty(len(codes)), label.mean()
    for number in range(2):
        other, size = half != number, int(codes.max()) + 1
        rows = np.bincount(codes[other], minlength=size)
        positive = np.bincount(codes[other], weights=label[other], minlength=size)
        share[half == number] = ((positive + base) / (rows + 1))[codes[half == number]]
    return _auc(label, share)


def _auc(label: np.ndarray, score: np.ndarray) -> float:
    """AUC by ranks, ties counted half; sklearn's takes ten milliseconds of checks, which a thousand columns feel."""
    positive = int(label.sum())
    above = rankdata(score)[label == 1].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(label) - positive)))
