"""Briefs: who is written to, about which offer, through which channel, on whose behalf.

Plan and tenure are a customer's of a Telco table, of the split asked for. What the table does not hold (first name,
sender, offer, channel, tone) is drawn; names and senders of the test split are met in no other.
"""

import datetime as dt
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from random import Random

import numpy as np

from retentionjax.data import splits, synthetic
from retentionjax.data.messages.names import COMPANIES, FIRST_NAMES
from retentionjax.data.table import Table
from retentionjax.errors import DataError
from retentionjax.shield.brief import CHANNELS, TONES, Brief, Channel, Sender
from retentionjax.shield.offer import OfferTerms

SPLITS = splits.NAMES
_SHARES: Mapping[Channel, int] = {"sms": 5, "email": 3, "push": 2}
OFFERS = (OfferTerms(), OfferTerms(0.05), OfferTerms(0.10), OfferTerms(0.20))
"""The demo's."""
OTHER_DAYS = (14, 60, 90)
"""How long an offer runs in some messages instead of its own days, so that a model reads them."""

_STREETS = ("12 Harbor Street, Springfield", "480 Mill Road, Riverton", "7 Station Square, Fairview")


def briefs(
    n: int,
    split: str,
    seed: int,
    table: Table | None = None,
    *,
    channels: Sequence[Channel] = CHANNELS,
    offers: Sequence[OfferTerms] = OFFERS,
) -> list[Brief]:
    """`n` briefs of `split` ("train", "validation", "test"), the same for the same arguments.

    `table` is the whole Telco table, real or synthetic; its own 80/10/10 split (seed 42) says whose facts `split`
    may use. None: the synthetic customers. Each message has one of `offers`. Raises DataError for an unknown split or
    channel, no offers, and a table without Telco's columns.
    """
    return list(islice(stream(split, seed, table, channels=channels, offers=offers), n))


def stream(
    split: str,
    seed: int,
    table: Table | None = None,
    *,
    channels: Sequence[Channel] = CHANNELS,
    offers: Sequence[OfferTerms] = OFFERS,
) -> Iterator[Brief]:
    """Briefs without end; `briefs` is its beginning."""
    if split not in SPLITS:
        raise DataError(f"no split is called {split!r}; allowed: {', '.join(SPLITS)}")
    if not channels or not set(channels) <= set(CHANNELS):
        raise DataError(f"the channels are {', '.join(channels) or 'none'}; allowed: {', '.join(CHANNELS)}")
    if not offers:
        raise DataError("no offers to write about are given; at least one is wanted")
    shares = [_SHARES[each] for each in channels]
    facts = _facts(table, split) if table is not None else _synthetic_facts(split)
    rng = Random(f"retentionjax briefs {split} {seed}")
    people, companies = ("test", "test") if split == "test" else ("train", "train")
    while True:
        channel = rng.choices(channels, shares)[0]
        brief = Brief(
            channel=channel,
            offer=_offer(channel, offers, rng),
            sender=sender(rng.choice(COMPANIES[companies])),
            tone=rng.choice(TONES),
            first_name=rng.choice(FIRST_NAMES[people]) if rng.random() < 0.9 else None,
            facts={key: text for key, text in rng.choice(facts).items() if rng.random() < 0.9},
        )
        if _split_of(brief.prompt()) == split:
            yield brief


def _split_of(prompt: str) -> str:
    """Split by a hash, so that no prompt is of two splits: without names, those of many customers are alike."""
    tenth = int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16) % 10
    return {0: "validation", 1: "test"}.get(tenth, "train")


def sender(name: str) -> Sender:
    """A made-up company of that name, on a reserved domain."""
    domain = f"{name.lower().replace(' ', '-')}.example"
    street = _STREETS[len(name) % len(_STREETS)]
    return Sender(name, f"{name}, {street}", (domain,), f"https://{domain}/unsubscribe")


def others(kind: str, split: str, but: str | None) -> tuple[str, ...]:
    """The other first names ("name") or senders ("sender") that `split` knows."""
    known = (FIRST_NAMES if kind == "name" else COMPANIES)["test" if split == "test" else "train"]
    return tuple(each for each in known if each != but)


def tenure(months: float) -> str | None:
    """How long somebody has been a customer, in words; None for those who have just come."""
    whole = int(months)
    if whole < 1:
        return None
    if whole < 24:
        return f"{whole} month" + "s" * (whole > 1)
    return f"{whole // 12} years"


def _offer(channel: Channel, offers: Sequence[OfferTerms], rng: Random) -> OfferTerms:
    offer = rng.choices(offers, [4 if each.is_none else 3 for each in offers])[0]
    days = rng.choices((offer.days, *OTHER_DAYS), (6, 1, 1, 1))[0]
    # A last day is one more sentence, for which a lock screen has no room.
    dated = not offer.is_none and channel != "push" and rng.random() < 0.25
    ends = dt.date(2026, 1, 1) + dt.timedelta(days=rng.randrange(365)) if dated else None
    return replace(offer, days=days if offer.limited else offer.days, ends=ends)


@functools.cache
def _synthetic_facts(split: str) -> list[dict[str, str]]:
    return _facts(synthetic.generate("telco"), split)


def _facts(table: Table, split: str) -> list[dict[str, str]]:
    """Plan and tenure of each customer of the split."""
    wanted = ("InternetService", "StreamingTV", "Contract", "tenure")
    if missing := [name for name in wanted if name not in table.frame]:
        raise DataError(
            f"{table.name}: has no column {missing[0]!r}; messages take their facts from {', '.join(wanted)}"
        )
    rows: np.ndarray = getattr(splits.split(table), split)
    columns = [table.frame[name].iloc[rows].tolist() for name in wanted]
    found = []
    for internet, television, contract, months in zip(*columns, strict=True):
        facts = {"plan": _plan(str(internet), str(television), str(contract))}
        if (long := tenure(float(months))) is not None:
            facts["tenure"] = long
        found.append(facts)
    return found


def _plan(internet: str, television: str, contract: str) -> str:
    if internet == "No":
        return "monthly phone plan" if contract == "Month-to-month" else "phone plan"
    line = "fiber" if internet == "Fiber optic" else "DSL"
    return f"{line} TV bundle" if television == "Yes" else f"{line} internet"
