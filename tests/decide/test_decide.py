"""A decision: repeatable, true to its propensities, within the rules, and with reasons that say which."""

import dataclasses
import json
import warnings
from typing import Any

import bundles
import pandas as pd
import pyarrow as pa
import pytest

from retentionjax.decide.decision import Decision, TableDecider, decide
from retentionjax.decide.printing import headline, reason_text, show, to_dict
from retentionjax.decide.program import Decider
from retentionjax.errors import DataError


def with_history(**history: Any) -> dict[str, Any]:
    return bundles.CUSTOMER | {"history": history}


def removed(decision: Decision) -> dict[str, tuple[int, ...]]:
    return {each.rule: each.actions for each in decision.explanation.constraints}


def test_the_same_customer_and_day_get_the_same_decision(decider: Decider) -> None:
    assert to_dict(decide(decider, bundles.CUSTOMER)) == to_dict(decide(decider, dict(bundles.CUSTOMER)))


def test_a_fact_that_is_missing_is_said_to_be_so_and_is_null_in_json(decider: Decider) -> None:
    customer = bundles.CUSTOMER | {"months": None}
    decision = decide(decider, customer)
    (reason,) = (each for each in decision.explanation.reasons if each.field == "months")
    assert reason_text(reason).startswith("months is not known: ")
    (shown,) = (each for each in to_dict(decision)["explanation"]["reasons"] if each["field"] == "months")
    assert shown["value"] is None
    (said,) = TableDecider(decider.bundle).decide(pd.DataFrame([customer]))["reasons"]
    assert "months not known (" in said
    assert "nan" not in said


@pytest.mark.parametrize("bill", [1234567.0, 98765432.25, 0.5])
def test_a_fact_is_said_with_all_its_digits(decider: Decider, bill: float) -> None:
    customer = bundles.CUSTOMER | {"bill": bill}
    (reason,) = (each for each in decide(decider, customer).explanation.reasons if each.field == "bill")
    assert float(reason_text(reason).removeprefix("bill is ").partition(":")[0]) == bill
    with warnings.catch_warnings(action="ignore"):  # such a charge was not there in training
        (said,) = TableDecider(decider.bundle).decide(pd.DataFrame([customer]))["reasons"]
    assert float(said.partition("bill ")[2].partition(" (")[0]) == bill


def test_a_table_s_usual_scores_are_those_of_a_customer_s_history(decider: Decider) -> None:
    tables, customers = TableDecider(decider.bundle), pd.DataFrame([bundles.CUSTOMER] * 3)
    decided = tables.decide(customers, usual=[0.01, 0.9, float("nan")])
    for row, history in enumerate(({"baseline_churn_probability": 0.01}, {"baseline_churn_probability": 0.9}, {})):
        assert decided.propensity[row] == pytest.approx(decide(decider, with_history(**history)).propensity)
    assert decided.propensity[0] != decided.propensity[2]
    for wrong, said in (
        ([0.5], r"usual has shape \(1,\); allowed: \(3,\)"),
        ([0.5, 1.0, 0.5], "usual, row 1: 1; allowed"),
        (pd.Series([0.5, 0.4, 0.3], index=[2, 1, 0]), "usual has another index than the customers"),
    ):
        with pytest.raises(DataError, match=said):
            tables.decide(customers, usual=wrong)


