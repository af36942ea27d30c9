"""What whoever sends was never given was not sent: it costs nothing and counts nowhere."""

from dataclasses import replace

import pytest
from holdout_ledgers import PILOT, begin
from ledger_rows import CONTACT_COST, OFFER_COST, START, FrozenClock, decision, record

from serving.ledger import Ledger
from serving.ledger.types import DAY, Campaign, Outcome, OutcomeKind


def consented(ledger: Ledger, *customers: str) -> None:
    with ledger.transaction() as tx:
        for each in customers:
            tx.set_consent(each, "email", "granted", source="test")


def asks(ledger: Ledger, clock: FrozenClock) -> list[str]:
    """The list of what is due, as whoever sends is given it."""
    with ledger.transaction() as tx:
        found = [each.decision_id for each in tx.due(clock.now, clock.now - DAY, 100)]
        tx.listed(found)
    return found


def state_of(ledger: Ledger, decision_id: str) -> tuple[str | None, int, int]:
    with ledger.read() as reader:
        found = reader.decision(decision_id)
    assert found is not None
    return found.contact_state, found.reserved_micros, found.spent_micros


def test_a_withheld_contact_gives_its_money_back_and_is_none(ledger: Ledger, clock: FrozenClock) -> None:
    asks(ledger, clock)
    clock.now += 60
    given, withheld = record(ledger, decision("given", now=clock.now), decision("withheld", now=clock.now))
    consented(ledger, "given")  # nobody asked "withheld", as if she had taken it back between decision and list
    assert asks(ledger, clock) == [given]
    for _ in range(2):
        assert ledger.lapse() == 0
        clock.now += DAY / 2
        asks(ledger, clock)
    assert ledger.lapse() == 1
    assert state_of(ledger, withheld) == ("cancelled", 0, 0)
    assert state_of(ledger, given)[0] == "reserved"  # it may have been sent
    with ledger.read() as reader:
        campaign = reader.campaign("spring")
        assert campaign is not None
        assert campaign.reserved_micros == state_of(ledger, given)[1]
        assert sum(day.contacts for day in reader.daily_spend("spring")) == 1
        assert len(reader.campaign_record("spring").contacts) == 1
        assert reader.audit() == []
    clock.now += 30 * DAY
    ledger.expire(14)
    assert state_of(ledger, given) == ("expired", 0, CONTACT_COST)
    assert state_of(ledger, withheld) == ("cancelled", 0, 0)


def test_contacts_of_a_paused_campaign_are_not_listed_until_it_is_resumed(ledger: Ledger, clock: FrozenClock) -> None:
    asks(ledger, clock)
    (planned,) = record(ledger, decision("planned", now=clock.now))
    consented(ledger, "planned")
    clock.now += 60
    pause(ledger, paused=True)
    since = paused_at(ledger)
    assert since == clock.now
    clock.now += 60
    pause(ledger, paused=None)
    pause(ledger, paused=True)  # it is so already
    assert paused_at(ledger) == since
    assert asks(ledger, clock) == []
    pause(ledger, paused=False)
    assert paused_at(ledger) is None
    assert asks(ledger, clock) == [planned]


def pause(ledger: Ledger, *, paused: bool | None) -> None:
    with ledger.transaction() as tx:
        it = tx.campaign("spring")
        assert it is not None
        kept = it.budget_micros, it.starts_at, it.horizon_days, it.customers_expected
        tx.put_campaign(Campaign("spring", *kept, paused=paused))


def paused_at(ledger: Ledger) -> float | None:
    with ledger.read() as reader:
        found = reader.campaign("spring")
    assert found is not None
    return found.paused_at


def withdrawn(ledger: Ledger, clock: FrozenClock) -> str:
    """A contact that came on no list before consent to it was withdrawn."""
    asks(ledger, clock)
    clock.now += 60
    consented(ledger, "a")
    (contact,) = record(ledger, decision("a", now=clock.now))
    clock.now += 60
    with ledger.transaction() as tx:
        assert tx.set_consent("a", "email", "opted_out", source="test") > 0
    return contact


def test_consent_that_is_taken_back_before_the_list_is_asked_for_cancels(ledger: Ledger, clock: FrozenClock) -> None:
    assert state_of(ledger, withdrawn(ledger, clock)) == ("cancelled", 0, 0)


