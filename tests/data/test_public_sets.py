"""The three public sets, as pandas and the standard library read them from the same files."""

import csv
import dataclasses
import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retentionjax.data import sources
from retentionjax.data.public_sets import BANK, TELCO
from retentionjax.data.schema import Schema, Table
from retentionjax.errors import DataError


@pytest.fixture
def telco_table(real_table: Callable[[str], Table]) -> Table:
    return real_table("telco")


@pytest.fixture
def bank_table(real_table: Callable[[str], Table]) -> Table:
    return real_table("bank")


def test_telco_keeps_all_rows_and_the_eleven_unbilled_customers_as_missing(telco_table: Table) -> None:
    frame = telco_table.frame
    assert len(frame) == 7_043
    unbilled = frame[frame["TotalCharges"].isna()]
    assert len(unbilled) == 11
    assert (unbilled["tenure"] == 0).all()
    assert len(frame.drop(columns="TotalCharges").dropna()) == 7_043
    assert frame["Churn"].mean() == pytest.approx(0.2654, abs=5e-5)


def test_telco_holds_what_the_file_holds(telco_table: Table, real_data: Path) -> None:
    with open(real_data / "telco/Telco-Customer-Churn.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    frame = telco_table.frame
    for name in frame:
        texts = [row[str(name)] for row in rows]
        if name in TELCO.numeric:
            expected = np.array([float(text) if text.strip() else np.nan for text in texts])
            np.testing.assert_array_equal(frame[name].to_numpy(), expected)
        elif name == "Churn":
            assert frame[name].tolist() == [int(text == "Yes") for text in texts]
        else:
            assert frame[name].astype(str).tolist() == texts


def test_bank_has_neither_duration_nor_offer(bank_table: Table) -> None:
    assert len(bank_table.frame) == 41_188
    assert len(bank_table.schema.features) == 19
    assert not {"duration", "offer_level"} & set(bank_table.frame)


def test_bank_clients_never_contacted_have_no_pdays(bank_table: Table, real_data: Path) -> None:
    raw = _raw_bank()
    pdays = bank_table.frame["pdays"]
    assert (pdays.isna() == (raw["pdays"] == 999)).all()
    np.testing.assert_array_equal(pdays.dropna(), raw.loc[raw["pdays"] != 999, "pdays"])


def test_bank_is_in_the_order_of_the_file_with_its_duplicates(bank_table: Table, real_data: Path) -> None:
    raw = _raw_bank()
    assert raw.duplicated().sum() == 12
    np.testing.assert_array_equal(bank_table.frame["euribor3m"], raw["euribor3m"])
    np.testing.assert_array_equal(bank_table.frame["y"], raw["y"] == "yes")
    assert bank_table.frame["job"].astype(str).tolist() == raw["job"].tolist()


def test_bank_is_the_same_out_of_the_zip_that_uci_serves(real_data: Path, own_places: Path) -> None:
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("bank-full.csv", b"another set")
    (own_places / "given/bank").mkdir()
    with zipfile.ZipFile(own_places / "given/bank/bank+marketing.zip", "w") as outer:
        outer.writestr("bank.zip", other.getvalue())
        outer.writestr("bank-additional.zip", (real_data / "bank/bank-additional.zip").read_bytes())
    assert len(sources.load("bank", mode="real").frame) == 41_188


def test_asking_for_the_leak_is_an_error() -> None:
    with pytest.raises(DataError, match=r"'duration' can never be used: .* known only after the call"):
        dataclasses.replace(BANK, numeric=(*BANK.numeric, "duration"))
    plain = BANK.to_dict()
    with pytest.raises(DataError, match="'duration' can never be used"):
        Schema.from_dict({**plain, "measures": ["duration"]})


def test_hillstrom_shows_the_effects_of_the_trial(real_table: Callable[[str], Table]) -> None:
    table = real_table("hillstrom")
    assert len(table.frame) == 64_000
    assert table.frame.duplicated().sum() == 6_562
    visits = table.frame.groupby("segment", observed=True)["visit"].mean()
    assert 100 * (visits["Mens E-Mail"] - visits["No E-Mail"]) == pytest.approx(7.66, abs=0.005)
    assert 100 * (visits["Womens E-Mail"] - visits["No E-Mail"]) == pytest.approx(4.52, abs=0.005)
    assert not {"conversion", "spend", "visit", "segment"} & set(table.schema.features)


def test_the_line_ends_of_hillstrom_do_not_matter(real_data: Path, own_places: Path) -> None:
    unix = gzip.decompress((real_data / "hillstrom/hillstrom.csv.gz").read_bytes())
    (own_places / "given/hillstrom").mkdir()
    (own_places / "given/hillstrom/hillstrom.csv").write_bytes(unix.replace(b"\n", b"\r\n"))
    found = sources.obtain("hillstrom")
    assert sources.HILLSTROM.tables[found.sha256] == "official", "the author's file ends its lines with CR LF"
    assert len(found.data) == sources.HILLSTROM.downloads[0].size


def test_the_copy_of_hillstrom_has_the_same_values(real_data: Path) -> None:
    """The second address serves what pandas makes of the official table, by its checksum."""
    rewritten = pd.read_csv(real_data / "hillstrom/hillstrom.csv.gz").to_csv(index=False).encode()
    assert sources.HILLSTROM.tables[hashlib.sha256(rewritten).hexdigest()].startswith("same values")


def test_provenance_says_real_and_names_the_official_source(telco_table: Table) -> None:
    provenance = telco_table.provenance
    assert provenance.kind == "real"
    assert provenance.source.startswith("https://raw.githubusercontent.com/IBM/")
    assert provenance.sha256 in sources.TELCO.tables
    assert provenance.rows == 7_043


def _raw_bank() -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(sources.obtain("bank").data), sep=";")
