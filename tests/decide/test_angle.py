"""The angle of a customer: the reason to leave that makes up her churn score, as the company names its reasons."""

from dataclasses import replace

import bundles
import pytest

from retentionjax.bundle import Bundle
from retentionjax.bundle.message import check_fields
from retentionjax.company.messages import Messages
from retentionjax.decide.explain import angle, reasons
from retentionjax.decide.facts import Facts
from retentionjax.errors import BundleError, ConfigError


def with_angles(bundle: Bundle, **angles: tuple[str, ...]) -> Bundle:
    messages = replace(bundle.company.messages, angles=angles)
    return replace(bundle, company=replace(bundle.company, messages=messages))


def test_the_angle_is_the_reason_whose_features_raise_the_score_most(bundle: Bundle) -> None:
    own = with_angles(bundle, price=("bill",), unused=("months",), contract=("plan",))
    names = {"bill": "price", "months": "unused", "plan": "contract"}
    facts, found = Facts(bundle.schema), set()
    for months in (1, 10, 30, 60):
        for bill in (20.0, 60.0, 110.0):
            features = facts.records([bundles.CUSTOMER | {"months": months, "bill": bill}])
            raising = [each for each in reasons(bundle, features)[0] if each.log_odds > 0]
            told = angle(own, features)
            assert told == (names[max(raising, key=lambda each: each.log_odds).field] if raising else "")
            found.add(told)
    assert len(found) > 1, "customers differ in why they may leave"


def test_features_of_one_reason_count_together_and_without_reasons_nothing_is_explained(bundle: Bundle) -> None:
    features = Facts(bundle.schema).records([bundles.CUSTOMER])
    pull = {each.field: each.log_odds for each in reasons(bundle, features)[0]}
    both = with_angles(bundle, price=("bill", "months"), contract=("plan",))
    assert angle(both, features) == ("price" if pull["bill"] + pull["months"] > max(0.0, pull["plan"]) else "contract")
    assert angle(bundle, features) == ""


def test_an_angle_nobody_knows_and_a_feature_there_is_none_of_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match=r"angles.*'weather' is no reason to leave; allowed: price, contract"):
        Messages(angles={"weather": ("bill",)})
    with pytest.raises(ConfigError, match=r"'bill' is named twice; allowed: one reason for each feature"):
        Messages(angles={"price": ("bill",), "unused": ("bill",)})
    wrong = with_angles(bundle, price=("charge",)).company.messages
    wrong = replace(wrong, sender=bundles.COMPANY.messages.sender)
    with pytest.raises(BundleError, match=r"angles, price: 'charge' is no feature; allowed: months, bill, age, plan"):
        check_fields(wrong, bundle.schema, "acme.yaml")
