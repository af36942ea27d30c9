"""Approved wordings of a message: texts with stand-ins for whatever differs between customers.

So one text serves everybody of its kind (offer, channel, tone, reason to leave), and can be read and approved once.

Which of the approved ones a customer is sent is the business of `comparing`.
"""

import functools
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from retentionjax.errors import ConfigError
from retentionjax.shield import Brief, Channel, OfferTerms, Rules, Tone, Verdict, check, render
from retentionjax.shield.brief import ANGLED, NAME, SENDER
from retentionjax.shield.checking import severity
from retentionjax.shield.lexicon import Language
from retentionjax.shield.phrasebook import RULE, STAND_INS, Phrasebook, mask

if TYPE_CHECKING:
    from retentionjax.company.messages import Messages  # whoever has one has loaded a company

Author = Literal["model", "person"]

TEMPLATE = "template"
"""Stands for the text of the shield's template, which is a variant of every kind and needs no approval."""
ALIKE = 0.7
"""Share of common pairs of words above which a wording is a copy of another."""
_ANY_STAND_IN = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, order=True)
class Kind:
    """What all variants that compete with each other have in common."""

    offer: str
    """A name of the company's offers."""
    channel: Channel
    tone: Tone
    angle: str = ""
    """The reason to leave that it speaks to, of `shield.brief.ANGLES`; empty: to none."""

    def identify(self, text: str) -> str:
        """The id of a wording of this kind: the same in every process, and another for every other text."""
        named = "\0".join((self.offer, self.channel, self.tone, text, *([self.angle] if self.angle else [])))
        return hashlib.sha256(named.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        """Its names, the empty ones left out."""
        return ", ".join(filter(None, (self.offer, self.channel, self.tone, self.angle)))

    def with_angles(self, settings: "Messages") -> tuple["Kind", ...]:
        """This kind, and those that speak to each reason to leave that the company names, where there is room."""
        angles = settings.angles if self.channel in ANGLED else ()
        return self, *(replace(self, angle=angle) for angle in angles)

    @cached_property
    def template_id(self) -> str:
        """The id of the shield's template as a variant of this kind."""
        return self.identify(TEMPLATE)


@functools.lru_cache(4096)
def choices(variant_ids: tuple[str, ...]) -> str:
    """A name for the wordings among which one was drawn, by their ids in order."""
    return hashlib.sha256("\0".join(variant_ids).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Variant:
    """One wording, with its stand-ins."""

    kind: Kind
    text: str
    author: Author = "person"
    despite: tuple[str, ...] = ()
    """Rules in doubt that its author and whoever approves it overrule."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a text that is empty or holds a stand-in nobody knows."""
        if not self.text.strip():
            raise ConfigError("text is empty; allowed: a message, with stand-ins such as {name}")
        known = (NAME, SENDER, *STAND_INS.values())
        for found in _ANY_STAND_IN.finditer(self.text):
            if found[0] not in known:
                raise ConfigError(f"text holds {found[0]!r}; allowed stand-ins: {', '.join(known)}")

    @cached_property
    def id(self) -> str:
        """See `Kind.identify`; with other rules overruled it is another wording."""
        return self.kind.identify("\0".join((self.text, *self.despite)))

    def fill(self, brief: Brief) -> str | None:
        """The text for one customer; None where she lacks what a stand-in stands for."""
        values = {SENDER: brief.sender.name, NAME: brief.name}
        values |= {stand_in: brief.known.get(fact) for fact, stand_in in STAND_INS.items()}
        missing = [found[0] for found in _ANY_STAND_IN.finditer(self.text) if not values[found[0]]]
        return None if missing else _ANY_STAND_IN.sub(lambda found: values[found[0]] or "", self.text)


def examples(settings: "Messages", kind: Kind, offer: OfferTerms) -> tuple[Brief, ...]:
    """Briefs by which a wording of this kind is judged before anybody is sent it: with a name and without, and with
    every fact in each of the words that the company has for it."""
    said: dict[str, list[str]] = {}
    for rule in settings.facts:
        words = _EXAMPLES[settings.language].get(rule.fact, ()) if rule.say is None else [rule.say]
        said.setdefault(rule.fact, []).extend(words)
    rounds = max([len(words) for words in said.values()], default=1)
    return tuple(
        Brief(
            channel=kind.channel,
            offer=offer,
            sender=settings.signed,
            tone=kind.tone,
            language=settings.language,
            angle=kind.angle or None,
            first_name=name,
            facts={fact: words[turn % len(words)] for fact, words in said.items() if words},
        )
        for turn in range(rounds)
        for name in ("Alexandra", None)
    )


_EXAMPLES: Mapping[Language, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "plan": ("Standard",),
        "tenure": ("14 months", "2 years"),
        "contract": ("month to month",),
        "services": ("television",),
        "charge": ("$59.90",),
        "saving": ("$11.80",),
    },
    "es": {
        "plan": ("Estándar",),
        "tenure": ("14 meses", "2 años"),
        "contract": ("mes a mes",),
        "services": ("televisión",),
        "charge": ("59.90 EUR",),
        "saving": ("11.80 EUR",),
    },
}


def judge(
    variant: Variant, briefs: Sequence[Brief], rules: Rules, book: Phrasebook | None = None
) -> list[tuple[str, Verdict]]:
    """The text as each of `briefs` fills it, and what the shield says of it, by its author and by what is approved;
    nothing of those that cannot fill it."""
    texts = [(text, brief) for brief in briefs if (text := variant.fill(brief)) is not None]
    return [
        (text, check(text, brief, rules, by=variant.author, book=book, despite=variant.despite))
        for text, brief in texts
    ]


@dataclass(frozen=True)
class WordingAuthor:
    """Whoever comes up with wordings: a language model with its settings, or a grammar."""

    write: Callable[[Sequence[Brief], Sequence[int]], Sequence[str]]
    """(masked briefs, a seed each) → texts with stand-ins for the names."""
    score: Callable[[Sequence[Brief], Sequence[str]], Sequence[float]] | None = None
    """(masked briefs, texts) → what each is worth, the higher the better; None: none is preferred."""

    @classmethod
    def of(cls, write: Callable[[Brief, int], str]) -> "WordingAuthor":
        """An author who writes one text at a time, and prefers none."""
        return cls(lambda briefs, seeds: [write(*each) for each in zip(briefs, seeds, strict=True)])


class Proposed(NamedTuple):
    """What an author came up with for one kind."""

    variants: tuple[Variant, ...]
    """The author's favourites first."""
    refused: Counter[str]
    """Texts that were dropped, by the first rule they broke, `stand_in`, `angle` or `copy`."""


def phrasebook(briefs: Sequence[Brief], rules: Rules, approved: Sequence[str] = ()) -> Phrasebook:
    """What a model may recombine in messages for `briefs`: the grammar's phrases, the shield's template, and texts that
    somebody has approved."""
    from retentionjax.data.messages import grammar  # loads pandas, which most who read wordings do without

    template = [mask(brief.unfill(render(brief, rules)), brief) for brief in briefs]
    book = Phrasebook.of([*template, *approved])
    for brief in briefs:
        book |= grammar.phrasebook(brief)
    return book


def propose(
    kind: Kind,
    offer: OfferTerms,
    settings: "Messages",
    rules: Rules,
    author: WordingAuthor,
    *,
    count: int,
    known: Sequence[str] = (),
    approved: Sequence[str] = (),
    seed: int = 0,
    tries: int = 4,
    rounds: int = 4,
) -> Proposed:
    """Up to `count` wordings of a kind, each passed by the shield with every example that can fill it, and made of
    phrases that people have approved.

    The author writes `tries` times as many at once, and again, up to `rounds` times, while too few may be sent; its
    favourites of those that may are taken.

    Args:
        known: texts there are already, of which no near-copy is wanted.
        approved: texts that somebody has approved, whose phrases may be used.
        seed: of the author's draws: the same gives the same wordings.
    """
    examined = examples(settings, kind, offer)
    book = phrasebook(examined, rules, approved)
    sound, refused, chosen = dict[Variant, tuple[Brief, str]](), Counter[str](), list[Variant]()
    size, copies = count * tries, 0
    for first in range(0, rounds * size, size):
        briefs = [examined[place % len(examined)] for place in range(first, first + size)]
        texts = author.write([brief.mask() for brief in briefs], range(seed + first, seed + first + size))
        for brief, text in zip(briefs, texts, strict=True):
            try:
                variant = Variant(kind, mask(text, brief), "model")
            except ConfigError:
                refused["stand_in"] += 1
                continue
            fault = "copy" if variant in sound else _fault(variant, examined, rules, book)
            if fault is None:
                sound[variant] = brief.mask(), text
            else:
                refused[fault] += 1
        chosen, copies = _favourites(sound, author, known, count)
        if len(chosen) == count:
            break
    return Proposed(tuple(chosen), refused + Counter(copy=copies))


def _fault(variant: Variant, briefs: Sequence[Brief], rules: Rules, book: Phrasebook) -> str | None:
    """The first rule by which a model's wording may not be proposed; None where it may."""
    if severity(RULE, briefs[0], rules, variant.author) == "block" and book.unknown(variant.text) is not None:
        return RULE  # first, for it is the quickest to see, and what most texts break
    verdicts = judge(variant, briefs, rules)
    broken = [rule for _, verdict in verdicts for rule in verdict.blocking]
    if broken or not verdicts:
        return broken[0] if broken else "stand_in"
    from retentionjax.data.messages import grammar

    angle = variant.kind.angle
    return "angle" if angle and not grammar.speaks_to(angle, variant.text, briefs[0].language) else None


def _favourites(
    sound: Mapping[Variant, tuple[Brief, str]], author: WordingAuthor, known: Sequence[str], count: int
) -> tuple[list[Variant], int]:
    """Up to `count` wordings that the author prefers, none a near-copy of another or of one `known`; and how many were
    such copies."""
    variants, written = list(sound), list(sound.values())
    worth = [0.0] * len(variants)
    if author.score is not None and written:
        worth = list(author.score([brief for brief, _ in written], [text for _, text in written]))
    chosen, copies = list[Variant](), 0
    for place in sorted(range(len(variants)), key=lambda each: -worth[each]):
        if len(chosen) == count:
            break
        if any(alike(variants[place].text, other) > ALIKE for other in (*known, *(each.text for each in chosen))):
            copies += 1
        else:
            chosen.append(variants[place])
    return chosen, copies


def alike(one: str, other: str) -> float:
    """Share of two texts' pairs of neighbouring words that both have (Jaccard); 1 where they differ only in case."""
    first, second = _pairs(one), _pairs(other)
    return len(first & second) / max(1, len(first | second))


def _pairs(text: str) -> set[tuple[str, str]]:
    words = ["", *re.findall(r"[\w{}%']+", text.lower()), ""]
    return set(itertools.pairwise(words))


class Answers(NamedTuple):
    """What customers did with one wording; fractions where `comparing` makes wordings comparable."""

    sent: float
    accepted: float
    opted_out: float

    def plus(self, other: "Answers") -> "Answers":
        """Both together."""
        return Answers(*(one + two for one, two in zip(self, other, strict=True)))


NOBODY = Answers(0, 0, 0)

Stratum = Mapping[str, Answers]
"""Answers by wording, of customers who had the same choice of wordings."""
