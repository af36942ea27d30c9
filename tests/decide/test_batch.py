"""Many decisions at once are, row by row, the single decision; the gates only ever take contacts away."""

from typing import Any

import bundles
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.bundle import Bundle
from retentionjax.decide import batch, decide
from retentionjax.decide import history as histories
from retentionjax.decide.batch import RULES, Decider, Gates
from retentionjax.errors import DataError

HISTORIES: list[dict[str, Any]] = [
    {},
    {"day": 20, "contacts_days_ago": [3]},
    {"day": 40, "contacts_days_ago": [8, 16, 24]},
    {"day": 5, "pending": {"offer": 0.1, "days": 2}},
    {"day": 30, "contacts_days_ago": [10], "running_offer": 0.2, "offer_days_left": 20},
    {"day": 60, "account_used": 29.0, "contacts_days_ago": [40]},
    {"day": 10, "baseline_churn_probability": 0.02},
    {"day": 10, "baseline_churn_probability": 0.9},
    {"day": 89, "contacts_days_ago": [33, 60]},
]


def customers(count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(7)
    return [
        {
            "customer_id": f"C-{number}",
            "months": None if number % 5 == 4 else int(random.integers(0, 60)),
            "bill": round(float(random.uniform(20, 120)), 2),
            "plan": str(random.choice(["basic", "plus"])),
            "age": int(random.integers(18, 80)),
            "channel": str(random.choice(["mail", "phone"])),
        }
        for number in range(count)
    ]


@pytest.fixture(scope="session")
def decider(bundle: Bundle) -> Decider:
    made = batch.compile(bundle, sizes=(1, 8))
    made.warm()
    return made


def test_each_row_is_the_decision_of_that_customer_alone(bundle: Bundle, decider: Decider) -> None:
    records = customers(27)
    past = [HISTORIES[number % len(HISTORIES)] for number in range(len(records))]
    features = decider.encoder.records(records)
    read = [histories.read(each, bundle.params, where="history") for each in past]
    decided = decider.decide(features, batch.standings(read, features.monthly_charge, bundle.params))
    for row, (record, each) in enumerate(zip(records, past, strict=True)):
        alone = decide(bundle, record | {"history": each})
        assert features.customer_id[row] == alone.customer_id
        assert decided.churn_probability[row] == pytest.approx(alone.risk.today, abs=1e-6)
        assert decided.baseline[row] == pytest.approx(alone.risk.baseline, abs=1e-6)
        assert decided.elevated[row] == alone.risk.elevated
        assert decided.observation[row, 0] == pytest.approx(alone.risk.seen, abs=1e-6)
        by_rule = {rule: tuple(np.flatnonzero(decided.removed[row, place])) for place, rule in enumerate(RULES)}
        assert {rule: gone for rule, gone in by_rule.items() if gone} == {
            removal.rule: removal.actions for removal in alone.removals
        }
        np.testing.assert_allclose(decided.propensities[row], alone.propensities, atol=2e-6)
        np.testing.assert_allclose(decided.values[row], list(alone.values.values()), rtol=1e-5, atol=1e-5)


def test_scores_are_those_of_the_bundle_from_records_and_from_a_table(bundle: Bundle, decider: Decider) -> None:
    records = customers(19)
    expected = bundle.score(records)
    frame = bundle.frame(records)
    for features in (decider.encoder.records(records), decider.encoder.frame(frame)):
        np.testing.assert_array_equal(features.values[:, decider.encoder.churn], bundle.churn.encode(frame))
        np.testing.assert_array_equal(features.values[:, decider.encoder.acceptance], bundle.acceptance.encode(frame))
        found = decider.score(features)
        assert found.customer_id == expected.customer_id
        np.testing.assert_array_equal(found.monthly_charge, expected.monthly_charge)
        np.testing.assert_allclose(found.churn_probability, expected.churn_probability, atol=1e-6)
        np.testing.assert_allclose(found.accept_probability, expected.accept_probability, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"months": "3"},
        {"months": float("nan")},
        {"months": True},
        {"months": 10**400},
        {"months": -1e39},
        {"bill": 0},
        {"bill": float("inf")},
        {"bill": 1e39},
        {"bill": "12"},
        {"plan": "gold"},
        {"plan": None},
        {"plan": ["basic"]},
        {"age": None},
        {"customer_id": " "},
        {"customer_id": 1.5},
        {"colour": "red"},
    ],
)
def test_what_a_record_may_not_hold_is_named(decider: Decider, change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=next(iter(change))):
        decider.encoder.records([bundles.CUSTOMER | change])


