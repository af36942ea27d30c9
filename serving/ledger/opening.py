"""Opening a database by its URL (`sqlite:///relative/path`, `sqlite:////absolute/path`, `postgresql://…`), and bringing
it to the schema of this program: numbered files, each applied whole or not at all, in order.
"""

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import psycopg
from psycopg import errors

from retentionjax.errors import ConfigError
from serving.ledger.database import Connection, Row, Source, SqliteSource
from serving.ledger.types import (
    BudgetExceeded,
    CommitUnknown,
    CooldownBroken,
    DuplicateRecord,
    LedgerError,
    LedgerUnavailable,
)


def source(url: str, wait_seconds: float, *, create: bool) -> Source:
    """The database that `url` names; a SQLite file that is not there yet is made if `create`.

    Raises ConfigError for a URL that is none, of which no more than the scheme is shown, since it may hold a password,
    or a file that cannot be, and LedgerError for one that is not there.
    """
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ConfigError(f"the database is {url}; allowed: a file, there or not yet, in a folder that is there")
        if not create and not path.exists():
            raise LedgerError(f"there is no ledger at {path}; `retentionjax serve` makes one")
        return SqliteSource(path, wait_seconds)
    if url.startswith("postgresql://"):
        return PostgresSource(url, wait_seconds)
    scheme = url.partition(":")[0]
    raise ConfigError(
        f"the database's URL begins with {scheme!r}; allowed: sqlite:///PATH, postgresql://USER@HOST/NAME"
    )


@functools.cache
def migrations() -> tuple[tuple[int, str], ...]:
    """(number, SQL) of every migration there is, in order."""
    folder = resources.files(__package__) / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple((int(file.name[:4]), file.read_text(encoding="utf-8")) for file in files)


def migrate(connection: Connection) -> None:
    """Applies what the database lacks, all in one transaction; processes that start together wait for each other.

    Raises LedgerError if the database was written by a newer program, whose rules are not known here, or by one from
    before the first release, or holds tables of somebody else's that are named as ours.
    """
    known = migrations()
    connection.begin()
    try:
        connection.define("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        version = _version(connection, known)
        for number, script in known:
            if number > version:
                for statement in _statements(script):
                    connection.define(statement)
                connection.run("INSERT INTO schema_version (version) VALUES (?)", number)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _version(connection: Connection, known: Sequence[tuple[int, str]]) -> int:
    if "version" not in connection.columns("schema_version"):
        raise _foreign("schema_version")
    version: int = max((row[0] for row in connection.rows("SELECT version FROM schema_version")), default=0)
    if version > known[-1][0]:
        raise LedgerError(
            f"the ledger has schema {version}, and this program knows schemas up to {known[-1][0]}: a newer program "
            "wrote it; start that one"
        )
    if 0 < version < known[0][0]:
        raise LedgerError(f"the ledger has schema {version}, of a program that was never released; make a new ledger")
    if version == 0:
        ours = {name for _, script in known for name in re.findall(r"CREATE TABLE (\w+)", script)}
        if foreign := ours.intersection(connection.tables()):
            raise _foreign(min(foreign))
    return version


def _foreign(table: str) -> LedgerError:
    return LedgerError(
        f"the database has a table {table!r} already, which this program did not make; allowed: a database, or a "
        "schema of PostgreSQL's, of the ledger's own"
    )


def _statements(script: str) -> list[str]:
    """The statements of a script whose comments stand on lines of their own."""
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return [statement for part in "\n".join(lines).split(";") if (statement := part.strip())]


# --- PostgreSQL ------------------------------------------------------------------------------------------------------
# A connection that broke while it lay idle (the server was restarted) is made anew, once, before a transaction begins;
# after that a break is the caller's to hear of.


_LOCK = 0x5265_7465_6E74  # any number that nothing else in the database takes: "Retent"
_PAGE = 2_000  # rows of a stream fetched at a time
_REFUSALS: dict[str, tuple[type[LedgerError], str]] = {  # by the constraint's name
    "budget_holds": (BudgetExceeded, "spent + reserved would pass the campaign's budget"),
    "one_contact_a_day": (CooldownBroken, "the customer has a contact that day already"),
    "one_planned_contact": (CooldownBroken, "the customer has a contact pending already"),
    "one_answer_a_key": (DuplicateRecord, "the Idempotency-Key has been answered already"),
    "decisions_pkey": (DuplicateRecord, "the decision is recorded already"),
}
_UNAVAILABLE = (
    psycopg.OperationalError,  # gone, shut down, out of disk or connections, lock or statement timeout
    psycopg.InterfaceError,  # the connection is closed
    errors.ReadOnlySqlTransaction,  # fail-over: this server is a standby now
    errors.IdleInTransactionSessionTimeout,
)
_TYPES = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "BLOB": "BYTEA", "STRICT": "", "STRICT, WITHOUT ROWID": ""}


@functools.cache
def in_postgres(statement: str) -> bytes:
    """`statement` in PostgreSQL's words, parameters in psycopg's."""
    lists = statement.replace("SELECT value FROM json_each(?)", "SELECT jsonb_array_elements_text(?::jsonb)")
    return lists.replace("?", "%s").encode()


def schema_in_postgres(statement: str) -> bytes:
    """A statement of a migration in PostgreSQL's words."""
    return re.sub(
        r"\b(INTEGER|REAL|BLOB|STRICT(, WITHOUT ROWID)?)\b", lambda match: _TYPES[match[0]], statement
    ).encode()


