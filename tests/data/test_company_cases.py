"""Files as people have them: public tables of other shapes, and numbers as they are written."""

import shutil
import unicodedata
from pathlib import Path
from typing import Literal

import customer_files
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import companies
from retentionjax.company import Company
from retentionjax.company.reading import CellReading
from retentionjax.data import check, company_tables, sources, splits
from retentionjax.data.cells import Cells
from retentionjax.data.reading import read_csv
from retentionjax.data.spelling import number_hint
from retentionjax.errors import DataError

BANK = """\
name: bank
currency: EUR
customers:
  file: Churn_Modelling.csv
  id: CustomerId
  charge: {value: 12.0}
  left: {column: Exited, yes: "1", no: "0"}
  window_days: 365
  numeric: [CreditScore, Age, Tenure, Balance, NumOfProducts, EstimatedSalary]
  categorical: {Geography: infer, Gender: infer, HasCrCard: infer, IsActiveMember: infer}
  nullable: [Age, Gender]
  ignore: others
offers: {call: {}, fee_back: {amount: 10}, better_rate: {cost: 3.0, days: 180, say: a better rate for 180 days}}
limits: {budget: 1.00, account_cap: 25, contact_cost: 2.0, cooldown_days: 30}
"""
SHOP = """\
name: shop
currency: USD
customers:
  file: ecommerce.csv
  id: CustomerID
  charge: CashbackAmount
  exclude: {charge: "<= 0"}
  left: {column: Churn, yes: "1", no: "0"}
  window_days: 60
  numeric: [Tenure, WarehouseToHome, HourSpendOnApp, NumberOfDeviceRegistered, SatisfactionScore, NumberOfAddress,
            OrderAmountHikeFromlastYear, CouponUsed, OrderCount, DaySinceLastOrder]
  categorical: {PreferredLoginDevice: infer, CityTier: infer, PreferredPaymentMode: infer, Gender: infer,
                PreferedOrderCat: infer, MaritalStatus: infer, Complain: infer}
  nullable: [Tenure, WarehouseToHome, HourSpendOnApp, OrderAmountHikeFromlastYear, CouponUsed, OrderCount,
             DaySinceLastOrder]
offers: {hello: {}, voucher: {amount: 5}, big_voucher: {amount: 15}}
limits: {budget: 1.50, account_cap: 30}
"""
SGI = """\
name: sgi
currency: USD
customers:
  file: telecom_sgi.csv
  charge: {sum: [Total day charge, Total eve charge, Total night charge, Total intl charge], per_days: 30}
  left: {column: Churn, yes: "True", no: "False"}
  window_days: 90
  numeric: [Account length, Number vmail messages, Customer service calls]
  categorical: {State: infer, International plan: ["Yes", "No"], Voice mail plan: ["Yes", "No"]}
  ignore: others
offers: {hello: {}, free_month: {discount: 1.0, days: 30, effect_days: 60, say: one month free}}
limits: {budget: 3.00, account_cap: 70}
"""
EXCEL = """\
name: excel_de
currency: EUR
customers:
  file: excel_de.csv
  id: Kundennr
  charge: Beitrag
  left: {column: Gekuendigt, yes: ja, no: nein}
  window_days: 30
  numeric: [Monate]
  categorical: {Tarif: [basis, plus]}
  nullable: [Monate]
  reading: {separator: ";", decimal: ",", thousands: ".", missing: ["", NA]}
offers: {hello: {}, ten: {discount: 0.10, days: 30}}
"""


@pytest.mark.parametrize(
    ("description", "file", "rows", "left", "notes"),
    [
        (BANK, "Churn_Modelling.csv", 10_000, 2_037, ()),
        (SHOP, "ecommerce.csv", 5_626, 948, ("4 rows excluded by charge <= 0",)),
        (SGI, "telecom_sgi.csv", 3_333, 483, ()),
    ],
)
def test_public_tables_of_other_shapes_are_read_as_they_are(
    real_data: Path, tmp_path: Path, description: str, file: str, rows: int, left: int, notes: tuple[str, ...]
) -> None:
    source = real_data / "companies" / file
    if not source.exists():
        pytest.skip(f"needs real data: companies/{file}")
    shutil.copy(source, tmp_path)
    (tmp_path / "acme.yaml").write_text(description)
    tables = customer_files.read(tmp_path)
    frame, schema = tables.customers.frame, tables.customers.schema
    assert (len(frame), int(frame[str(schema.label)].sum()), tables.notes) == (rows, left, notes)
    assert (frame[str(schema.charge)] > 0).all()
    assert frame[str(schema.id)].is_unique


