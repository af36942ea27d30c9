"""Files as programs save them: an index without a name, cells after the last column, a line for Excel, other kinds."""

from pathlib import Path

import customer_files
import numpy as np
import pandas as pd
import pytest

from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.data.company_tables import Tables
from retentionjax.data.faults import FilesError
from retentionjax.data.reading import read_frame

_OFFERS = {"ten": {"discount": 0.1}}


def _read(folder: Path, lines: list[str]) -> Tables:
    return company_tables.read(Company.load(customer_files.write(folder, lines) / "acme.yaml"))


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda lines: [f"{number or ''},{line}" for number, line in enumerate(lines)], "column number 1"),
        (lambda lines: [f"{line},," for line in lines], "column number 9, 10"),
        (lambda lines: ["sep=,", *lines], None),
    ],
    ids=["pandas' index", "a spreadsheet's empty columns", "Excel's separator"],
)
def test_what_programs_add_to_a_table_changes_nothing_in_it(tmp_path: Path, wrap, said: str | None) -> None:
    plain, lines = _read(tmp_path, customer_files.customers()), wrap(customer_files.customers())
    found = _read(tmp_path, lines)
    pd.testing.assert_frame_equal(found.customers.frame, plain.customers.frame)
    nameless = [each for each in found.warnings if "for want of a name" in each]
    assert [each.rsplit(": ", 1)[1] for each in nameless] == ([] if said is None else [said])


def test_a_fault_below_a_line_for_excel_has_its_own_line(tmp_path: Path) -> None:
    lines = ["sep=,", *customer_files.customers()]
    lines[4] = lines[4].replace("basic", "gold").replace("plus", "gold").replace("pro", "gold")
    with pytest.raises(FilesError, match="line 5, column 'plan': 'gold' is an unknown category"):
        _read(tmp_path, lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,fee,left,x\na,1,0,5,\nb,2,1,5,\n", "line 2: 5 cells, but the header has 4"),
        ("id,fee,left,x", "has column names but no rows"),
        ('[{"id": 1}]', "is JSON; save the table as CSV"),
        ("<html><table></table></html>", "is HTML or XML; save the table as CSV"),
        (",,\n1,2,3\n", "no column has a name"),
    ],
)
def test_another_kind_of_file_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.csv").write_text(text)
    company = Company(
        str(tmp_path / "c.csv"), id="id", charge="fee", left="left", window_days=30, numeric=["x"], offers=_OFFERS
    )
    with pytest.raises(FilesError, match=said):
        company_tables.read(company)


def test_columns_of_pandas_own_kinds_are_read_as_what_they_hold() -> None:
    frame = pd.DataFrame(
        {
            "sparse": pd.arrays.SparseArray([0, 3, 0]),
            "account": [89490000000000000001 + place for place in range(3)],  # a SIM card's number: more than 64 bits
            "nullable": pd.array([1, None, 3], dtype="Int64"),
        }
    )
    raw = read_frame(frame, "a DataFrame")
    assert raw.table["sparse"].to_pylist() == [0, 3, 0]
    assert raw.texts("account") == ["89490000000000000001", "89490000000000000002", "89490000000000000003"]
    assert raw.texts("nullable") == ["1", "", "3"]
    assert np.array_equal(raw.table["sparse"].to_numpy(), [0, 3, 0])


def test_of_a_table_of_thousands_of_columns_those_that_hold_no_values_are_passed_over() -> None:
    frame = pd.DataFrame({f"f{place}": [place] for place in range(4000)}).assign(notes=[[1, 2]])
    names = tuple(frame.columns.drop("notes"))
    assert read_frame(frame, "a DataFrame", names).table.column_names == list(names)
