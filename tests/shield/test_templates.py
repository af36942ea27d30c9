"""Templates pass for every channel, offer, tone, name and set of facts."""

import datetime as dt
import itertools
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shield_briefs import HOSTILE, NAMES, OFFERS, SENDER, briefs

from retentionjax.shield import Brief, OfferTerms, Sender, check, footer, render
from retentionjax.shield.brief import ANGLES, CHANNELS, TONES
from retentionjax.shield.form import measure
from retentionjax.shield.lexicon import LANGUAGES, Language


@pytest.mark.parametrize("channel", CHANNELS)
def test_templates_pass_for_every_offer_tone_and_name(channel: str) -> None:
    """Every two of them together: thirteen names go round with three tones and with four kinds of terms."""
    terms = itertools.cycle(((30, None), (365, dt.date(2026, 12, 31)), (365, None), (30, dt.date(2026, 12, 31))))
    tones = itertools.cycle(TONES)
    for (offer, name), tone, (days, ends) in zip(itertools.product(OFFERS, (None, *NAMES)), tones, terms, strict=False):
        brief = Brief(channel, replace(offer, days=days, ends=ends), SENDER, tone, name, {"plan": "fiber internet"})
        text = render(brief)
        verdict = check(text, brief)
        assert verdict.passed, text
        assert verdict.grounded, text


@settings(max_examples=150)
@given(briefs())
def test_templates_pass_for_any_customer(brief: Brief) -> None:
    text = render(brief)
    verdict = check(text, brief)
    assert verdict.passed, verdict.violations
    assert verdict.grounded
    assert render(brief) == text


@given(st.text(max_size=40), st.text(max_size=60), st.sampled_from(CHANNELS), st.sampled_from(OFFERS))
@example("", "", "sms", OfferTerms(0.1))
def test_templates_pass_for_any_text_as_name_and_plan(name: str, plan: str, channel: str, offer: OfferTerms) -> None:
    brief = Brief(channel, offer, SENDER, first_name=name, facts={"plan": plan})
    assert check(render(brief), brief).passed


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_used_however_it_is_written(name: str) -> None:
    text = render(Brief("email", OfferTerms(0.1), SENDER, first_name=name))
    assert unicodedata.normalize("NFC", name) in text


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.strip()])
def test_a_hostile_name_is_left_out(name: str) -> None:
    brief = Brief("email", OfferTerms(0.1), SENDER, first_name=name)
    assert name not in render(brief)
    assert name not in brief.prompt() or brief.name == name


def test_a_template_tells_tenure_plan_offer_and_last_day() -> None:
    facts = {"plan": "fiber internet", "tenure": "14 months"}
    brief = Brief("sms", OfferTerms(0.1, ends=dt.date(2026, 12, 31)), SENDER, "warm", "Maria", facts)
    assert render(brief) == (
        "Northwind: Hi Maria, thank you for 14 months with us. Enjoy 10% off on your fiber internet for 30 days. "
        "Reply YES to accept by December 31, 2026. Reply STOP to opt out."
    )


def test_the_footer_holds_the_way_out_and_the_address() -> None:
    text = footer(Brief("email", OfferTerms(0.0), SENDER))
    assert SENDER.unsubscribe_url in text
    assert SENDER.postal_address in text


@pytest.mark.parametrize(
    "name",
    ["Consolidated Communication Co.", "Ö₿ Net 東京", "Best Price Mobile", "Free Mobile", "T-Mobile", "3 Ireland"],
)
@pytest.mark.parametrize("channel", CHANNELS)
def test_templates_pass_for_any_sender(name: str, channel: str) -> None:
    sender = Sender(name, SENDER.postal_address, SENDER.domains, SENDER.unsubscribe_url)
    for offer in OFFERS:
        brief = Brief(channel, replace(offer, ends=dt.date(2026, 9, 30)), sender, "formal", "Maria")
        assert check(render(brief), brief).passed


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("angle", ANGLES)
def test_a_template_speaks_to_the_reason_to_leave_where_it_has_room(angle: str, language: Language) -> None:
    """An e-mail always, an SMS where it takes no segment more, a notification never."""
    spoken = 0
    for channel, offer, tone in itertools.product(CHANNELS, (OfferTerms(), OfferTerms(0.1)), TONES):
        plain = Brief(channel, offer, SENDER, tone, "Ana", {}, language=language)
        text, told = render(plain), render(replace(plain, angle=angle))
        assert check(told, plain, by="model" if language == "en" else "person").passed, told
        assert (told != text) == (channel == "email") or channel == "sms"
        assert channel != "sms" or measure(told).segments == measure(text).segments
        spoken += channel == "sms" and told != text
    assert spoken, "some SMS has room"
    assert render(Brief("email", OfferTerms(), SENDER, angle="weather")) == render(Brief("email", OfferTerms(), SENDER))


def test_a_last_day_to_accept_is_included_in_spanish() -> None:
    text = render(Brief("sms", OfferTerms(0.1, ends=dt.date(2026, 6, 30)), SENDER, language="es"))
    assert "Responda SI para aceptar hasta el 30 de junio de 2026." in text