def test_a_missing_field_is_named_even_if_another_one_takes_its_place(decider: Decider) -> None:
    record = {**bundles.CUSTOMER, "colour": "red"}
    del record["months"]
    with pytest.raises(DataError, match="months"):
        decider.encoder.records([record])


def test_whole_numbers_stand_for_ids(decider: Decider) -> None:
    assert decider.encoder.records([bundles.CUSTOMER | {"customer_id": 17}]).customer_id == ("17",)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 8))
def test_throttle_and_exploration_move_chances_within_the_mask_only(
    decider: Decider, throttle: float, exploration: float, past: int
) -> None:
    features = decider.encoder.records(customers(1))
    read = [histories.read(HISTORIES[past], decider.bundle.params, where="history")]
    standing = batch.standings(read, features.monthly_charge, decider.bundle.params)
    plain = decider.decide(features, standing)
    decided = decider.decide(features, standing, Gates.open(1, throttle=throttle, exploration=exploration))
    legal = decided.mask[0]
    mixed = (1 - exploration) * plain.propensities[0] + exploration * legal / legal.sum()
    expected = np.array([0, *(throttle * mixed[1:])])
    expected[0] = 1 - expected.sum()
    np.testing.assert_allclose(decided.propensities[0], expected, atol=1e-6)
    assert (decided.propensities[0, ~legal] == 0).all()
    assert decided.propensities.sum() == pytest.approx(1, abs=1e-6)


def test_gates_remove_what_they_forbid_and_say_which(decider: Decider) -> None:
    features = decider.encoder.records(customers(2))
    gates = Gates.open(2)
    gates.affordable[0, 2:] = False
    gates.allowed[1, 1:] = False
    decided = decider.decide(features, batch.fresh(2), gates)
    assert np.flatnonzero(decided.removed[0, RULES.index("campaign_budget")]).tolist() == list(range(7, 13))
    assert np.flatnonzero(decided.removed[1, RULES.index("gates")]).tolist() == list(range(1, 13))
    assert decided.propensities[0, 7:].sum() == 0 < decided.propensities[0, 1:7].sum()
    assert decided.propensities[1].tolist() == [1.0] + [0.0] * 12
    gates.allowed[1, 0] = False
    with pytest.raises(ValueError, match="waiting"):
        decider.decide(features, batch.fresh(2), gates)


def test_the_simple_rule_takes_the_offer_of_largest_net_gain(bundle: Bundle, decider: Decider) -> None:
    records = customers(16)
    decided = decider.decide(decider.encoder.records(records), batch.fresh(16), by_rule=True)
    chosen = decided.propensities.argmax(axis=1)
    assert (decided.propensities.max(axis=1) == 1).all()
    for record, action in zip(records, chosen, strict=True):
        nets = [offer.net for offer in decide(bundle, record).offers]  # exact, where the rule takes risk as lasting
        assert action == 0 or (action - 1) % 3 == 0
        assert action == 0 or nets[(action - 1) // 3] > max(nets) - 1.0
    assert {int(each) for each in chosen} != {0}


def test_draws_follow_the_propensities_and_the_decision_alone(decider: Decider) -> None:
    propensities = decider.decide(decider.encoder.records(customers(1)), batch.fresh(1)).propensities
    uniforms = np.array([batch.uniform(f"decision-{number}") for number in range(20_000)])
    drawn = batch.sample(np.repeat(propensities, len(uniforms), axis=0), uniforms)
    shares = np.bincount(drawn, minlength=13) / len(drawn)
    np.testing.assert_allclose(shares, propensities[0], atol=4 * np.sqrt(0.25 / len(drawn)))
    assert batch.uniform("decision-1") == batch.uniform("decision-1") != batch.uniform("decision-2")


@given(st.lists(st.floats(0, 1, width=32), min_size=13, max_size=13), st.floats(0, 1, exclude_max=True))
def test_no_draw_has_probability_zero(weights: list[float], uniform: float) -> None:
    weights[3] = max(weights[3], 1e-6)
    propensities = np.array([weights], np.float32)
    assert propensities[0, batch.sample(propensities, np.array([uniform]))[0]] > 0


def test_a_decider_has_sizes(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="sizes"):
        batch.compile(bundle, sizes=())
