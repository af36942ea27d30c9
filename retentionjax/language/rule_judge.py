"""A judge for the arena that owes nothing to the reward model: six pieces, each in [0, 1], each with its reason.

coverage   the share of what the brief told (name, sender, plan, discount, days …) that the text says
grounding  1 if the text says nothing about the offer that is not so (the caller's check), else 0
action     1 if the text says how to take what it offers (the caller's check), else 0
tone       words and forms of the tone asked for against those of the other tones
room       1 for a text within the channel's room, falling to 0 at half as much again; no text gains by being shorter
fluency    the mean log-probability of its tokens under the frozen base model, between two fixed marks

Nothing here was fitted. The weights say what matters: an untrue message loses to any true one that says the rest.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float

from retentionjax.language import forward, packing
from retentionjax.language.arena import Judge
from retentionjax.language.decoder import Decoder
from retentionjax.language.hub import Model
from retentionjax.language.text_metrics import words

WEIGHTS = {"coverage": 3.0, "grounding": 4.0, "action": 2.0, "tone": 1.0, "room": 1.0, "fluency": 1.0}
TIE = 0.02
"""A difference of the weighted mean below it is a tie."""
WORST_LOG_PROB, BEST_LOG_PROB = -6.0, -1.0
"""Nats a token: noise, and text a small model finds easy."""
_CONTRACTION = re.compile(r"\b\w+['’](?:re|ve|ll|d|m|s|t)\b", re.IGNORECASE)
_MARKS: Mapping[str, frozenset[str]] = {
    "warm": frozenset(
        {
            "hi", "hey", "hello", "love", "lovely", "thanks", "glad", "enjoy", "happy", "treat", "great",
            "awesome", "friends",
        }
    ),
    "formal": frozenset(
        {
            "dear", "please", "pleased", "kindly", "appreciate", "sincerely", "regards", "grateful",
            "custom", "would", "may", "our", "invited", "should",
        }
    ),
}  # fmt: skip
_FEW_WORDS = 22
"""What a message of the tone `brief` has at most."""


@dataclass(frozen=True)
class Asked:
    """What a message was to say."""

    facts: Mapping[str, str]
    """Facts as words the text should hold, by name: `discount`: "10%", `name`: "Maria"."""
    tone: str
    """`warm`, `formal` or `brief`."""
    room: int
    """Characters that the channel has room for."""


def points(asked: Asked, text: str, *, grounded: bool, takeable: bool, log_prob: float) -> float:
    """The weighted mean of the pieces of `text`, in [0, 1]; `log_prob` in nats a token.

    Raises ValueError for one that is NaN or above 0.
    """
    pieces = {
        "coverage": coverage(asked, text),
        "grounding": float(grounded),
        "action": float(takeable),
        "tone": tone(asked.tone, text),
        "room": room(asked.room, text),
        "fluency": fluency(log_prob),
    }
    return sum(WEIGHTS[name] * piece for name, piece in pieces.items()) / sum(WEIGHTS.values())


def judge(
    asked: Sequence[Asked],
    grounded: Callable[[int, str], bool],
    takeable: Callable[[int, str], bool],
    log_prob: Callable[[int, str], float],
) -> Judge:
    """A Judge over briefs 0, 1, …; the other callables take the brief's number and a text.

    So the check of the offer and the base model's numbers come from outside; a text is looked at once a brief.
    """
    seen: dict[tuple[int, str], float] = {}

    def total(brief: int, text: str) -> float:
        key = (brief, text)
        if key not in seen:
            said = {"grounded": grounded(*key), "takeable": takeable(*key)}
            seen[key] = points(asked[brief], text, **said, log_prob=log_prob(*key))
        return seen[key]

    def better(brief: int, one: str, other: str) -> float:
        difference = total(brief, one) - total(brief, other)
        return 0.5 if abs(difference) < TIE else float(difference > 0)

    return better


def coverage(asked: Asked, text: str) -> float:
    """The share of facts whose words stand in `text`, as whole words and in any case; 1 where there are none."""
    found = [
        re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", text, re.IGNORECASE) is not None for fact in asked.facts.values()
    ]
    return sum(found) / len(found) if found else 1.0


def tone(wanted: str, text: str) -> float:
    """0.5 and a quarter more for each mark of the tone wanted, a quarter less for each of another; within [0, 1].

    Warm: friendly words, contractions, an exclamation mark. Formal: courteous words. Brief: few words, and fewer than
    the limit by how much. Raises ValueError for another tone.
    """
    spoken = words(text)
    counts = {name: sum(word in marks for word in spoken) for name, marks in _MARKS.items()}
    counts["warm"] += ("!" in text) + len(_CONTRACTION.findall(text))
    if wanted == "brief":
        return max(0.0, min(1.0, 1.5 - len(spoken) / (2 * _FEW_WORDS) - 0.1 * (counts["warm"] + counts["formal"])))
    if wanted not in counts:
        raise ValueError(f"the tone {wanted!r} is not known; allowed: warm, formal, brief")
    other = sum(count for name, count in counts.items() if name != wanted)
    return max(0.0, min(1.0, 0.5 + 0.25 * (counts[wanted] - other)))


def room(size: int, text: str) -> float:
    """1 for a text of at most `size` characters, 0 for one of half as many again, straight between."""
    return max(0.0, min(1.0, 3.0 - 2.0 * len(text) / size))


def fluency(log_prob: float) -> float:
    """Place of `log_prob` [nats a token] between the two marks, cut off at 0 and 1."""
    if math.isnan(log_prob) or log_prob > 0:
        raise ValueError(f"a mean log-probability of {log_prob}; allowed: a number up to 0")
    return max(0.0, min(1.0, (log_prob - WORST_LOG_PROB) / (BEST_LOG_PROB - WORST_LOG_PROB)))


def mean_log_probs(
    model: Model, prompts: Sequence[str], texts: Sequence[str], system: str | None
) -> Float[np.ndarray, " texts"]:
    """Mean log-probability [nats a token] of each text under the frozen base model, after its own instruction."""
    examples = [
        packing.tokenise(model.tokenizer, prompt, text, system=system)
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    found = np.zeros(len(examples))
    for rows, placed in packing.read_together(examples, int(model.tokenizer.pad_token_id)):
        log_probs = np.asarray(_log_probs(model.decoder, rows))
        ends = np.cumsum([len(examples[number].completion) for number, _, _ in placed])
        for (number, _, _), own in zip(placed, np.split(log_probs, ends), strict=False):  # the rest is padding
            found[number] = own.mean()
    return found


@jax.jit
def _log_probs(decoder: Decoder, rows: packing.Packed) -> Float[Array, " targets"]:
    states = decoder.normed(forward.packed_trunk(decoder, rows, layers=decoder.config.num_layers))
    return forward.log_probs(decoder, states.reshape(-1, states.shape[-1])[rows.index], rows.targets, 1.0)[0]