def test_a_file_as_excel_saves_it_in_germany_is_understood(tmp_path: Path) -> None:
    """Byte order mark, semicolons, decimal comma, currency signs, leading zeros, stray spaces, empty last rows."""
    text = "Kundennr;Gekuendigt;Beitrag;Monate;Tarif\n0001;ja;29,90 €;14;basis\n0002;nein;1.079,00 €;2; plus\n"
    text += "0003;;54,90\u00a0€;NA;basis\n;;;;\n;;;;\n"
    (tmp_path / "excel_de.csv").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    (tmp_path / "acme.yaml").write_text(EXCEL)
    tables = customer_files.read(tmp_path)
    assert tables.customers.frame["Kundennr"].tolist() == ["0001", "0002"]
    assert tables.customers.frame["Beitrag"].tolist() == [29.90, 1079.0]
    assert tables.customers.frame["Gekuendigt"].tolist() == [1, 0]
    assert tables.customers.frame["Tarif"].tolist() == ["basis", "plus"]
    assert tables.current.frame["Kundennr"].tolist() == ["0003"]
    assert tables.current.frame["Monate"].isna().all()
    odd = list(check.warnings(Company.load(tmp_path / "acme.yaml"), tables))
    assert any("1 row of customers who left: too few" in line for line in odd)
    assert any("forbids every offer to 1 customers, those of €1,079 a month and up" in line for line in odd)


def test_the_demos_company_gives_the_very_tables_of_the_public_sets(real_data: Path) -> None:
    tables = company_tables.read(companies.load("demo"))
    assert tables.contacts is not None
    for name, table in (("telco", tables.customers), ("bank", tables.contacts.responses)):
        expected = sources.load(name, mode="real")
        assert table.frame.equals(expected.frame)
        ours, theirs = splits.split(table), splits.split(expected)
        for part in splits.NAMES:
            assert (getattr(ours, part) == getattr(theirs, part)).all()


def test_the_readmes_files_are_read(tmp_path: Path) -> None:
    text = (Path(sources.__file__).parent / "README.md").read_text()
    blocks = [block for block in text.split("\n\n") if block.startswith("    ")]
    for name, block in zip(("acme.yaml", "customers.csv", "contacts.csv"), blocks[1:4], strict=True):
        (tmp_path / name).write_text("\n".join(line[4:] for line in block.splitlines()) + "\n")
    tables = customer_files.read(tmp_path)
    assert tables.customers.frame["customer_id"].tolist() == ["0001", "0002", "0004"]
    assert tables.current.frame["customer_id"].tolist() == ["0003"]
    assert tables.contacts is not None
    assert tables.contacts.responses.frame["accepted"].tolist() == [1, 0]


SIGNS = st.sampled_from([("", ""), ("$", ""), ("$ ", ""), ("", " USD"), ("", "\u00a0$"), ("USD ", "")])


