"""Approved wordings of a message, and which of them a customer is sent.

A variant is a text with stand-ins for whatever differs between customers, so one text serves everybody of its kind
(offer, channel, tone) and can be read and approved once. Among the approved ones, the shield's template always
among them, the choice is drawn by Thompson sampling over what customers did (Thompson 1933; Chapelle and Li 2011): an
accept counts for the wording, an opt-out against it. A share of the draws is uniform, so that every wording goes on
being measured; the probability of the draw is recorded with it.
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import betaln

from retentionjax.errors import ConfigError
from retentionjax.shield import Brief, Channel, Rules, Tone, Verdict, check
from retentionjax.shield.brief import FACTS, NAME, SENDER

Author = Literal["model", "person"]

TEMPLATE = "template"
"""Author of the shield's template, which is a variant of every kind and needs no approval."""
UNIFORM_SHARE = 0.1
"""Share of the draws that goes to all wordings alike: what it costs is a tenth of what the worst of them loses."""
OPT_OUT_COST = 3.0
"""Accepts that an opt-out outweighs: a customer who can't be written to again has cost every later offer."""
STRENGTH = 20.0
"""Messages that the prior counts for; it is centred on the kind's own rates, all wordings together."""
DRAWS = 2000
"""Draws of the rates behind a wording's probability of being the best."""
LEVEL = 0.95
_STAND_INS: Mapping[str, str] = {fact: f"{{{fact}}}" for fact in FACTS}
_ANY_STAND_IN = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, order=True)
class Kind:
    """What all variants that compete with each other have in common."""

    offer: str
    """A name of the company's offers."""
    channel: Channel
    tone: Tone

    def identify(self, text: str) -> str:
        """The id of a wording of this kind: the same in every process, and another for every other text."""
        named = f"{self.offer}\0{self.channel}\0{self.tone}\0{text}"
        return hashlib.sha256(named.encode()).hexdigest()[:16]

    @cached_property
    def template_id(self) -> str:
        """The id of the shield's template as a variant of this kind."""
        return self.identify(TEMPLATE)


@dataclass(frozen=True)
class Variant:
    """One wording, with its stand-ins."""

    kind: Kind
    text: str
    author: Author = "person"

    def __post_init__(self) -> None:
        """Raises ConfigError for a text that is empty or holds a stand-in nobody knows."""
        if not self.text.strip():
            raise ConfigError("text is empty; allowed: a message, with stand-ins such as {name}")
        known = (NAME, SENDER, *_STAND_INS.values())
        for found in _ANY_STAND_IN.finditer(self.text):
            if found[0] not in known:
                raise ConfigError(f"text holds {found[0]!r}; allowed stand-ins: {', '.join(known)}")

    @cached_property
    def id(self) -> str:
        """See `Kind.identify`."""
        return self.kind.identify(self.text)

    def fill(self, brief: Brief) -> str | None:
        """The text for one customer; None where she lacks what a stand-in stands for."""
        values = {SENDER: brief.sender.name, NAME: brief.name}
        values |= {stand_in: brief.known.get(fact) for fact, stand_in in _STAND_INS.items()}
        missing = [found[0] for found in _ANY_STAND_IN.finditer(self.text) if not values[found[0]]]
        return None if missing else _ANY_STAND_IN.sub(lambda found: values[found[0]] or "", self.text)

    def check(self, brief: Brief, rules: Rules) -> tuple[str, Verdict] | None:
        """The text for one customer and what the shield says of it; None where it cannot be filled.

        A text that a person approved is judged as a person's: who wrote it first no longer matters.
        """
        text = self.fill(brief)
        return None if text is None else (text, check(text, brief, rules))


def mask(text: str, brief: Brief) -> str:
    """`text`, written for this brief with stand-ins for the names, with stand-ins for its facts as well.

    The longest facts first, so that one that is a part of another does not break it.
    """
    for fact, value in sorted(brief.known.items(), key=lambda each: -len(each[1])):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", _STAND_INS[fact], text)
    return text


