"""The grammar in Spanish: the slots of the English one, all its messages pass the shield, and there are enough."""

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from shield_briefs import SENDER

from retentionjax import shield
from retentionjax.company.messages import FactRule, Messages
from retentionjax.data.messages import customers, grammar
from retentionjax.data.messages.phrases import Choice
from retentionjax.data.messages.words import WORDS
from retentionjax.decide.variants import ALIKE, Kind, WordingAuthor, alike, propose
from retentionjax.shield import Brief, OfferTerms, load_rules
from retentionjax.shield.brief import ANGLED, ANGLES, CHANNELS, TONES, Channel, Tone
from retentionjax.shield.form import basic, measure

OFFERS = (
    OfferTerms(),
    OfferTerms(0.1),
    OfferTerms(0.075, days=60),
    OfferTerms(0.1, ends=dt.date(2026, 6, 30)),
    OfferTerms(1.0, say="un mes gratis"),
    OfferTerms(amount=15.0),
    OfferTerms(amount=7.5, currency="EUR"),
    OfferTerms(say="el doble de velocidad", days=90),
)
FACTS = ({"plan": "fibra óptica", "tenure": "14 meses"}, {"plan": "DSL internet"}, {})
ES = WORDS["es"]
_OF_THE_WHOLE = {"text.repetition", "channel.length", "channel.sender"}
"""Rules that one phrase for another may break."""


def briefs() -> Iterator[Brief]:
    """Every kind of message, for two of the customers, who go round, of whom much or little is known; a last day leaves
    no room for a reason."""
    known = itertools.cycle(itertools.product(("José", None), FACTS))
    for offer, channel, tone, angle in itertools.product(OFFERS, CHANNELS, TONES, (None, *ANGLES)):
        if angle is None or (channel in ANGLED and offer.ends is None):
            for name, facts in itertools.islice(known, 2):
                yield Brief(channel, offer, SENDER, tone, name, facts, angle, "es")


@pytest.fixture(scope="module")
def written() -> list[tuple[Brief, grammar.MessageDraft]]:
    return [(brief, grammar.draft(brief, "train", Random(seed))) for brief in briefs() for seed in range(2)]


def phrases(node: object) -> Iterator[str]:
    if isinstance(node, Choice):
        yield from node.train
    elif isinstance(node, dict):
        for child in node.values():
            yield from phrases(child)


def test_every_message_passes_the_shield(written: list[tuple[Brief, grammar.MessageDraft]]) -> None:
    for brief, drafted in written:
        text = brief.fill(grammar.write(drafted))
        verdict = shield.check(text, brief, by="model")
        assert not verdict.violations, (text, verdict.violations)
        assert verdict.takeable or brief.offer.is_none, text
        assert text.count("¡") == text.count("!")


def test_every_phrase_passes_the_shield(written: list[tuple[Brief, grammar.MessageDraft]]) -> None:
    """Each is tried in its place in some message, of whatever length."""
    said = set[str]()
    for brief, drafted in written:
        for place, part in enumerate(drafted.parts):
            for named in (True, False):
                found = grammar.options(part.slot, brief, "train", sender=named, short=True)
                for phrase in set(found) - said:
                    said.add(phrase)
                    text = brief.fill(grammar.write(drafted.with_part(place, grammar.Part(part.slot, phrase))))
                    broken = shield.check(text, brief, by="model").blocking
                    assert set(broken) <= _OF_THE_WHOLE, (text, broken)
    everything = set(phrases({"prefix": ES.prefix, **vars(ES)}))
    assert {phrase for phrase in everything - said if basic(phrase) not in said} == set()


def test_a_short_message_takes_no_more_segments_for_its_accents() -> None:
    for brief in briefs():
        if brief.channel == "sms" and brief.known.get("plan") != "fibra óptica":
            known = replace(brief, first_name="Ana" if brief.first_name else None)
            size = measure(known.fill(grammar.write(grammar.draft(known, "train", Random(1)))))
            assert size.alphabet == "gsm"
            assert size.segments <= 2


def test_it_has_the_slots_tones_channels_and_reasons_of_the_english() -> None:
    english = WORDS["en"]
    for ours, theirs in ((ES.email, english.email), (ES.act, english.act), (ES.act_by, english.act_by)):
        assert set(ours) == set(theirs)
        assert {slot: set(each) for slot, each in ours.items()} == {slot: set(each) for slot, each in theirs.items()}
    held_out_or_flawed = {"sign", "detail", "questions"}
    own = held_out_or_flawed | {slot for slot in english.short if "opening" in slot or "tap" in slot}
    assert set(ES.short) == set(english.short) - own
    assert set(ES.angle) == set(ANGLES) == set(english.angle)
    assert set(ES.opt_out) == set(CHANNELS)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("tone", TONES)
def test_there_are_wordings_enough_of_each_kind_and_no_two_are_near_copies(channel: Channel, tone: Tone) -> None:
    settings = Messages(SENDER, facts=(FactRule("plan", column="p"), FactRule("tenure", months="m")), language="es")
    author = WordingAuthor.of(lambda brief, seed: grammar.write(grammar.draft(brief, "train", Random(seed))))
    rules = load_rules()
    kinds = [(OFFERS[0], ""), (OFFERS[1], ""), (OFFERS[4], "")]
    for offer, angle in [*kinds, (OFFERS[1], "price")] if channel in ANGLED else kinds:
        kind = Kind("offer", channel, tone, angle)
        made = propose(kind, offer, settings, rules, author, count=8)
        texts = [each.text for each in made.variants]
        assert len(set(texts)) == 8, (kind, offer, made.refused)
        assert max(alike(one, other) for one, other in itertools.combinations(texts, 2)) <= ALIKE
        assert not angle or all(grammar.speaks_to(angle, text, "es") for text in texts)
        assert set(made.refused) <= {"copy", "channel.length"}, (
            made.refused
        )  # too long with the name it was written without


@pytest.mark.parametrize(("months", "said"), [(0, None), (1, "1 mes"), (23, "23 meses"), (24, "2 años")])
def test_tenure_in_words(months: int, said: str | None) -> None:
    assert customers.tenure(months, "es") == said
