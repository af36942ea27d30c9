"""A file of departures: who left, who stayed, and of whom nothing is known."""

import datetime as dt
from pathlib import Path

import customer_files
import pytest

from retentionjax.data.faults import FilesError
from retentionjax.errors import ConfigError, DataError


def test_a_file_of_departures_tells_who_left_and_contacts_have_the_facts_of_their_time(tmp_path: Path) -> None:
    description = """\
customers: {file: c.csv, charge: {value: 9}, id: id, snapshot: at, numeric: [calls]}
departures: {file: d.csv, left_on: left_on, observed_until: until}
contacts: {file: k.csv, at: when, offer: arm, design: {none: 0.5, hello: 0.5}, accepted_at: said_yes}
offers: {hello: {}}
"""
    (tmp_path / "acme.yaml").write_text(description)
    (tmp_path / "c.csv").write_text("id,at,calls\na,2026-01-01,1\na,2026-03-01,2\nb,2026-03-01,3\n")
    (tmp_path / "d.csv").write_text("id,left_on,until\na,2026-03-20,2026-06-01\nb,,2026-06-01\n")
    (tmp_path / "k.csv").write_text(
        "id,when,arm,said_yes\n"
        "a,2026-02-01,hello,2026-02-02\na,2026-03-05T10:00:00Z,hello,\nb,2026-02-01,hello,\nb,2026-04-01,none,\n"
    )
    tables = customer_files.read(tmp_path)
    assert tables.customers.frame["left"].tolist() == [0, 1, 0]
    log = tables.contacts
    assert log is not None
    assert log.responses.frame["calls"].tolist() == [1, 2]
    assert log.responses.frame["accepted"].tolist() == [1, 0]
    assert log.assignments["propensity"].tolist() == [0.5] * 4
    said = "contacts: 1 contacts before their customer's first snapshot, the first in line 4 ('b'): no facts are known"
    assert any(note.startswith(said) for note in tables.notes)


DEPARTURES = """\
customers: {{file: c.csv, charge: {{value: 9}}, id: id, snapshot: 2026-03-01, numeric: [calls]}}
departures: {{file: d.csv, left_on: left_on, observed_until: {until}}}
offers: {{hello: {{}}}}
"""


