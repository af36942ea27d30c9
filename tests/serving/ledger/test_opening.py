"""Opening a ledger: URLs, schemas older and newer than the program, two processes at once."""

import os
import sqlite3
import threading
from pathlib import Path

import pytest
from ledger_rows import FrozenClock, campaign, decision, money, record

from retentionjax.errors import ConfigError
from serving.ledger import Ledger, LedgerError, opening


def test_what_was_written_is_there_when_it_is_opened_again(empty: str, clock: FrozenClock) -> None:
    first = Ledger.open(empty, clock=clock)
    with first.transaction() as tx:
        tx.put_campaign(campaign())
    record(first, decision("ann"))
    before = money(first)
    first.close()
    first.close()
    second = Ledger.open(empty, clock=clock)
    assert money(second) == before != (0, 0)
    second.close()
    with pytest.raises(LedgerError, match="closed"), second.read():
        pass
    with pytest.raises(LedgerError, match="closed"), second.transaction():
        pass


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o640), (0o077, 0o600), (0o002, 0o660)])
def test_the_files_of_a_new_ledger_are_no_strangers(tmp_path: Path, clock: FrozenClock, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
        files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    ledger.close()
    assert files == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), mode)


@pytest.mark.parametrize("url", ["", "sqlite:///", "mysql://root:secret@host/db", "ledger.db", "postgres"])
def test_a_url_that_is_none_is_refused_without_being_shown(url: str, clock: FrozenClock) -> None:
    with pytest.raises(ConfigError, match="allowed: sqlite:///PATH, postgresql://") as caught:
        Ledger.open(url, clock=clock)
    assert "secret" not in str(caught.value)


def test_a_file_that_cannot_be_a_ledger_is_named(tmp_path: Path, clock: FrozenClock) -> None:
    (tmp_path / "text").write_text("no ledger " * 100)
    for name, said in (("", "in a folder that is there"), ("no/x.db", "in a folder that is there"), ("text", "NOTADB")):
        path = tmp_path / name
        with pytest.raises((ConfigError, LedgerError), match=f"{path}.*{said}"):
            Ledger.open(f"sqlite:///{path}", clock=clock)


@pytest.mark.parametrize(
    ("schema", "said"),
    [(99, "has schema 99, and this program knows schemas up to"), (10, "has schema 10, of a program .*never released")],
)
def test_a_ledger_of_a_newer_program_or_an_unreleased_one_is_refused(
    database: str, ledger: Ledger, clock: FrozenClock, schema: int, said: str
) -> None:
    with ledger.transaction() as tx:
        tx.run("UPDATE schema_version SET version = ?", schema)
    with pytest.raises(LedgerError, match=said):
        Ledger.open(database, clock=clock)


def test_migrations_are_numbered_one_after_another() -> None:
    numbers = [number for number, _ in opening.migrations()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_migration_is_applied_whole_or_not_at_all(
    database: str, ledger: Ledger, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = opening.migrations()
    next_number = known[-1][0] + 1
    broken = "ALTER TABLE customers ADD COLUMN hobby TEXT;\nCREATE TABLE customers (again TEXT);"
    monkeypatch.setattr(opening, "migrations", lambda: [*known, (next_number, broken)])
    with pytest.raises(Exception, match="customers"):
        Ledger.open(database, clock=clock)
    whole = "-- a comment; with a semicolon\nALTER TABLE customers ADD COLUMN hobby TEXT;\n"
    monkeypatch.setattr(opening, "migrations", lambda: [*known, (next_number, whole)])
    for _ in range(2):
        again = Ledger.open(database, clock=clock)
        with again.read() as reader:
            assert reader.rows("SELECT hobby FROM customers") == []
            assert reader.rows("SELECT version FROM schema_version ORDER BY version") == [
                (number,) for number in range(known[0][0], next_number + 1)
            ]
        again.close()


def test_processes_that_open_a_new_ledger_together_all_succeed(empty: str, clock: FrozenClock) -> None:
    opened: list[Ledger] = []

    def open_() -> None:
        opened.append(Ledger.open(empty, clock=clock))

    threads = [threading.Thread(target=open_) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    for ledger in opened:
        ledger.close()


def test_sqlite_is_durable_strict_and_holds_its_references(tmp_path: Path, clock: FrozenClock) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
    with ledger.transaction() as tx:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        assert [tx.rows(f"PRAGMA {name}")[0][0] for name in pragmas] == ["wal", 2, 1, 1]
        tables = tx.rows("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")
    own = {name: strict for name, strict in tables if not name.startswith("sqlite_") and name != "schema_version"}
    assert len(own) >= 10
    assert set(own.values()) == {1}
    with pytest.raises(sqlite3.IntegrityError), ledger.transaction() as tx:
        tx.run("INSERT INTO outcomes VALUES ('nothing', 'accepted', 0, 0, 'applied')")
    ledger.close()


def test_a_reader_sees_one_moment_and_cannot_write(ledger: Ledger) -> None:
    with ledger.read() as reader:
        before = reader.campaign("spring")
        record(ledger, decision("ann"))
        assert reader.campaign("spring") == before
        with pytest.raises(Exception, match=r"read-?only|cannot be used"):
            reader.run("DELETE FROM campaigns")
    with ledger.read() as reader:
        assert reader.campaign("spring") != before


def test_a_reader_that_raises_does_not_spoil_the_next(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="on the way"), ledger.read():
        raise ValueError("on the way")
    assert money(ledger) == (0, 0)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("campaigns", "name TEXT"),
        ("decisions", "decision_id TEXT"),
        ("changes", "a TEXT"),
        ("schema_version", "a TEXT"),
    ],
)
def test_a_table_of_somebody_elses_is_named_and_left_alone(
    empty: str, clock: FrozenClock, table: str, columns: str
) -> None:
    source = opening.source(empty, 2.0, create=True)
    other = source.writer()
    other.define(f"CREATE TABLE {table} ({columns})")
    with pytest.raises(LedgerError, match=f"a table '{table}' already.*allowed: a database"):
        Ledger.open(empty, clock=clock)
    assert [name for name in other.tables() if name != "schema_version"] == [table] * (table != "schema_version")
    other.close()
