"""A PostgreSQL server of the tests' own: a private cluster in a temporary folder, reached by a Unix socket only."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest


def binaries() -> Path | None:
    """The folder of initdb and postgres; None where there is no server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    if found:
        return found[0]
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


class Server:
    """A cluster that can be stopped and started again."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._data, self._socket, self._programs = folder / "data", folder, programs
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count()

    def start(self) -> None:
        """Returns once it answers."""
        command = [
            self._programs / "postgres",
            *("-D", self._data, "-k", self._socket),
            *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50"),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_as_nobody())
        give_up = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > give_up or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Stops it at once, as if the machine had gone: connections break, what was not committed is lost."""
        assert self._process is not None
        self._process.send_signal(3)  # SIGQUIT: immediate shutdown
        self._process.wait(30)

    def url(self, database: str) -> str:
        return f"postgresql://tester@/{database}?host={self._socket}"

    def new_database(self) -> str:
        """The URL of an empty schema, which is made sooner than a database."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"{self.url('postgres')}&options=-csearch_path%3D{name}"


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server that runs until the block ends; skips the test, by name, where there is none."""
    programs = binaries()
    if programs is None:
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("nobody")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **_as_nobody(),
        )
        server = Server(folder, programs)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _as_nobody() -> dict[str, str]:
    """PostgreSQL refuses to run as root."""
    return {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
