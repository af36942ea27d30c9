"""Data parallelism: where the shards run changes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from meter import Meter, MeterParams

from retentionjax import rl
from retentionjax.errors import ConfigError


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_eight_devices_and_one_give_the_same_run() -> None:
    worker = Path(__file__).with_name("sharding_worker.py")
    printed = subprocess.run([sys.executable, str(worker)], check=True, capture_output=True, text=True).stdout
    found = json.loads(printed)
    assert found["devices"] == 8
    assert found["price"] > 0.0
    assert found["state"] < 1e-5
    assert found["metrics"] < 1e-4


def test_a_mesh_of_another_size_is_refused() -> None:
    config = rl.PPOConfig(num_envs=8, num_steps=2, num_minibatches=2, hidden=(), limits=(1.0, 1.0), shards=2)
    with pytest.raises(ConfigError, match=r"the mesh is \{'shards': 1\}; allowed: \{'shards': 2\}"):
        rl.make_train(Meter(), MeterParams(), config, rl.device_mesh(1))(jax.random.key(0))


def test_more_shards_than_devices_are_refused() -> None:
    count = jax.device_count()
    with pytest.raises(ConfigError, match=f"at most the {count} devices"):
        rl.device_mesh(count + 1)
