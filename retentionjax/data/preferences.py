"""Public preferences: Anthropic's HH-RLHF (two replies of an assistant) and SHP-2 (two comments on a post)."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from retentionjax.data.texts import Preference, Turn, group_of
from retentionjax.errors import DataError

HH = "hh_rlhf"
SHP = "shp2"
PAIRS_A_POST = 5
"""Of SHP-2; its authors advise a cap, since a few posts have thousands of pairs."""
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
