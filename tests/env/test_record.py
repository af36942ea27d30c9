"""Constants from settings and back: each checked, each error naming the constant and what is allowed."""

import json
import math
from typing import Any

import numpy as np
import pytest

from retentionjax.env import EnvParams, record
from retentionjax.errors import ConfigError


def test_the_record_is_json_and_reads_back_as_the_same_constants() -> None:
    changed = record.from_dict({"risk_ratio": 4, "discount": [0, 0.05, 0.1, 0.3], "horizon_days": 60})
    again = record.from_dict(json.loads(json.dumps(record.to_dict(changed))))
    assert record.to_dict(again) == record.to_dict(changed)
    assert again.horizon_days == 60
    assert isinstance(again.risk_ratio, float)
    np.testing.assert_allclose(again.discount, [0, 0.05, 0.1, 0.3])
    assert again.delays.dtype == np.int32


def test_what_is_not_given_stays_as_it_was() -> None:
    base = EnvParams(contact_cost=2.0)
    changed = record.from_dict({"risk_ratio": 3.0}, base)
    assert (changed.contact_cost, changed.risk_ratio) == (2.0, 3.0)
    assert changed.population is base.population


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("risk_onset", 1.0),
        ("risk_recovery", 0),
        ("risk_ratio", 0),
        ("risk_window_days", -30),
        ("horizon_days", 0),
        ("horizon_days", 30.5),
        ("offer_days", [30, 30, 30, 0]),
        ("effect_days", [30, 30, 30, 29]),
        ("fatigue_window_days", 33),
        ("cooldown_days", 6.5),
        ("cooldown_days", 10**7),
        ("fatigue_cap", 10**12),
        ("contact_cost", -1),
        ("account_cap", math.inf),
        ("contact_effect", math.nan),
        ("appeal", [0, 1, 2, math.inf]),
        ("amount", [0, 0, 0, -1]),
        ("contact_cost", True),
        ("contact_cost", "cheap"),
        ("discount", []),
        ("discount", [0, 0.1, 0.2, 1.2]),
        ("delays", [0, 1, -3]),
        ("delays", 3),
        ("hazard_multiplier", [0.9, 0.8, 0.7, math.nan]),
        ("discount", [0, 0.1, 0.2, "a lot"]),
        ("delays", [0, 1, 2.5]),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"env.{name}.*allowed"):
        record.from_dict({name: value})


def test_offers_are_as_many_in_every_constant() -> None:
    with pytest.raises(ConfigError, match=r"differ in number: discount 3, amount 4.*allowed: one of each an offer"):
        record.from_dict({"discount": [0, 0.1, 0.2]})


@pytest.mark.parametrize("name", ["cooldwon_days", "population", "potential"])
def test_a_constant_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(ConfigError, match=f"env.{name}.*cooldown_days"):
        record.from_dict({name: 1})
