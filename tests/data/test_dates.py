"""Dates of a company's files that come after the day on which the facts were so."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retentionjax.company import Company
from retentionjax.company.reading import CellReading
from retentionjax.data import company_tables
from retentionjax.data.cells import Cells
from retentionjax.data.faults import FilesError
from retentionjax.data.reading import read_frame

JOINED = """\
customers:
  {{file: c.csv, id: id, charge: {{value: 20}}, snapshot: {snapshot}, ignore: others,
    left: {{date: left_on, observed_until: 2026-06-01}}, dates: {{since: days}}{more}}}
offers: {{hello: {{}}}}
"""


def _joined(folder: Path, more: str, snapshot: str = "2026-03-01") -> Path:
    """Four customers, one of whom joined after the snapshot, by the hour, and one on its day."""
    days = ("2025-01-01", "2026-03-02T10:00", "2026-03-01T10:00", "2025-05-01")
    rows = [f"c{place},{day},{'2026-03-20' * (place % 2)},2026-03-01" for place, day in enumerate(days)]
    (folder / "c.csv").write_text("\n".join(["id,since,left_on,at", *rows]) + "\n")
    (folder / "acme.yaml").write_text(JOINED.format(more=more, snapshot=snapshot))
    return folder / "acme.yaml"


@pytest.mark.parametrize(
    ("snapshot", "until"), [("2026-03-01", "the snapshot, 2026-03-01"), ("at", "its row's snapshot")]
)
def test_a_day_of_joining_after_the_snapshot_is_refused(tmp_path: Path, snapshot: str, until: str) -> None:
    company = Company.load(_joined(tmp_path, ", tenure: days", snapshot))
    with pytest.raises(FilesError) as caught:
        company_tables.read(company)
    said = f"line 3, column 'since': '2026-03-02T10:00' is after the snapshot; allowed: a day until {until}: tenure is"
    assert said in str(caught.value)
    assert len(caught.value.faults) == 1


def test_a_few_dates_of_another_kind_after_the_snapshot_are_warned_of(tmp_path: Path) -> None:
    company = Company.load(_joined(tmp_path, ""))
    said = "column 'since': 1 date is after the snapshot, the first in line 3 ('c1')"
    assert any(said in warning for warning in company_tables.read(company).warnings)
    table = (tmp_path / "c.csv").read_text().replace("2025-", "2027-")  # ends of contracts
    (tmp_path / "c.csv").write_text(table)
    assert company_tables.read(company).warnings == ()


def test_a_tenure_below_zero_is_refused(tmp_path: Path) -> None:
    text = _joined(tmp_path, ", tenure: days").read_text().replace("dates: {since: days}", "numeric: [days]")
    (tmp_path / "acme.yaml").write_text(text)
    (tmp_path / "c.csv").write_text("id,days,left_on\na,3,\nb,-1,2026-03-20\n")
    with pytest.raises(FilesError, match=r"line 3, column 'days': '-1' is below 0; allowed: 0 or more: it is the ten"):
        company_tables.read(Company.load(tmp_path / "acme.yaml"))


def _days(values: object, form: str = "") -> tuple[list[str], list[str]]:
    """Days that a column is read as, and what is said of it."""
    cells = Cells(read_frame(pd.DataFrame({"on": values}), "c"), CellReading(dates=form))
    found = cells.dates("on", nullable=True).astype("datetime64[D]")
    return found.astype(str).tolist(), [*(fault.lines()[0] for fault in cells.faults), *cells.warnings]


@pytest.mark.parametrize("without", ["2026-06", "2026", "202606"])
def test_a_date_without_its_day_is_none(without: str) -> None:
    """The 1st would be taken for a day on which somebody left."""
    days, said = _days(["2026-06-01", without])
    assert days == ["2026-06-01", "NaT"]
    assert f"'{without}' is no date" in said[0]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Tokyo"])
def test_a_midnight_of_a_time_zone_is_its_day(zone: str) -> None:
    local = pd.to_datetime(["2026-01-15", "2026-07-01", None]).tz_localize(zone)  # winter and summer time
    texts = [each.isoformat() if each is not pd.NaT else "" for each in local]
    for values in (local, texts, [each.replace("T", " ") for each in texts]):
        assert _days(values) == (["2026-01-15", "2026-07-01", "NaT"], [])


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S%z", "%d/%m/%Y %H:%M %z", "%a %b %d %H:%M:%S %z %Y"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_a_form_with_a_time_zone_reads_midnights_as_days_and_times_in_utc(form: str, zone: str) -> None:
    nights = pd.to_datetime(["2026-01-15", "2026-07-01"]).tz_localize(zone)
    texts = [*nights.strftime(form), ""]
    assert _days(texts, form) == (["2026-01-15", "2026-07-01", "NaT"], [])
    noon = nights[0] + pd.Timedelta(hours=12, minutes=30)
    cells = Cells(read_frame(pd.DataFrame({"on": [texts[0], noon.strftime(form)]}), "c"), CellReading(dates=form))
    assert cells.dates("on").tolist() == [
        each.tz_convert("UTC").to_pydatetime().replace(tzinfo=None) for each in (nights[0], noon)
    ]


def test_a_time_of_a_time_zone_is_told_in_utc() -> None:
    times = pd.to_datetime(["2026-01-15 00:00", "2026-07-01 12:30"]).tz_localize("Europe/Berlin")
    wanted = times.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]")
    for values in (times, [each.isoformat() for each in times]):
        cells = Cells(read_frame(pd.DataFrame({"on": values}), "c"), CellReading())
        assert np.array_equal(cells.dates("on"), wanted)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["25/05/2023", "05/11/2024"], '{dates: "%d/%m/%Y"}'),
        (["05/25/2023", "05/11/2024"], '{dates: "%m/%d/%Y"}'),
        (["05/06/2023", "05/11/2024"], '{dates: "%d/%m/%Y"} or {dates: "%m/%d/%Y"}'),
        (["01.08.2026 12:38", "25.08.2026 00:00"], '{dates: "%d.%m.%Y %H:%M"}'),
        (["28-Jul-2026"], '{dates: "%d-%b-%Y"}'),
        (["Jul 28, 2026"], '{dates: "%b %d, %Y"}'),
    ],
)
def test_the_form_that_is_told_reads_the_column(values: list[str], told: str) -> None:
    _, said = _days(values)
    assert said[0].endswith(f"another form is told by reading: {told}")
    form = told.split('"')[1]
    assert _days(values, form) == ([str(pd.to_datetime(each, format=form).date()) for each in values], [])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0000-00-00", 'if it stands for an empty cell, say reading: {missing: ["", "0000-00-00"]}'),
        ("46231", "if it counts days since 1900, save the column as dates"),
        ("1764500000", "if it counts seconds since 1970, save the column as dates"),
    ],
)
def test_what_is_no_date_is_told_what_it_may_be(value: str, said: str) -> None:
    assert said in _days([value])[1][0]


def test_a_form_of_days_reads_times_too_and_the_other_way_round() -> None:
    assert _days(["25.05.2026", "26.05.2026 14:30", "27.05.2026 14:30:10"], "%d.%m.%Y")[1] == []
    assert _days(["25.05.2026", "26.05.2026 14:30"], "%d.%m.%Y %H:%M") == (["2026-05-25", "2026-05-26"], [])


def test_days_that_stand_for_none_are_warned_of() -> None:
    assert _days(["1900-01-01", "1900-01-01", "2020-05-01"])[1] == [
        "c, column 'on': 2 dates are 1900-01-01: do they stand for one that is not known?"
    ]
    assert _days(["1970-01-01", "2020-05-01"])[1] == []  # somebody's birthday
