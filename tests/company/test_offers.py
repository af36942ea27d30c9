"""Offers in words and money, and what is believed of them before a log says more."""

import numpy as np
import pytest

from retentionjax.company import Company, CompanyError, Effect, Offer, money


@pytest.mark.parametrize(
    ("offer", "currency", "said"),
    [
        (Offer(), "USD", "no offer"),
        (Offer(discount=0.1), "USD", "10 % off for 30 days"),
        (Offer(discount=0.125, days=1), "USD", "12.5 % off for 1 day"),
        (Offer(discount=1.0), "USD", "one month free"),
        (Offer(discount=1.0, days=14), "USD", "14 days free"),
        (Offer(amount=15), "EUR", "€15 credit"),
        (Offer(cost=4.5, days=90), "CHF", "4.50 CHF a month for 90 days"),
        (Offer(discount=0.05, amount=2000), "USD", "5 % off for 30 days and $2,000 credit"),
        (Offer(cost=4.0, say="twice the speed"), "USD", "twice the speed"),
    ],
)
def test_an_offer_in_words(offer: Offer, currency: str, said: str) -> None:
    assert offer.words(currency) == said


@pytest.mark.parametrize(
    ("offer", "text"),
    [
        (Offer(amount=12, say="a free vase"), "a free vase"),
        (Offer(say="a guest pass"), "a guest pass"),
        (Offer(say="priority support", days=90), "priority support for 90 days"),
        (Offer(cost=4.0, say="twice the speed", days=90), "twice the speed for 90 days"),
        (Offer(cost=4.5, days=90), "4.50 CHF a month for 90 days"),
        (Offer(discount=0.1, say="a tenth off"), "a tenth off for 30 days"),
        (Offer(amount=15), "a 15 CHF credit"),
    ],
)
def test_a_message_says_how_long_an_offer_runs_unless_it_is_given_once(offer: Offer, text: str) -> None:
    assert offer.terms("CHF").text() == text


def test_what_an_offer_costs_if_it_runs_to_its_end() -> None:
    assert Offer(discount=0.1, days=60).full_cost(50.0) == pytest.approx(10.0)  # 2 months of $5
    assert Offer(amount=15, days=90).full_cost(50.0) == 15.0
    assert Offer(cost=4.0, days=90).full_cost(50.0) == pytest.approx(12.0)
    assert Offer().full_cost(50.0) == 0.0


def test_an_offer_made_in_python_is_held_to_its_ranges() -> None:
    with pytest.raises(CompanyError) as raised:
        Offer(discount=1.5, days=0, amount=-1)
    assert [fault.path for fault in raised.value.faults] == ["discount", "amount", "days"]


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [(0, "USD", "$0"), (-2.5, "USD", "−$2.50"), (1234567.891, "EUR", "€1,234,567.89"), (-0.001, "JPY", "¥0")],
)
def test_money_in_words(amount: float, currency: str, said: str) -> None:
    assert money(amount, currency) == said


def _company(**rest: object) -> Company:
    offers = {"hello": {}, "ten": {"discount": 0.1, "days": 30}, "credit": {"amount": 15, "effect_days": 50}}
    return Company({"file": "x.csv", "charge": {"value": 50}, "numeric": ["a"]}, offers=offers, **rest)  # type: ignore[arg-type]


def test_the_prior_is_that_of_the_public_trials() -> None:
    believed = _company().believed(50.0)
    assert believed["hazard_multiplier.ten"].interval == (0.45, 1.1)
    assert believed["hazard_multiplier.credit"].median == 0.75
    assert believed["hazard_multiplier.hello"].median == 0.9
    assert believed["appeal.hello"].median == 0
    assert believed["appeal.ten"].median == pytest.approx(0.8)  # 8 × its share of the charge
    assert believed["appeal.ten"].interval == pytest.approx((0.24, 1.6))  # × 0.3 and × 2
    assert believed["appeal.credit"].median == pytest.approx(8 * 15 / 50)
    assert believed["effect_days.ten"].median == 45  # 1.5 times its days
    assert believed["effect_days.credit"] == Effect(50)
    assert believed["contact_effect"].interval == (-0.25, 0.4)
    assert "trial" in believed["hazard_multiplier.ten"].source


def test_no_offer_is_believed_to_tempt_more_than_the_deepest_discount_of_a_trial() -> None:
    """What 5 to 20 % off do says nothing of a free month: a straight line would have everybody accept it."""
    offers = {
        "half": {"discount": 0.5},
        "month": {"discount": 1.0},
        "gift": {"amount": 500},
        "forty": {"discount": 0.4},
    }
    company = Company({"file": "x.csv", "charge": {"value": 50}, "numeric": ["a"]}, offers=offers)  # type: ignore[arg-type]
    believed = company.believed(50.0)
    assert {believed[f"appeal.{name}"].median for name in ("half", "month", "gift")} == {8 * 0.42}
    assert believed["appeal.forty"].median == pytest.approx(8 * 0.4)
    accepts = 1 / (1 + 0.89 / 0.11 * np.exp(-believed["appeal.month"].median))
    assert 0.5 < accepts < 0.9


def test_a_companys_own_effects_replace_the_prior_of_one_offer_or_of_all() -> None:
    own = {"hazard_multiplier": {"median": 0.8, "low": 0.6, "high": 1}, "hazard_multiplier.ten": 0.6, "effect_days": 1}
    believed = _company(effects=own).believed(50.0)
    assert believed["hazard_multiplier.ten"] == Effect(0.6)
    assert believed["hazard_multiplier.credit"].interval == (0.6, 1.0)
    assert believed["hazard_multiplier.hello"].median == 0.9, "a contact without an offer is another thing"
    assert believed["effect_days.ten"].interval == (30, 30)
