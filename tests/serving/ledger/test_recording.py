"""A decision, its contact, its reservation and its Idempotency-Key are written together or not at all."""

import dataclasses

import pytest
from ledger_rows import CONTACT_COST, OFFER_COST, START, FrozenClock, campaign, decision, money, record

from serving.ledger import BudgetExceeded, CooldownBroken, DuplicateRecord, Ledger, LedgerError
from serving.ledger.types import DAY, MICROS, Stored

FULL = CONTACT_COST + OFFER_COST


def test_a_contact_reserves_its_full_cost_and_wait_reserves_nothing(ledger: Ledger) -> None:
    record(ledger, decision("ann"), decision("ben", contact=False))
    assert money(ledger) == (0, FULL)


def test_what_was_recorded_is_read_back(ledger: Ledger) -> None:
    row = decision("ann", key="k", delay=3, degradations=("message_template:deadline", "a,b"))
    record(ledger, row)
    with ledger.read() as reader:
        found = reader.decision(row.decision_id)
    assert found is not None
    same = {field.name for field in dataclasses.fields(row)} & {field.name for field in dataclasses.fields(found)}
    assert len(same) > 20
    for name in same:
        assert getattr(found, name) == getattr(row, name), name
    assert (found.contact_state, found.reserved_micros, found.spent_micros) == ("reserved", FULL, 0)


def test_an_unknown_decision_is_none(ledger: Ledger) -> None:
    with ledger.read() as reader:
        assert reader.decision("nothing") is None


def test_the_budget_is_spent_to_the_last_micro_and_not_one_further(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.put_campaign(campaign(2 * FULL))
    record(ledger, decision("ann"), decision("ben"))
    with pytest.raises(BudgetExceeded):
        record(ledger, decision("cat", offer_cost=0, contact_cost=1))
    assert money(ledger) == (0, 2 * FULL)


def test_one_decision_too_dear_undoes_its_whole_micro_batch(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.put_campaign(campaign(FULL))
    first, second = decision("ann", key="k"), decision("ben")
    with pytest.raises(BudgetExceeded):
        record(ledger, first, second)
    assert money(ledger) == (0, 0)
    with ledger.read() as reader:
        assert reader.decision(first.decision_id) is None
    with ledger.transaction() as tx:
        assert tx.idempotent([("key-1", "k")]) == {}


def test_a_block_that_raises_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="on the way"), ledger.transaction() as tx:
        tx.record([decision("ann")])
        raise RuntimeError("on the way")
    assert money(ledger) == (0, 0)


def test_two_contacts_of_a_customer_on_one_day_are_refused_by_the_database(ledger: Ledger) -> None:
    record(ledger, decision("ann"))
    with pytest.raises(CooldownBroken):
        record(ledger, decision("ann", now=START + 3600))
    assert money(ledger) == (0, FULL)


@pytest.mark.parametrize("delay", [0, 1])
def test_a_contact_beside_a_pending_one_is_refused_by_the_database(ledger: Ledger, delay: int) -> None:
    record(ledger, decision("ann", delay=3))
    with pytest.raises(CooldownBroken):
        record(ledger, decision("ann", delay=delay))


def test_a_planned_contact_is_pending_no_more_on_its_day(ledger: Ledger, clock: FrozenClock) -> None:
    record(ledger, decision("ann", delay=1))
    record(ledger, decision("ann", now=clock.to_day(8), delay=1))
    record(ledger, decision("ann", now=clock.to_day(16)))
    assert money(ledger) == (0, 3 * FULL)


def test_a_shadow_decision_takes_no_money_and_no_day(ledger: Ledger) -> None:
    shadow = decision("ann", shadow=True)
    record(ledger, shadow, decision("ann"))
    assert money(ledger) == (0, FULL)
    with ledger.read() as reader:
        found = reader.decision(shadow.decision_id)
    assert found is not None
    assert (found.executed, found.contact_state, found.slot) == (False, None, "shadow")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"campaign_id": "autumn"}, "autumn"),
        ({"executed": False}, "shadow"),
        ({"send_at": None}, "send_at"),
        ({"reserve_micros": 1}, "reserve_micros"),
        ({"reserve_micros": -1, "contact_cost_micros": -1}, "reserve_micros"),
        ({"send_at": START - 1}, "before"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(ledger: Ledger, change: dict[str, object], part: str) -> None:
    with pytest.raises(LedgerError, match=part):
        record(ledger, dataclasses.replace(decision("ann"), **change))  # type: ignore[arg-type]


def test_a_key_is_answered_the_same_for_a_day_and_is_free_after_it(ledger: Ledger, clock: FrozenClock) -> None:
    row = decision("ann", contact=False, key="k")
    record(ledger, row)
    stored = Stored("digest of k", row.decision_id, row.response)
    clock.now += DAY - 1
    with ledger.transaction() as tx:
        assert tx.idempotent([("key-1", "k"), ("key-2", "k"), ("key-1", "other")]) == {("key-1", "k"): stored}
    with pytest.raises(DuplicateRecord):
        record(ledger, decision("ben", contact=False, key="k"))
    clock.now += 1
    again = decision("ben", contact=False, now=clock.now, key="k")
    with ledger.transaction() as tx:
        assert tx.idempotent([("key-1", "k")]) == {}
        tx.record([again])
    with ledger.transaction() as tx:
        assert tx.idempotent([("key-1", "k")])["key-1", "k"].decision_id == again.decision_id


def test_a_decision_is_recorded_once(ledger: Ledger) -> None:
    row = decision("ann", contact=False)
    record(ledger, row)
    with pytest.raises(DuplicateRecord):
        record(ledger, row)


def test_a_campaign_cannot_be_given_less_than_it_has_spent_or_another_start(ledger: Ledger) -> None:
    record(ledger, decision("ann"))
    with pytest.raises(BudgetExceeded, match=str(FULL)), ledger.transaction() as tx:
        tx.put_campaign(campaign(FULL - 1))
    with pytest.raises(LedgerError, match="starts_at"), ledger.transaction() as tx:
        tx.put_campaign(campaign(starts_at=START + 1))
    with ledger.transaction() as tx:
        tx.put_campaign(campaign(FULL))
    with ledger.read() as reader:
        view = reader.campaign("spring")
    assert view is not None
    assert view.left_micros == 0
    assert money(ledger) == (0, FULL)


def test_money_keeps_every_micro_of_a_large_budget(ledger: Ledger) -> None:
    budget = 9_000_000_000 * MICROS + 1  # more than a double holds exactly
    with ledger.transaction() as tx:
        tx.put_campaign(campaign(budget, "large"))
    record(ledger, decision("ann", campaign_id="large", offer_cost=budget - CONTACT_COST))
    assert money(ledger, "large") == (0, budget)
