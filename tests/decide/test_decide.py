"""A decision: repeatable, true to its propensities, within the rules, and with reasons that say which."""

import json
from typing import Any

import bundles
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.bundle import Bundle
from retentionjax.decide import Decision, decide
from retentionjax.decide.decision import draw
from retentionjax.decide.printing import headline, to_dict
from retentionjax.env import EnvParams, dynamics
from retentionjax.errors import DataError


def with_history(**history: Any) -> dict[str, Any]:
    return bundles.CUSTOMER | {"history": history}


def removed(decision: Decision) -> dict[str, tuple[int, ...]]:
    return {each.rule: each.actions for each in decision.removals}


def test_the_same_customer_and_day_get_the_same_decision(bundle: Bundle) -> None:
    assert to_dict(decide(bundle, bundles.CUSTOMER)) == to_dict(decide(bundle, dict(bundles.CUSTOMER)))


def test_decisions_are_drawn_by_customer_and_day_with_the_stated_propensities() -> None:
    propensities = np.array([0.5, 0.0, 0.3, 0.2] + [0.0] * 9)
    drawn = [draw(propensities, "bundle", f"C-{number}", day) for number in range(500) for day in range(4)]
    shares = np.bincount(drawn, minlength=13) / len(drawn)
    np.testing.assert_allclose(shares, propensities, atol=4 * np.sqrt(0.25 / len(drawn)))
    assert draw(propensities, "another bundle", "C-1", 0) in (0, 2, 3)


@given(st.lists(st.floats(0, 1, width=32), min_size=13, max_size=13), st.text(), st.integers(0, 89))
def test_what_has_no_probability_is_never_drawn(weights: list[float], customer: str, day: int) -> None:
    weights[0] = max(weights[0], 1e-6)
    propensities = np.array(weights) / np.sum(weights)
    assert propensities[draw(propensities, "bundle", customer, day)] > 0


def test_propensities_sum_to_one_and_without_history_no_rule_applies(bundle: Bundle) -> None:
    decision = decide(bundle, bundles.CUSTOMER)
    assert sum(decision.propensities) == pytest.approx(1, abs=1e-6)
    assert decision.propensity == decision.propensities[decision.action] > 0
    assert decision.removals == ()
    assert all(offer.is_legal for offer in decision.offers)


def test_a_recent_contact_removes_contacts_until_the_cooldown_is_over_and_says_so(bundle: Bundle) -> None:
    three_days_ago = decide(bundle, with_history(day=20, contacts_days_ago=[3]))
    assert removed(three_days_ago) == {"cooldown": tuple(range(1, 13))}
    assert three_days_ago.action == 0
    assert three_days_ago.propensity == 1
    why = three_days_ago.removals[0].why
    assert why == "no contact: the last was 3 days ago, and 7 days must lie between two (cooldown)"
    six_days_ago = decide(bundle, with_history(day=20, contacts_days_ago=[6]))
    assert removed(six_days_ago) == {"cooldown": (1, 4, 7, 10)}
    assert six_days_ago.removals[0].why.startswith("no contact today: ")
    assert not any(offer.is_legal for offer in six_days_ago.offers)
    assert removed(decide(bundle, with_history(day=20, contacts_days_ago=[7]))) == {}


def test_three_contacts_in_the_window_are_the_most(bundle: Bundle) -> None:
    decision = decide(bundle, with_history(day=40, contacts_days_ago=[8, 16, 24]))
    assert removed(decision) == {"fatigue": tuple(range(1, 13))}
    assert "there were some 8 and 16 and 24 days ago" in decision.removals[0].why
    leaves_tomorrow = decide(bundle, with_history(day=40, contacts_days_ago=[8, 16, 29]))
    assert removed(leaves_tomorrow) == {"fatigue": (1, 4, 7, 10)}


def test_what_the_account_cannot_pay_for_is_removed(bundle: Bundle) -> None:
    decision = decide(bundle, with_history(day=5, account_used=25.0))
    assert removed(decision) == {"account_cap": tuple(range(7, 13))}  # 10 % of 80.50 is more than the 5.00 left
    assert decision.removals[0].why.startswith("not 10 % off or 20 % off: of the $30.00 allowed")
    assert "$5.00 are left" in decision.removals[0].why


