"""A disk and two clocks that misbehave as a seed says, under SQLite's own code and files.

A crash is a copy of the files as a dead machine would leave them, which the next life opens: what SQLite has on the
disk (`synchronous = FULL` waits for it, at each commit) stays; of what it wrote since, a piece, perhaps garbled.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from serving.ledger import LedgerUnavailable
from serving.ledger.database import Row, SqliteConnection, SqliteSource

_MEMORY = Path("/dev/shm")
_FULL = 2  # of `PRAGMA synchronous`
_GARBLED = bytes(range(255, -1, -1))


class Crashed(BaseException):
    """The machine is dead: no line of the program runs after it, whatever exceptions it handles."""


class Time:
    """The ledger's clock, which people set, and the machine's own, which nobody can."""

    def __init__(self, wall: float) -> None:
        self.wall, self.monotonic = wall, 0.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@dataclass
class Trouble:
    """Probabilities for each chance there is."""

    slow: float = 0.0
    """A commit takes seconds."""
    refused: float = 0.0
    """A transaction cannot begin, or its commit fails and nothing of it is kept."""
    unsaid: float = 0.0
    """A commit is kept, and said to have failed: the connection broke before the answer."""
    crash: float = 0.0
    """The machine dies, before, in or after a commit, or in the middle of a transaction."""


class Disk:
    """The files of one history, life after life."""

    def __init__(self, random: Random, time: Time, blank: bytes) -> None:
        """`blank`: the file of a ledger in which nothing is."""
        self.trouble = Trouble()
        self.said: Callable[[str], None] = lambda _: None
        self.committed: Callable[[], None] = lambda: None
        """Called after each transaction that wrote."""
        self.expected: tuple[object, ...] = ()
        """What may be in the ledger after the last crash: one state, or those before and after the commit it hit."""
        self.dead = False
        self._random, self._time = random, time
        self._root = Path(tempfile.mkdtemp(prefix="simulation-", dir=_MEMORY if _MEMORY.is_dir() else None))
        self._life, self._durable = 0, 0
        self._observer: sqlite3.Connection | None = None
        self._lives(blank)

    def _lives(self, ledger: bytes, log: bytes | bytearray = b"") -> None:
        """What a life finds on the disk."""
        folder = self._root / str(self._life)
        folder.mkdir()
        self.file, self._log = folder / "ledger.db", folder / "ledger.db-wal"
        self.file.write_bytes(ledger)
        if log:
            self._log.write_bytes(log)

    def _written(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def source(self) -> "Source":
        return Source(self.file, 5.0, self)

    def look(self, statement: str, *values: Any) -> list[Row]:
        """What is committed, seen from outside the program, by who changes nothing: not even the log when it closes."""
        if self._observer is None:
            self._observer = sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True, isolation_level=None)
        return self._observer.execute(statement, values).fetchall()

    def state(self) -> dict[str, list[Row]]:
        """All rows of all tables, as they lie in the file."""
        self.look("BEGIN")
        tables = [row[0] for row in self.look("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        rows = {table: self.look(f"SELECT * FROM {table}") for table in tables}
        self.look("COMMIT")
        return rows

    # --- what may go wrong ------------------------------------------------------------------------------------

    def happens(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance

    def begin(self) -> None:
        if self.happens(self.trouble.refused):
            self.said("the database is busy")
            raise LedgerUnavailable("busy")
        if self.happens(self.trouble.crash / 4):
            self.crash()

    def statement(self) -> None:
        if self.happens(self.trouble.crash / 40):
            self.said("in the middle of a transaction")
            self.crash()

    def commit(self, commit: Callable[[], None], *, waits: bool) -> None:
        """Runs `commit`, or not. `waits`: SQLite has it on the disk before it returns."""
        if self.happens(self.trouble.slow):
            self._time.passes(self._random.choice([0.5, 3.0, 90.0]))
            self.said("a slow commit")
        if self.happens(self.trouble.refused):
            self.said("the disk is full")
            raise LedgerUnavailable("full")
        when = self._random.choice(["before", "in", "after"]) if self.happens(self.trouble.crash) else ""
        if when == "before":
            self.crash()
        before, size = (self.state() if when == "in" else None), self._written()
        commit()
        if when == "in":
            self.said("in a commit")
            self.crash(self._random.randint(size, self._written()), states=(before, self.state()))
        if waits or self._written() < size:  # a check point begins the log anew, and waits for it
            self._durable = self._written()
        self.committed()
        if when == "after":
            self.said("after a commit")
            self.crash()
        if self.happens(self.trouble.unsaid):
            self.said("a commit that is kept and said to have failed")
            raise LedgerUnavailable("the connection broke")

    def forgotten(self) -> None:
        self._durable = self._written()

    def crash(self, kept: int | None = None, *, states: tuple[object, ...] = ()) -> NoReturn:
        """The end of this life; `kept` bytes of the log are on the disk, by default as many as must be or more."""
        self.expected = states or (self.state(),)
        self.said("CRASH")
        if kept is None:
            kept = self._random.choice([self._durable, self._random.randint(self._durable, self._written())])
        log = bytearray(self._log.read_bytes()[:kept] if self._log.exists() else b"")
        if len(log) > self._durable and self._random.random() < 0.5:  # the last thing on its way is garbled
            at = self._random.randrange(self._durable, len(log))
            log[at:] = log[at:].translate(_GARBLED)
        self._life += 1
        self._lives(self.file.read_bytes(), log)
        self._durable, self.dead = len(log), True
        raise Crashed

    def boot(self) -> None:
        """The machine is started again."""
        self.dead = False
        self._unobserve()  # only now: the last to leave a file would write its log into it, which nobody reads any more

    def _unobserve(self) -> None:
        if self._observer is not None:
            self._observer.close()
            self._observer = None

    def remove(self) -> None:
        self._unobserve()
        shutil.rmtree(self._root)


@dataclass(frozen=True)
class Source(SqliteSource):
    """SQLite on this disk."""

    disk: Disk

    def writer(self) -> "Connection":
        return Connection(super().writer(), self.disk)

    def reader(self) -> "Connection":
        return Connection(super().reader(), self.disk)


class Connection(SqliteConnection):
    """SQLite's connection, which notices what happens to the machine."""

    def __init__(self, opened: SqliteConnection, disk: Disk) -> None:
        super().__init__(opened._connection, opened._begin, opened._wait_seconds)
        self._disk, self._writes = disk, opened._begin != "BEGIN"
        self._waits = self._connection.execute("PRAGMA synchronous").fetchone()[0] >= _FULL
        self._changes = 0

    def begin(self) -> None:
        self._alive()
        self._disk.begin()
        super().begin()
        self._changes = self._connection.total_changes

    def commit(self) -> None:
        self._alive()
        if self._writes and self._connection.total_changes != self._changes:
            self._disk.commit(super().commit, waits=self._waits)
        else:
            super().commit()

    def rollback(self) -> None:
        if not self._disk.dead:
            super().rollback()

    def rows(self, statement: str, *values: Any) -> list[Row]:
        self._alive()
        return super().rows(statement, *values)

    def run(self, statement: str, *values: Any) -> int:
        self._alive()
        self._disk.statement()
        return super().run(statement, *values)

    def many(self, statement: str, values: Any) -> int:
        self._alive()
        self._disk.statement()
        return super().many(statement, values)

    def forget(self, *, copies: bool) -> None:
        """A check point: all of the log is in the ledger's file, and on the disk, before the log is cut off."""
        self._alive()
        super().forget(copies=copies)
        self._disk.forgotten()

    def _alive(self) -> None:
        if self._disk.dead:
            raise Crashed