def test_whom_a_file_of_departures_does_not_name_stayed_until_its_day(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(DEPARTURES.format(until="2026-06-01"))
    (tmp_path / "c.csv").write_text("id,calls\na,1\nb,2\nc,3\n")
    (tmp_path / "d.csv").write_text("id,left_on\na,2026-03-20\nc,2026-05-20\n")
    tables = customer_files.read(tmp_path)
    assert tables.customers.frame["id"].tolist() == ["a", "b", "c"]
    assert tables.customers.frame["left"].tolist() == [1, 0, 0]  # c after the 30 days


def test_with_a_day_in_each_row_those_who_are_not_named_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(DEPARTURES.format(until="until"))
    (tmp_path / "c.csv").write_text("id,calls\na,1\nb,2\nc,3\n")
    (tmp_path / "d.csv").write_text("id,left_on,until\na,2026-03-20,2026-06-01\nc,,2026-06-01\n")
    tables = customer_files.read(tmp_path)
    assert tables.customers.frame["id"].tolist() == ["a", "c"]
    assert tables.current.frame["id"].tolist() == ["b"]
    said = "1 rows of customers whom the departures do not name, the first in line 3 ('b'): not known yet"
    assert said in tables.notes
    (tmp_path / "d.csv").write_text("id,left_on,until\na,2026-03-20,2026-06-01\n")
    said = r"d.csv, column 'until': tells only of customers who left.*; allowed: a day also"
    with pytest.raises(FilesError, match=said):
        customer_files.read(tmp_path)


def test_where_nobody_is_known_long_enough_to_have_stayed_it_is_said_before_a_model_is_tried(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(DEPARTURES.format(until="until"))
    (tmp_path / "c.csv").write_text("id,calls\na,1\nb,2\n")
    (tmp_path / "d.csv").write_text("id,left_on,until\na,2026-03-20,2026-03-29\nb,,2026-03-29\n")
    with pytest.raises(DataError, match=r"30 days from the snapshot were over by the end of observation, 2026-03-29"):
        customer_files.read(tmp_path)


@pytest.mark.parametrize("until", ["2026-04-15", "until"], ids=["a day for all", "a day in each row"])
def test_of_a_window_that_is_not_over_neither_leavers_nor_stayers_are_learnt_from(tmp_path: Path, until: str) -> None:
    """A tenth leaves within ten days of each snapshot: of the last one, half over, those must not come on top."""
    description = """\
customers: {file: c.csv, charge: {value: 9}, id: id, snapshot: at, numeric: [calls]}
departures: {file: d.csv, left_on: left_on, observed_until: UNTIL, ignore: others}
contacts: {file: k.csv, at: when, offer: arm, design: {none: 0.5, hello: 0.5}, accepted: yes}
offers: {hello: {}}
""".replace("UNTIL", until)
    (tmp_path / "acme.yaml").write_text(description)
    snapshots = {"2026-01-01": "2026-01-09", "2026-02-01": "2026-02-09", "2026-04-01": "2026-04-09"}
    people = [(f"{at}/{n}", at, left if n < 10 else "") for at, left in snapshots.items() for n in range(100)]
    lines = {
        "c": ["id,at,calls", *(f"{name},{at},{place % 7}" for place, (name, at, _) in enumerate(people))],
        # Whoever left is observed until then, as many a system has it.
        "d": ["id,left_on,until", *(f"{name},{left},{left or '2026-04-15'}" for name, _, left in people)],
        "k": ["id,when,arm,yes", "2026-04-01/0,2026-04-02,hello,1", "2026-04-01/50,2026-04-02,hello,0"],
    }
    for name, rows in lines.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
    tables = customer_files.read(tmp_path)
    assert (len(tables.customers.frame), tables.customers.frame["left"].mean()) == (200, 0.1)
    assert set(tables.current.frame["id"]) == {f"2026-04-01/{n}" for n in range(10, 100)}
    assert set(tables.left_early.frame["id"]) == {f"2026-04-01/{n}" for n in range(10)}
    assert any(note.startswith("10 left within 30 days of a snapshot") for note in tables.notes)
    assert tables.contacts is not None
    assert len(tables.contacts.assignments) == 2  # theirs too: they were assigned, and left


DATED = """\
customers:
  {{file: c.csv, charge: {{value: 9}}, id: id, snapshot: 2026-03-01, numeric: [calls], exclude: {{calls: "> 100"}},
    left: {{date: left_on, observed_until: {until}}}}}
offers: {{hello: {{}}}}
"""


def _told(folder: Path, rows: dict[str, str], *, dated: bool, until: str = "2026-06-01", more: str = "") -> None:
    """Customer → day of leaving, in the customers' own file or in one of departures."""
    (folder / "acme.yaml").write_text((DATED if dated else DEPARTURES).format(until=until) + more)
    head = "id,calls,left_on" if dated else "id,calls"
    lines = [f"{name},{place}" + f",{day}" * dated for place, (name, day) in enumerate(rows.items())]
    (folder / "c.csv").write_text("\n".join([head, *lines]) + "\n")
    days = [f"{name},{day}" for name, day in rows.items() if day]
    (folder / "d.csv").write_text("\n".join(["id,left_on", *days]) + "\n")


@pytest.mark.parametrize("dated", [True, False])
def test_whoever_left_before_the_snapshot_is_refused_however_it_is_told(tmp_path: Path, dated: bool) -> None:
    _told(tmp_path, {"a": "2026-03-20", "b": "2025-08-01", "c": ""}, dated=dated)
    with pytest.raises(FilesError, match=r"line 3, column 'left_on': '2025-08-01' is before the snapshot") as caught:
        customer_files.read(tmp_path)
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize("dated", [True, False])
def test_a_day_after_the_end_of_observation_is_warned_of_however_it_is_told(tmp_path: Path, dated: bool) -> None:
    _told(tmp_path, {"a": "2026-03-20", "b": "2027-03-20", "c": ""}, dated=dated)
    tables = customer_files.read(tmp_path)
    assert tables.customers.frame["left"].tolist() == [1, 0, 0]
    (warning,) = tables.warnings
    assert "column 'left_on': 1 day is after observed_until (2026-06-01), the last on 2027-03-20" in warning


@pytest.mark.parametrize("dated", [True, False])
def test_dates_of_leaving_serve_as_departures_however_they_are_told(tmp_path: Path, dated: bool) -> None:
    log = "contacts: {file: k.csv, at: at, offer: arm, design: {none: 0.5, hello: 0.5}, accepted: yes}\n"
    _told(tmp_path, {"a": "2026-03-20", "b": "", "c": "2026-05-20"}, dated=dated, more=log)
    (tmp_path / "k.csv").write_text("id,at,arm,yes\na,2026-03-02,hello,1\nb,2026-03-02,hello,0\nc,2026-03-02,none,\n")
    told = customer_files.read(tmp_path).departures
    assert told is not None
    assert told["id"].tolist() == ["a", "b", "c"]
    assert told["left_on"].dt.strftime("%m-%d").fillna("").tolist() == ["03-20", "", "05-20"]
    assert set(told["observed_until"].dt.strftime("%Y-%m-%d")) == {"2026-06-01"}


@pytest.mark.parametrize("dated", [True, False])
def test_where_the_end_of_observation_is_blank_nothing_is_known_and_nobody_counts_as_kept(
    tmp_path: Path, dated: bool
) -> None:
    days = {"a": ("2026-03-20", ""), "b": ("", ""), "c": ("", "2026-06-01")}
    (tmp_path / "acme.yaml").write_text((DATED if dated else DEPARTURES).format(until="until"))
    told = {name: ",".join(each) for name, each in days.items()}
    (tmp_path / "c.csv").write_text(
        f"id,calls{',left_on,until' * dated}\n" + "".join(f"{name},1{f',{told[name]}' * dated}\n" for name in days)
    )
    (tmp_path / "d.csv").write_text("id,left_on,until\n" + "".join(f"{name},{told[name]}\n" for name in days))
    tables = customer_files.read(tmp_path)
    assert tables.customers.frame[["id", "left"]].to_numpy().tolist() == [["a", 1], ["c", 0]]
    assert tables.current.frame["id"].tolist() == ["b"]
    said = "1 rows whose 'until' is blank, the first in line 3 ('b'): not known yet"
    assert said in tables.notes


@pytest.mark.parametrize("dated", [True, False])
def test_where_only_leavers_have_an_end_of_observation_it_is_refused(tmp_path: Path, dated: bool) -> None:
    """One left in the window and one after it: a 1 and a 0, so that a model could be fitted, to leavers alone."""
    told = {"a": "2026-03-20,2026-06-01", "b": "2026-05-20,2026-06-01", "c": ",", "d": ","}
    (tmp_path / "acme.yaml").write_text((DATED if dated else DEPARTURES).format(until="until"))
    (tmp_path / "c.csv").write_text(
        f"id,calls{',left_on,until' * dated}\n" + "".join(f"{name},1{f',{told[name]}' * dated}\n" for name in told)
    )
    (tmp_path / "d.csv").write_text("id,left_on,until\n" + "".join(f"{name},{told[name]}\n" for name in told))
    file = "c.csv" if dated else "d.csv"
    said = rf"{file}, column 'until': tells only of customers who left, .*; allowed: a day also for those who have not"
    with pytest.raises(FilesError, match=said) as caught:
        customer_files.read(tmp_path)
    assert len(caught.value.faults) == 1


def test_ids_that_lost_their_zeros_are_refused_and_those_of_others_are_counted(tmp_path: Path) -> None:
    rows = {f"{number:04d}": "2026-03-20" if number % 2 else "" for number in range(1, 9)}
    _told(tmp_path, rows, dated=False)
    departures = (tmp_path / "d.csv").read_text()
    (tmp_path / "d.csv").write_text(departures + "9001,2026-01-20\n9002,2026-03-20\n")
    tables = customer_files.read(tmp_path)
    assert "departures: 6 ids, 2 of them of no customer in the customers' file" in tables.notes
    for mangled in ("3", "3.0", "03"):
        (tmp_path / "d.csv").write_text(departures.replace("0003", mangled))
        said = f"line 3, column 'id': '{mangled}' is no customer; is it '0003'\\?"
        with pytest.raises(FilesError, match=said):
            customer_files.read(tmp_path)
    (tmp_path / "d.csv").write_text("id,left_on\n" + "".join(f"{number},2026-03-20\n" for number in range(9000, 9040)))
    with pytest.raises(FilesError, match=r"column 'id': 0 of the 40 who stayed, or left from the snapshot on, are in"):
        customer_files.read(tmp_path)


def test_a_log_that_no_effect_is_learnt_from_is_refused_with_its_lines(tmp_path: Path) -> None:
    log = "contacts: {file: k.csv, at: at, offer: arm, design: {none: 0.5, hello: 0.5}, accepted: yes}\n"
    _told(tmp_path, {"a": "2026-03-20", "b": "", "c": "2026-05-20"}, dated=False, more=log)
    (tmp_path / "k.csv").write_text(
        "id,at,arm,yes\na,2026-03-21,hello,1\nb,2026-03-02T08:00,hello,0\nb,2026-03-02T09:00,none,\nc,2026-05-21,none,\n"
    )
    with pytest.raises(FilesError) as caught:
        customer_files.read(tmp_path)
    second, first, last = str(caught.value).splitlines()
    assert "k.csv, line 4, column 'at': '2026-03-02T09:00' is a second assignment of that customer" in second
    assert "k.csv, line 2, column 'at': '2026-03-21' is after the day on which that customer left" in first
    assert "line 5" in last


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (("1", "1"), "every contact was accepted"),
        (("0", ""), "no contact was accepted"),
        (("", ""), "is blank wherever"),
    ],
)
def test_a_log_without_both_answers_is_refused(tmp_path: Path, answers: tuple[str, str], said: str) -> None:
    log = "contacts: {file: k.csv, at: at, offer: arm, design: {none: 0.5, hello: 0.5}, accepted: yes}\n"
    _told(tmp_path, {"a": "2026-03-20", "b": ""}, dated=True, more=log)
    (tmp_path / "k.csv").write_text(
        "id,at,arm,yes\n" + "".join(f"b,2026-03-0{i},hello,{a}\n" for i, a in enumerate(answers, 1))
    )
    with pytest.raises(FilesError, match=f"column 'yes': {said}"):
        customer_files.read(tmp_path)