@given(
    st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=20),
    st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "'"), (".", "")]),
    SIGNS,
)
def test_a_number_is_read_as_it_was_written(cents: list[int], marks: tuple[str, str], beside: tuple[str, str]) -> None:
    """Oracle: Python writes the number with its own thousands and point, which are then exchanged."""
    decimal, thousands = marks
    written = [f"{each / 100:,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands) for each in cents]
    signed = [(each[:1], each[1:]) if each.startswith("-") else ("", each) for each in written]
    lines = "\n".join(f'"{sign}{beside[0]}{each}{beside[1]}"' for sign, each in signed)
    raw = read_csv(f"fee\n{lines}\n".encode(), "x.csv")
    cells = Cells(raw, CellReading(decimal=decimal, thousands=thousands))
    assert cells.numbers("fee").tolist() == [each / 100 for each in cents]
    assert cells.faults == []


@given(
    st.sampled_from(["1.5", "12.3456", "1.23.456", "1.234.56", ".123.456", "1 2", "--3", "3-", "1,2,3", "€€5", "5 $ 5"])
)
def test_groups_that_are_none_are_no_number(text: str) -> None:
    """A point that groups thousands is never taken for a decimal one: 1.5 would become 15."""
    raw = read_csv(f'fee\n"{text}"\n'.encode(), "x.csv")
    cells = Cells(raw, CellReading(decimal=",", thousands="."), "EUR")
    cells.numbers("fee")
    assert [fault.wrong for fault in cells.faults] == ["is not a number"]


@pytest.mark.parametrize(
    ("reading", "value", "said"),
    [
        (CellReading(decimal=","), "29.90 €", '; by what reading says, "," is the decimal sign, not "."'),
        (CellReading(decimal=",", thousands="."), "29.90", '; by what reading says, "," is the decimal sign, not "."'),
        (CellReading(thousands=","), "29,90", '; by what reading says, "." is the decimal sign, not ","'),
        (CellReading(decimal=","), "29,90 kWh", '; text beside numbers is told by reading: {suffix: "kWh"}'),
        (CellReading(), "87%", '; text beside numbers is told by reading: {suffix: "%"}'),
        (CellReading(suffix="kWh"), "87%", "; the file's suffix is 'kWh', and one file has one suffix"),
        (CellReading(), "€12", "; if the company's money is EUR, say currency: EUR"),
        (CellReading(decimal=","), "R$ 1.299,00", '; if "." groups thousands, say reading: {thousands: "."}'),
        (CellReading(), "R$ 1.299,00", '; if "." groups thousands, say reading: {decimal: ",", thousands: "."}'),
        (CellReading(), "4'455.00", """; if "'" groups thousands, say reading: {thousands: "'"}"""),
        (CellReading(decimal=","), "1\u00a0160,36 zł", '; if " " groups thousands, say reading: {thousands: " "}'),
        (CellReading(), "44.55-", '; a number below 0 has its "-" before it'),
        (CellReading(), "(44.55)", '; a number below 0 has its "-" before it'),
        (CellReading(), "n/a", '; if it stands for an empty cell, say reading: {missing: ["", "n/a"]}'),
        (CellReading(), "#REF!", '; if it stands for an empty cell, say reading: {missing: ["", "#REF!"]}'),
    ],
)
def test_what_is_said_of_a_number_is_its_fault(reading: CellReading, value: str, said: str) -> None:
    assert number_hint(value, reading) == said


def test_two_columns_whose_names_differ_only_in_how_an_accent_is_encoded_are_refused() -> None:
    with pytest.raises(DataError, match=r"x\.csv.*: 'r\\xe9gion' and 're\\u0301gion' are the same name, 'région'"):
        read_csv("r\u00e9gion,re\u0301gion\n1,2\n".encode(), "x.csv")


def test_a_day_that_is_over_is_no_later_than_today_where_no_other_is_named() -> None:
    cells = Cells(read_csv(b"at\n2020-01-01\n9000-01-01\n", "x.csv"))
    cells.dates("at", past=True)
    assert [(fault.wrong, fault.rows.tolist()) for fault in cells.faults] == [("is after today", [1])]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_accent_is_the_same_however_it_is_encoded(tmp_path: Path, form: Literal["NFC", "NFD"]) -> None:
    other: Literal["NFC", "NFD"] = "NFD" if form == "NFC" else "NFC"
    described = customer_files.COMPANY.replace("plus", "plüs").replace("region: infer", "régión: infer")
    lines = [each.replace("plus", "plüs").replace("region", "régión") for each in customer_files.customers()]
    lines = [each.replace("C-0", "Ç-0") for each in lines]
    log = [each.replace("C-0", "Ç-0") for each in customer_files.contacts()]
    folder = customer_files.write(
        tmp_path,
        [unicodedata.normalize(form, each) for each in lines],
        [unicodedata.normalize(other, each) for each in log],
        unicodedata.normalize(other, described),
    )
    tables = customer_files.read(folder)
    assert set(tables.customers.frame["plan"]) == {"basic", "plüs", "pro"}
    assert "régión" in tables.customers.schema.categorical
    assert tables.warnings == ()
