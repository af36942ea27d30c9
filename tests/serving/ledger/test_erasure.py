"""Forgetting a customer, and everybody after the retention period, to the micro-unit of the money that stays."""

from pathlib import Path

import pytest
from ledger_rows import CONTACT_COST, OFFER_COST, START, FrozenClock, campaign, decision, money, record

from serving.ledger import Ledger, LedgerError
from serving.ledger.types import Outcome

FULL = CONTACT_COST + OFFER_COST


def test_an_erased_customer_is_found_nowhere_and_the_money_stays(ledger: Ledger, clock: FrozenClock) -> None:
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "granted", source="form")
        tx.set_time_zone("ann", "America/Chicago")
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
    name = "Ann-Unmistakable-4711"
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign())
        tx.set_consent(name, "email", "granted", source="form")
    record(ledger, decision(name), decision("ben"))

    def is_there() -> bool:
        return any(name.encode() in file.read_bytes() for file in tmp_path.iterdir())

    assert is_there()
    with ledger.transaction() as tx:
        tx.erase(name)
    ledger.forget()
    assert not is_there()
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


def test_a_retention_that_cuts_into_the_rules_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="59 days; allowed: 60"):
        ledger.purge(59)


def test_the_audit_finds_a_single_micro(database: str, clock: FrozenClock, ledger: Ledger) -> None:
    contacts = record(ledger, decision("ann"), decision("ann", now=clock.to_day(3)), decision("ben", contact=False))
    with ledger.transaction() as tx:
        tx._connection.run("UPDATE campaigns SET spent_micros = 1")
        tx._connection.run("UPDATE decisions SET customer_id = 'eve' WHERE decision_id = ?", contacts[0])
    with ledger.read() as reader:
        faults = reader.audit(cooldown_days=7)
    assert len(faults) == 3
    assert "spent_micros is 1, and its rows sum to 0" in faults[0]
    assert "another customer" in faults[1]
    assert "3 days after another" in faults[2]
