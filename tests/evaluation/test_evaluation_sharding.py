"""Episodes divided over devices are those of one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
def test_eight_devices_play_the_episodes_of_one() -> None:
    """37 customers, 13 episodes each, in chunks of 50: ten chunks, the last one filled up, in two rounds of eight."""
    environment = os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "JAX_PLATFORMS": "cpu"}
    worker = TESTS / "evaluation/evaluation_sharding_worker.py"
    printed = subprocess.run(
        [sys.executable, str(worker)], check=True, capture_output=True, text=True, env=environment
    ).stdout
    found = json.loads(printed)
    assert found["devices"] == 8
    assert found["advanced"] == 37 * 13
    assert found["same"]
    assert found["shape"] == [37, 13, 4]
    assert found["contacts"] > 300
