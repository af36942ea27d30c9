"""Hard limits hold under every masked policy, whatever the constants; counted from the contacts by hand."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from campaigns import COHORT, EXPECTED, Campaign, cohort_params, play, random_action, synthetic_population
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.env import EnvParams, EnvState, RetentionEnv, constraints, observation

CUSTOMERS = 48
POPULATION = synthetic_population(CUSTOMERS, seed=9)
ENV = RetentionEnv()
STEP = jax.jit(ENV.step_env)
MASK = jax.jit(constraints.action_mask)


def of_all(function: Any) -> Any:
    """`function` of many states at once."""
    return jax.jit(jax.vmap(function, (0, None)))


def whimsical(key: jax.Array, state: EnvState, mask: jax.Array) -> jax.Array:
    """Legal, with tastes of its own for each customer: some always contact, some like dear offers, some wait."""
    taste = 4 * jax.random.normal(jax.random.key(state.customer), (13,))
    return jax.random.categorical(key, jnp.where(mask, taste, -jnp.inf)).astype(jnp.int32)


discounts = st.floats(0, 0.5, width=32)
constants = st.fixed_dictionaries(
    {
        "cooldown_days": st.integers(0, 14),
        "fatigue_window_days": st.integers(1, 32),
        "fatigue_cap": st.integers(0, 4),
        "account_cap": st.floats(0, 60, width=32) | st.just(np.inf),
        "contact_cost": st.floats(0, 3, width=32),
        "offer_days": st.lists(st.integers(1, 45), min_size=4, max_size=4).map(jnp.asarray),
        "delays": st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 9)).map(sorted).map(jnp.asarray),
        "discount": st.lists(st.floats(0, 0.5, width=32), min_size=3, max_size=3).map(
            lambda x: jnp.array([0.0, *sorted(x)])
        ),
        "risk_ratio": st.floats(1, 12, width=32),
        "appeal": st.lists(st.floats(-1, 5, width=32), min_size=4, max_size=4).map(jnp.asarray),
    }
)


def params_of(changed: dict[str, Any]) -> EnvParams:
    protection = changed.get("offer_days", EnvParams().offer_days)
    return EnvParams(population=POPULATION).replace(effect_days=protection, **changed)


def masked_campaign(changed: dict[str, Any], seed: int) -> Campaign:
    return play(ENV, params_of(changed), whimsical, np.arange(CUSTOMERS), seed=seed, policy_seed=seed)


def contact_days(campaign: Campaign) -> list[list[int]]:
    """Days of contact of each customer, in the calendar."""
    return [np.flatnonzero(column).tolist() for column in np.asarray(campaign.info["contact"]).T]


@given(changed=constants, seed=st.integers(0, 1000))
def test_masked_actions_violate_nothing(changed: dict[str, Any], seed: int) -> None:
    """No cooldown, no fatigue cap, no account cap; and while a contact is pending, only waiting is legal."""
    campaign = masked_campaign(changed, seed)
    for days in contact_days(campaign):
        assert all(later - day >= changed["cooldown_days"] for day, later in pairwise(days))
        for day in days:
            window = [other for other in days if 0 <= day - other < changed["fatigue_window_days"]]
            assert len(window) <= changed["fatigue_cap"]
    costs = np.asarray(campaign.info["costs"], np.float64)
    for name in ("cooldown", "fatigue"):
        assert not costs[..., constraints.NAMES.index(name)].any()
    spend = costs[..., 0].sum(axis=0)  # also after a sampled churn
    assert spend.max() <= changed["account_cap"] * (1 + 1e-6) + 1e-4
    pending = np.asarray(campaign.states.pending_offer) >= 0
    masks = np.asarray(campaign.masks)
    assert not masks[pending][:, 1:].any()
    assert masks[..., 0].all()  # and waiting always is


@given(changed=constants, seed=st.integers(0, 1000))
def test_observations_lie_in_the_declared_space_and_a_churned_customer_earns_nothing_and_takes_no_discount(
    changed: dict[str, Any], seed: int
) -> None:
    campaign = play(ENV, params_of(changed), random_action, np.arange(CUSTOMERS), seed=seed, policy_seed=seed)
    space = ENV.observation_space(EnvParams())
    observations = np.asarray(campaign.observations)
    assert np.isfinite(observations).all()
    assert (observations >= space.low).all()
    assert (observations <= space.high).all()
    assert (observations[..., observation.names(4).index("day")] < 1).all()
    info = campaign.info
    gone = np.asarray(info["discount"]) == 0
    assert gone.any()
    paid = np.asarray(info["contact"]) * changed["contact_cost"]
    np.testing.assert_array_equal(np.asarray(info["revenue"])[gone], 0)
    np.testing.assert_allclose(np.asarray(info["value"])[gone], -paid[gone], atol=1e-6)
    np.testing.assert_allclose(np.asarray(info["costs"])[..., 0][gone], paid[gone], atol=1e-6)


def test_discount_is_charged_only_while_the_customer_stays() -> None:
    """Every day a running offer costs its share of the day's charge, times P(stay) when churn is expected."""
    params = cohort_params().replace(appeal=jnp.array([0.0, 1.0, 2.0, 4.0]))
    campaign = play(EXPECTED, params, random_action, COHORT)
    info = campaign.info
    running = np.asarray(info["running_offer"])
    size = np.where(running >= 0, np.asarray(params.discount)[running], 0)
    daily = np.asarray(campaign.states.monthly_charge) / 30
    discount = np.asarray(info["costs"])[..., 0] - 0.5 * np.asarray(info["contact"])
    np.testing.assert_allclose(discount, info["discount"] * size * daily, atol=1e-5)
    np.testing.assert_allclose(info["revenue"], info["discount"] * (1 - size) * daily, rtol=1e-5)
    assert (size > 0.19).mean() > 0.1