def test_while_a_contact_is_pending_there_is_nothing_to_decide(bundle: Bundle) -> None:
    decision = decide(bundle, with_history(pending={"offer": 0.05, "days": 2}))
    assert removed(decision) == {"pending": tuple(range(1, 13))}
    assert decision.removals[0].why == "no contact: one is planned already (5 % off, in 2 days)"
    assert decision.offers == ()


def test_without_a_usual_score_today_s_is_taken_and_the_state_is_calm(bundle: Bundle) -> None:
    risk = decide(bundle, bundles.CUSTOMER).risk
    assert not risk.is_baseline_known
    assert not risk.elevated
    assert risk.baseline == risk.today > risk.seen


def test_a_score_far_above_the_usual_one_is_an_elevated_state(bundle: Bundle) -> None:
    trouble = decide(bundle, with_history(baseline_churn_probability=0.15))
    assert trouble.risk.elevated
    usual = decide(bundle, with_history(baseline_churn_probability=trouble.risk.today))
    assert not usual.risk.elevated
    assert trouble.offers[0].acceptance > usual.offers[0].acceptance


@given(st.floats(0.01, 0.9), st.booleans())
def test_the_risk_state_is_read_off_the_scores_it_would_give(baseline: float, elevated: bool) -> None:
    from retentionjax.decide.decision import _is_elevated

    params = EnvParams()
    today = dynamics.rescored_churn_probability(jnp.float32(baseline), jnp.asarray(elevated), params)
    if float(today) < 0.999:  # nearer to 1 the two states cannot be told apart in float32
        assert bool(_is_elevated(today, jnp.float32(baseline), params)) == elevated


def test_json_and_words_tell_the_same(bundle: Bundle) -> None:
    decision = decide(bundle, with_history(day=20, contacts_days_ago=[6]))
    plain = json.loads(json.dumps(to_dict(decision), allow_nan=False))
    assert (
        plain["contact"] == (plain["action"] > 0) == (plain["offer"] is not None) == ("CONTACT" in headline(decision))
    )
    assert [each["removed_by"] for each in plain["actions"][:3]] == [[], ["cooldown"], []]
    assert plain["actions"][1]["propensity"] == 0
    assert plain["rules"][0]["why"] == decision.removals[0].why
    assert plain["offers_today"][3]["net"] == pytest.approx(
        plain["offers_today"][3]["gain"] - plain["price"] * plain["offers_today"][3]["cost"]
    )
    assert plain["price"] == 0.75
    assert plain["bundle"]["id"] == bundle.manifest.id
    assert plain["synthetic_data"] is False
    assert set(plain["policy_values"]) == {"uplift", "campaign_budget", "contact", "cooldown", "fatigue"}
    assert plain["reasons"][0]["field"] == "months"


def test_a_headline_names_offer_and_day(bundle: Bundle) -> None:
    import dataclasses

    decision = dataclasses.replace(decide(bundle, bundles.CUSTOMER), action=12, propensity=0.25)
    assert headline(decision) == "CONTACT in 3 days and offer 20 % off for 30 days (drawn with probability 25.0%)"
    assert headline(dataclasses.replace(decision, action=2)).startswith("CONTACT tomorrow without a discount")
    assert headline(dataclasses.replace(decision, action=0)).startswith("WAIT today")


def test_a_charge_beyond_all_money_is_refused(bundle: Bundle) -> None:
    with pytest.raises(DataError, match="1e\\+39"):
        decide(bundle, bundles.CUSTOMER | {"bill": 1e39})


def test_the_look_at_a_state_is_compiled_once(bundle: Bundle) -> None:
    from retentionjax.decide.decision import _look

    decide(bundle, bundles.CUSTOMER)
    before = _look._cache_size()
    decide(bundle, with_history(day=30, contacts_days_ago=[10], baseline_churn_probability=0.2))
    assert _look._cache_size() == before
    assert jax.default_backend() == "cpu"
