"""What a decision sees of a customer: the days, the offers and the money of the environment, counted by the ledger."""

import pytest
from ledger_rows import CONTACT_COST, OFFER_COST, START, FrozenClock, campaign, decision, record

from serving.ledger import Ledger, LedgerError
from serving.ledger.types import DAY, Campaign, Outcome
from serving.ledger.views import CustomerView

FULL = CONTACT_COST + OFFER_COST


def view(ledger: Ledger, now: float, customer: str = "ann", campaign_id: str = "spring") -> CustomerView:
    with ledger.read() as reader:
        return reader.customers([customer], [campaign_id], now)[0]


def test_who_is_not_known_gets_a_blank_view_that_allows_no_contact(ledger: Ledger) -> None:
    blank = view(ledger, START)
    assert blank == CustomerView("ann", "spring", {})
    assert blank.consent_for("email") == "unknown"


def test_views_are_aligned_with_what_was_asked(ledger: Ledger) -> None:
    record(ledger, decision("ann"), decision("ben", contact=False))
    with ledger.read() as reader:
        views = reader.customers(["ben", "nobody", "ann", "ben"], ["spring"] * 4, START)
    assert [(each.customer_id, each.account_used_micros) for each in views] == [
        ("ben", 0),
        ("nobody", 0),
        ("ann", FULL),
        ("ben", 0),
    ]


def test_a_campaign_that_is_not_there_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="autumn"):
        view(ledger, START, campaign_id="autumn")


def test_a_contact_counts_on_the_day_it_is_sent(ledger: Ledger, clock: FrozenClock) -> None:
    record(ledger, decision("ann", now=clock.to_day(0.5), delay=3, offer="ten"))
    by_day = {day: view(ledger, clock.to_day(day)) for day in (0.9, 1, 2.9, 3, 4, 10)}
    assert [(each.pending_offer, each.pending_days) for each in by_day.values()] == [
        ("ten", 3),
        ("ten", 2),
        ("ten", 1),
        (None, 0),
        (None, 0),
        (None, 0),
    ]
    assert [each.contacts_days_ago for each in by_day.values()] == [(), (), (), (0,), (1,), (7,)]


def test_a_contact_put_off_over_midnight_counts_on_the_next_day(ledger: Ledger, clock: FrozenClock) -> None:
    now = clock.to_day(0.95)
    record(ledger, decision("ann", now=now, send_at=START + 1.2 * DAY))
    assert view(ledger, now).pending_days == 1
    assert view(ledger, START + DAY).contacts_days_ago == (0,)


def test_contacts_of_all_campaigns_count_and_the_account_is_each_campaigns_own(
    ledger: Ledger, clock: FrozenClock
) -> None:
    other = START - 3.5 * DAY
    with ledger.transaction() as tx:
        tx.put_campaign(Campaign("winter", campaign().budget_micros, other, 90, 100, holdout=0.0))
    record(ledger, decision("ann", now=START, campaign_id="winter", starts_at=other, offer_cost=7))
    record(ledger, decision("ann", now=clock.to_day(8)))
    spring, winter = (view(ledger, clock.to_day(10), campaign_id=name) for name in ("spring", "winter"))
    assert spring.contacts_days_ago == (2, 10)
    assert winter.contacts_days_ago == (2, 10)
    assert (spring.account_used_micros, winter.account_used_micros) == (FULL, CONTACT_COST + 7)


def test_an_acceptance_replaces_the_offer_that_runs(ledger: Ledger, clock: FrozenClock) -> None:
    (first,) = record(ledger, decision("ann", offer="five"))
    (second,) = record(ledger, decision("ann", now=clock.to_day(8), offer="twenty"))
    clock.to_day(20)
    with ledger.transaction() as tx:
        tx.outcome([Outcome(second, "accepted", START + 9 * DAY), Outcome(first, "accepted", START + 5 * DAY)])
    seen = view(ledger, clock.now)
    assert (seen.running_offer, seen.protection_days_left) == ("twenty", 30 - 11)


