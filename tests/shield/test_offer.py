"""Offers in words."""

import datetime as dt

import pytest

from retentionjax.shield import OfferTerms


@pytest.mark.parametrize(
    ("offer", "words"),
    [
        (OfferTerms(), ""),
        (OfferTerms(0.1), "10% off for 30 days"),
        (OfferTerms(0.075, days=1), "7.5% off for 1 day"),
        (OfferTerms(1 / 3), "33.33% off for 30 days"),
        (OfferTerms(0.1, ends=dt.date(2026, 12, 31)), "10% off for 30 days, accept by December 31, 2026"),
        (OfferTerms(1.0, say="one month free"), "one month free"),
        (OfferTerms(0.25, say="a better rate for 180 days", days=180), "a better rate for 180 days"),
        (OfferTerms(say="twice the speed", days=90), "twice the speed for 90 days"),
        (OfferTerms(amount=12.0, say="a free vase", days=None), "a free vase"),
        (OfferTerms(amount=15.0), "a $15 credit"),
        (OfferTerms(amount=8.5), "an $8.50 credit"),
        (OfferTerms(amount=18.0, currency="EUR"), "an €18 credit"),
        (OfferTerms(amount=1180.0, currency="GBP"), "a £1,180 credit"),
        (OfferTerms(amount=150.0, currency="SEK"), "a 150 SEK credit"),
        (OfferTerms(0.1, amount=15.0), "10% off and a $15 credit for 30 days"),
    ],
)
def test_an_offer_in_words(offer: OfferTerms, words: str) -> None:
    assert offer.text() == words
    assert offer.is_none == (not words)
