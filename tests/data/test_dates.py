"""Dates of a company's files that come after the day on which the facts were so."""

from pathlib import Path

import pytest

from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.data.faults import FilesError

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
