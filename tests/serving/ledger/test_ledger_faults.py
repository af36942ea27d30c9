"""What the ledger promises when things break: killed processes, several processes, a database that goes, a full disk.

Full is also a SQLite file that has reached its `max_page_count`: the same result code as a full disk.
"""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres_server
import psycopg
import pytest
from ledger_rows import FrozenClock, campaign, decision, money, record

from serving.engine.contract import error_of, failed
from serving.ledger import CommitUnknown, Ledger, LedgerUnavailable
from serving.ledger.types import MICROS
from serving.problems import problem_of

WORKER = Path(__file__).with_name("ledger_worker.py")
ROOT = Path(__file__).parents[3]


def start(url: str, seed: int, rounds: float) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, str(WORKER), url, str(seed), str(rounds)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def acknowledged(output: str) -> list[list[str]]:
    """What a worker has said, whole lines only: kind, decision id, customer."""
    lines = output[: output.rfind("\n") + 1].splitlines()
    return [line.split(" ", 2) for line in lines if line != "ready"]


def prepared(url: str, budget: int) -> Ledger:
    ledger = Ledger.open(url, clock=time.time)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign(budget, starts_at=time.time() - 3600))
    return ledger


def check(ledger: Ledger, said: list[list[str]]) -> None:
    """No acknowledged decision is lost, nobody was contacted twice, the money is right."""
    money(ledger)
    with ledger.read() as reader:
        assert reader.audit(cooldown_days=7) == []
        for kind, decision_id, customer in said:
            found = reader.decision(decision_id)
            assert found is not None, f"{decision_id} was acknowledged and is not there"
            assert (found.customer_id, found.action > 0) == (customer, kind == "contact")


def kill_again_and_again(url: str, times: int, seed: int) -> None:
    draw = random.Random(seed)
    ledger = prepared(url, 12 * MICROS)
    said: list[list[str]] = []
    for life in range(times):
        worker = start(url, seed * 1000 + life, float("inf"))
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        first = worker.stdout.readline()  # on a busy machine it may take its time to say anything
        time.sleep(draw.uniform(0.0, 0.3))
        worker.kill()
        said += acknowledged(first + worker.communicate()[0])
        check(ledger, said)
    assert len(said) > 8
    ledger.close()