def test_a_table_with_what_training_never_saw_is_decided_with_the_warning_of_the_command_line(decider: Decider) -> None:
    tables = TableDecider(decider.bundle)
    with pytest.warns(UserWarning, match="column 'plan': 2 rows have a value that training never saw; each counts as"):
        tables.decide(pd.DataFrame([bundles.CUSTOMER | {"plan": "gold"}] * 2 + [bundles.CUSTOMER]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables.decide(pd.DataFrame([bundles.CUSTOMER]))


def test_a_table_of_arrow_is_decided_as_that_of_pandas(decider: Decider) -> None:
    table, tables = pd.DataFrame([bundles.CUSTOMER] * 2), TableDecider(decider.bundle)
    with pytest.warns(UserWarning, match="rows about a customer of an earlier row"):
        pd.testing.assert_frame_equal(tables.decide(pa.Table.from_pandas(table)), tables.decide(table))


def test_propensities_sum_to_one_and_without_history_no_rule_applies(decider: Decider) -> None:
    decision = decide(decider, bundles.CUSTOMER)
    assert sum(decision.propensities) == pytest.approx(1, abs=1e-6)
    assert decision.propensity == decision.propensities[decision.action] > 0
    assert decision.explanation.constraints == ()
    assert all(offer.is_legal for offer in decision.explanation.offers)


def test_a_recent_contact_removes_contacts_until_the_cooldown_is_over_and_says_so(decider: Decider) -> None:
    three_days_ago = decide(decider, with_history(day=20, contacts_days_ago=[3]))
    assert removed(three_days_ago) == {"cooldown": tuple(range(1, 13))}
    assert three_days_ago.action == 0
    assert three_days_ago.propensity == 1
    why = three_days_ago.explanation.constraints[0].why
    assert why == "no contact: the last was 3 days ago, and 7 days must lie between two (cooldown)"
    six_days_ago = decide(decider, with_history(day=20, contacts_days_ago=[6]))
    assert removed(six_days_ago) == {"cooldown": (1, 4, 7, 10)}
    assert six_days_ago.explanation.constraints[0].why.startswith("no contact today: ")
    assert not any(offer.is_legal for offer in six_days_ago.explanation.offers)
    assert removed(decide(decider, with_history(day=20, contacts_days_ago=[7]))) == {}


def test_three_contacts_in_the_window_are_the_most(decider: Decider) -> None:
    decision = decide(decider, with_history(day=40, contacts_days_ago=[8, 16, 24]))
    assert removed(decision) == {"fatigue": tuple(range(1, 13))}
    assert "there were some 8 and 16 and 24 days ago" in decision.explanation.constraints[0].why
    leaves_tomorrow = decide(decider, with_history(day=40, contacts_days_ago=[8, 16, 29]))
    assert removed(leaves_tomorrow) == {"fatigue": (1, 4, 7, 10)}


def test_what_the_account_cannot_pay_for_is_removed(decider: Decider) -> None:
    decision = decide(decider, with_history(day=5, account_used=25.0))
    assert removed(decision) == {"account_cap": tuple(range(7, 13))}  # 10 % of 80.50 is more than the 5.00 left
    assert decision.explanation.constraints[0].why.startswith(
        "not 10 % off for 30 days or 20 % off for 30 days: of the $30.00 allowed"
    )
    assert "$5.00 are left, and with the contact it costs $8.55 to $16.60" in decision.explanation.constraints[0].why


def test_while_a_contact_is_pending_there_is_nothing_to_decide(decider: Decider) -> None:
    decision = decide(decider, with_history(pending={"offer": "five", "days": 2}))
    assert removed(decision) == {"pending": tuple(range(1, 13))}
    assert (
        decision.explanation.constraints[0].why == "no contact: one is planned already (5 % off for 30 days, in 2 days)"
    )
    assert decision.explanation.offers == ()


def test_without_a_usual_score_today_s_is_taken_and_the_state_is_calm(decider: Decider) -> None:
    risk = decide(decider, bundles.CUSTOMER).risk
    assert not risk.is_usual_known
    assert not risk.elevated
    assert risk.usual == risk.today > risk.seen


def test_a_score_far_above_the_usual_one_is_an_elevated_state(decider: Decider) -> None:
    trouble = decide(decider, with_history(baseline_churn_probability=0.15))
    assert trouble.risk.elevated
    usual = decide(decider, with_history(baseline_churn_probability=trouble.risk.today))
    assert not usual.risk.elevated
    assert trouble.explanation.offers[0].acceptance > usual.explanation.offers[0].acceptance


def test_json_and_words_tell_the_same(decider: Decider) -> None:
    decision = decide(decider, with_history(day=20, contacts_days_ago=[6]))
    plain = json.loads(json.dumps(to_dict(decision), allow_nan=False))
    contacts = plain["decision"] == "contact"
    assert contacts == (plain["action"] > 0) == (plain["offer"] is not None) == ("CONTACT" in headline(decision))
    why = plain["explanation"]
    assert [each["removed_by"] for each in why["actions"][:3]] == [[], ["cooldown"], []]
    assert why["actions"][1]["propensity"] == 0
    assert [each["offer"] for each in why["offers"]] == ["hello", "five", "ten", "twenty"]
    assert why["constraints"][0]["why"] == decision.explanation.constraints[0].why
    best = why["offers"][3]
    assert best["net"] == pytest.approx(best["gain"] - why["multiplier"] * best["cost"])
    assert why["multiplier"] == 0.75
    assert plain["bundle"]["id"] == decider.bundle.manifest.id
    assert plain["synthetic_data"] is False
    assert set(why["expected"]) == {"uplift", "campaign_budget", "contact", "cooldown", "fatigue"}
    assert why["reasons"][0]["field"] == "months"
    assert set(why["reasons"][0]) == {"field", "value", "risk_without", "risk", "log_odds"}


def test_a_fact_s_effect_is_told_as_risk_in_words_json_and_tables_alike(decider: Decider) -> None:
    decision = decide(decider, bundles.CUSTOMER)
    first = decision.explanation.reasons[0]
    assert first.risk == pytest.approx(decision.risk.today, abs=1e-5)
    assert first.risk > first.risk_without
    assert reason_text(first) == f"months is 3: raises it from {first.risk_without:.1%} to {decision.risk.today:.1%}"
    assert reason_text(dataclasses.replace(first, risk_without=first.risk)) == "months is 3: hardly moves it"
    (said,) = TableDecider(decider.bundle).decide(pd.DataFrame([bundles.CUSTOMER]))["reasons"]
    assert said.startswith(f"months 3 (+{100 * (first.risk - first.risk_without):.1f} points); ")


def test_a_headline_names_offer_and_day(decider: Decider) -> None:
    import dataclasses

    decision = dataclasses.replace(decide(decider, bundles.CUSTOMER), action=12, propensity=0.25)
    assert headline(decision) == "CONTACT in 3 days and offer 20 % off for 30 days (drawn with probability 25.0%)"
    assert headline(dataclasses.replace(decision, action=2)).startswith("CONTACT tomorrow without an offer")
    assert headline(dataclasses.replace(decision, action=0)).startswith("WAIT today")


def test_where_the_budget_does_not_bind_its_next_unit_returns_nothing(
    decider: Decider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the learning happened to end with: a contact is then worth all that it gains."""
    bundle = decider.bundle
    manifest = dataclasses.replace(bundle.manifest, multipliers={"campaign_budget": 0.0})
    decision = decide(Decider(dataclasses.replace(bundle, manifest=manifest)), bundles.CUSTOMER)
    assert decision.explanation.multiplier == 0
    assert [each.net for each in decision.explanation.offers] == [each.gain for each in decision.explanation.offers]
    for shown, said in (
        (decision, "so one more unit returns nothing"),
        (decide(decider, bundles.CUSTOMER), "0.75 × cost"),
    ):
        show(shown)
        assert said in capsys.readouterr().out