@dataclass(frozen=True)
class PostgresSource:
    """A PostgreSQL database by its URL, which may hold a password and is never shown."""

    url: str
    wait_seconds: float
    """How long a transaction waits for another's, and a connection for the server."""

    def __repr__(self) -> str:
        return "PostgresSource(…)"

    def writer(self) -> "PostgresConnection":
        return PostgresConnection(self, "BEGIN", locks=True)

    def reader(self) -> "PostgresConnection":
        return PostgresConnection(self, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", locks=False)

    def connect(self) -> psycopg.Connection[Row]:
        milliseconds = int(self.wait_seconds * 1000)
        with _explained():
            connection: psycopg.Connection[Row] = psycopg.connect(
                self.url,
                autocommit=True,
                connect_timeout=max(2, round(self.wait_seconds)),
                application_name="retentionjax",
                tcp_user_timeout=2 * milliseconds,
            )
            connection.execute(
                f"SET synchronous_commit = on; SET lock_timeout = {milliseconds}; SET statement_timeout = 60000; "
                "SET idle_in_transaction_session_timeout = 60000".encode()
            )
        return connection


class PostgresConnection:
    """`database.Connection` on PostgreSQL."""

    def __init__(self, source: PostgresSource, begin: str, *, locks: bool) -> None:
        self._source = source
        self._begin = begin.encode()
        self._locks = locks
        self._connection = source.connect()

    def begin(self) -> None:
        try:
            self._start()
        except LedgerUnavailable:
            if not self._connection.closed:
                self.rollback()
                raise
            self._connection = self._source.connect()
            self._start()

    def _start(self) -> None:
        with _explained():
            self._connection.execute(self._begin)
            if self._locks:
                self._connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (_LOCK,))

    def commit(self) -> None:
        try:
            with _explained():
                self._connection.execute(b"COMMIT")
        except LedgerUnavailable as error:
            if self._locks and self._connection.closed:  # no answer came, and what was read needs none
                raise CommitUnknown("the connection to the ledger's database broke while committing") from error
            raise

    def rollback(self) -> None:
        try:
            self._connection.execute(b"ROLLBACK")
        except psycopg.Error:  # the server rolls back what a broken connection left
            self.close()

    def rows(self, statement: str, *values: Any) -> list[Row]:
        with _explained():
            return self._connection.execute(in_postgres(statement), values).fetchall()

    def stream(self, statement: str, *values: Any) -> Iterator[Row]:
        with _explained(), self._connection.cursor(name="stream") as cursor:
            cursor.itersize = _PAGE
            cursor.execute(in_postgres(statement), values)
            yield from cursor

    def run(self, statement: str, *values: Any) -> int:
        with _explained():
            return self._connection.execute(in_postgres(statement), values).rowcount

    def many(self, statement: str, values: Iterable[Sequence[Any]]) -> int:
        with _explained(), self._connection.cursor() as cursor:
            cursor.executemany(in_postgres(statement), values)
            return cursor.rowcount

    def insert(self, table: str, columns: tuple[str, ...], values: Sequence[Sequence[Any]]) -> None:
        copy = f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()
        with _explained(), self._connection.cursor() as cursor, cursor.copy(copy) as rows:
            for row in values:
                rows.write_row(row)

    def columns(self, table: str) -> list[str]:
        here = "table_schema = current_schema() AND table_name = ?"
        return [row[0] for row in self.rows(f"SELECT column_name FROM information_schema.columns WHERE {here}", table)]  # noqa: S608

    def tables(self) -> list[str]:
        here = "table_schema = current_schema()"
        return [row[0] for row in self.rows(f"SELECT table_name FROM information_schema.tables WHERE {here}")]  # noqa: S608

    def define(self, statement: str) -> None:
        with _explained():
            self._connection.execute(schema_in_postgres(statement))

    def forget(self, *, copies: bool) -> None:
        """Old row versions go with the next (auto)vacuum; to force it is the administrator's to decide."""

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        _explain(error)


def _reason(error: psycopg.Error) -> str:
    """The error in a few words: the server's own, or why it could not be reached. What else psycopg says may repeat
    the URL, and with it a password."""
    if error.sqlstate is not None:
        return f"{type(error).__name__} ({error.sqlstate})"
    found = re.search(_WHY, str(error), re.IGNORECASE)
    return f"{type(error).__name__} ({found[0].lower()})" if found else type(error).__name__


_WHY = (
    "connection refused|could not translate host name|no such file or directory|timeout expired|no route to host|"
    "network is unreachable|password authentication failed|no password supplied|no pg_hba.conf entry|"
    "the database system is (?:starting up|shutting down)|too many clients|server closed the connection|"
    '(?:database|role) "[^"]*" does not exist|connection timed out|failed to resolve host|name or service not known'
)


def _explain(error: psycopg.Error) -> NoReturn:
    if isinstance(error, _UNAVAILABLE):
        raise LedgerUnavailable(f"the ledger's database cannot be used now: {_reason(error)}") from error
    if isinstance(error, errors.IntegrityError) and error.diag.constraint_name in _REFUSALS:
        refusal, meaning = _REFUSALS[error.diag.constraint_name]
        raise refusal(meaning) from error
    raise error
