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

from serving.ledger import Ledger, opening


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
        self._ledgers: list[str] = []

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
    def ledger(self) -> Iterator[str]:
        """The URL of a ledger in which nothing stands. It is emptied for the next test: to bring an empty database to
        the program's schema takes the server ten times as long as most tests."""
        if not self._ledgers:
            self._ledgers.append(self.new_database())
            Ledger.open(self._ledgers[-1], clock=time.time).close()
        url = self._ledgers.pop()
        yield url
        with contextlib.suppress(psycopg.errors.LockNotAvailable), psycopg.connect(url) as connection:
            connection.execute("SET session_replication_role = replica; SET lock_timeout = '1s'")
            (newest,) = connection.execute("SELECT max(version) FROM schema_version").fetchone() or (0,)
            if newest == opening.migrations()[-1][0]:
                tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
                for (name,) in tables.fetchall():
                    if name != "schema_version":
                        connection.execute(f"DELETE FROM {name}".encode())
                self._ledgers.append(url)


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
