"""A supervised experiment comes to its end through crashes and preemptions, and to the same end."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.launch.supervise import Patience, command_of, keep_running
from retentionjax import storage
from retentionjax.errors import ConfigError

WORKER = Path(__file__).parents[1] / "rl" / "resume_worker.py"
QUICK = Patience(attempts=3, first_pause=0.0)


def crashes(times: int, counter: Path, status: str = "sys.exit(1)") -> list[str]:
    """A command that ends badly so often and then well."""
    code = f"""
        import os, pathlib, signal, sys
        counter = pathlib.Path({str(counter)!r})
        done = len(counter.read_text()) if counter.exists() else 0
        counter.write_text("x" * (done + 1))
        if done < {times}:
            {status}
    """
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_a_crash_is_tried_again_until_it_works(tmp_path: Path) -> None:
    said: list[str] = []
    command = crashes(2, tmp_path / "starts", "os.kill(os.getpid(), signal.SIGKILL)")
    assert keep_running(lambda: command, QUICK, said.append) == 0
    assert len((tmp_path / "starts").read_text()) == 3
    assert ["killed by SIGKILL" in line for line in said] == [True, True]


def test_after_the_last_attempt_it_gives_up_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    assert keep_running(lambda: crashes(9, tmp_path / "starts", "sys.exit(3)"), QUICK, said.append) == 3
    assert len((tmp_path / "starts").read_text()) == 3
    assert "attempt 3 of 3: giving up" in said[-1]


def test_what_only_the_user_can_mend_is_not_tried_again(tmp_path: Path) -> None:
    assert keep_running(lambda: crashes(9, tmp_path / "starts", "sys.exit(2)"), QUICK, print) == 2
    assert len((tmp_path / "starts").read_text()) == 1


def test_pauses_double_up_to_a_limit() -> None:
    assert [Patience().pause(failures) for failures in (1, 2, 3, 9)] == [10.0, 20.0, 40.0, 300.0]


def test_a_machine_about_to_be_preempted_stops_the_experiment_and_starts_no_other(tmp_path: Path) -> None:
    code = f"""
        import sys
        from pathlib import Path
        from experiments.launch.supervise import Patience, keep_running
        code = "import pathlib, time; pathlib.Path({str(tmp_path / "up")!r}).touch(); time.sleep(60)"
        child = [sys.executable, "-c", code]
        sys.exit(keep_running(lambda: child, Patience(first_pause=0), print))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "up").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "the same command goes on from the last checkpoint" in said


def begin(folder: Path, status: str = "running", shards: int = 1) -> None:
    record = {
        "status": status,
        "version": "0",
        "inputs": {},
        "data_source": "real",
        "config": {"ppo": {"shards": shards}},
    }
    storage.write_json(folder / "stage.json", record)


@pytest.mark.parametrize("place", ["bucket", "disk"])
def test_an_unfinished_stage_is_resumed_and_a_finished_one_is_left_to_itself(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.delenv("RETENTIONJAX_SHARDS", raising=False)
    runs = f"{bucket}/runs" if place == "bucket" else str(tmp_path)
    given = ["smoke", "--runs", runs, "--name", "mine", "--force"]
    start = [sys.executable, "-m", "experiments.policy", *given]
    assert command_of("policy", given) == start
    begin(storage.as_path(runs) / "mine/policy")
    assert command_of("policy", given) == [*start[:-1], "--resume"]
    assert command_of("pipeline", given)[3:] == given[:-1]
    begin(storage.as_path(runs) / "mine/policy", "done")
    assert command_of("policy", given) == start


def test_groups_of_environments_follow_the_devices_but_not_in_the_middle_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTIONJAX_SHARDS", "4")
    given = ["smoke", "--runs", str(tmp_path)]
    assert command_of("policy", given)[-2:] == ["--ppo.shards", "4"]
    assert command_of("pipeline", given)[-2:] == ["--policy.ppo.shards", "4"]
    assert command_of("policy", [*given, "--ppo.shards", "8"])[-2:] == ["--ppo.shards", "8"]
    assert command_of("churn", given)[-2:] == given[-2:]
    begin(tmp_path / "smoke/policy", shards=2)
    assert command_of("pipeline", given)[-2:] == ["--policy.ppo.shards", "2"]


def test_unknown_experiments_are_refused() -> None:
    with pytest.raises(ConfigError, match="'polcy' is no experiment; allowed: pipeline, data"):
        command_of("polcy", ["smoke"])


SUPERVISED = """
    import sys
    from experiments.launch.supervise import Patience, keep_running
    sys.exit(keep_running(lambda: [sys.executable, *sys.argv[1:]], Patience(), print))
"""


def training(folder: Path, pause: float = 0.0) -> subprocess.Popen[bytes]:
    """Six iterations of PPO under the supervisor, a checkpoint each; all of it in a process group of its own."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", textwrap.dedent(SUPERVISED), str(WORKER), str(folder), "6", str(pause)]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_training_on_a_preempted_machine_ends_bit_identical_on_another(tmp_path: Path) -> None:
    machine, other, whole = tmp_path / "machine", tmp_path / "other", tmp_path / "whole"
    assert training(whole).wait() == 0
    preempted = training(machine, pause=0.5)
    while not (machine / "checkpoints/3").is_dir():
        assert preempted.poll() is None, "it ended before it could be preempted"
        time.sleep(0.01)
    os.killpg(preempted.pid, signal.SIGKILL)  # supervisor and all: the machine is gone
    preempted.wait()
    assert not (machine / "final.npz").exists()
    shutil.copytree(machine, other)
    shutil.rmtree(machine)
    assert training(other).wait() == 0
    with np.load(whole / "final.npz") as one, np.load(other / "final.npz") as another:
        assert one.files == another.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], another[name])