def test_contacts_of_days_0_7_and_14_are_legal_and_those_between_are_not() -> None:
    state, legal = fresh(), []
    params = EnvParams(fatigue_cap=100, account_cap=1e6)
    for _ in range(15):
        legal.append(bool(MASK(state, params)[1]))
        state = step(state, int(legal[-1]), params)
    assert [day for day, is_legal in enumerate(legal) if is_legal] == [0, 7, 14]


@pytest.mark.parametrize("cents", [5, 7, 10, 14, 50, 170])
@pytest.mark.parametrize("contacts", range(3, 7))
def test_a_cap_that_so_many_contacts_come_to_exactly_allows_them_and_no_more(cents: int, contacts: int) -> None:
    """In whole cents, as a ledger counts: sums of $0.10 in float32 pass $0.40 by a ten-millionth."""
    cost, cap = np.float32(cents / 100), np.float32(cents * contacts / 100)
    params = EnvParams(
        contact_cost=cost,
        account_cap=cap,
        cooldown_days=0,
        fatigue_cap=100,
        discount=jnp.zeros(4),
        delays=jnp.array([0]),
    )
    state, made = fresh(), 0
    for used in range(contacts + 1):
        spent = np.float32(0)
        for _ in range(used):
            spent = np.float32(spent + cost)
        made += bool(MASK(state.replace(account_used=spent), params)[1])
    assert made == contacts
    assert not MASK(fresh(), params.replace(account_cap=np.float32(cap - 0.01 - cost * (contacts - 1))))[1]


def test_a_cooldown_without_end_allows_one_contact() -> None:
    params = EnvParams(cooldown_days=1_000_000, fatigue_cap=100, account_cap=1e6)
    assert MASK(fresh(), params).all()
    assert not MASK(step(fresh(), 1, params), params)[1:].any()


def test_a_delayed_contact_is_judged_on_the_day_it_would_execute() -> None:
    """Contacted on day 0: on day 4 only the three-day delay reaches day 7, on day 6 the one-day delay does too."""
    params, state = EnvParams(), step(fresh(), 1, EnvParams())
    legal = {}
    for day in range(1, 8):
        legal[day] = np.asarray(MASK(state, params)[1:4]).tolist()  # delays 0, 1, 3
        state = step(state, 0, params)
    assert legal[3] == [False, False, False]
    assert legal[4] == [False, False, True]
    assert legal[6] == [False, True, True]
    assert legal[7] == [True, True, True]


