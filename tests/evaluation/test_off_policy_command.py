"""`retentionjax ope`: a bundle's policy valued on decisions as the service exports them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from simulated_decisions import simulate

from retentionjax.env import EnvParams, RetentionEnv
from retentionjax.errors import DataError
from retentionjax.evaluation.off_policy import command, ledger_file
from retentionjax.evaluation.off_policy.evaluation import NAMES
from retentionjax.evaluation.off_policy.log import build
from retentionjax.evaluation.off_policy.overlap import OverlapError


@jax.jit
def explorer(observations: jax.Array, masks: jax.Array) -> jax.Array:
    """Waits with 0.7, else any legal contact."""
    contacts = masks.at[:, 0].set(False)
    total = contacts.sum(axis=1, keepdims=True)
    shares = contacts / jnp.maximum(total, 1)
    return jnp.where(total > 0, (0.3 * shares).at[:, 0].set(0.7), jax.nn.one_hot(0, 13))


def exported(days: int, episodes: int, folder) -> str:
    """A ledger as the service exports it, of a policy that explores."""
    env, params = RetentionEnv(), EnvParams(horizon_days=days)
    log = simulate(env, params, explorer, jax.random.key(5), episodes=episodes)
    start = np.datetime64("2026-03-01T12:00:00", "us")
    columns = {
        "decision_id": [f"d{row}" for row in range(len(log))],
        "customer_id": [f"c{row}" for row in log.customer],
        "campaign_id": [f"k{row}" for row in log.episode],
        "decided_at": start + log.step.astype("timedelta64[D]"),
        "day": log.step,
        "observation": log.observation,
        "mask": log.mask,
        "propensities": log.propensities.astype(np.float32),
        "action": log.action,
        "offer": [None if action == 0 else f"offer {(action - 1) // 3}" for action in log.action],
        "reward": log.reward,
        "bundle_id": ["b"] * len(log),
        "policy_version": ["p"] * len(log),
        "rules_version": ["r"] * len(log),
    }
    path = folder / "log.parquet"
    ledger_file.write(path, columns)
    return str(path)


def test_the_command_values_a_bundle_on_an_exported_ledger(bundle_folder, tmp_path, capsys):
    log = exported(2, 1_500, tmp_path)
    common = ["--log", log, "--bundle", str(bundle_folder)]
    assert command.main([*common, "--json", str(tmp_path / "report.json"), "--minimum-effective", "20"]) == 0
    printed = capsys.readouterr().out
    assert "doubly robust" in printed
    assert "should be 1" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["estimates"]) == set(NAMES)
    assert report["overlap"]["episodes"] == 1_500
    assert command.main([*common, "--per", "decision", "--minimum-effective", "20"]) == 0
    with pytest.raises(OverlapError, match="too little overlap"):
        command.main([*common, "--minimum-effective", "1e6"])


def test_a_log_of_other_offers_is_told(bundle):
    """Not by a shape that XLA expects."""
    rows = {"action": [1, 0], "reward": [1.0, 2.0]}
    other = build(observation=np.zeros((2, 3)), propensities=np.full((2, 2), 0.5), **rows)
    with pytest.raises(DataError, match="saw 3 numbers and had 2 actions; allowed: 16 and 13, as the bundle's offers"):
        command.propensities(bundle, other)
    chances, mask = np.zeros((2, 13)), np.ones((2, 13))
    chances[0, 1] = chances[1, 0] = 1
    mask[0, 0] = 0
    stuck = build(observation=np.zeros((2, 16)), propensities=chances, mask=mask, **rows)
    with pytest.raises(DataError, match="row 0, column mask: waiting, action 0, is forbidden"):
        command.propensities(bundle, stuck)
