"""Dialogues with one answer (to imitate) or two (to prefer one): what is kept of them, how they are split and stored.

Everything that is opened by the same first words is one group, and a group is of one split only: so no prompt, and no
other branch of its conversation, is both learnt from and judged on.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

from retentionjax.errors import ConfigError

Role = Literal["user", "assistant"]
CountTokens = Callable[[str], int]
"""How many tokens a text is for the tokenizer in use."""
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Turn:
    """One side's words."""

    role: Role
    text: str


@dataclass(frozen=True)
class Example:
    """A dialogue and the reply that followed it."""

    prompt: tuple[Turn, ...]
    """Ends with the user's turn."""
    response: str
    source: str
    """The data set."""
    group: str
    """What must not be parted between splits."""


@dataclass(frozen=True)
class Preference:
    """A dialogue and two replies, of which people preferred one."""

    prompt: tuple[Turn, ...]
    """Shared by both."""
    chosen: str
    rejected: str
    source: str
    group: str
    margin: float = 0.0
    """How clear the preference was, where the source says so: ≥ 0, on the scale of log-odds."""


Text = TypeVar("Text", Example, Preference)


@dataclass(frozen=True)
class TextLimits:
    """What is too short, too long or too much. The defaults are the `mvp` preset's."""

    characters: int = 10
    """The fewest of a prompt's last turn and of a response."""
    prompt_tokens: int = 1_024
    response_tokens: int = 1_024
    examples: int = 60_000
    """The most OASST1 replies to train on."""
    validation_examples: int = 2_000
    shp: int = 60_000
    """The most SHP-2 pairs to train on."""
    hh: int = 40_000
    """The most HH-RLHF pairs to train on."""
    validation_pairs: int = 10_000
    probe: int = 1_000
    """HH-RLHF pairs of its test files, never trained on."""
    minimum_examples: int = 1_000
    minimum_pairs: int = 10_000

    def __post_init__(self) -> None:
        """Raises ConfigError for a limit below 0."""
        for name, value in asdict(self).items():
            if value < 0:
                raise ConfigError(f"Limits.{name} is {value}; allowed: 0 or more")


def estimated_tokens(text: str) -> int:
    """Estimate of the tokens of an English text, a token being four characters, where no tokenizer is at hand."""
    return -(-len(text) // 4)


def keep(texts: Iterable[Text], limits: TextLimits, count: CountTokens = estimated_tokens) -> list[Text]:
    """Those within `limits` of length, each once: repeated ones, pairs of equal answers and both of two pairs that
    contradict each other are left out, whatever their spaces and capitals.
    """
    seen: dict[tuple[str, ...], Text] = {}
    contradicted: set[tuple[str, ...]] = set()
    for text in texts:
        answers: tuple[str, ...] = _answers(text)
        key: tuple[str, ...] = (
            _plain("\n".join(turn.text for turn in text.prompt)),
            *(_plain(answer) for answer in answers),
        )
        if len(set(key[1:])) < len(answers) or key in seen or not _fits(text, limits, count):
            continue
        opposite = (key[0], *reversed(key[1:]))
        if len(answers) > 1 and opposite in seen:
            contradicted |= {key, opposite}
        seen[key] = text
    return [text for key, text in seen.items() if key not in contradicted]


def split(texts: Iterable[Text], seed: int = 42) -> dict[str, list[Text]]:
    """80/10/10 by group, which a SHA-256 of seed and group decides: the same on every machine and for any order."""
    parts: dict[str, list[Text]] = {name: [] for name in SPLITS}
    for text in texts:
        share = draw(text.group, seed)
        parts["train" if share < 0.8 else "validation" if share < 0.9 else "test"].append(text)
    return parts


def draw(group: str, seed: int) -> float:
    """A number in [0, 1) that a group always gets from a seed."""
    return int(hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()[:13], 16) / 16**13


def at_most(texts: Sequence[Text], most: int, seed: int = 42) -> list[Text]:
    """`most` of `texts`, in their order, by lot of each text's own words."""
    if len(texts) <= most:
        return list(texts)
    lots = [hashlib.sha256(f"{seed}:{line(text)}".encode()).digest() for text in texts]
    drawn = set(sorted(range(len(texts)), key=lots.__getitem__)[:most])
    return [text for number, text in enumerate(texts) if number in drawn]


def group_of(opening: str) -> str:
    """The group of a dialogue that begins with `opening`, whatever its spaces and capitals."""
    return hashlib.sha256(_plain(opening).encode()).hexdigest()[:16]


def line(text: Example | Preference) -> str:
    """`text` as a line of JSON."""
    return json.dumps(asdict(text), ensure_ascii=False)


def _answers(text: Example | Preference) -> tuple[str, ...]:
    return (text.response,) if isinstance(text, Example) else (text.chosen, text.rejected)


def _fits(text: Example | Preference, limits: TextLimits, count: CountTokens) -> bool:
    shown = (text.prompt[-1].text, *_answers(text))
    if any(len(each.strip()) < limits.characters for each in shown):
        return False
    if any(count(answer) > limits.response_tokens for answer in _answers(text)):
        return False
    return count("\n".join(turn.text for turn in text.prompt)) <= limits.prompt_tokens


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
