"""Opening a database by its URL (`sqlite:///relative/path`, `sqlite:////absolute/path`, `postgresql://…`), and bringing
it to the schema of this program: numbered files, each applied whole or not at all, in order.
"""

import re
from importlib import resources
from pathlib import Path

from retentionjax.errors import ConfigError
from serving.ledger.database import Connection, Source, SqliteSource
from serving.ledger.postgres import PostgresSource
from serving.ledger.types import LedgerError


def source(url: str, wait_seconds: float, *, create: bool) -> Source:
    """The database that `url` names; a SQLite file that is not there yet is made if `create`.

    Raises ConfigError for a URL that is none, of which no more than the scheme is shown, since it may hold a password,
    and LedgerError for a file that is not there.
    """
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        if not create and not path.exists():
            raise LedgerError(f"there is no ledger at {path}; `retentionjax serve` makes one")
        return SqliteSource(path, wait_seconds)
    if url.startswith("postgresql://"):
        return PostgresSource(url, wait_seconds)
    scheme = url.partition(":")[0]
    raise ConfigError(
        f"the database's URL begins with {scheme!r}; allowed: sqlite:///PATH, postgresql://USER@HOST/NAME"
    )


def migrations() -> list[tuple[int, str]]:
    """(number, SQL) of every migration there is, in order."""
    folder = resources.files(__package__) / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [(int(file.name[:4]), file.read_text(encoding="utf-8")) for file in files]


def migrate(connection: Connection) -> None:
    """Applies what the database lacks, all in one transaction; processes that start together wait for each other.

    Raises LedgerError if the database was written by a newer program, whose rules are not known here, or holds tables
    of somebody else's that are named as ours.
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


def _version(connection: Connection, known: list[tuple[int, str]]) -> int:
    if "version" not in connection.columns("schema_version"):
        raise _foreign("schema_version")
    version: int = max((row[0] for row in connection.rows("SELECT version FROM schema_version")), default=0)
    if version > known[-1][0]:
        raise LedgerError(
            f"the ledger has schema {version}, and this program knows schemas up to {known[-1][0]}: a newer program "
            "wrote it; start that one"
        )
    ours = {name for _, script in known for name in re.findall(r"CREATE TABLE (\w+)", script)}
    if version == 0 and (foreign := ours.intersection(connection.tables())):
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
