"""Prepared folders: what is written is what was read, and only what changed is made again."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retentionjax import storage
from retentionjax.data import catalog, splits, synthetic
from retentionjax.data.schema import Table
from retentionjax.errors import DataError


@pytest.fixture
def table() -> Table:
    return synthetic.generate("telco", rows=300)


def test_prepared_splits_are_the_rows_of_the_table(table: Table, tmp_path: Path) -> None:
    assert catalog.prepare(table, tmp_path)
    prepared = catalog.read(tmp_path, "telco")
    parts = splits.split(table)
    for name in splits.NAMES:
        got: Table = getattr(prepared, name)
        pd.testing.assert_frame_equal(got.frame, table.rows(getattr(parts, name)))
        assert got.schema == table.schema
        assert got.provenance == table.provenance
    everything = pd.concat([prepared.train.frame, prepared.validation.frame, prepared.test.frame]).sort_index()
    pd.testing.assert_frame_equal(everything, table.frame, check_names=False)


def test_nothing_is_done_twice_unless_asked(table: Table, tmp_path: Path) -> None:
    catalog.prepare(table, tmp_path)
    written = (tmp_path / "telco/train.parquet").stat().st_mtime_ns
    assert not catalog.prepare(table, tmp_path)
    assert (tmp_path / "telco/train.parquet").stat().st_mtime_ns == written
    assert catalog.prepare(table, tmp_path, force=True)


def test_a_change_of_source_schema_seed_or_file_asks_for_an_update(table: Table, tmp_path: Path) -> None:
    catalog.prepare(table, tmp_path)
    assert not catalog.needs_update(tmp_path, table)
    other_source = dataclasses.replace(table, provenance=dataclasses.replace(table.provenance, sha256="f" * 64))
    assert catalog.needs_update(tmp_path, other_source)
    other_schema = dataclasses.replace(table, schema=dataclasses.replace(table.schema, tenure=None))
    assert catalog.needs_update(tmp_path, other_schema)
    assert catalog.needs_update(tmp_path, table, seed=43)
    with open(tmp_path / "telco/test.parquet", "ab") as file:
        file.write(b"x")
    assert catalog.needs_update(tmp_path, table)
    os.unlink(tmp_path / "telco/test.parquet")
    assert catalog.needs_update(tmp_path, table)


def test_the_catalog_says_what_is_there(table: Table, tmp_path: Path) -> None:
    catalog.prepare(table, tmp_path)
    entry = json.loads((tmp_path / "catalog.json").read_text())["sets"]["telco"]
    assert entry["rows"] == 300
    assert entry["provenance"]["kind"] == "synthetic"
    assert {"created", "seed", "duplicate_rows"} < set(entry)
    for part in entry["splits"].values():
        path = tmp_path / part["file"]
        assert part["bytes"] == path.stat().st_size
        assert part["sha256"] == storage.sha256(path)
        assert part["rows"] == len(pd.read_parquet(path))
    charge = entry["statistics"]["MonthlyCharges"]
    values = table.frame["MonthlyCharges"].to_numpy()
    expected = [values.mean(), values.std(ddof=1), values.min(), values.max(), 0]
    assert [charge[key] for key in ("mean", "sd", "min", "max", "missing")] == pytest.approx(expected)
    counts = entry["statistics"]["Contract"]["counts"]
    assert counts == {name: int((table.frame["Contract"] == name).sum()) for name in counts}
    assert entry["statistics"]["Churn"]["counts"] == {
        str(value): int((table.frame["Churn"] == value).sum()) for value in table.frame["Churn"].unique()
    }
    assert "customerID" not in entry["statistics"]


def test_other_sets_stay_in_the_catalog(table: Table, tmp_path: Path) -> None:
    catalog.prepare(table, tmp_path)
    catalog.prepare(synthetic.generate("bank", rows=300), tmp_path)
    assert set(catalog.entries(tmp_path)) == {"telco", "bank"}


def test_a_column_that_is_all_missing_has_no_figures(tmp_path: Path) -> None:
    table = synthetic.generate("bank", rows=200)
    table = dataclasses.replace(table, frame=table.frame.assign(pdays=np.nan))
    figures = catalog.statistics(table)["pdays"]
    assert figures == {"mean": None, "sd": None, "min": None, "max": None, "missing": 200}


def test_a_failed_write_leaves_the_set_as_it_was(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.prepare(table, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full_disk(path: object, obj: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write_json", full_disk)
    with pytest.raises(OSError, match="No space"):
        catalog.prepare(synthetic.generate("telco", rows=400), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_is_not_there_or_was_changed_is_an_error(table: Table, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no set 'telco'; it has none"):
        catalog.read(tmp_path, "telco")
    catalog.prepare(table, tmp_path)
    (tmp_path / "telco/train.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"train\.parquet: the checksum differs from the catalog's"):
        catalog.read(tmp_path, "telco")
    os.unlink(tmp_path / "telco/train.parquet")
    with pytest.raises(DataError, match=r"train\.parquet: no such file"):
        catalog.read(tmp_path, "telco")


def test_a_catalog_of_another_format_is_made_anew(table: Table, tmp_path: Path) -> None:
    catalog.prepare(table, tmp_path)
    content = json.loads((tmp_path / "catalog.json").read_text())
    (tmp_path / "catalog.json").write_text(json.dumps({**content, "format": 0}))
    assert catalog.needs_update(tmp_path, table)
