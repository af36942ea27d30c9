"""Which of a company's wordings its customers accept more often, as `ledger export --what wordings` wrote it down."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
from etils import epath

from retentionjax import storage
from retentionjax.decide.comparing import lift, matched
from retentionjax.decide.variants import NOBODY, Answers, Stratum
from retentionjax.errors import DataError

COUNTS = ("sent", "accepted", "opted_out")
COLUMNS = ("week", "choices", "variant_id", "offer", "channel", "tone", "angle", "text", *COUNTS)
"""A row: what customers of one week, who had the same choice of wordings, did after one of them."""


@dataclass(frozen=True)
class OutcomePair:
    """Two wordings of one kind, of which customers who could have been sent either accepted the first more often."""

    chosen: str
    rejected: str
    group: str
    """The kind: offer, channel, tone and reason to leave."""


def pairs(path: epath.Path) -> list[OutcomePair]:
    """The pairs of one kind whose accept rates differ by an interval that holds at all looks together (`lift`).

    Raises DataError naming the file and the column for one that is missing, or counts that cannot be.
    """
    table = _read(path)
    strata = defaultdict[tuple[str, str], dict[str, Answers]](dict)
    texts, kinds = dict[str, str](), defaultdict[str, list[str]](list)
    for row in table.to_dict("records"):
        name, stratum = row["variant_id"], strata[row["week"], row["choices"]]
        stratum[name] = stratum.get(name, NOBODY).plus(Answers(*(float(row[each]) for each in COUNTS)))
        if name not in texts:
            texts[name] = row["text"]
            kinds[", ".join(filter(None, (row[each] for each in ("offer", "channel", "tone", "angle"))))].append(name)
    return [
        OutcomePair(texts[better], texts[worse], kind)
        for kind, names in kinds.items()
        for one, other in combinations(names, 2)
        for better, worse in _better(list(strata.values()), one, other)
    ]


def _better(strata: list[Stratum], one: str, other: str) -> list[tuple[str, str]]:
    """The two, the better first; none where neither is certainly better."""
    _, low, high = lift(*matched(strata, one, other))
    return [(one, other)] if low > 0 else [(other, one)] if high < 0 else []


def _read(path: epath.Path) -> pd.DataFrame:
    table = pd.read_csv(storage.in_memory(path), dtype=str, keep_default_na=False)
    if missing := [each for each in COLUMNS if each not in table]:
        raise DataError(f"{path}: the column {missing[0]!r} is missing; allowed: {', '.join(COLUMNS)}")
    for each in COUNTS:
        table[each] = pd.to_numeric(table[each], errors="coerce")
    wrong = ~(table[list(COUNTS)].ge(0).all(axis=1) & table["accepted"].le(table["sent"]))
    if wrong.any():
        place = int(wrong.to_numpy().argmax())
        found = ", ".join(f"{each} {table[each][place]:g}" for each in COUNTS)
        raise DataError(f"{path}: row {place + 2} has {found}; allowed: whole numbers from 0, accepted at most sent")
    return table
