"""The gate on what held-out customers cost: money that is worth spending must be spent, and no other."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from campaigns import synthetic_population

from experiments.policy import PolicyConfig, figures
from retentionjax.env import EnvParams
from retentionjax.errors import ConfigError
from retentionjax.evaluation import baselines

STATE: Any = SimpleNamespace(iteration=1, multipliers=SimpleNamespace(value=np.zeros(4)))


def of_never(*, spends: bool) -> dict[str, float]:
    held_out = EnvParams(population=synthetic_population(8), horizon_days=5)
    return figures(PolicyConfig(check_replicates=2), baselines.never(), STATE, held_out, spends=spends)


def test_a_budget_that_does_not_bind_may_be_left() -> None:
    assert of_never(spends=False)["spend_ratio"] == 0


def test_a_budget_whose_next_dollar_pays_must_be_spent() -> None:
    with pytest.raises(ConfigError, match=r"spend_ratio .*allowed"):
        of_never(spends=True)
