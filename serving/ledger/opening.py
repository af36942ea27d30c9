"""Opening a database by its URL: `sqlite:///relative/path`, `sqlite:////absolute/path`, `postgresql://…`."""

from pathlib import Path

from retentionjax.errors import ConfigError
from serving.ledger.database import Source
from serving.ledger.errors import LedgerError
from serving.ledger.postgres import PostgresSource
from serving.ledger.sqlite import SqliteSource


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
