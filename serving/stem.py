"""The process that engines are forked from: it has imported what they need, which is more than half of their start.

It has one thread, holds no bundle and knows no customer; an engine that was killed is forked again. It ends with the
service, by its socket. To begin with, this module imports little: the service starts the stem first of all, and both
import at the same time.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from typing import Protocol

from serving.settings import Settings, hand_on

_NUMBER = 4  # bytes


class Process(Protocol):
    """What is asked of an engine's process."""

    @property
    def pid(self) -> int:
        """Number of the process."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once it has ended. Raises subprocess.TimeoutExpired."""

    def kill(self) -> None:
        """Ends it at once."""


class Stem:
    """The service's end. One engine at a time is forked from a stem."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._start()

    def __call__(self, settings: Settings, *sockets: int) -> Process:
        """A new engine by `settings`, which inherits its ends of the two `sockets`, by file descriptor. The stem is
        started again if it is gone."""
        try:
            return self._fork(settings, sockets)
        except OSError:
            self.close()
            self._start()
            return self._fork(settings, sockets)

    def close(self) -> None:
        """Ends it, once the engine has ended."""
        self._orders.close()
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        # A micro-batch is too little work to be worth handing to other threads; a language model's is not.
        lone = {"JAX_CPU_ENABLE_ASYNC_DISPATCH": "false", "NPROC": "1"} if self._settings.messages == "template" else {}
        environment = {**lone, **os.environ}
        hand_on(self._settings, environment)
        self._orders, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                # -P: never a folder of this name where the service was started
                [sys.executable, "-P", "-m", "serving.stem", str(its.fileno())],
                env=environment,
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def _fork(self, settings: Settings, sockets: tuple[int, ...]) -> Process:
        environment: dict[str, str] = {}
        hand_on(settings, environment)
        ours, its = socket.socketpair()
        with its:
            socket.send_fds(self._orders, [b"."], [*sockets, its.fileno()])
        ours.sendall(json.dumps(environment).encode())
        ours.shutdown(socket.SHUT_WR)
        return _Forked(ours)


class _Forked:
    """An engine's process. Its stem says by `told` which it is, and how it ended; both hold the other end of that."""

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self._pid: int | None = None
        self._code: int | None = None

    @property
    def pid(self) -> int:
        """Number of the process, 0 for one that was never forked; waits for the stem to have imported."""
        if self._pid is None:
            self._told.settimeout(None)
            self._pid = self._number(0)
        return self._pid

    def wait(self, timeout: float | None = None) -> int:
        """See Process; -9 where the stem ended first, since nobody knows."""
        if self.pid and self._code is None:
            self._told.settimeout(timeout)
            try:
                self._code = self._number(-signal.SIGKILL)
            except TimeoutError:
                raise subprocess.TimeoutExpired("engine", timeout or 0.0) from None
        return -signal.SIGKILL if self._code is None else self._code

    def kill(self) -> None:
        """See Process."""
        if self.pid and self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _number(self, otherwise: int) -> int:
        data = self._told.recv(_NUMBER)
        return int.from_bytes(data, signed=True) if data else otherwise


def main() -> None:
    """The stem: imports, and forks an engine whenever it is told to. In the engine it returns when that has ended."""
    for each in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group of processes; the service drains us
        signal.signal(each, signal.SIG_IGN)
    from serving.engine import process  # what takes so long

    gc.collect()
    gc.freeze()  # what the garbage collector does not touch stays shared with the engine
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        while sockets := [socket.socket(fileno=each) for each in socket.recv_fds(orders, 1, 3)[1]]:
            control, decisions, told = sockets
            pid = os.fork()
            if pid == 0:
                orders.close()
                os.environ |= json.loads(told.makefile("rb").read())
                process.main(control, decisions)  # `told` stays open until the end of the process
                return
            told.sendall(pid.to_bytes(_NUMBER))
            control.close()
            decisions.close()
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with told, contextlib.suppress(ConnectionError):  # the service is gone
                told.sendall(code.to_bytes(_NUMBER, signed=True))


if __name__ == "__main__":
    main()
