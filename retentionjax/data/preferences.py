"""Public preferences: Anthropic's HH-RLHF (two replies of an assistant), SHP-2 (two comments on a post) and Upworthy's
headline tests (which of two wordings of one article real readers clicked more).

Of Upworthy, weeks 201325 to 201402 are left out: visitors were not randomised properly then. A pair is two headlines of
one test shown with the same picture, whose clicks differ by more than chance explains.
"""

import html
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retentionjax.data.reading import RawTable, read_parquet
from retentionjax.data.texts import Preference, Turn, group_of
from retentionjax.errors import DataError

HH = "hh_rlhf"
SHP = "shp2"
PAIRS_A_POST = 5
"""Most pairs of a post of SHP-2; its authors advise a cap, since a few posts have thousands of pairs."""
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def read_hh(data: bytes, where: str, subset: str) -> list[Preference]:
    """The pairs of an HH-RLHF file whose two dialogues are one up to the last reply.

    The whole dialogue is the prompt. The few whose sides part earlier are left out: they have no prompt in common.
    `subset` (helpful-base …) becomes part of the source. Raises DataError naming a line that is no pair.
    """
    found = []
    for number, row in _rows(data, where):
        try:
            (prompt, chosen), (other, rejected) = dialogue(row["chosen"]), dialogue(row["rejected"])
        except (KeyError, ValueError) as error:
            raise DataError(f"{where}, line {number}: not a pair of HH-RLHF ({error})") from None
        if prompt == other:
            found.append(Preference(prompt, chosen, rejected, f"{HH}/{subset}", group_of(prompt[0].text)))
    return found


def dialogue(text: str) -> tuple[tuple[Turn, ...], str]:
    """The turns of `text` up to the last reply, and that reply.

    Raises ValueError when it does not begin with the human's words or end with the assistant's. Two turns in a row by
    one speaker, of which the set holds some, become one.
    """
    before, *spoken = _SPEAKER.split(text)
    turns: list[Turn] = []
    for speaker, words in zip(spoken[::2], spoken[1::2], strict=True):
        role = _ROLES[speaker]
        if turns and turns[-1].role == role:
            turns[-1] = Turn(turns[-1].role, f"{turns[-1].text}\n\n{words.strip()}".strip())
        else:
            turns.append(Turn("user" if role == "user" else "assistant", words.strip()))
    if before.strip() or len(turns) < 2 or turns[0].role != "user" or turns[-1].role != "assistant":
        raise ValueError("a dialogue begins with Human and ends with Assistant")
    return tuple(turns[:-1]), turns[-1].text


