"""A company's own files: what is understood, and that every mistake is told, all at once, with its place."""

import contextlib
import csv
import io
import unicodedata
from pathlib import Path
from typing import Any, Literal

import customer_files
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.company import Company
from retentionjax.data import catalog, company_tables, splits
from retentionjax.data.faults import FilesError
from retentionjax.errors import DataError, RetentionJaxError

COMPANY = customer_files.COMPANY


def _edited(line: int, before: str, after: str) -> list[str]:
    """The customers' file with `before` replaced in line `line` (from 1, the header)."""
    lines = customer_files.customers()
    assert before in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(before, after)
    return lines


def test_good_files_become_typed_tables(tmp_path: Path) -> None:
    tables = customer_files.read(customer_files.write(tmp_path))
    frame = tables.customers.frame
    assert frame["customer_id"].tolist()[:2] == ["C-000", "C-001"]
    assert frame["churned"].sum() == 10
    assert frame["support_calls"].isna().sum() == 8
    assert tables.customers.schema.categorical["region"] == ("north", "south")
    assert tables.customers.provenance.kind == "real"
    assert set(tables.customers.schema.columns) == set(frame)
    assert tables.current.frame.empty


def test_the_log_keeps_every_assignment_and_its_answers_carry_the_facts_of_the_customer(tmp_path: Path) -> None:
    tables = customer_files.read(customer_files.write(tmp_path))
    log = tables.contacts
    assert log is not None
    assert log.randomised
    assert len(log.assignments) == 40
    assert (log.assignments["accepted"].isna() == (log.assignments["arm"] == "none")).all()
    assert log.assignments["propensity"].tolist()[:2] == [0.30, 0.31]
    answers = log.responses.frame
    assert len(answers) == (log.assignments["arm"] != "none").sum()
    customers = tables.customers.frame.set_index("customer_id")
    for name in tables.customers.schema.features:
        assert answers[name].tolist() == pytest.approx(
            customers.loc[answers["customer_id"], name].tolist(), nan_ok=True
        )
    assert "churned" not in answers
    whole, parts = (
        splits.split(tables.customers),
        splits.follow(log.responses, tables.customers, splits.split(tables.customers)),
    )
    of_test = set(tables.customers.rows(whole.test)["customer_id"])
    assert set(log.responses.rows(parts.test)["customer_id"]) <= of_test


@pytest.mark.parametrize("name", ["customers.parquet", "customers.pq", "customers"])
def test_parquet_and_a_dataframe_are_as_good_as_csv(tmp_path: Path, name: str) -> None:
    from_csv = customer_files.read(customer_files.write(tmp_path)).customers.frame
    frame = pd.read_csv(tmp_path / "customers.csv", dtype={"support_calls": "Int64"})
    frame.to_parquet(tmp_path / name)
    (tmp_path / "acme.yaml").write_text(COMPANY.replace("customers.csv", name))
    pd.testing.assert_frame_equal(customer_files.read(tmp_path).customers.frame, from_csv)
    frame["churned"] = frame["churned"] == "yes"
    keys = {"id": "customer_id", "charge": "monthly_charge", "left": "churned", "window_days": 30, "tenure": "months"}
    company = Company(frame, **keys, ignore=["e_mail"], offers={"ten": {"discount": 0.1}})
    inferred = company_tables.read(company).customers
    assert inferred.schema.numeric == ("monthly_charge", "months", "support_calls")
    assert inferred.schema.nullable == ("support_calls",)
    for name in from_csv:
        assert inferred.frame[name].tolist() == pytest.approx(from_csv[name].tolist(), nan_ok=True)


