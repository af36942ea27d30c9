"""From a URL to a database: `sqlite:///relative/path`, `sqlite:////absolute/path`, `postgresql://…`."""

from pathlib import Path

from retentionjax.errors import ConfigError
from serving.ledger.database import Source
from serving.ledger.postgres import PostgresSource
from serving.ledger.sqlite import SqliteSource


def source(url: str, wait_seconds: float) -> Source:
    """The database that `url` names. Raises ConfigError for one that is none; the URL, which may hold a password, is
    not shown beyond its scheme."""
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return SqliteSource(Path(url.removeprefix("sqlite:///")), wait_seconds)
    if url.startswith(("postgresql://", "postgres://")):
        return PostgresSource(url, wait_seconds)
    scheme = url.partition(":")[0]
    raise ConfigError(
        f"the database's URL begins with {scheme!r}; allowed: sqlite:///PATH, postgresql://USER@HOST/NAME"
    )
