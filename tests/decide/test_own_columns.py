"""Facts by a company's own columns: the same numbers from records, frames and Arrow, as training makes of them."""

import datetime as dt
import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.data.schema import Schema
from retentionjax.decide.facts import Facts, as_frame
from retentionjax.decide.own_columns import OwnColumns
from retentionjax.errors import DataError

COMPANY = """\
name: own
customers:
  file: own.csv
  id: number
  charge: {sum: [day, night], per_days: 15}
  left: {column: left, yes: "1", no: "0"}
  window_days: 30
  snapshot: seen_on
  numeric: [day]
  categorical: {plan: infer}
  dates: {since: tenure_days, paid_on: paid_days}
  nullable: [paid_days]
offers: {hello: {}}
"""
FILE = """\
number,day,night,left,seen_on,plan,since,paid_on
7,10.5,4.5,0,2026-06-01,basic,2024-06-01,2026-05-30
8,20,0,1,2026-06-02,plus,2026-06-01,
9,1,1,0,2026-06-02,basic,2026-01-01T12:00:00,2026-06-02
"""
OWN = ["number", "day", "night", "seen_on", "plan", "since", "paid_on"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Company, pd.DataFrame, Schema]:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.yaml").write_text(COMPANY)
    (folder / "own.csv").write_text(FILE)
    company = Company.load(folder / "own.yaml")
    table = company_tables.read(company).customers
    return company, table.frame, table.schema


@pytest.fixture(scope="module")
def facts(trained: tuple[Company, pd.DataFrame, Schema]) -> Facts:
    company, _, schema = trained
    served = Schema(
        name="customer",
        id="customer_id",
        charge=schema.charge,
        numeric=schema.numeric,
        categorical=schema.categorical,
        nullable=schema.nullable,
    )
    return Facts(served, company.customers)


def raw() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(FILE), dtype={"since": str, "paid_on": str})[OWN]


def records() -> list[dict[str, Any]]:
    return [{name: None if pd.isna(v) else v for name, v in row.items()} for row in raw().to_dict("records")]


def test_every_way_gives_the_numbers_that_training_saw(trained: Any, facts: Facts) -> None:
    _, frame, schema = trained
    expected = frame.rename(columns={"number": "customer_id"}).reset_index(drop=True)
    expected = expected[["customer_id", "charge", *schema.features]]
    typed = raw().assign(since=pd.to_datetime(raw()["since"], format="ISO8601"))
    as_dates = typed.assign(paid_on=[dt.date(2026, 5, 30), None, dt.date(2026, 6, 2)])
    for found in (facts.frame(raw()), facts.frame(as_dates), facts.records(records())):
        made = as_frame(facts.schema, found)
        pd.testing.assert_frame_equal(
            made.astype({"plan": object}), expected.astype({"plan": object, "customer_id": object}), check_dtype=False
        )
    assert found.monthly_charge.tolist() == [30.0, 40.0, 4.0]
    assert found.values[:, facts.schema.features.index("tenure_days")].tolist() == [730.0, 1.0, 151.5]


def test_what_they_become_is_taken_as_well_and_goes_before(facts: Facts) -> None:
    made = {"customer_id": "7", "charge": 30.0, "day": 10.5, "plan": "basic", "tenure_days": 730.0, "paid_days": 2.0}
    np.testing.assert_array_equal(facts.records([made]).values, facts.records(records()[:1]).values)
    assert facts.made(made) is made


def test_without_a_snapshot_dates_are_counted_to_today(trained: Any, facts: Facts) -> None:
    company, _, _ = trained
    own = OwnColumns(company.customers, facts.schema, now=lambda: dt.date(2026, 6, 11))
    made, wrong = own.record({"since": "2026-06-01"})
    assert (made["tenure_days"], wrong) == (10.0, [])
    batch, unreadable = own.batch(pa.RecordBatch.from_pylist([{"since": "2026-06-01"}]))
    assert batch.column("tenure_days").to_pylist() == [10.0]
    assert not any(each.rows.any() for each in unreadable)


@pytest.mark.parametrize("offset", [2, -5])
def test_a_midnight_of_a_time_zone_is_its_day_in_a_record_a_table_and_arrow(facts: Facts, offset: int) -> None:
    zone = dt.timezone(dt.timedelta(hours=offset))
    nights = [dt.datetime(2024, 6, 1, tzinfo=zone), dt.datetime(2026, 6, 1, tzinfo=zone)]
    said = [{"since": each.isoformat()} for each in nights]
    given = [record | since for record, since in zip(records()[:2], said, strict=True)]
    texts = raw()[:2].assign(since=[each["since"] for each in said])
    typed = texts.assign(since=pd.to_datetime(pd.Series(nights)))
    for found in (facts.records(given), facts.frame(texts), facts.frame(typed)):
        assert found.values[:, facts.schema.features.index("tenure_days")].tolist() == [730.0, 1.0]


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"since": "last year"}, "since", "'last year' is no date; allowed: a date such as 2026-06-01"),
        ({"since": None}, "since", "is no date"),
        ({"night": "4"}, "night", "'4' is not a number"),
        ({"seen_on": 3}, "seen_on", "3 is no date"),
        ({"night": -10.5}, "charge", "0.0 is out of range"),
        ({"colour": 1}, "colour", "number"),
    ],
)
def test_a_column_that_cannot_be_read_is_named(facts: Facts, change: dict[str, Any], field: str, said: str) -> None:
    record = records()[0] | change
    assert [each.field for each in facts.faults(record)] == [field]
    with pytest.raises(DataError, match=f"'{field}'") as error:
        facts.records([record])
    assert said in str(error.value)


def test_rows_of_a_table_that_cannot_be_read_are_named(facts: Facts) -> None:
    table = raw().assign(since=["2024-06-01", "soon", "2026-01-01"], night=[4.5, 0.0, np.nan])
    features, faults = facts.table(pa.RecordBatch.from_pandas(table, preserve_index=False))
    assert [(row, fault.field) for row, fault in faults] == [(1, "since"), (2, "night")]
    assert features.customer_id == ("7",)


def test_a_missing_column_says_what_it_may_be_made_of(facts: Facts) -> None:
    with pytest.raises(DataError, match=r"column 'charge' is missing; needed: customer_id \(or number\).*day \+ night"):
        facts.frame(raw().drop(columns="night"))
    with pytest.raises(DataError, match="column 'since': holds int64; allowed: dates"):
        facts.frame(raw().assign(since=3))


def test_the_same_charge_for_all_need_not_be_said() -> None:
    customers = {"file": None, "charge": {"value": 12}, "left": "left", "window_days": 30, "numeric": ["age"]}
    company = Company(customers, offers={"hello": {}})
    facts = Facts(Schema(name="s", id="customer_id", charge="charge", numeric=("age",)), company.customers)
    assert facts.records([{"customer_id": "A", "age": 3}]).monthly_charge.tolist() == [12.0]
    assert facts.frame(pd.DataFrame({"customer_id": ["A"], "age": [3]})).monthly_charge.tolist() == [12.0]