def test_features_that_are_not_named_are_the_columns_that_can_be(tmp_path: Path) -> None:
    rows = 60
    table = pd.DataFrame(
        {
            "fee": np.linspace(10, 90, rows),
            "churned": [True] + [False] * (rows - 1),
            "plan": ["a", "b"] * (rows // 2),
            "vip": [True, False] * (rows // 2),
            "since": pd.date_range("2020-01-01", periods=rows),
            "name": [f"n{row}" for row in range(rows)],
            "calls": [1, None] * (rows // 2),
        }
    )
    keys = {"left": "churned", "window_days": 30, "offers": {"ten": {"discount": 0.1}}}
    tables = company_tables.read(Company(table, charge="fee", **keys))
    assert tables.customers.schema.features == ("fee", "calls", "plan", "vip")
    assert tables.customers.frame["churned"].tolist() == [1] + [0] * (rows - 1)
    assert [note.split(" is no feature")[0] for note in tables.notes] == ["column 'since'", "column 'name'"]
    with pytest.raises(FilesError, match="customers: the column 'fees' is missing; did you mean 'fee'"):
        company_tables.read(Company(table, charge="fees", **keys))
    arrow = company_tables.read(Company(pa.Table.from_pandas(table), charge="fee", **keys))
    pd.testing.assert_frame_equal(arrow.customers.frame, tables.customers.frame)


def test_a_column_whose_name_is_encoded_in_another_way_is_the_one_that_is_named_and_no_feature() -> None:
    rows = 60
    table = pd.DataFrame(
        {"précio": range(1, rows + 1), "salió": [1, 0] * 30, "códigó": range(rows), "año": range(rows)}
    )
    keys: dict[str, Any] = {"charge": "précio", "left": "salió", "ignore": ["códigó"], "window_days": 30}
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    for form in forms:
        frame = table.set_axis([unicodedata.normalize(form, name) for name in table.columns], axis=1)
        assert company_tables.read(Company(frame, offers={"hello": {}}, **keys)).customers.schema.features == (
            "précio",
            "año",
        )


@pytest.mark.parametrize(
    ("line", "before", "after", "said"),
    [
        (7, "25.50", "abc", "line 7, column 'monthly_charge': 'abc' is not a number; allowed: an amount above 0"),
        (7, "25.50", "1_000", "line 7, column 'monthly_charge': '1_000' is not a number"),
        (7, "25.50", "nan", "line 7, column 'monthly_charge': 'nan' is not finite"),
        (7, "25.50", "1e999", "line 7, column 'monthly_charge': '1e999' is not finite"),
        (7, "25.50", "-3", "line 7, column 'monthly_charge': '-3' is out of range; allowed: an amount above 0"),
        (
            7,
            "25.50",
            "0",
            "is out of range; allowed: an amount above 0; rows without one are left out by exclude: {char",
        ),
        (
            7,
            "25.50",
            "",
            "'' is missing; allowed: an amount above 0; rows without one are left out by exclude: {charge: \"miss",
        ),
        (7, "25.50", '"1,079.00"', 'is not a number; if "," groups thousands, say reading: {thousands: ","}; allowed'),
        (7, "25.50", '"29,90 €"', 'is not a number; if "," is the decimal sign, say reading: {decimal: ","}; allowed'),
        (8, ",6,", ",inf,", "line 8, column 'months': 'inf' is not finite; allowed: a finite number"),
        (8, ",6,1,", ",6,one,", "line 8, column 'support_calls': 'one' is not a number; allowed: a finite number; the"),
        (3, "plus", "gold", "line 3, column 'plan': 'gold' is an unknown category; allowed: 'basic', 'plus', 'pro'"),
        (3, "plus", "Plus", "line 3, column 'plan': 'Plus' is an unknown category; did you mean 'plus'?; allowed"),
        (3, "plus", "", "line 3, column 'plan': '' is missing; allowed: 'basic'"),
        (3, "south", "", "line 3, column 'region': '' is missing"),
        (3, ",no,", ",maybe,", "line 3, column 'churned': 'maybe' is an unknown category; allowed: 'no', 'yes'"),
        (9, "C-007", "C-002", "line 9, column 'customer_id': 'C-002' is in an earlier row too; allowed: every id once"),
        (9, "C-007", " ", "line 9, column 'customer_id': ' ' is missing"),
        (9, ",x@y.z", "", "line 9: 7 cells, but the header has 8"),
        (9, ",x@y.z", ",x@y.z,more", "line 9: 9 cells, but the header has 8"),
        (
            9,
            "x@y.z",
            '"x@y.z',
            "not a readable CSV row (unexpected end of data); a quote opens in line 9 and may never",
        ),
        (1, "months", "plan", "line 1: the column 'plan' is named twice"),
        (1, "months", "moths", "the column 'months' is missing; did you mean 'moths'?; it has customer_id"),
        (1, "e_mail", " mail", "unknown column ' mail'; allowed: customer_id"),
        (1, ",", ";", "cells are separated by ','; if it is ';', say reading: {separator: \";\"}"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, line: int, before: str, after: str, said: str) -> None:
    customer_files.write(tmp_path, _edited(line, before, after))
    with pytest.raises(DataError) as raised:
        customer_files.read(tmp_path)
    assert said in str(raised.value)
    assert "customers.csv" in str(raised.value)


@pytest.mark.parametrize(
    ("line", "before", "after", "said"),
    [
        (5, "C-003", "C-999", "line 5, column 'customer_id': 'C-999' is no customer"),
        (
            4,
            ",ten,",
            ",tan,",
            "line 4, column 'arm': 'tan' is an unknown category; did you mean 'ten'?; allowed: 'none'",
        ),
        (4, ",0.30,", ",0,", "line 4, column 'propensity': '0' is out of range; allowed: the probability"),
        (3, "2026-05-02", "02.05.2026", "is no date; allowed: a date such as 2026-06-01; another form is told by read"),
        (3, ",0.31,0", ",0.31,ja", "line 3, column 'accepted': 'ja' is an unknown category; allowed: '0', '1'; other"),
        (2, ",0.30,", ",0.30,1", "column 'accepted': '1' says accepted where nobody was contacted; allowed: blank"),
        (1, "accepted", "taken", "the column 'accepted' is missing"),
    ],
)
def test_a_mistake_in_the_log_is_told(tmp_path: Path, line: int, before: str, after: str, said: str) -> None:
    log = customer_files.contacts()
    assert before in log[line - 1]
    log[line - 1] = log[line - 1].replace(before, after)
    customer_files.write(tmp_path, log=log)
    with pytest.raises(FilesError) as raised:
        customer_files.read(tmp_path)
    assert said in str(raised.value)
    assert "contacts.csv" in str(raised.value)


def test_all_faults_of_all_files_are_told_at_once_twenty_of_a_kind_and_written_out(tmp_path: Path) -> None:
    lines = customer_files.customers(60)
    lines[1:31] = [line.replace(".50,", ".5O,", 1) for line in lines[1:31]]
    lines[35] = lines[35].replace("x@y.z", "x,y")
    lines[40] = lines[40].replace(",no,", ",Noo,")
    log = customer_files.contacts()
    log[1] = log[1].replace("none", "nobody")
    customer_files.write(tmp_path, lines, log)
    with pytest.raises(FilesError) as raised:
        company_tables.read(Company.load(tmp_path / "acme.yaml"), rejected=tmp_path / "rejects.csv")
    said = str(raised.value).splitlines()
    assert sum("is not a number" in line and "more of this kind" not in line for line in said) == 20
    assert any("10 more of this kind (is not a number)" in line for line in said)
    assert any("line 36: 9 cells, but the header has 8" in line for line in said)
    assert any("line 41, column 'churned': 'Noo' is an unknown category; did you mean 'no'?" in line for line in said)
    assert any("contacts.csv, line 2, column 'arm': 'nobody'" in line for line in said)
    rows = list(csv.reader((tmp_path / "rejects.csv").open()))
    assert [row[1] for row in rows if row[0].endswith("customers.csv")] == [
        "line 36",
        *(f"line {number}" for number in (*range(2, 32), 41)),
    ]
    assert next(row for row in rows if row[1] == "line 2" and "contacts" in row[0])[2:6] == [
        *("'arm' is an unknown category", "C-000", "2026-05-01", "nobody")
    ]


def test_lines_are_counted_past_blank_lines_and_quoted_line_breaks(tmp_path: Path) -> None:
    lines = _edited(6, "24.50", "oops")
    lines[3] = lines[3].replace("x@y.z", '"x\n\ny"')
    customer_files.write(tmp_path, ["", *lines[:2], "", *lines[2:]])
    with pytest.raises(DataError, match="line 10, column 'monthly_charge': 'oops'"):
        customer_files.read(tmp_path)


def test_one_class_only_is_an_error(tmp_path: Path) -> None:
    customer_files.write(tmp_path, [line.replace(",yes,", ",no,") for line in customer_files.customers()])
    with pytest.raises(DataError, match="column 'churned': every row is 'no'; there must be rows of both 'no', 'yes'"):
        customer_files.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (customer_files.HEADER.encode() + b"\n", "column names but no rows"),
        (b"\n", "is empty; the first line must name the columns"),
        ("\n".join(customer_files.customers()).encode("utf-16"), "is UTF-16 text; say reading: {encoding: utf-16}"),
        (b"PK\x03\x04 a workbook", "is an Excel workbook or another zip archive; save the sheet as CSV UTF-8"),
        (
            "\n".join(customer_files.customers()).replace("north", "nörd").encode("cp1252"),
            "line 2: byte 0xf6 is not UTF",
        ),
        (b"\x1f\x8b rotten", "damaged or truncated gzip file"),
    ],
)
def test_a_file_that_is_none_says_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    customer_files.write(tmp_path)
    (tmp_path / "customers.csv").write_bytes(content)
    with pytest.raises(DataError) as raised:
        customer_files.read(tmp_path)
    assert said in str(raised.value)


def test_what_a_message_says_to_do_works(tmp_path: Path) -> None:
    expected = customer_files.read(customer_files.write(tmp_path)).customers.frame
    for text, key in (
        ("\n".join(customer_files.customers()).encode("utf-16"), "encoding: utf-16"),
        ("\n".join(customer_files.customers()).replace(",", ";").encode(), 'separator: ";"'),
        (
            "\n".join(customer_files.customers()).replace(".50,", "@50,").replace(",", ";").replace("@", ",").encode(),
            'separator: ";", decimal: ","',
        ),
    ):
        (tmp_path / "customers.csv").write_bytes(text)
        added = f"  tenure: months\n  reading: {{{key}}}\n"
        (tmp_path / "acme.yaml").write_text(COMPANY.replace("  tenure: months\n", added))
        pd.testing.assert_frame_equal(customer_files.read(tmp_path).customers.frame, expected)


def test_spaces_around_names_and_categories_are_no_part_of_them(tmp_path: Path) -> None:
    expected = customer_files.read(customer_files.write(tmp_path)).customers.frame
    lines = [line.replace(",plus,", ", plus,").replace(",south,", ",south ,") for line in customer_files.customers()]
    lines[0] = lines[0].replace(",months", ", months ")
    tables = customer_files.read(customer_files.write(tmp_path, lines))
    pd.testing.assert_frame_equal(tables.customers.frame, expected)
    assert any("the column ' months ' is read as 'months'" in said for said in tables.warnings)
    lines[4] = lines[4].replace(",3,", ",x,", 1)
    with pytest.raises(DataError, match="line 5, column ' months ': 'x' is not a number"):
        customer_files.read(customer_files.write(tmp_path, lines))


def test_a_blank_label_is_a_customer_to_decide_about(tmp_path: Path) -> None:
    tables = customer_files.read(customer_files.write(tmp_path, _edited(3, ",no,", ",,")))
    assert tables.current.frame["customer_id"].tolist() == ["C-001"]
    assert len(tables.customers.frame) == 39
    assert tables.current.schema.label is None


def test_dates_tell_the_label_and_become_days_before_the_snapshot(tmp_path: Path) -> None:
    description = """\
customers:
  file: c.csv
  charge: {column: fee, per_days: 365}
  left: {date: left_on, observed_until: 2026-06-20}
  window_days: 30
  snapshot: at
  id: id
  dates: {since: tenure_days}
  exclude: {fee: "== 1", left_on: "< 2026-01-01"}
offers: {hello: {}}
"""
    (tmp_path / "acme.yaml").write_text(description)
    (tmp_path / "c.csv").write_text(
        "id,at,fee,since,left_on\n"
        "a,2026-05-01,365,2026-04-01,\n"  # stayed: seen to the end of its 30 days
        "a,2026-06-01,365,2026-04-01,\n"  # not known: 30 days are not over
        "b,2026-05-01,730,2026-05-01,2026-05-31\n"  # left on the last day
        "c,2026-05-01,730,2026-04-30,2026-06-10\n"  # left later than 30 days: stayed in them
        "d,2026-05-01,1,2026-04-30,\n"
        "e,2026-05-01,9,2026-04-30,2025-12-31\n"
    )
    tables = customer_files.read(tmp_path)
    known = tables.customers.frame
    assert known["id"].tolist() == ["a", "b", "c"]
    assert known["left"].tolist() == [0, 1, 0]
    assert known["tenure_days"].tolist() == [30, 0, 1]
    assert known["charge"].tolist() == [30, 60, 60]
    assert tables.current.frame["at"].tolist() == [pd.Timestamp("2026-06-01")]
    assert catalog.prepare(tables.customers, tmp_path / "out", splits=splits.Splits(*[np.arange(1)] * 3))
    assert catalog.entries(tmp_path / "out")["customers"]["statistics"]["at"]["max"] == "2026-05-01 00:00:00"
    assert tables.notes == ("1 rows excluded by fee == 1", "1 rows excluded by left_on < 2026-01-01")


def test_a_column_in_another_case_is_told_once(tmp_path: Path) -> None:
    described = COMPANY.replace("monthly_charge", "Monthly_Charge")
    with pytest.raises(FilesError) as raised:
        customer_files.read(customer_files.write(tmp_path, company=described))
    (said,) = str(raised.value).splitlines()
    assert "the column 'Monthly_Charge' is missing; did you mean 'monthly_charge'?" in said


def test_too_many_values_to_infer_are_an_error(tmp_path: Path) -> None:
    lines = [line.replace("south", f"town-{i}") for i, line in enumerate(customer_files.customers(400))]
    with pytest.raises(
        DataError, match=r"column 'region': 201 different values are too many to infer.*that are listed"
    ):
        customer_files.read(customer_files.write(tmp_path, lines))


def test_a_bad_value_in_parquet_is_told_with_its_row(tmp_path: Path) -> None:
    customer_files.write(tmp_path, company=COMPANY.replace("customers.csv", "customers.parquet"))
    frame = pd.read_csv(tmp_path / "customers.csv")
    frame["months"] = frame["months"].astype(float)
    frame.loc[4, "months"] = np.inf
    frame.to_parquet(tmp_path / "customers.parquet")
    with pytest.raises(DataError, match="row 5, column 'months': 'inf' is not finite"):
        customer_files.read(tmp_path)
    frame["months"] = pd.to_timedelta(1, "D")
    frame.to_parquet(tmp_path / "customers.parquet")
    with pytest.raises(DataError, match=r"column 'months': holds duration.*; allowed: numbers, text, true/false"):
        customer_files.read(tmp_path)


@given(st.data())
def test_no_damage_to_a_file_gets_past_as_anything_but_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, drawn: st.DataObject
) -> None:
    """Bytes overwritten, cut out and put in at random places of description, customers or log."""
    folder = customer_files.write(tmp_path_factory.mktemp("fuzz"))
    path = folder / drawn.draw(st.sampled_from(["acme.yaml", "customers.csv", "contacts.csv"]))
    content = path.read_bytes()
    start, length = drawn.draw(st.integers(0, len(content))), drawn.draw(st.integers(0, 40))
    junk = drawn.draw(st.one_of(st.binary(max_size=20), st.text(max_size=20).map(str.encode)))
    path.write_bytes(content[:start] + junk + content[start + length :])
    with contextlib.suppress(RetentionJaxError):
        tables = customer_files.read(folder)
        assert set(tables.customers.schema.columns) == set(tables.customers.frame)


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4))
def test_no_damage_to_a_parquet_file_gets_past_either(place: int, junk: bytes) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"months": [1.0, 2.0], "plan": ["basic", "plus"], "count": [1, 2]}).to_parquet(buffer)
    content = buffer.getvalue()
    start = place % len(content)
    with contextlib.suppress(DataError):
        from retentionjax.data.reading import read_parquet

        raw = read_parquet(content[:start] + junk + content[start + len(junk) :], "damaged.parquet")
        assert all(len(raw.texts(name)) == raw.rows for name in raw.names)