def alike(one: str, other: str) -> float:
    """Share of two texts' pairs of neighbouring words that both have (Jaccard); 1 where they differ only in case."""
    first, second = _pairs(one), _pairs(other)
    return len(first & second) / max(1, len(first | second))


def _pairs(text: str) -> set[tuple[str, str]]:
    words = ["", *re.findall(r"[\w{}%']+", text.lower()), ""]
    return set(itertools.pairwise(words))


class Answers(NamedTuple):
    """What customers did with one wording."""

    sent: int
    accepted: int
    opted_out: int


def best_probabilities(answers: Sequence[Answers], *, seed: int = 0) -> Float[np.ndarray, " variants"]:
    """Probability of each wording of being the best one, given what customers did.

    The rates of accepting and of opting out have a Dirichlet posterior each; the best wording has the largest
    accept − `OPT_OUT_COST` · opt-out. The same counts give the same numbers in every process.

    Args:
        answers: by wording; all wordings of one kind.
        seed: of the draws.
    """
    counts = np.array([(each.accepted, each.opted_out, each.sent) for each in answers], np.float64)
    counts[:, 2] = np.maximum(0.0, counts[:, 2] - counts[:, 0] - counts[:, 1])
    pooled = counts.sum(0) + np.array([1.0, 0.1, 9.0])  # before anybody was written to: one in ten accepts
    posterior = counts + STRENGTH * pooled / pooled.sum()
    gammas = np.random.default_rng(seed).standard_gamma(posterior, size=(DRAWS, *posterior.shape))
    rates = gammas / gammas.sum(axis=2, keepdims=True)
    best = np.argmax(rates[..., 0] - OPT_OUT_COST * rates[..., 1], axis=1)
    return np.bincount(best, minlength=len(answers)) / DRAWS


def choose(best: Float[np.ndarray, " variants"], number: float) -> tuple[int, float]:
    """(place, propensity) of the wording that a customer is sent.

    Args:
        best: probability of being the best, of each wording that fits this customer.
        number: uniform in [0, 1), the customer's own.
    """
    count = len(best)
    share = best / best.sum() if best.sum() > 0 else np.full(count, 1 / count)
    chances = (1 - UNIFORM_SHARE) * share + UNIFORM_SHARE / count
    place = min(int(np.searchsorted(np.cumsum(chances), number, side="right")), count - 1)
    return place, float(chances[place])


def rate_interval(successes: int, trials: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a rate that may be looked at after every trial: it covers at all times together with `level`.

    All p at which the beta-binomial mixture martingale B(½ + s, ½ + n − s) / (B(½, ½) p^s (1 − p)^(n − s)) has stayed
    below 1/(1 − level) (Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021, §3.2). Choosing the wordings by what was
    seen before does not break it: each wording's trials remain exchangeable among themselves.
    """
    failures = trials - successes
    limit = betaln(0.5 + successes, 0.5 + failures) - betaln(0.5, 0.5) + np.log(1 - level)

    def inside(p: float) -> bool:
        return bool(limit <= successes * np.log(p) + failures * np.log1p(-p))

    middle = (successes + 0.5) / (trials + 1)
    tiny = 1e-12
    low = 0.0 if successes == 0 or inside(tiny) else _bisect(inside, tiny, middle)
    high = 1.0 if failures == 0 or inside(1 - tiny) else _bisect(inside, 1 - tiny, middle)
    return low, high


def _bisect(inside: Callable[[float], bool], outer: float, inner: float) -> float:
    for _ in range(60):
        between = (outer + inner) / 2
        outer, inner = (outer, between) if inside(between) else (between, inner)
    return outer


def lift(variant: Answers, template: Answers, *, level: float = LEVEL) -> tuple[float, float, float]:
    """(estimate, low, high) of the accept rate less the template's; the interval holds at all times together."""
    each = 1 - (1 - level) / 2
    ours, theirs = (rate_interval(one.accepted, one.sent, level=each) for one in (variant, template))
    estimate = variant.accepted / max(1, variant.sent) - template.accepted / max(1, template.sent)
    return estimate, ours[0] - theirs[1], ours[1] - theirs[0]
