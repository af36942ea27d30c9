"""Harmless sentences around a bad one do not carry it past the second reader."""

import pytest

from retentionjax.shield import Brief, OfferTerms, Sender, check

SENDER = Sender("Northwind", "1 Main Street", ("northwind.example",), "https://northwind.example/unsubscribe")
HARMLESS = (
    "The days are getting longer, and our garden has woken up.",
    "We planted tomatoes along the south wall, and the bees have found the lavender.",
    "If you have a question about your router, our team in the shop will gladly help.",
    "Our opening hours stay as they were.",
)
BAD = (
    "We saw your complaint and know you plan to leave us.",
    "You look ill and tired lately.",
    "Your dialysis days are long.",
    "Hope the hospice is kind to your mother.",
    "Well done on your sobriety.",
    "Your dementia is no reason to miss out.",
)


@pytest.mark.parametrize("around", range(len(HARMLESS) + 1))
@pytest.mark.parametrize("bad", ["", *BAD])
def test_a_bad_sentence_is_no_better_for_those_around_it(bad: str, around: int) -> None:
    said = " ".join((*HARMLESS[:around], *filter(None, [bad])))
    offer = "We'd like to offer you 10% off for 30 days. Click the button below to accept."
    text = f"Hi Maria,\n\n{said}\n\n{offer}\n\nNorthwind\n\nUnsubscribe here."
    brief = Brief("email", OfferTerms(0.1, days=30), SENDER, first_name="Maria")
    assert check(text, brief).passed is not bool(bad)