def read_shp(data: bytes, where: str) -> list[Preference]:
    """The pairs of an SHP-2 file: the post is the prompt, the comment with the higher score is chosen.

    The margin is the logarithm of the ratio of their scores. Raises DataError naming a line that is no pair.
    """
    found = []
    posts: Counter[str] = Counter()
    for number, row in _rows(data, where):
        try:
            post, label, ratio = str(row["history"]), row["labels"], float(row["score_ratio"])
            first, second = str(row["human_ref_A"]), str(row["human_ref_B"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}, line {number}: not a pair of SHP-2 ({error!r})") from None
        if label not in (0, 1) or ratio < 1 or not math.isfinite(ratio):
            raise DataError(f"{where}, line {number}: label {label}, score ratio {ratio}; allowed: 0 or 1, from 1 up")
        posts[post] += 1
        if posts[post] <= PAIRS_A_POST:
            chosen, rejected = (first, second) if label == 1 else (second, first)
            found.append(
                Preference((Turn("user", post),), chosen, rejected, SHP, group_of(post), margin=math.log(ratio))
            )
    return found


def without(pairs: Iterable[Preference], others: Sequence[Preference]) -> list[Preference]:
    """`pairs` of dialogues that `others` (a test set) do not hold."""
    taken = {each.group for each in others}
    return [pair for pair in pairs if pair.group not in taken]


def _rows(data: bytes, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, written in enumerate(data.decode("utf-8").split("\n"), start=1):
        if written.strip():
            try:
                row = json.loads(written)
            except json.JSONDecodeError as error:
                raise DataError(f"{where}, line {number}: not JSON ({error.msg})") from None
            if not isinstance(row, dict):
                raise DataError(f"{where}, line {number}: not a JSON object")
            yield number, row


UPWORTHY = "upworthy"
BROKEN_WEEKS = (201325, 201402)
"""First and last week (year and week) whose randomisation failed."""
MINIMUM_Z = 1.96
_COLUMNS = ("clickability_test_id", "headline", "lede", "eyecatcher_id", "impressions", "clicks", "test_week")
_TAG = re.compile(r"<[^>]+>")


@dataclass(frozen=True)
class Shown:
    """One wording of a test, its repetitions added up."""

    headline: str
    lede: str
    impressions: int
    clicks: int


def read_upworthy(data: bytes, where: str) -> pd.DataFrame:
    """The packages of the weeks that can be trusted. Raises DataError for a missing column or impossible counts."""
    raw: RawTable = read_parquet(data, where)
    if missing := [name for name in _COLUMNS if name not in raw.names]:
        raise DataError(f"{where}: the column {missing[0]!r} is missing; it has {', '.join(raw.names)}")
    frame: pd.DataFrame = raw.table.select(list(_COLUMNS)).to_pandas()
    frame[list(_COLUMNS[:4])] = frame[list(_COLUMNS[:4])].fillna("")
    counts = frame[["impressions", "clicks", "test_week"]].to_numpy(dtype=np.int64)
    if ((counts[:, 1] < 0) | (counts[:, 1] > counts[:, 0])).any():
        raise DataError(f"{where}: more clicks than impressions; allowed: 0 to impressions")
    first, last = BROKEN_WEEKS
    return frame[(counts[:, 2] < first) | (counts[:, 2] > last)].reset_index(drop=True)


def headline_pairs(frame: pd.DataFrame) -> list[Preference]:
    """Click preferences of `read`'s frame with |z| of at least `MINIMUM_Z` (two-sample test of proportions).

    The margin is the difference of the log-odds of a click, half a click added to each cell. Tests that share a
    headline are of one group, since an article was often tested again.
    """
    groups = _groups(frame)
    found = []
    for test, shown in _alike(frame):
        for one, other in itertools.combinations(shown, 2):
            if abs(z := z_score(one, other)) >= MINIMUM_Z:
                better, worse = (one, other) if z > 0 else (other, one)
                margin = _log_odds(better) - _log_odds(worse)
                prompt = (Turn("user", _prompt(better, worse)),)
                found.append(Preference(prompt, better.headline, worse.headline, UPWORTHY, groups[test], margin))
    return found


def z_score(one: Shown, other: Shown) -> float:
    """Number of standard errors by which the share of clicks of `one` is above that of `other`, pooled; 0 without
    clicks."""
    pooled = (one.clicks + other.clicks) / (one.impressions + other.impressions)
    variance = pooled * (1 - pooled) * (1 / one.impressions + 1 / other.impressions)
    difference = one.clicks / one.impressions - other.clicks / other.impressions
    return difference / math.sqrt(variance) if variance > 0 else 0.0


def _alike(frame: pd.DataFrame) -> Iterator[tuple[str, list[Shown]]]:
    """Each test with its wordings that were shown with one picture."""
    keys = ["clickability_test_id", "eyecatcher_id", "headline"]
    added = frame[frame["impressions"] > 0].groupby(keys, sort=True)
    table = added.agg({"lede": "first", "impressions": "sum", "clicks": "sum"}).reset_index()
    columns = (table[name].tolist() for name in (*keys, "lede", "impressions", "clicks"))
    for (test, _), rows in itertools.groupby(zip(*columns, strict=True), key=lambda row: row[:2]):
        yield test, [Shown(headline, lede, impressions, clicks) for _, _, headline, lede, impressions, clicks in rows]


def _log_odds(shown: Shown) -> float:
    return math.log((shown.clicks + 0.5) / (shown.impressions - shown.clicks + 0.5))


def _prompt(one: Shown, other: Shown) -> str:
    asked = "Write a headline for an article."
    lede = html.unescape(_TAG.sub(" ", one.lede)).strip()
    return f"{asked} It begins: {' '.join(lede.split())}" if one.lede == other.lede and lede else asked


def _groups(frame: pd.DataFrame) -> dict[str, str]:
    """Test to group: the first of all tests that are joined to it by headlines in common."""
    leader: dict[str, str] = {}

    def find(test: str) -> str:
        while leader[test] != test:
            leader[test] = leader[leader[test]]
            test = leader[test]
        return test

    seen: dict[str, str] = {}
    for test, headline in zip(frame["clickability_test_id"], frame["headline"], strict=True):
        leader.setdefault(str(test), str(test))
        words = " ".join(str(headline).casefold().split())
        one, other = sorted((find(str(test)), find(seen.setdefault(words, str(test)))))
        leader[other] = one
    return {test: find(test) for test in leader}
