"""The environment of a company: what its file says is what the simulator does."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.checked import CompanyError
from retentionjax.company import Company, prior
from retentionjax.company.environment import average_limits, env_params
from retentionjax.env import EnvParams, RetentionEnv, actions, constraints, record

CUSTOMERS = {"file": None, "charge": "fee", "left": "gone", "window_days": 60, "numeric": ["fee"]}
OFFERS = {
    "hello": {},
    "ten": {"discount": 0.10, "days": 14},
    "free_month": {"discount": 1.0, "days": 30, "effect_days": 60},
    "credit": {"amount": 15, "days": 1},
    "upgrade": {"cost": 4.0, "days": 90, "say": "twice the speed"},
}


def company(**changed: object) -> Company:
    return Company(**{"customers": CUSTOMERS, "offers": OFFERS, **changed})  # type: ignore[arg-type]


def test_the_demo_has_the_constants_of_the_environment() -> None:
    demo = Company.load(Path(__file__).parents[2] / "experiments/companies/demo.yaml")
    found, expected = record.to_dict(env_params(demo, 65.0)), record.to_dict(EnvParams())
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
    assert tuple(average_limits(demo).values()) == constraints.DEFAULT_LIMITS


def test_offers_of_every_kind_are_entries_in_order() -> None:
    params = env_params(company(delays=[0, 2]), 50.0)
    assert actions.count(params) == 1 + 5 * 2
    np.testing.assert_allclose(params.discount, [0, 0.1, 1, 0, 0])
    np.testing.assert_allclose(params.amount, [0, 0, 0, 15, 0])
    np.testing.assert_allclose(params.cost, [0, 0, 0, 0, 4])
    np.testing.assert_array_equal(params.offer_days, [30, 14, 30, 1, 90])
    np.testing.assert_array_equal(params.effect_days, [45, 21, 60, 2, 135])  # 1.5 times as long where nothing is said
    np.testing.assert_allclose(params.appeal, [0, 0.8, 8 * 0.42, 8 * 15 / 50, 8 * 4 / 50], rtol=1e-6)
    np.testing.assert_allclose(params.hazard_multiplier, [0.9, 0.75, 0.75, 0.75, 0.75])
    assert params.risk_window_days == 60
    record.from_dict(record.to_dict(params))  # can be stored


@pytest.mark.parametrize("count", [1, 64])
def test_any_number_of_offers_makes_an_environment_that_steps(count: int) -> None:
    params = env_params(company(offers={f"o{i}": {"amount": 1.0 + i} for i in range(count)}), 50.0)
    env = RetentionEnv()
    observed, state = env.reset(jax.random.key(0), params)
    assert observed.shape == env.observation_space(params).shape == (12 + count,)
    action = actions.encode(count - 1, 0, params)
    _, after, *_ = env.step(jax.random.key(1), state, action, params)
    assert int(after.days_since_contact) == 1


def _ends(name: str) -> list[float]:
    within = prior.RANGES[name]
    return [within.low + 1e-6 * within.above, within.high]


SAYABLE = [
    *({"effects": {name.replace(".", ".ten"): end}} for name in prior.RANGES for end in _ends(name)),
    {"limits": {"contact_cost": 1e9, "account_cap": 0, "cooldown_days": 365, "fatigue": {"contacts": 32, "days": 32}}},
    {"offers": {"gift": {"amount": 1e9}, "more": {"cost": 1e9, "days": 365, "effect_days": 3650}}},
    {"delays": list(range(16)), "horizon_days": 730},
    {"customers": {**CUSTOMERS, "window_days": 3650}},
]


@pytest.mark.parametrize("said", SAYABLE, ids=str)
def test_what_a_company_may_say_the_record_of_its_constants_takes(said: dict[str, Any]) -> None:
    """Or a run would end, hours after its file was read, with an error about it."""
    params = env_params(company(**said), 50.0)
    assert record.to_dict(record.from_dict(record.to_dict(params))) == record.to_dict(params)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"effects": {"risk_onset": 45}}, r"effects.risk_onset: 45 is out of range; allowed: 1e-09 to .* every 45th"),
        ({"effects": {"risk_recovery": {"median": 0.9, "high": 1.5}}}, r"effects.risk_recovery: 1.5 is out of range"),
        (
            {"effects": {"hazard_multiplier.ten": 75}},
            r"hazard_multiplier.ten: 75 is out of range; allowed: above 0 to 10",
        ),
        ({"effects": {"contact_effect_days": 0.3}}, r"contact_effect_days: 0.3 is out of range; allowed: 1 to 3650"),
        ({"effects": {"fatigue_hazard": -1e3}}, r"effects.fatigue_hazard: -1000 is out of range; allowed: -2 to 2"),
        ({"offers": {"gift": {"amount": 1e40}}}, r"offers.gift.amount: 1e\+40 is out of range; allowed: 0 to 1e\+09"),
        ({"delays": list(range(17))}, r"delays: are 17 days; allowed: 1 to 16 of them"),
    ],
)
def test_what_the_environment_could_not_hold_is_refused_when_the_file_is_read(said: dict[str, Any], words: str) -> None:
    with pytest.raises(CompanyError, match=words):
        company(**said)


def test_own_limits_and_none() -> None:
    limits = average_limits(company(limits={"budget": 7, "contacts": 2}))
    assert (limits["campaign_budget"], limits["contact"]) == (7, 2)
    free = env_params(company(limits={"account_cap": math.inf}), 50.0)
    assert record.from_dict(record.to_dict(free)).account_cap > 1e8
    assert bool(constraints.action_mask(RetentionEnv().reset(jax.random.key(0), free)[1], free).all())
    assert jnp.isfinite(free.account_cap)
