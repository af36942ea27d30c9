"""Forgetting a customer, and everybody after the retention period, to the micro-unit of the money that stays."""

import contextlib
import math
import random
import struct
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from holdout_ledgers import begin, ended, lives
from ledger_rows import CONTACT_COST, OFFER_COST, START, FrozenClock, campaign, decision, money, record

from serving import ledger_command
from serving.ledger import Ledger, LedgerError, LedgerUnavailable, database
from serving.ledger.database import SqliteConnection
from serving.ledger.types import DAY, MICROS, Outcome
from serving.lift.answer import look

FULL = CONTACT_COST + OFFER_COST


def test_an_erased_customer_is_found_nowhere_and_the_money_stays(ledger: Ledger, clock: FrozenClock) -> None:
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "granted", source="form")
        tx.set_place("ann", time_zone="America/Chicago")
    accepted, waited = record(ledger, decision("ann", key="k"), decision("ann", contact=False))
    record(ledger, decision("ben"), decision("ann", now=clock.to_day(8)))
    with ledger.transaction() as tx:
        tx.outcome([Outcome(accepted, "accepted", START)])
    before = money(ledger)
    with ledger.transaction() as tx:
        assert tx.erase("ann") == 3
    assert money(ledger) == before == (FULL, 2 * FULL)
    with ledger.read() as reader:
        assert reader.customer_ledger("ann") is None
        found = reader.decision(accepted)
        assert reader.customers(["ann"], ["spring"], clock.now)[0].consent_for("email") == "unknown"
    assert found is not None
    assert found.customer_id.startswith("erased-")
    facts = (found.observation, found.propensities, found.churn_probability, found.baseline_churn_probability)
    assert {
        *facts,
        found.accept_probability,
        found.monthly_charge,
        found.message_json,
        found.response,
        found.basis,
    } == {None}
    assert (found.contact_state, found.spent_micros) == ("accepted", FULL)
    with ledger.transaction() as tx:
        assert tx.idempotent([("key-1", "k")]) == {}
        assert tx.erase("ann") == 0
    with ledger.read() as reader:
        other = reader.decision(waited)
        ben = reader.customer_ledger("ben")
    assert other is not None
    assert other.customer_id == found.customer_id  # one account, though nobody's
    assert ben is not None


def test_erasing_cancels_what_is_not_sent_and_lets_what_is_sent_be_answered(ledger: Ledger, clock: FrozenClock) -> None:
    (sent,) = record(ledger, decision("ann"))
    record(ledger, decision("ann", now=clock.to_day(8), delay=3))
    with ledger.transaction() as tx:
        tx.erase("ann")
    assert money(ledger) == (0, FULL)
    with ledger.transaction() as tx:
        assert tx.outcome([Outcome(sent, "accepted", clock.now)])[0].status == "applied"
    assert money(ledger) == (FULL, 0)


def test_nothing_of_an_erased_customer_is_left_in_the_files_of_sqlite(tmp_path: Path, clock: FrozenClock) -> None:
    """A ledger that has grown, so that rows moved from page to page, with others who read and write meanwhile."""
    names = [f"Ann-Unmistakable-{number:04}" for number in range(40)]
    scores = [0.1234567 + number / 1000 for number in range(40)]
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger.open(url, clock=clock)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign(10**15))
    drawn = random.Random(1)
    people = [(f"other-{number}", 0.3) for number in range(600)] + list(zip(names, scores, strict=True)) * 3
    drawn.shuffle(people)
    for name, score in people:
        row = replace(decision(name, contact=False, decision_id=str(uuid.UUID(int=drawn.getrandbits(128)))),
                      churn_probability=score)  # fmt: skip
        with ledger.transaction() as tx:
            tx.record([row])
            tx.set_consent(name, "email", "granted", source="form")

    def left() -> list[bytes]:
        files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        wanted = [*(name.encode() for name in names), *(struct.pack(">d", score) for score in scores)]
        return [each for each in wanted if each in files]

    assert len(left()) == 80
    stop = threading.Event()

    def load() -> None:
        with contextlib.closing(Ledger.open(url, clock=clock)) as other:
            while not stop.is_set():
                record(other, decision(f"late-{drawn.random()}", contact=False))
                with other.read() as reader:
                    reader.recent(10)

    busy = threading.Thread(target=load)
    busy.start()
    try:
        for name in names:
            with ledger.transaction() as tx:
                assert tx.erase(name) == 3
        assert left()  # which is why the file is written anew
        ledger.forget(copies=True)
    finally:
        stop.set()
        busy.join()
    assert left() == []
    with ledger.read() as reader:
        assert reader.audit() == []
    ledger.close()


