"""Many decisions at once are, row by row, the single decision; the gates only ever take contacts away."""

from typing import Any

import bundles
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.bundle import Bundle
from retentionjax.decide import customer
from retentionjax.decide.customer import Customer
from retentionjax.decide.decision import decide
from retentionjax.decide.draws import uniform
from retentionjax.decide.facts import as_frame
from retentionjax.decide.program import RULES, Decider, sample, stack
from retentionjax.env import EnvParams, EnvState, constraints, dynamics, observation
from retentionjax.env.types import NEVER

HISTORIES: list[dict[str, Any]] = [
    {},
    {"day": 20, "contacts_days_ago": [3]},
    {"day": 40, "contacts_days_ago": [8, 16, 24]},
    {"day": 5, "pending": {"offer": "ten", "days": 2}},
    {"day": 30, "contacts_days_ago": [10], "running_offer": "twenty", "offer_days_left": 20},
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


def known(params: EnvParams, past: dict[str, Any]) -> Customer:
    return customer.read(past, params, tuple(bundles.offers(params)), where="history")


def test_each_row_is_what_models_environment_and_policy_say_of_that_customer(bundle: Bundle, decider: Decider) -> None:
    """The parts alone: XGBoost's own prediction, the environment's functions of one state, the policy's one row."""
    records = customers(27)
    past = [known(bundle.params, HISTORIES[number % len(HISTORIES)]) for number in range(len(records))]
    features = decider.facts.records(records)
    decided = decider.decide(features, stack(past, features.monthly_charge, bundle.params))
    frame = as_frame(bundle.schema, features)
    churn, accept = (np.clip(model.predict(frame), 1e-4, 1 - 1e-4) for model in (bundle.churn, bundle.acceptance))
    np.testing.assert_allclose(decided.churn_probability, churn, atol=1e-6)
    np.testing.assert_allclose(decided.accept_probability, accept, atol=1e-6)
    for row, each in enumerate(past):
        usual = churn[row] if each.usual is None else each.usual
        assert decided.usual[row] == pytest.approx(usual, abs=1e-6)
        state = EnvState(
            time=jnp.int32(each.day),
            customer=jnp.int32(0),
            monthly_charge=jnp.float32(records[row]["bill"]),
            churn_probability=jnp.float32(np.clip(usual, 1e-4, 1 - 1e-4)),
            accept_probability=jnp.float32(accept[row]),
            elevated=jnp.asarray(bool(decided.elevated[row])),
            contact_history=jnp.uint32(sum(1 << days - 1 for days in each.contacts_days_ago if days <= 32)),
            days_since_contact=jnp.int32(min(each.contacts_days_ago, default=NEVER)),
            pending_offer=jnp.int32(each.pending_offer),
            pending_days=jnp.int32(each.pending_days),
            offer=jnp.int32(each.running_offer),
            protection_days_left=jnp.int32(each.protection_days_left),
            account_used=jnp.float32(account(each, records[row]["bill"])),
        )
        removed, seen = look(state, bundle.params)
        np.testing.assert_array_equal(decided.removed[row, : len(removed)], removed)
        np.testing.assert_allclose(decided.observation[row], seen, atol=1e-5)
        propensities, values = bundle.decide(np.asarray(seen)[None], ~np.asarray(removed).any(axis=0)[None])
        np.testing.assert_allclose(decided.propensities[row], propensities[0], atol=1e-4)
        expected = np.maximum(values[0], [-np.inf, 0, 0, 0, 0])  # no cost is less than nothing
        np.testing.assert_allclose(decided.values[row], expected, rtol=1e-3, atol=1e-3)


@jax.jit
def look(state: EnvState, params: EnvParams) -> tuple[jax.Array, jax.Array]:
    return constraints.removed_by_rule(state, params), observation.observe(state, params)


def account(each: Customer, bill: float) -> float:
    """What the contacts, at $0.50, and a running offer of 20 % for 30 days cost in full."""
    if each.account_used is not None:
        return each.account_used
    return 0.5 * len(each.contacts_days_ago) + (0.2 * bill if each.running_offer == 3 else 0.0)


@given(st.floats(0.01, 0.9), st.booleans())
def test_the_risk_state_is_read_off_the_scores_it_would_give(baseline: float, elevated: bool) -> None:
    params = EnvParams()
    today = dynamics.rescored_churn_probability(jnp.float32(baseline), jnp.asarray(elevated), params)
    if float(today) < 0.999:  # nearer to 1 the two states cannot be told apart in float32
        assert bool(customer.is_elevated(today, jnp.float32(baseline), params)) == elevated


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 8))
def test_throttle_and_exploration_move_chances_within_the_mask_only(
    decider: Decider, throttle: float, exploration: float, past: int
) -> None:
    features = decider.facts.records(customers(1))
    one = [known(decider.bundle.params, HISTORIES[past])]
    standing = stack(one, features.monthly_charge, decider.bundle.params)
    plain = decider.decide(features, standing)
    decided = decider.decide(features, standing, decider.open(1, throttle=throttle, exploration=exploration))
    legal = decided.mask[0]
    mixed = (1 - exploration) * plain.propensities[0] + exploration * legal / legal.sum()
    expected = np.array([0, *(throttle * mixed[1:])])
    expected[0] = 1 - expected.sum()
    np.testing.assert_allclose(decided.propensities[0], expected, atol=1e-6)
    assert (decided.propensities[0, ~legal] == 0).all()
    assert decided.propensities.sum() == pytest.approx(1, abs=1e-6)


