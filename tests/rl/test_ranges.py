"""Every numeric setting of PPO has a range, which what is no number is outside of."""

from dataclasses import fields

import jax
import pytest
from meter import Meter, MeterParams

from retentionjax import rl
from retentionjax.errors import ConfigError
from retentionjax.rl import config as config_module


@pytest.mark.parametrize("name", config_module.RANGES)
def test_no_numeric_setting_may_be_nan(name: str) -> None:
    nan = float("nan")
    *_, field = name.split(".")
    usual = rl.PPOConfig(limits=(2.0, float("inf")))
    wrong = usual.replace(gains=usual.gains.replace(**{field: nan})) if "." in name else usual.replace(**{name: nan})  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=f"{name} is nan; allowed: a number"):
        rl.init(Meter(masked=True), MeterParams(length=7, noise=0.5), wrong, jax.random.key(0))


def test_every_numeric_setting_has_a_range() -> None:
    """Settings of the config and of the gains: what is no static field."""
    numeric = {
        f"{name}{field.name}"
        for name, kind in (("", rl.PPOConfig), ("gains.", rl.Gains))
        for field in fields(kind)
        if field.metadata.get("pytree_node", True) and field.name != "gains"
    }
    assert numeric == set(config_module.RANGES)


def test_double_precision_is_refused() -> None:
    with jax.enable_x64(True), pytest.raises(ConfigError, match="jax_enable_x64 is True; allowed: False"):
        config_module.check(rl.PPOConfig(limits=(2.0, float("inf"))), 2)