def test_a_reader_that_does_not_end_keeps_the_log_and_is_not_passed_over(
    tmp_path: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_FORGET_SECONDS", 0.2)
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign())
    with ledger.read() as reader:
        reader.recent(1)
        record(ledger, decision("ann", contact=False))
        with pytest.raises(LedgerUnavailable, match="still in the ledger's log"):
            ledger.forget(copies=True)
    ledger.forget(copies=True)
    ledger.close()


def test_an_erasure_whose_file_was_not_written_anew_is_finished_by_the_next(tmp_path: Path, clock: FrozenClock) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with contextlib.closing(Ledger.open(url, clock=clock)) as ledger, ledger.transaction() as tx:
        tx.set_consent("ann", "email", "granted", source="form")
    arguments = ["erase", "--database", url, "--customer", "ann"]
    full = LedgerUnavailable("SQLITE_FULL")
    with mock.patch.object(SqliteConnection, "forget", side_effect=full), pytest.raises(LedgerUnavailable):
        ledger_command.main(arguments)
    with (
        mock.patch.object(SqliteConnection, "forget") as forgets,
        pytest.raises(LedgerError, match="'ann'; allowed: one of whom the ledger holds something"),
    ):
        ledger_command.main(arguments)
    forgets.assert_called_once_with(copies=True)


def test_who_writes_does_not_wait_until_nobody_reads_what_was_deleted(tmp_path: Path, clock: FrozenClock) -> None:
    """A download reads for minutes; what a purge deleted meanwhile waits for its end, and consent does not."""
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock, wait_seconds=0.1)
    with ledger.read() as reader:
        reader.recent(1)
        with ledger.transaction() as tx:
            tx.put_campaign(campaign())
        forgetting = threading.Thread(target=ledger.forget)
        forgetting.start()
        for number in range(5):
            time.sleep(0.05)
            with ledger.transaction() as tx:
                tx.set_consent(f"customer-{number}", "email", "denied", source="test")
        assert forgetting.is_alive()
    forgetting.join(10)
    assert not forgetting.is_alive()
    ledger.close()


def test_old_decisions_are_deleted_and_their_money_stays(ledger: Ledger, clock: FrozenClock) -> None:
    first, second, third = record(ledger, decision("ann"), decision("ben"), decision("cat", contact=False, key="k"))
    with ledger.transaction() as tx:
        tx.outcome([Outcome(first, "accepted", START), Outcome(second, "declined", START)])
    record(ledger, decision("dan", now=clock.to_day(89)))
    before = money(ledger)
    clock.to_day(91)
    with ledger.read() as reader:
        days = reader.daily_spend("spring")
    assert ledger.purge(60) == 3
    assert ledger.purge(60) == 0
    assert money(ledger) == before == (FULL + CONTACT_COST, FULL)
    with ledger.read() as reader:
        assert reader.daily_spend("spring") == days
        assert [reader.decision(each) for each in (first, second, third)] == [None] * 3


def in_files(folder: Path, text: bytes) -> bool:
    return any(text in file.read_bytes() for file in folder.iterdir())


@pytest.mark.parametrize("reads", [False, True])
def test_who_was_drawn_is_left_in_no_file_though_the_decisions_went_before(
    tmp_path: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch, *, reads: bool
) -> None:
    monkeypatch.setattr(database, "_FORGET_SECONDS", 0.05)
    with contextlib.closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)) as ledger:
        with ledger.transaction() as tx:
            tx.put_campaign(campaign())
        record(ledger, decision("Ann-Unmistakable", contact=False))
        clock.to_day(61)
        assert ledger.purge(60) == 1
        assert in_files(tmp_path, b"Ann-Unmistakable")
        clock.to_day(90 + 61)
        if reads:  # then it is not possible at once
            with ledger.read() as reader:
                reader.recent(1)
                with pytest.raises(LedgerUnavailable, match="still in the ledger's log"):
                    ledger.purge(60)
        assert ledger.purge(60) == 0
        assert not in_files(tmp_path, b"Ann-Unmistakable")


def test_what_rules_and_accounts_still_need_is_not_deleted(ledger: Ledger, clock: FrozenClock) -> None:
    _, declined = record(ledger, decision("ann"), decision("ben"))
    with ledger.transaction() as tx:
        tx.outcome([Outcome(declined, "declined", START)])
    clock.to_day(61)
    assert ledger.purge(60) == 0  # the campaign runs: its accounts count both contacts
    clock.to_day(91)
    assert ledger.purge(60) == 1  # the other's reservation is open
    assert ledger.expire(14) == 1
    assert ledger.purge(60) == 1
    assert money(ledger) == (2 * CONTACT_COST, 0)