def test_what_is_reported_as_sent_though_it_was_cancelled_costs_what_it_cost(
    ledger: Ledger, clock: FrozenClock
) -> None:
    contact = withdrawn(ledger, clock)
    for times in (1, 0):
        with ledger.transaction() as tx:
            assert tx.sent([contact]) == (times, [], [])
    assert state_of(ledger, contact) == ("expired", 0, CONTACT_COST)
    with ledger.transaction() as tx:
        (accepted,) = tx.outcome([Outcome(contact, "accepted", clock.now)])
    assert (accepted.status, accepted.committed_micros) == ("applied", OFFER_COST)
    with ledger.read() as reader:
        assert reader.audit() == []


@pytest.mark.parametrize(
    ("kind", "state", "spent"),
    [
        ("accepted", "accepted", CONTACT_COST + OFFER_COST),
        ("declined", "declined", CONTACT_COST),
        ("opted_out", "expired", CONTACT_COST),
    ],
)
def test_an_answer_to_what_was_cancelled_is_that_of_a_message_that_was_sent(
    ledger: Ledger, clock: FrozenClock, kind: OutcomeKind, state: str, spent: int
) -> None:
    contact = withdrawn(ledger, clock)
    with ledger.transaction() as tx:
        (told,) = tx.outcome([Outcome(contact, kind, clock.now)])
    assert (told.status, told.committed_micros) == ("applied", spent)
    assert state_of(ledger, contact) == (state, 0, spent)
    with ledger.read() as reader:
        assert reader.audit() == []


def test_what_was_cancelled_stays_so_once_another_contact_has_its_place(ledger: Ledger, clock: FrozenClock) -> None:
    contact = withdrawn(ledger, clock)
    consented(ledger, "a")
    record(ledger, decision("a", now=clock.now))
    with ledger.transaction() as tx:
        assert tx.sent([contact]) == (0, [contact], [])
        (told,) = tx.outcome([Outcome(contact, "accepted", clock.now)])
    assert (told.status, "taken its place" in told.detail) == ("refused", True)
    assert state_of(ledger, contact) == ("cancelled", 0, 0)
    with ledger.read() as reader:
        assert reader.audit() == []


def test_who_opts_out_of_a_message_that_was_due_was_sent_it(ledger: Ledger, clock: FrozenClock) -> None:
    asks(ledger, clock)
    clock.now += 60
    (contact,) = record(ledger, decision("a", now=clock.now))
    with ledger.transaction() as tx:
        (told,) = tx.outcome([Outcome(contact, "opted_out", clock.now)])
    assert (told.status, told.released_micros) == ("applied", 0)
    assert state_of(ledger, contact)[0] == "reserved"


def test_where_nobody_asks_for_the_list_contacts_are_taken_as_sent(ledger: Ledger, clock: FrozenClock) -> None:
    (contact,) = record(ledger, decision("a", now=START + 60))
    clock.now = START + 2 * DAY
    asks(ledger, clock)  # for the first time, or after a pause: who sent before it is not known
    assert ledger.lapse() == 0
    with ledger.transaction() as tx:
        assert tx.set_consent("a", "email", "opted_out", source="test") == 0
    clock.now += 3 * DAY
    asks(ledger, clock)
    assert ledger.lapse() == 0
    assert state_of(ledger, contact)[0] == "reserved"


def test_a_withheld_arm_of_a_pilot_was_not_carried_out(ledger: Ledger, clock: FrozenClock) -> None:
    arms = begin(ledger, holdout=0.2, pilot=PILOT)
    name = next(name for name, (_, pilot) in arms.items() if pilot == "ten")
    asks(ledger, clock)
    clock.now += 60
    made = replace(decision(name, now=clock.now, campaign_id="proof", offer="ten"), pilot=True)
    record(ledger, made)
    with ledger.read() as reader:
        assert reader.assignments("proof").acted == 1
    for _ in range(2):
        clock.now += DAY / 2
        asks(ledger, clock)  # without her, who has not consented
    assert ledger.lapse() == 1
    with ledger.read() as reader:
        assert reader.assignments("proof").acted == 0
        assert reader.pilot_micros("proof") == 0
        assert reader.audit() == []
