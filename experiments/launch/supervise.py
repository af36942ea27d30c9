"""Runs a stage or the pipeline to its end, through crashes and preemptions.

    python -m experiments.launch.supervise pipeline mvp --runs gs://bucket/runs
    python -m experiments.launch.supervise policy mvp --runs gs://bucket/runs --name mvp --ppo.learning-rate 1e-3

Whatever ends it, the same command goes on from the last checkpoint in the run's folder, on this machine or on another
one: put it where the machine runs it at every start. A crash is tried again here, after a pause; an error that only
the user can mend (status 2) and Ctrl-C are not.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments import config as configuration
from experiments.stage import Record, read_record
from retentionjax import cli, storage
from retentionjax.errors import ConfigError
from retentionjax.tracking import duration

FINAL = (0, 2, 130)
"""Exit statuses that another attempt would not change: done, the user's to mend, Ctrl-C."""
TERMINATED = 128 + signal.SIGTERM
GRACE_SECONDS = 20.0  # of the 30 that a preempted machine has


@dataclass(frozen=True)
class Patience:
    """How often a crashed experiment is started again, and after what pause."""

    attempts: int = 5
    first_pause: float = 10.0  # seconds, doubled each time
    longest_pause: float = 300.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures, one or more."""
        return float(min(self.longest_pause, self.first_pause * 2 ** (failures - 1)))


def keep_running(command: Callable[[], Sequence[str]], patience: Patience, say: Callable[[str], None]) -> int:
    """Runs what `command()` says, asked anew at each start, until it ends for good; returns its exit status.

    SIGTERM, which a machine about to be preempted gets, is handed on and ends it with status 143.
    """
    for failures in range(1, patience.attempts + 1):
        arguments = command()
        started = time.monotonic()
        status, terminated = _run(arguments)
        lasted = duration(time.monotonic() - started)
        if terminated:
            say(f"terminated after {lasted}; the same command goes on from the last checkpoint")
            return TERMINATED
        if status in FINAL:
            return status
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        if failures == patience.attempts:
            say(f"{how} after {lasted}; that was attempt {failures} of {patience.attempts}: giving up")
            return status if status > 0 else 128 - status
        pause = patience.pause(failures)
        say(f"{how} after {lasted}; attempt {failures + 1} of {patience.attempts} in {duration(pause)}")
        time.sleep(pause)
    raise AssertionError("unreachable")


def _run(arguments: Sequence[str]) -> tuple[int, bool]:
    """(exit status, whether SIGTERM came) of a child process."""
    terminated = False
    child = subprocess.Popen(arguments)

    def hand_on(number: int, frame: Any) -> None:  # noqa: ARG001 - the signature is Python's
        nonlocal terminated
        terminated = True
        child.terminate()

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        while True:
            try:
                return child.wait(GRACE_SECONDS if terminated else 0.5), terminated
            except subprocess.TimeoutExpired:
                if terminated:
                    child.kill()
    finally:
        signal.signal(signal.SIGTERM, before)
        if child.poll() is None:
            child.kill()
            child.wait()


def command_of(experiment: str, arguments: Sequence[str]) -> list[str]:
    """The command that starts `experiment`, or goes on with it if its run was begun and not finished.

    Raises ConfigError for an unknown experiment or preset.
    """
    allowed = ("pipeline", *configuration.STAGES)
    if experiment not in allowed:
        raise ConfigError(f"{experiment!r} is no experiment; allowed: {', '.join(allowed)}")
    begun = _begun("policy" if experiment == "pipeline" else experiment, arguments)
    given = list(arguments)
    if begun is not None:
        given = [each for each in given if each != "--force"]  # it was for the first start
        if experiment != "pipeline" and "--resume" not in given:  # the pipeline goes on by itself
            given.append("--resume")
    return [sys.executable, "-m", f"experiments.{experiment}", *given, *_sharding(experiment, given, begun)]


def _begun(stage: str, arguments: Sequence[str]) -> Record | None:
    """The record of the unfinished run of `stage` that these arguments speak of, if there is one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("preset")
    parser.add_argument("--name", default="")
    parser.add_argument("--runs", default="runs")
    options, _ = parser.parse_known_args(list(arguments))
    name = options.name or configuration.load_preset(options.preset).name
    record = read_record(storage.as_path(options.runs) / name / stage)
    return record if record is not None and record.status == "running" else None


def _sharding(experiment: str, given: Sequence[str], begun: Record | None) -> list[str]:
    """The policy's groups of environments, one a device (RETENTIONJAX_SHARDS); an unfinished run keeps its own."""
    flags = {"policy": "--ppo.shards", "pipeline": "--policy.ppo.shards"}
    if experiment not in flags or any(each.startswith(flags[experiment]) for each in given):
        return []
    shards = int(os.environ.get("RETENTIONJAX_SHARDS") or 1)
    if begun is not None:
        shards = int(begun.config["ppo"]["shards"])
    return [flags[experiment], str(shards)] if shards > 1 else []


def main() -> int:
    """The command line; everything after the experiment's name is its own."""
    given = sys.argv[1:]
    if not given or given[0] in ("-h", "--help") or len(given) < 2:
        print(__doc__)
        return 0 if given and given[0] in ("-h", "--help") else 2

    def say(text: str) -> None:
        print(f"[supervise] {text}", flush=True)

    return cli.guarded(lambda: keep_running(lambda: command_of(given[0], given[1:]), Patience(), say))


if __name__ == "__main__":
    sys.exit(main())