def test_conditions_remove_what_they_forbid_and_say_which(decider: Decider) -> None:
    features = decider.facts.records(customers(2))
    conditions = decider.open(2)
    conditions.affordable[0, 2:] = False
    conditions.allowed[1, 1:] = False
    decided = decider.decide(features, customer.unknown(2), conditions)
    assert np.flatnonzero(decided.removed[0, RULES.index("campaign_budget")]).tolist() == list(range(7, 13))
    assert np.flatnonzero(decided.removed[1, RULES.index("forbidden")]).tolist() == list(range(1, 13))
    assert decided.propensities[0, 7:].sum() == 0 < decided.propensities[0, 1:7].sum()
    assert decided.propensities[1].tolist() == [1.0] + [0.0] * 12
    conditions.allowed[1, 0] = False
    with pytest.raises(ValueError, match="waiting"):
        decider.decide(features, customer.unknown(2), conditions)


def test_the_simple_rule_takes_the_offer_of_largest_net_gain(decider: Decider) -> None:
    records = customers(16)
    decided = decider.decide(decider.facts.records(records), customer.unknown(16), by_rule=True)
    chosen = decided.propensities.argmax(axis=1)
    assert (decided.propensities.max(axis=1) == 1).all()
    for record, action in zip(records, chosen, strict=True):
        nets = [
            offer.net for offer in decide(decider, record).explanation.offers
        ]  # exact, where the rule takes risk as lasting
        assert action == 0 or (action - 1) % 3 == 0
        assert action == 0 or nets[(action - 1) // 3] > max(nets) - 1.0
    assert {int(each) for each in chosen} != {0}


def test_draws_follow_the_propensities_and_depend_on_customer_campaign_and_day(decider: Decider) -> None:
    propensities = decider.decide(decider.facts.records(customers(1)), customer.unknown(1)).propensities
    uniforms = np.array([uniform(f"C-{number}", "default", 0) for number in range(20_000)])
    drawn = sample(np.repeat(propensities, len(uniforms), axis=0), uniforms)
    shares = np.bincount(drawn, minlength=13) / len(drawn)
    np.testing.assert_allclose(shares, propensities[0], atol=4 * np.sqrt(0.25 / len(drawn)))
    for other in (("C-2", "default", 0), ("C-1", "spring", 0), ("C-1", "default", 1)):
        assert uniform("C-1", "default", 0) == uniform("C-1", "default", 0) != uniform(*other)


@given(st.lists(st.floats(0, 1, width=32), min_size=13, max_size=13), st.floats(0, 1, exclude_max=True))
def test_no_draw_has_probability_zero(weights: list[float], uniform: float) -> None:
    weights[3] = max(weights[3], 1e-6)
    propensities = np.array([weights], np.float32)
    assert propensities[0, sample(propensities, np.array([uniform]))[0]] > 0


def test_a_decider_has_sizes(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="sizes"):
        Decider(bundle, sizes=())