def test_the_baseline_is_the_first_score_of_each_campaign(ledger: Ledger, clock: FrozenClock) -> None:
    import dataclasses

    first = dataclasses.replace(decision("ann", contact=False), baseline_churn_probability=0.4)
    shadow = dataclasses.replace(decision("ann", shadow=True), baseline_churn_probability=0.9)
    record(ledger, shadow)
    assert view(ledger, START).baseline_churn_probability is None
    record(ledger, first)
    record(ledger, decision("ann", now=clock.to_day(1), contact=False))
    assert view(ledger, clock.now).baseline_churn_probability == 0.4


def test_where_a_customer_is_is_remembered_and_what_is_not_said_stays(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.set_place("ann", time_zone="America/Chicago")
        tx.set_place("ann", region="US-TX")
    with ledger.transaction() as tx:
        (view,) = tx.customers(["ann"], ["spring"], START)
        assert (view.time_zone, view.region) == ("America/Chicago", "US-TX")


def test_the_day_changes_with_the_campaigns_start_and_not_at_midnight(ledger: Ledger) -> None:
    with ledger.read() as reader:
        spring = reader.campaign("spring")
    assert spring is not None
    assert [spring.day(START + seconds) for seconds in (-1, 0, DAY - 1, DAY)] == [-1, 0, 0, 1]


def test_a_campaigns_days_and_a_customers_ledger_show_all_of_it(ledger: Ledger, clock: FrozenClock) -> None:
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "granted", source="form")
    first, _ = record(ledger, decision("ann"), decision("ben", delay=3))
    record(ledger, decision("ann", now=clock.to_day(8)), decision("ann", now=clock.now, shadow=True))
    with ledger.transaction() as tx:
        tx.outcome([Outcome(first, "declined", START + DAY)])
    with ledger.read() as reader:
        days = [
            (each.day, each.contacts, each.spent_micros, each.reserved_micros) for each in reader.daily_spend("spring")
        ]
        ann = reader.customer_ledger("ann")
        assert reader.customer_ledger("nobody") is None
    assert days == [(0, 1, CONTACT_COST, 0), (3, 1, 0, FULL), (8, 1, 0, FULL)]
    assert ann is not None
    assert [(each.send_at, each.state) for each in ann.contacts] == [(START, "declined"), (START + 8 * DAY, "reserved")]
    assert ann.decisions == 3
    assert [(each.channel, each.status, each.source) for each in ann.consent] == [("email", "granted", "form")]


def test_a_customers_decisions_come_latest_first_with_what_came_of_each(ledger: Ledger, clock: FrozenClock) -> None:
    (first,) = record(ledger, decision("ann"))
    record(ledger, decision("ben"))
    with ledger.transaction() as tx:
        tx.outcome([Outcome(first, "accepted", START)])
    (second,) = record(ledger, decision("ann", contact=False, now=clock.to_day(8)))
    with ledger.read() as reader:
        latest, earliest = reader.decisions_of("ann", 10)
        assert [each.decision_id for each in reader.decisions_of("ann", 1)] == [second]
        assert reader.decisions_of("nobody", 10) == []
    assert (latest.decision_id, latest.offer, latest.contact_state, latest.outcomes) == (second, None, None, ())
    assert (earliest.decision_id, earliest.offer, earliest.contact_state) == (first, "five", "accepted")
    assert earliest.outcomes == (("accepted", START),)


def test_what_a_setting_was_is_remembered_with_what_it_became(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.changed("dana", "kill switch", "never", "policy")
        tx.changed("dana", "campaign new", "$1")
    with ledger.read() as reader:
        assert {(each.what, each.was, each.value) for each in reader.changes(2)} == {
            ("kill switch", "policy", "never"),
            ("campaign new", "", "$1"),
        }