def test_a_process_killed_while_it_writes_loses_nothing_that_was_acknowledged(database: str) -> None:
    kill_again_and_again(database, times=3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_processes_killed_at_random_lose_nothing_that_was_acknowledged(database: str) -> None:
    kill_again_and_again(database, times=50, seed=2)


def test_two_processes_share_a_ledger_as_if_they_were_one(database: str) -> None:
    ledger = prepared(database, 6 * MICROS)
    workers = [start(database, seed, 25) for seed in (1, 2)]
    said = [acknowledged(worker.communicate(timeout=120)[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert [len(each) for each in said] == [25 * 8, 25 * 8]
    check(ledger, said[0] + said[1])
    ledger.close()


def test_threads_of_one_process_write_one_after_the_other(database: str) -> None:
    ledger = prepared(database, 10 * MICROS)
    contacted: list[int] = []

    def one(number: int) -> None:
        with ledger.transaction() as tx:
            now = time.time()
            view = tx.customers(["ann"], ["spring"], now)[0]
            if not view.contacts_days_ago:
                tx.record([decision("ann", now=now, offer_cost=0)])
                contacted.append(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(contacted) == 1
    check(ledger, [])
    ledger.close()


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(database: str, clock: FrozenClock) -> None:
    first = Ledger.open(database, clock=clock, wait_seconds=0.2)
    second = Ledger.open(database, clock=clock, wait_seconds=0.2)
    with first.transaction():
        with pytest.raises(LedgerUnavailable), second.transaction():
            pass
        with pytest.raises(LedgerUnavailable, match="busy"), first.transaction():
            pass
    with second.transaction() as tx:
        tx.put_campaign(campaign())
    assert money(second) == (0, 0)
    first.close()
    second.close()


def test_a_lease_outlives_no_clock_that_is_set_back(ledger: Ledger, clock: FrozenClock) -> None:
    clock.now += 30 * 86_400
    with ledger.transaction() as tx:
        assert tx.lease("webhook", "before", 60)
        assert not tx.lease("webhook", "after", 60)
    clock.now -= 30 * 86_400
    with ledger.transaction() as tx:
        assert tx.lease("webhook", "after", 60)
        assert not tx.lease("webhook", "before", 60)


@pytest.fixture
def frail() -> Iterator[postgres_server.Server]:
    """A PostgreSQL server that the test may stop."""
    with postgres_server.running() as server:
        yield server


def test_a_database_that_goes_is_unavailable_until_it_comes_back(
    frail: postgres_server.Server, clock: FrozenClock
) -> None:
    ledger = Ledger.open(frail.new_database(), clock=clock, wait_seconds=2.0)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign())
    record(ledger, decision("ann"))
    before = money(ledger)
    with pytest.raises(LedgerUnavailable), ledger.transaction() as tx:
        tx.record([decision("ben")])
        frail.stop()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable), ledger.transaction():
            pass
        with pytest.raises(LedgerUnavailable), ledger.read():
            pass
    frail.start()
    assert money(ledger) == before
    record(ledger, decision("ben"))
    assert money(ledger) == (0, 2 * before[1])
    ledger.close()


def test_a_connection_that_breaks_at_the_commit_may_have_written(
    postgres: postgres_server.Server, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger.open(postgres.new_database(), clock=clock, wait_seconds=2.0)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign())
    connection: Any = ledger._writer._connection  # type: ignore[attr-defined]
    execute = connection.execute

    def breaks(query: bytes, *values: Any) -> Any:
        answer = execute(query, *values)
        if query == b"COMMIT":
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answer

    monkeypatch.setattr(connection, "execute", breaks)
    with pytest.raises(CommitUnknown) as caught, ledger.transaction() as tx:
        tx.record([decision("ann")])
    assert money(ledger)[1] > 0, "it was written"
    problem = problem_of(error_of(failed(1, caught.value)))  # as it comes from the engine's process
    assert (problem.status, problem.type, "Nothing was" in problem.detail) == (503, "commit-unknown", False)
    ledger.close()


def test_a_restart_between_two_transactions_goes_unnoticed(frail: postgres_server.Server, clock: FrozenClock) -> None:
    ledger = Ledger.open(frail.new_database(), clock=clock, wait_seconds=2.0)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign())
    assert money(ledger) == (0, 0)
    frail.stop()
    frail.start()
    record(ledger, decision("ann", contact=False))
    assert money(ledger) == (0, 0)
    ledger.close()


def test_a_server_that_is_not_there_is_unavailable_and_its_password_is_not_shown(clock: FrozenClock) -> None:
    with pytest.raises(LedgerUnavailable) as caught:
        Ledger.open("postgresql://me:secret@127.0.0.1:1/none", clock=clock, wait_seconds=2.0)
    assert "secret" not in repr(caught.value)
    assert "connection refused" in str(caught.value)


def fill(ledger: Ledger) -> int:
    """Records until the ledger refuses; how many decisions were acknowledged."""
    for count in range(100_000):
        try:
            record(ledger, *(decision(f"customer {count} {each}", offer_cost=1, contact_cost=0) for each in range(20)))
        except LedgerUnavailable:
            return count * 20
    raise AssertionError("the disk is never full")


def test_a_full_file_refuses_and_keeps_what_it_has(tmp_path: Path, clock: FrozenClock) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign())
    pages = ledger._writer.rows("PRAGMA page_count")[0][0]
    ledger._writer.rows(f"PRAGMA max_page_count = {pages + 30}")
    count = fill(ledger)
    assert money(ledger) == (0, count)
    with pytest.raises(LedgerUnavailable, match="SQLITE_FULL"):
        record(ledger, *(decision(f"more {each}", offer_cost=1, contact_cost=0) for each in range(200)))
    assert money(ledger) == (0, count)
    ledger._writer.rows(f"PRAGMA max_page_count = {pages + 3000}")
    record(ledger, decision("room again", offer_cost=1, contact_cost=0))
    assert money(ledger) == (0, count + 1)
    ledger.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB of its own; skips the test, by name, where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs to mount a small tmpfs: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_refuses_and_keeps_what_it_has(small_disk: Path, clock: FrozenClock) -> None:
    url = f"sqlite:///{small_disk}/ledger.db"
    ledger = Ledger.open(url, clock=clock)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign())
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(700_000))
    count = fill(ledger)
    assert count > 0
    assert money(ledger) == (0, count)
    ballast.unlink()
    record(ledger, decision("room again", offer_cost=1, contact_cost=0))
    ledger.close()
    again = Ledger.open(url, clock=clock)
    assert money(again) == (0, count + 1)
    again.close()
