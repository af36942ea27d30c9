"""The clock that ours and the peers share: one process each, that runs once for every line it is sent.

Two processes taking turns see the same machine, busy or idle; compilation is over before the first turn.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def answer(run: Callable[[], object], steps: int) -> None:
    """Runs in a worker: say ready, then for each line read run once and print its speed as JSON."""
    started = time.perf_counter()
    run()
    print(json.dumps({"first_seconds": time.perf_counter() - started}), flush=True)
    for _ in sys.stdin:
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(json.dumps({"per_cpu_second": steps / cpu, "per_second": steps / wall}), flush=True)


class Worker:
    """A worker's process, seen from the benchmark."""

    def __init__(self, python: Path | str, script: Path, *arguments: str, cores: int | None = None) -> None:
        """`cores`: keep to so many of the machine's; None, all of them."""
        command = [str(python), str(script), *arguments]
        allowed = sorted(os.sched_getaffinity(0))[:cores]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(len(allowed))},
            preexec_fn=lambda: os.sched_setaffinity(0, allowed),  # noqa: PLW1509 - the benchmark has one thread
        )
        self.first_seconds = self._read()["first_seconds"]  # of the run that compiles

    def turn(self) -> dict[str, float]:
        """One timed run."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Let the worker end."""
        self.process.communicate()

    def _read(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with status {self.process.wait()} before it answered")
        return dict(json.loads(line))
