"""The ledger's database: the handful of calls it needs, which SQLite (here) and PostgreSQL (`postgres`) answer alike.

Statements are written once, in SQLite's words: `?` for a value, `SELECT value FROM json_each(?)` for the texts of a
JSON list; `postgres` says the same in PostgreSQL's.

SQLite is one file in WAL mode, every commit on the disk before it is answered, one writer at a time: `BEGIN IMMEDIATE`
takes the file's write lock, so that what a transaction has read cannot change before it writes, in whatever process
the others live. Deleted and overwritten content is zeroed (`secure_delete`).
"""

import contextlib
import functools
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, Protocol

from serving.ledger.types import BudgetExceeded, CooldownBroken, DuplicateRecord, LedgerError, LedgerUnavailable

Row = tuple[Any, ...]


class Connection(Protocol):
    """One connection; of one thread at a time. Every call may raise LedgerUnavailable or a refusal of the ledger's."""

    def begin(self) -> None:
        """Starts a transaction: for writing, alone in the whole database; for reading, on a snapshot."""

    def commit(self) -> None:
        """Ends the transaction; what it wrote is on the disk."""

    def rollback(self) -> None:
        """Ends the transaction as if it had not been; never raises."""

    def rows(self, statement: str, *values: Any) -> list[Row]:
        """All rows of a SELECT, or of a change with RETURNING."""

    def stream(self, statement: str, *values: Any) -> Iterator[Row]:
        """Rows of a SELECT a few thousand at a time, in constant memory, inside the transaction."""

    def run(self, statement: str, *values: Any) -> int:
        """Runs a change; how many rows it changed."""

    def many(self, statement: str, values: Iterable[Sequence[Any]]) -> int:
        """Runs a change for each of `values`; how many rows all of them changed."""

    def insert(self, table: str, columns: tuple[str, ...], values: Sequence[Sequence[Any]]) -> None:
        """Adds rows to a table, in as few calls as the database lets; each of `values` is aligned with `columns`."""

    def columns(self, table: str) -> list[str]:
        """Names of a table's columns; empty if there is no such table."""

    def tables(self) -> list[str]:
        """Names of all tables and views that a statement here would find first."""

    def define(self, statement: str) -> None:
        """Runs one statement of a migration, inside the transaction."""

    def forget(self, *, copies: bool) -> None:
        """Makes sure that what was overwritten or deleted is not left in the database's files, as far as it can.

        `copies`: nor what the database moved around before. Raises LedgerUnavailable where somebody still reads it.
        """

    def close(self) -> None:
        """Closes the connection; what is open is rolled back."""


class Source(Protocol):
    """A database that connections can be made to."""

    def writer(self) -> Connection:
        """A connection whose transactions are alone in the whole database."""

    def reader(self) -> Connection:
        """A connection that can only read."""


def texts(values: Iterable[str]) -> str:
    """The JSON list that a statement's json_each reads."""
    return json.dumps(list(values))


# --- SQLite -----------------------------------------------------------------------------------------------------------

# The state of the disk or of other processes, by SQLite's primary result codes; any other code is a defect of ours.
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}
_REFUSALS: tuple[tuple[str, type[LedgerError], str], ...] = (  # part of SQLite's message → what it means
    ("budget_holds", BudgetExceeded, "spent + reserved would pass the campaign's budget"),
    ("contacts.customer_id", CooldownBroken, "the customer has a contact that day, or one pending, already"),
    ("decisions.idempotency_key", DuplicateRecord, "the Idempotency-Key has been answered already"),
    ("decisions.decision_id", DuplicateRecord, "the decision is recorded already"),
)


@dataclass(frozen=True)
class SqliteSource:
    """A SQLite file; made, with its WAL, when a writer opens it first, for owner and group alone: it knows people."""

    path: Path
    wait_seconds: float
    """How long a transaction waits for another process's."""

    def writer(self) -> "SqliteConnection":
        with contextlib.suppress(OSError):  # it is there, or SQLite says why it cannot be
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL, _MODE))
        opened = self._open(f"{self.path.absolute().as_uri()}?mode=rwc", _WRITER)
        return SqliteConnection(opened, "BEGIN IMMEDIATE", self.wait_seconds)

    def reader(self) -> "SqliteConnection":
        opened = self._open(f"{self.path.absolute().as_uri()}?mode=ro", _READER)
        return SqliteConnection(opened, "BEGIN", self.wait_seconds)

    def _open(self, uri: str, pragmas: Sequence[str]) -> sqlite3.Connection:
        try:
            with _explained():
                connection = sqlite3.connect(
                    uri, uri=True, timeout=self.wait_seconds, isolation_level=None, check_same_thread=False
                )
                try:
                    for pragma in pragmas:  # while another process turns the same file to WAL, SQLite does not wait
                        _patiently(connection, pragma, self.wait_seconds)
                except BaseException:
                    connection.close()
                    raise
        except LedgerUnavailable as error:
            raise LedgerUnavailable(f"{self.path}: {error}") from error
        return connection


