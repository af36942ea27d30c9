"""What the ledger needs of a database: a handful of calls that SQLite and PostgreSQL answer alike.

Statements are written once, in SQLite's words: `?` for a value, `SELECT value FROM json_each(?)` for the texts of a
JSON list. `in_postgres` says the same in PostgreSQL's.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]

_TYPES = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "BLOB": "BYTEA", "STRICT": "", "STRICT, WITHOUT ROWID": ""}


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
