"""Contacts before their customers joined or were known, twice in the file, or answered on a day without its hour."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.data.cells import Cells
from retentionjax.data.company_tables import Tables
from retentionjax.data.faults import FilesError
from retentionjax.data.reading import read_frame

_CUSTOMERS = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "fee": [10.0, 20.0, 30.0, 40.0],
        "since": ["2026-03-10T15:00", "2025-01-01", "2026-04-01", "2024-01-01"],
        "left_on": ["2026-05-10", "", "2026-05-20", ""],
        "left": [1, 0, 1, 0],
    }
)
_LOG = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "at": ["2026-03-10T10:00", "2026-05-02", "2026-05-03T09:00", "2026-05-04"],
        "arm": ["ten", "none", "ten", "ten"],
        "answered_on": ["", "", "2026-05-03", "2026-05-05"],
    }
)


def _read(log: pd.DataFrame, *, dated: bool = True) -> Tables:
    left = {"date": "left_on", "observed_until": dt.date(2026, 6, 30)} if dated else "left"
    company = Company(
        _CUSTOMERS,
        id="id",
        charge="fee",
        left=left,
        window_days=30,
        snapshot=dt.date(2026, 5, 1),
        dates={"since": "days"},
        tenure="days",
        ignore="others",
        contacts={
            "file": log,
            "at": "at",
            "offer": "arm",
            "design": {"none": 0.5, "ten": 0.5},
            "accepted_at": "answered_on",
        },
        offers={"ten": {"discount": 0.1}},
    )
    return company_tables.read(company)


def _warned(tables: Tables) -> list[str]:
    return [each.split("assignments that ")[1] for each in tables.warnings if "assignments that" in each]


def test_a_contact_before_the_snapshot_is_warned_of_where_effects_would_be_learnt() -> None:
    early = (
        "are before the snapshot, of whose customers the file has only those who stayed: 1, the first in row 1 ('a')"
    )
    assert _warned(_read(_LOG)) == [early]
    assert _warned(_read(_LOG, dated=False)) == []


@pytest.mark.parametrize(("day", "warned"), [("2026-03-10", False), ("2026-03-09T23:00", True), ("2025-12-01", True)])
def test_a_contact_before_the_day_of_joining_is_warned_of(day: str, warned: bool) -> None:
    said = _warned(_read(_LOG.assign(at=[day, *_LOG["at"][1:]]), dated=False))
    assert said == (["are before their customer joined: 1, the first in row 1 ('a')"] if warned else [])


def test_rows_that_were_put_together_twice_are_told() -> None:
    twice = pd.concat([_LOG, _LOG.iloc[1:3]], ignore_index=True)
    assert _warned(_read(twice, dated=False)) == [
        "repeat an earlier row's customer, time and arm: 2, the first in row 5 ('b')"
    ]
    with pytest.raises(FilesError, match="is a second assignment of that customer on that day"):
        _read(twice)


def test_an_answer_told_by_its_day_may_be_on_the_day_of_the_contact() -> None:
    assert _read(_LOG).contacts.assignments["accepted"].fillna(-1).tolist() == [0, -1, 1, 1]
    for early in ("2026-05-02", "2026-05-03T08:59"):
        with pytest.raises(FilesError, match="is before the assignment"):
            _read(_LOG.assign(answered_on=["", "", early, "2026-05-05"]))


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        (["1.299", "12.450", "129.900"], True),  # thousands, or three decimals: nobody can tell
        (["1.299", "12.450", "950"], True),
        (["1.299", "12.450", "0.125"], False),  # no group begins with 0
        (["1.299", "12.450", "12.5"], False),
        (["1.299", "12.450", "1299.000"], False),
        (["1.299", "1.299", "1.299"], False),  # one value is no pattern
    ],
)
def test_points_that_may_group_thousands_are_warned_of(values: list[str], warned: bool) -> None:
    cells = Cells(read_frame(pd.DataFrame({"fee": values}), "c"))
    np.testing.assert_array_equal(cells.numbers("fee"), [float(each) for each in values])
    told = [
        "c, column 'fee': every '.' is followed by three digits, as in '1.299', which is read as a fraction: if it "
    ]
    assert [each[: len(told[0])] for each in cells.warnings] == told * warned
