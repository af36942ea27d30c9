"""Tables that lie elsewhere: the answer to a query (DuckDB), and files at any address that fsspec understands.

A query is a file `customers.sql` beside company.yaml. DuckDB reads Parquet and CSV by glob, on disk and in object
stores, its own databases, and PostgreSQL, MySQL or SQLite attached in the file; secrets come from the environment
(`PGPASSWORD`, `CREATE SECRET … PROVIDER credential_chain`), never from the file.
"""

import hashlib
import os

import pyarrow as pa
from etils import epath

from retentionjax.errors import DataError

QUERY = ".sql"
"""End of a query's name."""


def query(path: epath.Path) -> tuple[pa.Table, str]:
    """Rows that the last statement of the file at `path` returns, and their SHA-256; it names files from its folder.

    Rows without `ORDER BY` come in the source's order, which not every database repeats: then the digest differs.
    Raises DataError where DuckDB is not installed, refuses the text, or is not asked for rows.
    """
    try:
        import duckdb
    except ModuleNotFoundError:
        raise DataError(f'{path}: a query needs DuckDB: pip install "retentionjax[warehouse]"') from None
    with duckdb.connect(config={"file_search_path": os.fspath(path.parent)}) as connection:
        try:
            answer = connection.sql(path.read_text())
            if answer is None:
                raise DataError(f"{path}: its last statement returns no rows; end it with a SELECT")
            table = answer.to_arrow_table().combine_chunks()
        except duckdb.Error as error:
            raise DataError(f"{path}: {error}") from None
    content = pa.BufferOutputStream()
    with pa.ipc.new_stream(content, table.schema) as stream:
        stream.write_table(table)
    return table, hashlib.sha256(memoryview(content.getvalue())).hexdigest()


def download(url: str) -> bytes:
    """Content of the file at `url`. Raises DataError where it cannot be had, or its kind of address needs a package."""
    try:
        import fsspec

        with fsspec.open(url, "rb") as file:
            content: bytes = file.read()
    except ModuleNotFoundError:
        raise DataError(f'{named(url)}: such addresses need fsspec: pip install "retentionjax[warehouse]"') from None
    except (ImportError, ValueError) as error:  # names the package of such addresses, or the known kinds
        raise DataError(f"{named(url)}: {str(error).replace(url, named(url))}") from None
    except OSError as error:
        raise DataError(f"{named(url)}: could not be read ({str(error).replace(url, named(url))})") from None
    return content


def named(where: str) -> str:
    """A file's place for messages: of an address neither user nor query, which may hold a secret."""
    scheme, separator, rest = where.partition("://")
    if not separator:
        return where
    authority, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