LOG = "contacts: {file: k.csv, at: at, offer: arm, design: {none: 0.5, hello: 0.5}, accepted: yes}\n"


@pytest.mark.parametrize("dated", [True, False])
def test_a_day_until_which_nobody_can_know_who_left_is_refused(tmp_path: Path, dated: bool) -> None:
    _told(tmp_path, {"a": "2026-03-20", "b": ""}, dated=dated)
    assert len(customer_files.read(tmp_path, today=dt.date(2026, 6, 1)).customers.frame) == 2
    key = r"customers\.left" if dated else "departures"
    said = key + r"\.observed_until: 2026-06-01 is after today; allowed: a day until 2026-05-31"
    with pytest.raises(FilesError, match=said):
        customer_files.read(tmp_path, today=dt.date(2026, 5, 31))


def test_what_the_files_date_after_today_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(DEPARTURES.format(until="until").replace("2026-03-01", "at") + LOG)
    (tmp_path / "c.csv").write_text("id,at,calls\na,2026-03-01,1\nb,2026-06-03,2\nc,2026-03-01,3\n")
    (tmp_path / "d.csv").write_text("id,left_on,until\na,2026-03-20,2026-06-01\nb,,2026-06-02\nc,,2026-06-01\n")
    (tmp_path / "k.csv").write_text("id,at,arm,yes\na,2026-03-02,hello,1\nb,2026-06-03T10:00,hello,0\n")
    assert customer_files.read(tmp_path, today=dt.date(2026, 6, 3))
    with pytest.raises(FilesError) as caught:
        customer_files.read(tmp_path, today=dt.date(2026, 6, 2))
    assert "c.csv, line 3, column 'at': '2026-06-03' is after today; allowed: a day until 2026-06-02" in str(
        caught.value
    )
    assert "k.csv, line 3, column 'at': '2026-06-03T10:00' is after today" in str(caught.value)
    with pytest.raises(FilesError, match=r"d\.csv, line 3, column 'until': '2026-06-02' is after today"):
        customer_files.read(tmp_path, today=dt.date(2026, 6, 1))


