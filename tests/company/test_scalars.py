"""Numbers of NumPy and JAX where a number belongs, whole floats where a whole one does; words of a choice."""

import typing
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from retentionjax.checked import CompanyError
from retentionjax.company import Company, Limits
from retentionjax.language.lora import LoraConfig
from retentionjax.language.optimiser import OptimiserConfig
from retentionjax.language.ppo_config import TextPPOConfig
from retentionjax.language.reward import RewardConfig
from retentionjax.language.sft import SFTConfig

_TABLE = pd.DataFrame({"fee": [20.0, 35.0], "churned": [0, 1], "plan": ["basic", "plus"]})


@pytest.mark.parametrize("kind", [float, np.float32, np.int64, np.asarray, jnp.asarray, jnp.float32])
def test_a_whole_number_may_be_anybodys(kind: Any) -> None:
    limits = Limits(budget=kind(3), cooldown_days=kind(6))
    assert (limits.budget, limits.cooldown_days, type(limits.cooldown_days)) == (3, 6, int)
    company = Company(
        _TABLE,
        charge="fee",
        left="churned",
        window_days=kind(30),
        limits={"budget": kind(3), "cooldown_days": kind(6)},
        offers={"ten": {"discount": 0.1}},
    )
    assert company.limits == limits
    assert (company.customers.window_days, type(company.customers.window_days)) == (30, int)


@pytest.mark.parametrize("value", [6.5, np.float32(6.5), "6", True, np.array([6]), None])
def test_what_is_no_whole_number_is_not(value: Any) -> None:
    with pytest.raises(CompanyError, match=r"cooldown_days: .* is not a whole number; allowed: 1 to 365"):
        Limits(cooldown_days=value)


@pytest.mark.parametrize("kind", [OptimiserConfig, TextPPOConfig, SFTConfig, RewardConfig, LoraConfig])
def test_every_word_and_switch_of_settings_made_in_python_is_held_to_what_it_may_be(kind: Any) -> None:
    hints = typing.get_type_hints(kind)
    for name in (each for each, hint in hints.items() if hint is bool or typing.get_origin(hint) is typing.Literal):
        record = kind()
        object.__setattr__(record, name, "neither")  # past the checks of types that only tests have
        with pytest.raises(CompanyError, match=rf"^{name}: .*'neither'"):
            record.__post_init__()


def test_a_word_that_is_nearly_one_of_a_settings_is_told() -> None:
    record = OptimiserConfig()
    object.__setattr__(record, "schedule", "cosin")
    with pytest.raises(CompanyError, match=r"schedule: is 'cosin'; did you mean 'cosine'\?; allowed: cosine, linear"):
        record.__post_init__()
