"""What a model may recombine: everything that people have approved passes, and nothing that it invents."""

import itertools
import re
from pathlib import Path
from random import Random

import pytest
import yaml
from shield_briefs import SENDER

from retentionjax.data.messages import grammar
from retentionjax.decide.variants import phrasebook
from retentionjax.shield import Brief, Channel, OfferTerms, Tone, load_rules, render
from retentionjax.shield.brief import ANGLED, ANGLES, CHANNELS, TONES
from retentionjax.shield.phrasebook import Phrasebook, mask

RULES = load_rules()
FACTS = {"plan": "DSL internet", "tenure": "14 months"}
OFFERS = (OfferTerms(), OfferTerms(0.1), OfferTerms(say="one month free"), OfferTerms(amount=15.0))
INVENTED = yaml.safe_load(Path(__file__).with_name("invented.yaml").read_text(encoding="utf-8"))


def brief(channel: Channel = "sms", offer: OfferTerms = OFFERS[1], tone: Tone = "warm", **more: str | None) -> Brief:
    return Brief(channel, offer, SENDER, tone, more.get("name", "Maria"), FACTS, more.get("angle"))


@pytest.mark.parametrize("fault", INVENTED)
def test_what_a_model_invents_is_refused(fault: str) -> None:
    for text in INVENTED[fault]:
        channel: Channel = "push" if "settings" in text else "sms"
        percent = re.search(r"(\d+)%", text)
        offer = OfferTerms(int(percent[1]) / 100) if percent else OfferTerms()
        book = phrasebook([brief(channel, offer), brief(channel, offer, name=None)], RULES)
        assert book.unknown(text) is not None, text


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.text() or "none")
@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("channel", CHANNELS)
def test_every_text_of_the_grammar_and_every_template_passes(channel: Channel, tone: Tone, offer: OfferTerms) -> None:
    random = Random(0)
    plain: list[tuple[str | None, str | None]] = [("Maria", None), (None, None)]
    angled = zip(itertools.cycle(("Maria", None)), ANGLES, strict=False) if channel in ANGLED else ()
    for name, angle in (*plain, *angled):
        asked = brief(channel, offer, tone, name=name, angle=angle)
        book = phrasebook([asked], RULES)
        texts = [grammar.write(grammar.draft(asked, "train", random)) for _ in range(10)]
        for text in (*texts, asked.unfill(render(asked, RULES))):
            assert book.unknown(mask(text, asked)) is None, text


def test_phrases_may_meet_where_they_have_met_before() -> None:
    """No layout of the grammar has thanks, offer and goodbye in one SMS that begins with its sender."""
    book = phrasebook([brief()], RULES)
    parts = [
        "{sender}: Hi {name}!", "Thanks for being with us!", "Enjoy 10% off your {plan} for 30 days.",
        "Reply YES if you'd like it.", "Have a lovely day!", "Reply STOP to opt out.",
    ]  # fmt: skip
    assert book.unknown(" ".join(parts)) is None
    for first in range(len(parts) - 1):
        swapped = [*parts[:first], parts[first + 1], parts[first], *parts[first + 2 :]]
        assert book.unknown(" ".join(swapped)) is not None, swapped


def test_what_somebody_approved_may_be_said_again_and_stops_count_as_words() -> None:
    mine = "{sender}: Hi {name}, good to have you on board. Reply STOP to opt out."
    book = phrasebook([brief()], RULES)
    assert book.unknown(mine) is not None
    own = phrasebook([brief()], RULES, [mine])
    assert own.unknown(mine.upper().replace(".", "!")) is None
    assert own.unknown(mine.replace("board.", "board")) is not None
    assert own.unknown(mine.removesuffix(" Reply STOP to opt out.")) is not None


def test_a_book_of_choices_holds_every_text_that_they_make() -> None:
    book = Phrasebook.of(["a b c d a b c", "e"], ["f", "g h"], ["i"])
    assert all(book.unknown(f"{one} {two} i") is None for one in ("a b c d a b c", "e") for two in ("f", "g h"))
    for wrong in ("a b c d a b c i", "e g i", "f i", "e f i i", "a b d a b c f i"):
        assert book.unknown(wrong) is not None, wrong