def test_what_is_after_the_end_of_observation_is_said_with_the_first_line_and_whom_it_is_about(tmp_path: Path) -> None:
    _told(tmp_path, {"a": "2026-03-20", "b": "", "c": "2026-05-20"}, dated=False, more=LOG)
    (tmp_path / "acme.yaml").write_text(
        (tmp_path / "acme.yaml").read_text().replace("snapshot: 2026-03-01", "snapshot: seen")
    )
    (tmp_path / "c.csv").write_text("id,seen,calls\na,2026-03-01,1\nb,2026-03-01,2\nc,2026-03-01,3\nb,2026-06-02,4\n")
    (tmp_path / "k.csv").write_text("id,at,arm,yes\na,2026-03-02,hello,1\nb,2026-06-02T08:00,hello,0\n")
    tables = customer_files.read(tmp_path)
    (warning,) = tables.warnings
    assert "k.csv, column 'at': 1 contact is after observed_until, the first in line 3 ('b')" in warning
    assert "1 snapshots after observed_until, the first in line 5 ('b'): not known yet" in tables.notes


def test_a_snapshot_of_all_after_the_end_of_observation_is_refused(tmp_path: Path) -> None:
    _told(tmp_path, {"a": "2026-03-20", "b": ""}, dated=False, until="2026-02-01")
    with pytest.raises(ConfigError, match=r"departures\.observed_until: 2026-02-01 is before the snapshot, 2026-03-01"):
        customer_files.read(tmp_path)