def test_a_retention_that_cuts_into_the_rules_is_refused(ledger: Ledger, clock: FrozenClock) -> None:
    record(ledger, decision("ann", contact=False))
    clock.to_day(50)
    for days in (59, math.nan):
        with pytest.raises(LedgerError, match=f"{days} days; allowed: 60"):
            ledger.purge(days)


def test_the_audit_finds_a_single_micro(database: str, clock: FrozenClock, ledger: Ledger) -> None:
    contacts = record(ledger, decision("ann"), decision("ann", now=clock.to_day(3)), decision("ben", contact=False))
    with ledger.transaction() as tx:
        tx.run("UPDATE campaigns SET spent_micros = 1")
        tx.run("UPDATE decisions SET customer_id = 'eve' WHERE decision_id = ?", contacts[0])
    with ledger.read() as reader:
        faults = reader.audit(cooldown_days=7)
    assert len(faults) == 4
    assert "spent_micros is 1, and its rows sum to 0" in faults[0]
    assert "another customer" in faults[1]
    assert "without the arm" in faults[2]
    assert "3 days after another" in faults[3]


def test_the_audit_looks_for_the_cooldown_across_campaigns(ledger: Ledger, clock: FrozenClock) -> None:
    autumn = START + 2.5 * 86400
    with ledger.transaction() as tx:
        tx.put_campaign(campaign(campaign_id="autumn", starts_at=autumn))
    late = {"campaign_id": "autumn", "starts_at": autumn}
    record(ledger, decision("ann"), decision("ann", now=clock.to_day(4), **late))  # type: ignore[arg-type]
    record(ledger, decision("ben"), decision("ben", now=clock.to_day(6.6), **late))  # type: ignore[arg-type]
    with ledger.read() as reader:
        (fault,) = reader.audit(cooldown_days=7)
    # Ben's are 6.6 days apart, on days −3 and 4 of the campaign that decided about him last.
    assert "a contact 4 days after another" in fault


def test_who_was_drawn_and_who_paid_goes_with_the_last_campaign_that_they_tell_of(
    ledger: Ledger, clock: FrozenClock
) -> None:
    def left() -> tuple[set[str], set[str]]:
        with ledger.transaction() as tx:
            drawn = tx.rows("SELECT customer_id FROM assignments")
            paid = tx.rows("SELECT reference FROM revenues")
        return {row[0] for row in drawn}, {row[0] for row in paid}

    def scored() -> set[str]:
        with ledger.read() as reader:
            return {row[0] for row in reader.rows("SELECT campaign_id FROM baselines")}

    def pays(reference: str) -> None:
        with ledger.transaction() as tx:
            tx.outcome([Outcome(None, "revenue", clock.now, "ann", 5 * MICROS, reference)])

    record(ledger, decision("ann", contact=False))
    pays("first")
    clock.to_day(80)
    autumn = START + 80 * DAY
    with ledger.transaction() as tx:
        tx.put_campaign(campaign(campaign_id="autumn", starts_at=autumn))
    record(ledger, decision("ann", contact=False, campaign_id="autumn", starts_at=autumn, now=clock.now))
    pays("second")
    clock.to_day(90 + 59)
    assert ledger.purge(60) == 2
    assert left() == ({"ann"}, {"first", "second"})  # the first campaign was over only 59 days ago
    clock.to_day(90 + 61)
    assert ledger.purge(60) == 0
    with ledger.transaction() as tx:
        drawn = list(tx.rows("SELECT campaign_id FROM assignments"))
    assert [row[0] for row in drawn] == ["autumn"]
    assert left()[1] == {"second"}
    assert scored() == {"autumn"}
    clock.to_day(170 + 61)
    assert ledger.purge(60) == 0
    assert left() == (set(), set())
    assert scored() == set()


def test_a_lift_whose_contacts_were_deleted_says_so(ledger: Ledger, clock: FrozenClock) -> None:
    arms = begin(ledger)
    clock.to_day(1)
    (name, *_) = [each for each, (arm, _) in arms.items() if arm == "policy"]
    (made,) = record(ledger, decision(name, campaign_id="proof", now=clock.now))
    with ledger.transaction() as tx:
        tx.outcome([Outcome(made, "declined", clock.now)])
    ended(ledger, clock, lives(arms, {"policy": 0.008, "holdout": 0.05}))
    clock.to_day(92)
    assert ledger.purge(60) == 601  # and everybody's first decision
    with ledger.read() as reader:
        found = reader.campaign("proof")
        assert found is not None
        said = look(reader, found)
    assert any(each.startswith("BROKEN: 1 contacts were deleted") for each in said.rests_on)
