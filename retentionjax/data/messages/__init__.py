"""Retention messages made by a grammar: briefs, compliant messages, and preference pairs of one flaw each.

Messages and preference pairs by the thousand, alike for the same arguments and never shared between splits.

The test split has its own phrases, layouts, flawed sentences, names and senders. Train and validation share theirs, but
no two splits share a prompt. Texts hold stand-ins for the names, as a model is to write them: `brief.fill(text)` is
what is sent.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from retentionjax.data.messages import customers
from retentionjax.data.messages.customers import Audience, briefs
from retentionjax.data.messages.flaws import FLAWS, spoil
from retentionjax.data.messages.grammar import MessageDraft, draft, write
from retentionjax.errors import DataError
from retentionjax.shield.brief import CHANNELS, Brief, Channel

__all__ = ["FLAWS", "SOURCE", "Audience", "CorpusMessage", "Pair", "briefs", "generate", "pairs"]

SOURCE = "messages"
_BARREN = 20_000
"""Drafts in a row that brought nothing new, after which there is nothing more to be had."""


@dataclass(frozen=True)
class CorpusMessage:
    """A compliant message and what it was to say."""

    brief: Brief
    text: str


@dataclass(frozen=True)
class Pair:
    """A compliant message and the same one with one flaw."""

    brief: Brief
    chosen: str
    rejected: str
    flaw: str
    """One of FLAWS."""
    source: str = SOURCE


def generate(
    n: int,
    split: str,
    seed: int,
    audience: Audience | None = None,
    *,
    channels: Sequence[Channel] = CHANNELS,
    sender_first: bool = False,
) -> list[CorpusMessage]:
    """`n` messages of distinct text, one a brief; briefs as `customers.briefs`.

    Args:
        sender_first: of SMS and push notifications only those that begin with their sender. Their readers see no other
            letterhead, and a model that has put the sender off forgets it in every thirtieth message.

    Raises DataError for an unknown split, an audience without offers or customers, or more texts than the grammar has.
    """
    drafts = _drafts(split, seed, audience, channels, sender_first)
    return [CorpusMessage(brief, write(drafted)) for brief, drafted in islice(drafts, n)]


def pairs(
    n: int,
    split: str,
    seed: int,
    audience: Audience | None = None,
    *,
    channels: Sequence[Channel] = CHANNELS,
    sender_first: bool = False,
) -> list[Pair]:
    """`n` preference pairs, as many of each flaw as of any other (if `n` allows).

    `sender_first` (of the compliant message) and errors as in `generate`.
    """
    rng = Random(f"retentionjax flaws {split} {seed}")
    found: list[Pair] = []
    counts = Counter(dict.fromkeys(FLAWS, 0))
    quota = -(-n // len(FLAWS))
    for brief, drafted in _drafts(split, seed, audience, channels, sender_first):
        if len(found) >= n:
            break
        due = [flaw for flaw in FLAWS if counts[flaw] < quota]
        for flaw in sorted(due, key=lambda each: (counts[each], rng.random())):
            rejected = spoil(flaw, brief, drafted, split, rng)
            if rejected is not None:
                found.append(Pair(brief, write(drafted), rejected, flaw))
                counts[flaw] += 1
                break
    return found


def _drafts(
    split: str,
    seed: int,
    audience: Audience | None,
    channels: Sequence[Channel],
    sender_first: bool,
) -> Iterator[tuple[Brief, MessageDraft]]:
    """Briefs and drafts without end, no text twice. Raises DataError when new ones have become too rare."""
    rng = Random(f"retentionjax messages {split} {seed}")
    seen: set[str] = set()
    barren = 0
    for brief in customers.stream(split, seed, audience, channels=channels):
        drafted = draft(brief, split, rng, for_model=True)
        text = write(drafted)
        if text in seen:
            barren += 1
            if barren > _BARREN:
                raise DataError(f"the {split} split has no more than about {len(seen):,} distinct messages")
            continue
        barren = 0
        seen.add(text)
        if not sender_first or brief.channel == "email" or "{sender}" in drafted.parts[0].phrase:
            yield brief, drafted
