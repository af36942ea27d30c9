"""A file of departures: who left, who stayed, and of whom nothing is known."""

from pathlib import Path

import customer_files
import pytest

from retentionjax.errors import DataError


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
    assert any("1 contacts before their customer's first snapshot" in note for note in tables.notes)


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
    (tmp_path / "d.csv").write_text("id,left_on,until\na,2026-03-20,2026-06-01\n")
    with pytest.raises(DataError, match="names only customers who left"):
        customer_files.read(tmp_path)


def test_where_nobody_is_known_long_enough_to_have_stayed_it_is_said_before_a_model_is_tried(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(DEPARTURES.format(until="until"))
    (tmp_path / "c.csv").write_text("id,calls\na,1\nb,2\n")
    (tmp_path / "d.csv").write_text("id,left_on,until\na,2026-03-20,2026-03-29\nb,,2026-03-29\n")
    with pytest.raises(DataError, match=r"of all 1 of whom it is known for 30 days, everybody left; wait"):
        customer_files.read(tmp_path)
