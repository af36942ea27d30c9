"""Files of customers of every kind that training reads: the same decisions, whatever they lie in."""

import dataclasses
import functools
import gzip
import http.server
import threading
from collections.abc import Callable
from pathlib import Path

import bundles
import customer_tables
import pandas as pd
import pytest

from retentionjax.bundle import write
from retentionjax.company.reading import CellReading
from retentionjax.errors import DataError
from retentionjax.score.running import Request, run

READING = CellReading(separator=";", decimal=",", encoding="cp1252", missing=("", "k.A."), suffix="€")
FRAME = customer_tables.table(60, usual_risk=[0.1 + row / 100 if row % 3 else None for row in range(60)]).to_pandas()
FRAME["customer_id"] = [f"{row:03d}é" for row in range(60)]


def _text(frame: pd.DataFrame) -> bytes:
    """The table as the company's files are written."""
    told = frame.rename(columns={"months": " months "}).assign(bill=frame["bill"].map("{:.2f} €".format))
    told["bill"] = told["bill"].str.replace(".", ",")
    return told.to_csv(index=False, sep=";", decimal=",", na_rep="k.A.").encode("cp1252")


def _csv(folder: Path) -> str:
    (folder / "c.csv").write_bytes(_text(FRAME))
    return str(folder / "c.csv")


def _gzip(folder: Path) -> str:
    (folder / "c.csv.gz").write_bytes(gzip.compress(_text(FRAME)))
    return str(folder / "c.csv.gz")


def _folder(folder: Path) -> str:
    (folder / "_SUCCESS").write_text("")
    (folder / "a.csv").write_bytes(_text(FRAME[:40]))
    (folder / "b.csv.gz").write_bytes(gzip.compress(_text(FRAME[40:])))
    return str(folder)


def _query(folder: Path) -> str:
    pytest.importorskip("duckdb")
    FRAME.to_parquet(folder / "c.parquet")
    (folder / "q.sql").write_text("SELECT * FROM 'c.parquet' ORDER BY customer_id")
    return str(folder / "q.sql")


def _pq(folder: Path) -> str:
    FRAME.to_parquet(folder / "c.pq")
    return str(folder / "c.pq")


def _nameless(folder: Path) -> str:
    FRAME.to_parquet(folder / "part-0")
    return str(folder / "part-0")


@pytest.fixture(scope="module")
def bundle_of_a_reading(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose company's files are written in its own way."""
    customers = dataclasses.replace(bundles.COMPANY.customers, reading=READING)
    company = dataclasses.replace(bundles.COMPANY, customers=customers)
    folder = tmp_path_factory.mktemp("reading") / "bundle"
    write(folder, dataclasses.replace(bundles.contents(bundles.trained()), company=company))
    return folder


@pytest.fixture(scope="module")
def expected(bundle_of_a_reading: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("expected")
    FRAME.to_parquet(folder / "c.parquet")
    run(Request(bundle_of_a_reading, folder / "c.parquet", folder / "out", usual="usual_risk"))
    return customer_tables.decisions(folder / "out")


@pytest.mark.parametrize("lies", [_csv, _gzip, _folder, _query, _pq, _nameless])
def test_a_file_is_read_as_training_reads_it(
    bundle_of_a_reading: Path, expected, tmp_path: Path, lies: Callable[[Path], str]
) -> None:
    (tmp_path / "in").mkdir()
    customers = lies(tmp_path / "in")
    out = tmp_path / "out"
    asked = Request(bundle_of_a_reading, customers, out, usual="usual_risk", rows_per_shard=25)
    assert run(asked).count.usual == 40
    assert customer_tables.decisions(out).equals(expected)
    (out / "part-00001.parquet").unlink()
    assert run(asked).rows_now in (25, 15), "a killed run goes on"
    assert customer_tables.decisions(out).equals(expected)


@pytest.mark.parametrize("kind", ["csv", "parquet", "pq"])
def test_an_address_is_a_file_too_and_a_secret_in_it_is_said_nowhere(
    bundle_of_a_reading: Path, expected, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("fsspec")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/c.csv").write_bytes(_text(FRAME))
    FRAME.assign(tags=[["a", "b"]] * len(FRAME)).to_parquet(tmp_path / "in/c.parquet")  # nobody asks for the tags
    FRAME.to_parquet(tmp_path / "in/c.pq")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "in"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{serving.server_port}"
        run(Request(bundle_of_a_reading, f"{address}/c.{kind}?key=secret", tmp_path / "out", usual="usual_risk"))
        with pytest.raises(DataError, match=r"127\.0\.0\.1:\d+/none\.csv: could not be read") as missing:
            run(Request(bundle_of_a_reading, f"{address}/none.csv?key=secret", tmp_path / "none"))
        serving.shutdown()
    assert "secret" not in str(missing.value)
    assert "secret" not in (tmp_path / "out/manifest.json").read_text()
    assert customer_tables.decisions(tmp_path / "out").equals(expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(";basic;", ";basic", 1), r"c\.csv, line \d+: 7 cells, and the header has 8"),
        (lambda text: text.replace(" €", " CHF", 1), r"c\.csv, row \d+, field 'bill': '\d+,\d+ CHF' is not a number"),
        (lambda text: text.replace(";", ","), r"c\.csv, line 1: one single column"),
    ],
)
def test_what_cannot_be_read_is_named(
    bundle_of_a_reading: Path, tmp_path: Path, change: Callable[[str], str], said: str
) -> None:
    (tmp_path / "c.csv").write_bytes(change(_text(FRAME).decode("cp1252")).encode("cp1252"))
    with pytest.raises(DataError, match=said):
        run(Request(bundle_of_a_reading, tmp_path / "c.csv", tmp_path / "out"))
