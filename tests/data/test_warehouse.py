"""Customers that lie in a warehouse: by a query over real files and databases, and by an address on a real server."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from retentionjax.company import Company
from retentionjax.data import company_tables, reading
from retentionjax.errors import DataError, RetentionJaxError

FRAME = pd.DataFrame(
    {"id": [f"c{number}" for number in range(40)], "fee": [20.0 + number for number in range(40)], "left": [0, 1] * 20}
)
COMPANY = """
customers: {{file: {file}, id: id, charge: fee, left: left, window_days: 30, numeric: [fee]}}
offers: {{ten: {{discount: 0.1}}}}
"""


def customers(folder: Path, file: str) -> pd.DataFrame:
    (folder / "acme.yaml").write_text(COMPANY.format(file=file))
    return company_tables.read(Company.load(folder / "acme.yaml")).customers.frame


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}", tmp_path
        serving.shutdown()


def test_a_query_over_parquet_files_beside_the_company_gives_what_one_file_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FRAME.to_csv(tmp_path / "all.csv", index=False)
    for part in (0, 1):
        FRAME[part * 20 : part * 20 + 20].to_parquet(tmp_path / f"part{part}.parquet")
    (tmp_path / "customers.sql").write_text("SELECT * FROM 'part*.parquet' ORDER BY fee;\n")
    monkeypatch.chdir("/")  # names in the query are from its own folder
    pd.testing.assert_frame_equal(customers(tmp_path, "customers.sql"), customers(tmp_path, "all.csv"))


def test_a_query_joins_tables_of_an_attached_database(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as database:
        database.execute("CREATE TABLE fees AS SELECT 'c' || i AS id, 20 + i AS fee FROM range(40) t(i)")
        database.execute("CREATE TABLE leavers AS SELECT 'c' || (2 * i + 1) AS id FROM range(20) t(i)")
    (tmp_path / "customers.sql").write_text(
        f"ATTACH '{tmp_path}/shop.duckdb' AS shop (READ_ONLY);\n"
        "SELECT f.id, f.fee, (l.id IS NOT NULL)::INT AS left\n"
        "FROM shop.fees f LEFT JOIN shop.leavers l USING (id) ORDER BY fee"
    )
    assert customers(tmp_path, "customers.sql")["left"].tolist() == FRAME["left"].tolist()


def test_the_digest_is_of_the_rows_not_of_the_text(tmp_path: Path) -> None:
    query = tmp_path / "customers.sql"
    FRAME.to_parquet(tmp_path / "a.parquet")
    query.write_text("SELECT * FROM 'a.parquet' ORDER BY fee")
    before = reading.sha256(query)
    query.write_text("-- the same rows\nSELECT * FROM 'a.parquet' ORDER BY id, fee")
    reordered = reading.sha256(query)
    query.write_text("-- the same rows\nSELECT * FROM 'a.parquet' ORDER BY fee")
    assert reading.sha256(query) == before == reading.read_file(query)[1] != reordered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM 'absent*.parquet'", "absent"),
        ("-- nothing", "returns no rows; end it with a SELECT"),
        ("SELECT 1 AS id, 2 AS fee, 0 AS left WHERE false", "has column names but no rows"),
    ],
)
def test_what_a_query_lacks_is_said_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "customers.sql").write_text(text)
    with pytest.raises(RetentionJaxError, match=said) as error:
        customers(tmp_path, "customers.sql")
    assert "customers.sql" in str(error.value)


def test_customers_come_from_an_address(server: tuple[str, Path]) -> None:
    url, folder = server
    FRAME.to_csv(folder / "all.csv", index=False)
    FRAME.to_parquet(folder / "all.parquet")
    local = customers(folder, "all.csv")
    pd.testing.assert_frame_equal(customers(folder, f'"{url}/all.csv"'), local)
    pd.testing.assert_frame_equal(customers(folder, f'"{url}/all.parquet"'), local)
    pd.testing.assert_frame_equal(customers(folder, f'"{url}/all.parquet?signature=S3CRET"'), local)
    with pytest.raises(RetentionJaxError, match=r"absent\.csv.*could not be read") as error:
        customers(folder, f'"{url}/absent.csv?signature=S3CRET"')
    assert "S3CRET" not in str(error.value)


def test_an_unknown_kind_of_address_names_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"carrier://dove/a\.csv: Protocol not known: carrier"):
        reading.read_file("carrier://dove/a.csv")