def test_three_contacts_in_thirty_days_are_legal_and_a_fourth_waits_for_the_thirtieth_day() -> None:
    params, state = EnvParams(account_cap=1e6), fresh()
    executed = []
    for day in range(40):
        contact = int(MASK(state, params)[1])
        executed += [day] * contact
        state = step(state, contact, params)
    assert executed == [0, 7, 14, 30, 37]


def test_an_offer_the_account_cannot_carry_in_full_is_illegal() -> None:
    """A charge of $65: offers of 5, 10, 20 % cost $3.25, 6.50, 13.00 in full, and the contact $0.50."""
    state, params = fresh(), EnvParams()
    for left, legal in ((0.49, 0), (0.51, 1), (3.74, 1), (3.76, 2), (6.99, 2), (7.01, 3), (13.49, 3), (13.51, 4)):
        mask = MASK(state.replace(account_used=jnp.float32(30 - left)), params)
        assert np.asarray(mask[1:]).reshape(4, 3).all(axis=1).tolist() == [True] * legal + [False] * (4 - legal)


def test_an_offer_that_costs_just_what_is_left_of_the_account_is_legal() -> None:
    state, params = fresh(), EnvParams()  # a contact without a discount costs $0.50
    for used, legal in ((29.5, True), (29.501, False)):
        mask = MASK(state.replace(account_used=jnp.float32(used)), params)
        assert bool(mask[1]) is legal
        assert (
            bool(constraints.removed_by_rule(state.replace(account_used=jnp.float32(used)), params)[3, 1]) is not legal
        )


def test_each_removed_action_is_explained_by_a_rule() -> None:
    state = step(fresh(), 1, EnvParams()).replace(account_used=jnp.float32(25))
    removed = constraints.removed_by_rule(state, EnvParams())
    assert removed.shape == (len(constraints.RULES), 13)
    by_rule = dict(zip(constraints.RULES, np.asarray(removed), strict=True))
    assert not by_rule["pending"].any()
    assert by_rule["cooldown"][1:].all()
    assert not by_rule["fatigue"].any()
    assert by_rule["account_cap"].tolist() == [False] * 7 + [True] * 6
    np.testing.assert_array_equal(~removed.any(axis=0), constraints.action_mask(state, EnvParams()))


def test_the_mask_is_what_no_rule_removes_in_any_state() -> None:
    """5,000 random states, under the default limits and with caps lifted and other delays."""
    random, size = np.random.default_rng(3), 5_000
    states = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (size,)), fresh()).replace(
        monthly_charge=jnp.asarray(random.uniform(5, 120, size), jnp.float32),
        contact_history=jnp.asarray(np.bitwise_and.reduce(random.integers(0, 2**32, (4, size))), jnp.uint32),
        days_since_contact=jnp.asarray(random.integers(1, 12, size), jnp.int32),
        pending_offer=jnp.asarray(random.integers(-1, 4, size) * random.integers(0, 2, size), jnp.int32),
        account_used=jnp.asarray(random.uniform(0, 31, size), jnp.float32),
    )
    for params in (EnvParams(), EnvParams(account_cap=jnp.inf, fatigue_cap=9, delays=jnp.array([0, 2, 8]))):
        removed, masks = (
            np.asarray(each(states, params)) for each in (of_all(constraints.removed_by_rule), of_all(MASK))
        )
        np.testing.assert_array_equal(masks, ~removed.any(axis=1))
        assert masks.any(axis=0).all()
        assert not masks[:, 1:].all(axis=0).any()


@pytest.mark.parametrize("accepted", [False, True])
def test_the_account_is_debited_for_the_contact_and_the_whole_accepted_offer(accepted: bool) -> None:
    params = EnvParams(appeal=jnp.full(4, 40.0 if accepted else -40.0))
    state = step(fresh(), 10, params)  # 20 % now
    assert float(state.account_used) == pytest.approx(0.5 + 13.0 * accepted)


def fresh() -> EnvState:
    """The default customer ($65, p 0.25, b 0.11) on day 0, calm."""
    _, state = ENV.reset(jax.random.key(0), EnvParams())
    return state.replace(elevated=jnp.bool_(0))


def step(state: EnvState, action: int, params: EnvParams) -> EnvState:
    return STEP(jax.random.key(5), state, action, params)[1]