def _patiently(connection: sqlite3.Connection, statement: str, seconds: float) -> None:
    """Runs a statement that is refused while another process writes, and tries again for so long."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return


_SHARED = ("PRAGMA foreign_keys = ON",)
_WRITER = (
    *_SHARED,
    # SQLite's own waiting sleeps up to 0.1 s, in which a busy service writes ten times and we never: see `begin`.
    "PRAGMA busy_timeout = 0",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA cache_size = -65536",  # KiB; a micro-batch touches a hundred pages all over the file
    "PRAGMA wal_autocheckpoint = 16000",  # pages, 64 MB; a check point waits for the disk twice, and decisions with it
)
_READER = (*_SHARED, "PRAGMA query_only = ON")
_MODE = 0o660  # less what the process's umask takes; SQLite gives the files beside it the same
_FORGET_SECONDS = 30.0  # for those who read and write meanwhile
_AGAIN_SECONDS = 0.0005  # less than there is between two transactions of a process that writes all the time
_PAGE = 2_000  # rows of a stream fetched at a time
_AT_ONCE = 32  # rows of one INSERT


class SqliteConnection:
    """`Connection` on SQLite."""

    def __init__(self, connection: sqlite3.Connection, begin: str, wait_seconds: float) -> None:
        self._connection, self._begin, self._wait_seconds = connection, begin, wait_seconds

    def begin(self) -> None:
        with _explained():
            _patiently(self._connection, self._begin, self._wait_seconds)

    def commit(self) -> None:
        with _explained():
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # a failed COMMIT may have ended the transaction already
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def rows(self, statement: str, *values: Any) -> list[Row]:
        with _explained():
            return self._connection.execute(statement, values).fetchall()

    def stream(self, statement: str, *values: Any) -> Iterator[Row]:
        with _explained():
            cursor = self._connection.execute(statement, values)
            while page := cursor.fetchmany(_PAGE):
                yield from page

    def run(self, statement: str, *values: Any) -> int:
        with _explained():
            return self._connection.execute(statement, values).rowcount

    def many(self, statement: str, values: Iterable[Sequence[Any]]) -> int:
        with _explained():
            return self._connection.executemany(statement, values).rowcount

    def insert(self, table: str, columns: tuple[str, ...], values: Sequence[Sequence[Any]]) -> None:
        for start in range(0, len(values), _AT_ONCE):
            some = values[start : start + _AT_ONCE]
            self.run(_insert(table, columns, len(some)), *chain.from_iterable(some))

    def columns(self, table: str) -> list[str]:
        return [row[0] for row in self.rows("SELECT name FROM pragma_table_info(?)", table)]

    def tables(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]

    def define(self, statement: str) -> None:
        """Runs a statement of a migration."""
        with _explained():
            self._connection.execute(statement)

    def forget(self, *, copies: bool) -> None:
        give_up = time.monotonic() + _FORGET_SECONDS
        with _explained():
            if copies:  # rows that moved to another page of the file are left, out of use, on the first one
                _patiently(self._connection, "VACUUM", _FORGET_SECONDS)
            while self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > give_up:
                    raise LedgerUnavailable(
                        "what was deleted is still in the ledger's log, which somebody reads or writes without a pause"
                    )
                time.sleep(_AGAIN_SECONDS)

    def close(self) -> None:
        self._connection.close()


@functools.cache
def _insert(table: str, columns: tuple[str, ...], rows: int) -> str:
    """One INSERT of so many rows.

    Each call into SQLite lets go of Python's lock, and on a busy service waits to have it back: once a batch, not once
    a row.
    """
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - names of ours


class _explained:  # noqa: N801 - used as a function; a generator would cost each statement a microsecond more
    """SQLite's errors as the ledger's."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            _explain(error)


def _explain(error: sqlite3.Error) -> NoReturn:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF) in _UNAVAILABLE:
        raise LedgerUnavailable(f"the ledger's database cannot be used now: {error.sqlite_errorname}") from error
    if isinstance(error, sqlite3.IntegrityError):
        for part, refusal, meaning in _REFUSALS:
            if part in str(error):
                raise refusal(meaning) from error
    raise error
