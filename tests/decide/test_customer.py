"""What is known of a customer: the state the environment itself would be in, or an error that says what cannot be."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from campaigns import SAMPLED, cohort_params

from retentionjax.decide import customer
from retentionjax.decide.customer import Customer
from retentionjax.decide.program import stack
from retentionjax.env import EnvParams, dynamics
from retentionjax.env.retention import new_customer
from retentionjax.errors import DataError

PARAMS = EnvParams()
OFFERS = ("hello", "five", "ten", "twenty")


def read(**value: Any) -> Customer:
    return customer.read(value, PARAMS, OFFERS, where="a.json, history")


@pytest.mark.parametrize("seed", range(4))
def test_a_history_gives_the_state_that_the_environment_is_in(seed: int) -> None:
    """Contacts on days 0 and 10 played in the environment, against the same told by a ledger on day 15."""
    params = cohort_params()
    step = jax.jit(SAMPLED.step_env)
    played: Any = new_customer(jnp.int32(seed), jnp.asarray(False), params)
    start, running, asked = played, None, {0: 7, 10: 10}  # 10 % off and 20 % off, today
    for day in range(15):
        _, played, _, _, info = step(jax.random.key(100 * seed + day), played, jnp.int32(asked.get(day, 0)), params)
        if bool(info["accepted"]):
            running = {"running_offer": ["ten", "twenty"][day // 10], "offer_days_left": 30 - (15 - day)}
    told = state_of(
        read(day=15, contacts_days_ago=[15, 5], account_used=float(played.account_used), **(running or {})),
        start,
        params,
        elevated=bool(played.elevated),
    )
    for name in told.__dataclass_fields__:
        if name not in ("customer", "pending_days", "world"):
            np.testing.assert_allclose(getattr(told, name), getattr(played, name), rtol=1e-6, err_msg=name)


def state_of(known: Customer, like: Any, params: EnvParams, *, elevated: bool = False) -> Any:
    """The state of a customer like one of the environment, whose score of today is that of the risk state."""
    usual = float(like.churn_probability)
    today = dynamics.rescored_churn_probability(like.churn_probability, jnp.asarray(elevated), params)
    known = known._replace(usual=usual)
    arrays = stack([known], np.array([float(like.monthly_charge)]), params)
    columns = (np.asarray(each, np.float32)[None] for each in (like.monthly_charge, today, like.accept_probability))
    states, _ = customer.state(arrays, *columns, params)
    return jax.tree.map(lambda column: np.asarray(column)[0], states)


def test_nothing_known_is_a_customer_on_the_first_day() -> None:
    assert read() == Customer()
    first = new_customer(jnp.int32(0), jnp.asarray(False), PARAMS)
    state = state_of(read(), first, PARAMS)
    for name in ("time", "contact_history", "days_since_contact", "pending_offer", "offer", "account_used"):
        assert getattr(state, name) == getattr(first, name)
    fresh = customer.unknown(1)
    for name, column in stack([Customer()], np.array([50.0]), PARAMS)._asdict().items():
        np.testing.assert_array_equal(column, getattr(fresh, name))


def test_the_account_is_charged_in_full_for_what_is_known() -> None:
    known = read(day=20, contacts_days_ago=[10, 18], running_offer="twenty", offer_days_left=20)
    arrays = stack([known], np.array([50.0]), PARAMS)
    assert float(arrays.account_used[0]) == pytest.approx(2 * 0.50 + 0.2 * 50)


def test_a_contact_of_today_counts_as_one_of_yesterday_and_never_as_none() -> None:
    arrays = stack([Customer(day=3, contacts_days_ago=(0, 1, 2))], np.array([50.0]), PARAMS)
    assert (int(arrays.contact_history[0]), int(arrays.days_since_contact[0])) == (0b111, 0)


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"days": 3}, "unknown key 'days'; allowed: day, contacts_days_ago"),
    ({"day": 90}, "day: 90; allowed: a whole number, 0 to 89"),
    ({"day": -1}, "day: -1; allowed"),
    ({"day": True}, "day: True; allowed"),
    ({"day": 1.0}, "day: 1.0; allowed"),
    ({"day": "3"}, "day: '3'; allowed"),
    ({"contacts_days_ago": 3}, "contacts_days_ago: 3; a list"),
    ({"day": 5, "contacts_days_ago": [0]}, "contacts_days_ago: 0; allowed: a whole number, 1 or more"),
    ({"day": 5, "contacts_days_ago": [-2]}, "contacts_days_ago: -2; allowed"),
    ({"day": 5, "contacts_days_ago": [6]}, "6, but on day 5 the campaign is 5 days old"),
    ({"contacts_days_ago": [1]}, "1, but on day 0"),
    ({"day": 5, "contacts_days_ago": [2, 2]}, "2 stands twice"),
    ({"day": 5, "contacts_days_ago": [2], "account_used": 0.4}, "account_used: 0.4; allowed: a number, 0.5 or more"),
    ({"account_used": float("nan")}, "account_used: nan"),
    ({"account_used": 1e300}, "account_used"),
    ({"running_offer": "ten"}, "running_offer stands alone"),
    ({"offer_days_left": 3}, "offer_days_left stands alone"),
    (
        {"day": 10, "running_offer": "fifteen", "offer_days_left": 3},
        "'fifteen' is no offer; allowed: hello, five, ten, twenty",
    ),
    (
        {"day": 10, "running_offer": "ten", "offer_days_left": 30},
        "offer_days_left: 30; allowed: a whole number, 1 to",
    ),
    ({"day": 10, "running_offer": "ten", "offer_days_left": 25}, "accepted 5 days ago, and contacts_days_ago names no"),
    ({"pending": {"offer": "ten"}}, "pending: .*; an object with offer and days"),
    ({"pending": {"offer": "ten", "days": 4}}, "pending.days: 4; allowed: a whole number, 0 to 3"),
    ({"pending": {"offer": 0.1, "days": 1}}, "pending.offer: 0.1 is no offer; allowed: hello, five, ten, twenty"),
    ({"baseline_churn_probability": 0.0}, "baseline_churn_probability: 0.0; allowed: a number, above 0, below 1"),
    ({"baseline_churn_probability": 1}, "baseline_churn_probability: 1; allowed: a number, above 0, below 1"),
    ({"baseline_churn_probability": 1.5}, "baseline_churn_probability: 1.5; allowed: a number, 0 to 1"),
    ({"baseline_churn_probability": "high"}, "baseline_churn_probability: 'high'"),
]


@pytest.mark.parametrize(("value", "message"), IMPOSSIBLE, ids=[message for _, message in IMPOSSIBLE])
def test_a_history_that_cannot_be_is_refused(value: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"a.json, history.*{message}"):
        read(**value)


@pytest.mark.parametrize("value", [None, [], "none", 3])
def test_a_history_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="an object with some of the keys"):
        customer.read(value, PARAMS, OFFERS, where="a.json")


@pytest.mark.parametrize("cost", [0.0079, 0.016, 1 / 3, 0.1, 0.5])
@pytest.mark.parametrize("contacts", [1, 3])
def test_what_contacts_have_cost_may_have_fractions_of_a_cent_or_be_rounded_down_to_cents(
    cost: float, contacts: int
) -> None:
    """An SMS of 0.79 cents: rounded up to a whole one, a run's own example was refused by the stage `bundle`."""
    params, days = EnvParams(contact_cost=cost), [1, 8, 15][:contacts]
    exact = float(jnp.float32(cost)) * contacts
    for used in (exact, np.floor(100 * exact + 1e-4) / 100):
        known = customer.read(
            {"day": 20, "contacts_days_ago": days, "account_used": used}, params, OFFERS, where="a.json, history"
        )
        assert known.account_used == used
