"""The gate on what held-out customers cost: money that is worth spending must be spent, and no other."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from campaigns import synthetic_population
from etils import epath

from experiments import customers as people
from experiments.policy import BUDGET, PolicyConfig, at_budget, figures, set_spend
from retentionjax import storage
from retentionjax.env import EnvParams
from retentionjax.env.retention import RetentionEnv
from retentionjax.errors import ConfigError
from retentionjax.evaluation import baselines, learned
from retentionjax.evaluation.rollout import play
from retentionjax.rl import ppo

ENV, KEY = RetentionEnv(expected_churn=True), jax.random.key(0)

STATE: Any = SimpleNamespace(iteration=1, multipliers=SimpleNamespace(value=np.zeros(4)))


HELD_OUT = EnvParams(population=synthetic_population(8), horizon_days=5)


def of_never(*, spends: bool) -> dict[str, float]:
    return figures(PolicyConfig(check_replicates=2), baselines.never(), STATE, HELD_OUT, spends=spends)


def test_a_budget_that_does_not_bind_may_be_left() -> None:
    assert of_never(spends=False)["spend_ratio"] == 0


def test_a_company_without_a_budget_has_none_in_every_stage(tmp_path: Path) -> None:
    """`limits: {budget: inf}`, which JSON has no word for."""
    config = PolicyConfig(limits={BUDGET: np.inf})
    assert config.training.limits[0] == np.inf
    assert figures(config, baselines.never(), STATE, HELD_OUT, spends=False)["spend_ratio"] == 0
    folder = epath.Path(tmp_path)
    for limit, budget in ((None, np.inf), (2, 2.0)):
        storage.write_json(folder / people.LIMITS, {BUDGET: limit})
        assert people.budget(folder) == budget


def test_a_budget_whose_next_dollar_pays_must_be_spent() -> None:
    with pytest.raises(ConfigError, match=r"spend_ratio .*allowed"):
        of_never(spends=True)


def untrained(params: EnvParams, *, wait: float) -> Any:
    settings = PolicyConfig().training.replace(null_action_bias=wait)
    return learned.ppo(ppo.policy(settings, ppo.init(ENV, params, settings, KEY)))


def spend_of(policy: Any, params: EnvParams) -> float:
    return float(np.mean(play(ENV, params, policy, KEY, replicates=8).spend))


@pytest.mark.parametrize("scale", [10.0, pytest.param(1.0, marks=pytest.mark.slow)])
def test_training_begins_within_its_budget_whatever_offers_cost(scale: float) -> None:
    people, usual = synthetic_population(60), EnvParams(horizon_days=20)
    config = PolicyConfig(limits={BUDGET: 0.5})
    params = usual.replace(
        population=people.replace(monthly_charge=scale * people.monthly_charge),
        charge_reference=scale * usual.charge_reference,
        account_cap=scale * usual.account_cap,
    )
    assert spend_of(untrained(params, wait=4.0), params) > 0.8
    started = untrained(params, wait=at_budget(config, params).null_action_bias)
    assert 0.25 < spend_of(started, params) < 0.7


def test_no_policy_is_made_to_spend_what_contacts_lose() -> None:
    params = EnvParams(population=synthetic_population(60), horizon_days=20)
    for budget, pays in ((1.0, True), (100.0, False)):  # left alone, the rule spends some $3
        config = PolicyConfig(limits={BUDGET: budget}, tuning_replicates=8)
        policy, spends = set_spend(config, baselines.greedy_fatigue(), params, multiplier=1.0)
        assert spends is pays
        assert (float(policy.hyperparameter) > 0) is pays
        low, high = (0.6, 1.0) if pays else (1.0, 6.0)
        assert low < spend_of(policy, params) < high