def test_faults_of_departures_customers_and_contacts_are_told_together(tmp_path: Path) -> None:
    _told(tmp_path, {"a": "20.03.2026", "b": "", "c": "2026-05-20"}, dated=False, more=LOG)
    (tmp_path / "c.csv").write_text("id,calls\na,1\nb,none\nc,3\n")
    (tmp_path / "k.csv").write_text("id,at,arm,yes\na,2026-03-02,hello,1\nz,2026-03-02,hello,0\n")
    with pytest.raises(FilesError) as caught:
        customer_files.read(tmp_path)
    first, second = str(caught.value).splitlines()
    assert "d.csv, line 2, column 'left_on': '20.03.2026' is no date" in first
    assert "c.csv, line 3, column 'calls': 'none' is not a number" in second
    (tmp_path / "c.csv").write_text("id,calls\na,1\nb,2\nc,3\n")
    with pytest.raises(FilesError) as caught:
        customer_files.read(tmp_path)
    assert [line.split(": ")[0].rpartition("/")[2] for line in str(caught.value).splitlines()] == [
        "d.csv, line 2, column 'left_on'",
        "k.csv, line 3, column 'id'",
    ]


@pytest.mark.parametrize("dated", [True, False])
def test_that_nobody_left_is_not_said_where_the_days_could_not_be_read(tmp_path: Path, dated: bool) -> None:
    _told(tmp_path, {"a": "2026-03-20", "b": ""}, dated=dated)
    path = tmp_path / "acme.yaml"
    path.write_text(path.read_text().replace("snapshot: 2026-03-01", "snapshot: seen"))
    rows = (tmp_path / "c.csv").read_text().splitlines()
    (tmp_path / "c.csv").write_text("\n".join([f"{rows[0]},seen", *(f"{row},01.03.2026" for row in rows[1:])]))
    with pytest.raises(FilesError) as caught:
        customer_files.read(tmp_path)
    assert [fault.wrong for fault in caught.value.faults] == ["is no date"]
    if dated:
        (tmp_path / "c.csv").write_text("id,calls,left_on,seen\na,1,20.03.2026,2026-03-01\nb,2,,2026-03-01\n")
        with pytest.raises(FilesError) as caught:
            customer_files.read(tmp_path)
        assert [fault.wrong for fault in caught.value.faults] == ["is no date"]


def test_contacts_without_an_answer_are_counted(tmp_path: Path) -> None:
    _told(tmp_path, {"a": "2026-03-20", "b": ""}, dated=True, more=LOG)
    (tmp_path / "k.csv").write_text(
        "id,at,arm,yes\na,2026-03-02,hello,1\nb,2026-03-02,none,\nb,2026-03-03,hello,\nb,2026-03-04,hello,0\n"
    )
    (warning,) = customer_files.read(tmp_path).warnings
    assert "k.csv, column 'yes': 1 of 3 contacts have no answer, the first in line 4: acceptance is not" in warning
    assert warning.endswith("learnt from them, and each counts as not accepted where effects are estimated")
