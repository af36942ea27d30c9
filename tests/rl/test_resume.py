"""A run that is killed goes on as if nothing had happened."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

WORKER = Path(__file__).with_name("resume_worker.py")
ITERATIONS = 6


def start(folder: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(WORKER), str(folder), str(ITERATIONS), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str], *, until: str) -> list[str]:
    """What the worker says, up to and with the line `until`."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.strip())
        if said[-1] == until:
            return said
    pytest.fail(f"the worker ended with status {process.wait()} after {said}")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    lines(whole, until=f"saved {ITERATIONS}")
    assert whole.wait() == 0
    killed = start(tmp_path / "killed", pause=0.2)
    lines(killed, until="saved 3")
    killed.kill()  # SIGKILL
    assert killed.wait() == -9
    resumed = start(tmp_path / "killed")
    said = lines(resumed, until=f"saved {ITERATIONS}")
    assert said[0] in {"starts at 3", "starts at 4"}
    assert resumed.wait() == 0
    with np.load(tmp_path / "whole" / "final.npz") as one, np.load(tmp_path / "killed" / "final.npz") as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])
