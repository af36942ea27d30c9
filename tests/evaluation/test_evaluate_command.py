"""`retentionjax evaluate --customers`: the bundle's policy and the simple rules on a table that a user brings."""

import unicodedata
from pathlib import Path

import customer_tables
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from retentionjax import cli
from retentionjax.bundle import Bundle
from retentionjax.decide.facts import Facts
from retentionjax.errors import DataError
from retentionjax.evaluation import baselines, command, rollout


def test_the_bundle_is_compared_on_customers_a_user_brings(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "CHUNK", 2_560)  # or each rule's 160 episodes are filled up to 1,024, dozens of times
    monkeypatch.setattr(baselines, "DRAWS", 256)
    compare = [
        "evaluate",
        "--bundle",
        str(bundle_folder),
        "--optimum-customers",
        "0",
        "--replicates",
        "4",
        "--customers",
    ]
    customers = customer_tables.table(40).drop("city")
    pyarrow.parquet.write_table(customers, tmp_path / "customers.parquet")
    assert cli.main([*compare, str(tmp_path / "customers.parquet")]) == 0
    printed = capsys.readouterr().out
    assert "40 customers" in printed
    for policy in ("ppo", "never", "threshold", "greedy", "greedy_fatigue"):
        assert f" {policy} " in printed, policy


def test_a_csv_with_a_column_nobody_asked_for_is_read_as_a_parquet_file_without_it(
    bundle: Bundle, tmp_path: Path
) -> None:
    customers = customer_tables.table(40)
    pyarrow.csv.write_csv(customers, tmp_path / "customers.csv")
    pyarrow.parquet.write_table(customers.drop("city"), tmp_path / "customers.parquet")
    csv, parquet = (
        Facts.of(bundle).frame(command.read(str(tmp_path / f"customers.{kind}"), bundle)) for kind in ("csv", "parquet")
    )
    assert csv.customer_id == parquet.customer_id
    np.testing.assert_array_equal(csv.values, parquet.values)


def test_a_csv_is_read_as_a_record_is(bundle: Bundle, tmp_path: Path) -> None:
    """Empty cells are missing numbers and the other cells of their column stay numbers; codes stay text."""
    text = "customer_id,months,bill,plan,age,channel\n007,,20,basic,30,mail\n8,2,30,plus,41,phone\n"
    (tmp_path / "c.csv").write_text(text)
    features = Facts.of(bundle).frame(command.read(str(tmp_path / "c.csv"), bundle))
    one = {"customer_id": "007", "months": None, "bill": 20, "plan": "basic", "age": 30, "channel": "mail"}
    two = {"customer_id": "8", "months": 2, "bill": 30, "plan": "plus", "age": 41, "channel": "phone"}
    wanted = Facts.of(bundle).records([one, two])
    assert features.customer_id == wanted.customer_id
    np.testing.assert_array_equal(features.values, wanted.values)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_accent_in_the_name_of_a_column_is_the_same_however_it_is_encoded(
    bundle: Bundle, tmp_path: Path, kind: str
) -> None:
    table = pyarrow.table({"número": ["007"], "bill": [20.0], "régión": ["01"]})
    table = table.rename_columns([unicodedata.normalize("NFD", name) for name in table.column_names])
    path = tmp_path / f"c.{kind}"
    (pyarrow.csv.write_csv if kind == "csv" else pyarrow.parquet.write_table)(table, path)
    frame = command.read(str(path), bundle)
    assert frame.astype({"bill": float}).to_dict("records") == [{"número": "007", "bill": 20.0, "régión": "01"}]
    both = table.append_column("número", pyarrow.array(["008"]))
    (pyarrow.csv.write_csv if kind == "csv" else pyarrow.parquet.write_table)(both, path)
    with pytest.raises(DataError, match=rf"c\.{kind}.*: 'nu\\u0301mero' and 'n\\xfamero' are the same name, 'número'"):
        command.read(str(path), bundle)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("C-1,many,20,basic,30,mail", "row 0, field 'months': 'many' is not a number"),
        ("C-1,3,20,basic,,mail", "row 0, field 'age': '' is missing"),
        ("C-1,3,-2,basic,30,mail", "row 0, field 'bill': '-2' is out of range"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused_by_name(bundle: Bundle, tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "c.csv").write_text(f"customer_id,months,bill,plan,age,channel\n{row}\n")
    with pytest.raises(DataError, match=said):
        Facts.of(bundle).frame(command.read(str(tmp_path / "c.csv"), bundle))
