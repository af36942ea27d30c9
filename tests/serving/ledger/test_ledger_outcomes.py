"""What follows from an outcome: each rule of `serving.ledger.outcomes`, whatever the order in which reports come."""

import itertools
from typing import Any

import pytest
from ledger_rows import CONTACT_COST, OFFER_COST, START, FrozenClock, campaign, decision, money, record

from serving.ledger import Ledger
from serving.ledger.types import DAY, Outcome, OutcomeKind, OutcomeResult
from serving.ledger.views import CustomerView

FULL = CONTACT_COST + OFFER_COST


def report(ledger: Ledger, decision_id: str, kind: OutcomeKind, at: float = START) -> OutcomeResult:
    with ledger.transaction() as tx:
        return tx.outcome([Outcome(decision_id, kind, at)])[0]


def view(ledger: Ledger, now: float = START) -> CustomerView:
    with ledger.read() as reader:
        return reader.customers(["ann"], ["spring"], now)[0]


def test_accepted_commits_the_discount_and_the_offer_runs(ledger: Ledger, clock: FrozenClock) -> None:
    (contact,) = record(ledger, decision("ann", offer="ten"))
    result = report(ledger, contact, "accepted")
    assert (result.status, result.committed_micros) == ("applied", FULL)
    assert money(ledger) == (FULL, 0)
    days_left = {day: view(ledger, clock.to_day(day)).protection_days_left for day in (0, 0.9, 1, 29, 30)}
    assert days_left == {0: 30, 0.9: 30, 1: 29, 29: 1, 30: 0}
    assert view(ledger, clock.to_day(29)).running_offer == "ten"
    assert view(ledger, clock.to_day(30)).running_offer is None


def test_declined_gives_the_discount_back_and_the_contact_stays_paid(ledger: Ledger) -> None:
    (contact,) = record(ledger, decision("ann"))
    result = report(ledger, contact, "declined")
    assert (result.status, result.released_micros, result.committed_micros) == ("applied", OFFER_COST, CONTACT_COST)
    assert money(ledger) == (CONTACT_COST, 0)
    assert view(ledger).account_used_micros == CONTACT_COST


def test_who_accepts_after_leaving_is_refused_and_was_sent_the_message(ledger: Ledger, clock: FrozenClock) -> None:
    (contact,) = record(ledger, decision("ann"))
    clock.to_day(3)
    report(ledger, contact, "churned", START + DAY)
    assert report(ledger, contact, "accepted", START + 2 * DAY).status == "refused"
    with ledger.read() as reader:
        assert reader.rows("SELECT sent_at FROM contacts") == [(START + 2 * DAY,)]


def test_silence_expires_like_a_decline(ledger: Ledger, clock: FrozenClock) -> None:
    record(ledger, decision("ann"), decision("ben", delay=1))
    for day, expired, left in ((13.9, 0, (0, 2 * FULL)), (14, 1, (CONTACT_COST, FULL)), (15, 1, (2 * CONTACT_COST, 0))):
        with ledger.transaction() as tx:
            assert tx.expire(clock.to_day(day)) == expired
        assert money(ledger) == left


@pytest.mark.parametrize("kind", ["accepted", "declined", "churned", "opted_out"])
def test_the_same_again_changes_nothing(ledger: Ledger, kind: OutcomeKind) -> None:
    (contact,) = record(ledger, decision("ann"))
    assert report(ledger, contact, kind).status == "applied"
    before = money(ledger)
    with ledger.transaction() as tx:
        statuses = [result.status for result in tx.outcome([Outcome(contact, kind, START + 1)] * 2)]
    assert statuses == ["duplicate", "duplicate"]
    assert money(ledger) == before


def test_an_acceptance_stands_against_a_later_decline_and_follows_an_earlier_one(ledger: Ledger) -> None:
    first, second = record(ledger, decision("ann"), decision("ben"))
    assert report(ledger, first, "accepted").status == "applied"
    assert report(ledger, first, "declined").status == "ignored"
    assert report(ledger, second, "declined").status == "applied"
    late = report(ledger, second, "accepted")
    assert (late.status, late.committed_micros) == ("applied", OFFER_COST)
    assert money(ledger) == (2 * FULL, 0)


def test_too_late_an_acceptance_is_honoured_while_the_budget_covers_it(ledger: Ledger, clock: FrozenClock) -> None:
    with ledger.transaction() as tx:
        tx.put_campaign(campaign(2 * FULL))
    first, second = record(ledger, decision("ann"), decision("ben"))
    with ledger.transaction() as tx:
        tx.expire(clock.to_day(20))
    record(ledger, decision("cat", now=clock.now, offer_cost=OFFER_COST - CONTACT_COST))
    assert report(ledger, first, "accepted", clock.now).status == "applied"
    refused = report(ledger, second, "accepted", clock.now)
    assert (refused.status, "budget" in refused.detail) == ("refused", True)
    assert money(ledger) == (FULL + CONTACT_COST, OFFER_COST)


def test_too_late_an_acceptance_is_refused_once_a_later_contact_replaced_the_offer(
    ledger: Ledger, clock: FrozenClock
) -> None:
    (first,) = record(ledger, decision("ann"))
    report(ledger, first, "declined")
    record(ledger, decision("ann", now=clock.to_day(10)))
    refused = report(ledger, first, "accepted", clock.now)
    assert (refused.status, "later contact" in refused.detail) == ("refused", True)


def test_churn_cancels_what_is_not_sent_and_keeps_the_earliest_time(ledger: Ledger, clock: FrozenClock) -> None:
    sent, planned = record(ledger, decision("ann", now=START)) + record(
        ledger, decision("ann", now=clock.to_day(10), delay=3)
    )
    result = report(ledger, sent, "churned", clock.now)
    assert (result.status, result.released_micros) == ("applied", FULL)
    assert money(ledger) == (0, FULL)
    assert view(ledger, clock.now).churned
    assert view(ledger, clock.now).pending_offer is None
    assert report(ledger, planned, "churned", clock.now + 9).status == "ignored"
    clock.now += 10
    refused = report(ledger, planned, "accepted", clock.now)
    assert (refused.status, "left" in refused.detail) == ("refused", True)


def test_an_acceptance_before_the_customer_left_counts_and_one_after_does_not(
    ledger: Ledger, clock: FrozenClock
) -> None:
    first, second = record(ledger, decision("ann"), decision("ben"))
    clock.to_day(5)
    for contact in (first, second):
        report(ledger, contact, "churned", START + 3 * DAY)
    assert report(ledger, first, "accepted", START + 2 * DAY).status == "applied"
    assert report(ledger, second, "accepted", START + 4 * DAY).status == "refused"


def test_opting_out_ends_consent_to_the_channel_and_cancels_its_planned_contact(
    ledger: Ledger, clock: FrozenClock
) -> None:
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "granted", source="form")
        tx.set_consent("ann", "sms", "granted", source="form")
    (contact,) = record(ledger, decision("ann", delay=3))
    clock.now += 60
    result = report(ledger, contact, "opted_out", clock.now)
    assert (result.status, result.released_micros) == ("applied", FULL)
    assert money(ledger) == (0, 0)
    seen = view(ledger, clock.now)
    assert [seen.consent_for(channel) for channel in ("email", "sms", "push")] == ["opted_out", "granted", "unknown"]


def test_an_opt_out_reported_after_consent_was_given_again_is_ignored(ledger: Ledger, clock: FrozenClock) -> None:
    (contact,) = record(ledger, decision("ann"))
    clock.to_day(5)
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "granted", source="form")
    assert report(ledger, contact, "opted_out", START + DAY).status == "ignored"
    assert view(ledger, clock.now).consent_for("email") == "granted"


def test_who_consents_again_can_opt_out_of_the_same_message_again(ledger: Ledger, clock: FrozenClock) -> None:
    """STOP, a web form, STOP: each is her last word when it comes; only the same report twice is one."""
    (contact,) = record(ledger, decision("ann"))
    found = []
    for word, happened, reported in [
        ("stop", 1, 1), ("yes", 2, 2), ("stop", 1, 3), ("stop", 3, 3), ("stop", 3, 3), ("yes", 4, 4), ("stop", 3.5, 5)
    ]:  # fmt: skip
        clock.to_day(reported)
        if word == "yes":
            with ledger.transaction() as tx:
                tx.set_consent("ann", "email", "granted", source="form")
            continue
        status = report(ledger, contact, "opted_out", START + happened * DAY).status
        found.append((status, view(ledger, clock.now).consent_for("email")))
    assert found == [
        ("applied", "opted_out"),
        ("duplicate", "granted"),
        ("applied", "opted_out"),
        ("duplicate", "opted_out"),
        ("duplicate", "granted"),
    ]


def test_what_was_said_of_consent_first_does_not_replace_what_was_said_later(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """Another system's nightly copy has not heard of the opt-out."""
    (contact,) = record(ledger, decision("ann"))
    found = []
    for day, status, said in [
        (1, "granted", None), (2, "opted_out", 2), (3, "granted", 1), (4, "granted", 4), (5, "denied", 3.5),
        (6, "denied", 400), (7, "granted", 6.5),
    ]:  # fmt: skip
        clock.to_day(day)
        at = None if said is None else START + said * DAY
        if status == "opted_out":
            report(ledger, contact, "opted_out", clock.now)
        else:
            with ledger.transaction() as tx:
                tx.set_consent("ann", "email", status, source="copy", at=at)  # type: ignore[arg-type]
        with ledger.read() as reader:
            (consent,) = reader.consent("ann")
        found.append((consent.status, (consent.changed_at - START) / DAY))
    said_last = [("granted", 1), *[("opted_out", 2)] * 2, *[("granted", 4)] * 2, ("denied", 6), ("granted", 6.5)]
    assert found == said_last


def test_an_opt_out_ends_consent_that_a_clock_dated_too_late(ledger: Ledger, clock: FrozenClock) -> None:
    (contact,) = record(ledger, decision("ann"))
    for day in (1, 2):
        clock.to_day(day + 400)
        with ledger.transaction() as tx:
            tx.set_consent("ann", "email", "granted", source="form")
        clock.to_day(day)  # somebody sets it right
        assert report(ledger, contact, "opted_out", clock.now).status == "applied"
        assert view(ledger, clock.now).consent_for("email") == "opted_out"


@pytest.mark.parametrize("status", ["denied", "opted_out", "unknown"])
def test_consent_taken_back_cancels_the_planned_contact_of_that_channel_only(
    ledger: Ledger, status: str, clock: FrozenClock
) -> None:
    record(ledger, decision("ann", delay=3), decision("ben", delay=3, channel="sms"))
    with ledger.transaction() as tx:
        assert tx.set_consent("ann", "email", status, source="call") == FULL  # type: ignore[arg-type]
        assert tx.set_consent("ben", "email", status, source="call") == 0  # type: ignore[arg-type]
    assert money(ledger) == (0, FULL)


def test_what_was_sent_is_not_cancelled_though_the_clock_be_set_back(ledger: Ledger, clock: FrozenClock) -> None:
    (contact,) = record(ledger, decision("ann"))
    clock.now += 60
    with ledger.transaction() as tx:
        assert tx.sent([contact]) == (1, [], [])
    clock.now = START - DAY
    with ledger.transaction() as tx:
        assert tx.set_consent("ann", "email", "denied", source="test") == 0
    assert money(ledger) == (0, FULL)
    assert view(ledger, START).contacts_days_ago == (0,)


def test_a_cancelled_contact_frees_its_day(ledger: Ledger, clock: FrozenClock) -> None:
    record(ledger, decision("ann", delay=3))
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "denied", source="call")
    assert view(ledger).pending_offer is None
    record(ledger, decision("ann", delay=3))
    assert money(ledger) == (0, FULL)


def test_what_cannot_be_is_refused_in_words_and_not_remembered(ledger: Ledger, clock: FrozenClock) -> None:
    wait, contact, shadow = record(
        ledger, decision("ann", contact=False), decision("ben"), decision("cat", shadow=True)
    )
    cases = [
        ("nothing", "accepted", START, "unknown_decision", "no such"),
        (wait, "accepted", START, "refused", "no contact"),
        (shadow, "declined", START, "refused", "no contact"),
        (contact, "accepted", START - 301, "refused", "before"),
        (contact, "accepted", START + 301, "refused", "future"),
    ]
    for decision_id, kind, at, status, words in cases:
        result = report(ledger, decision_id, kind, at)  # type: ignore[arg-type]
        assert (result.status, words in result.detail) == (status, True), result
    assert report(ledger, contact, "accepted", START + 300).status == "applied"
    with ledger.read() as reader:
        found = reader.decision(contact)
    assert found is not None
    assert found.outcomes == (Outcome(contact, "accepted", START),)  # a clock ahead of ours is set back


@pytest.mark.parametrize("order", list(itertools.permutations(["accepted", "declined", "churned", "opted_out"])))
def test_no_order_of_reports_breaks_the_books(
    ledger: Ledger, order: tuple[OutcomeKind, ...], clock: FrozenClock
) -> None:
    (contact,) = record(ledger, decision("ann"))
    clock.to_day(5)
    at = {"accepted": 1.0, "declined": 2.0, "opted_out": 3.0, "churned": 4.0}
    with ledger.transaction() as tx:
        tx.outcome([Outcome(contact, kind, START + at[kind] * DAY) for kind in order])
    assert money(ledger) == (FULL, 0)  # the acceptance came first, whenever it was reported
    assert view(ledger, clock.now).churned


def of_customer(ledger: Ledger, kind: OutcomeKind, at: float = START, customer: str = "zoe", **fields: Any) -> str:
    with ledger.transaction() as tx:
        return tx.outcome([Outcome(None, kind, at, customer, **fields)])[0].status


def test_who_has_no_decision_can_leave_and_stay(ledger: Ledger, clock: FrozenClock) -> None:
    with ledger.read() as reader:
        assert reader.customer_ledger("zoe") is None, "nobody said anything: not known, and not kept"
    clock.to_day(9)
    told = [("kept", 5), ("kept", 5), ("kept", 3), ("churned", 8), ("churned", 8), ("kept", 9), ("kept", 10)]
    statuses = [of_customer(ledger, kind, START + day * DAY) for kind, day in told]  # type: ignore[arg-type]
    assert statuses == ["applied", "duplicate", "ignored", "applied", "duplicate", "refused", "refused"]
    with ledger.read() as reader:
        found = reader.customer_ledger("zoe")
    assert found is not None
    assert (found.observed_until, found.churned_at) == (START + 8 * DAY, START + 8 * DAY)


@pytest.mark.parametrize(
    "order", list(itertools.permutations([("kept", 3), ("kept", 20), ("churned", 8), ("churned", 5)]))
)
def test_whatever_the_order_of_reports_she_stayed_until_she_left(
    ledger: Ledger, clock: FrozenClock, order: tuple[tuple[OutcomeKind, int], ...]
) -> None:
    clock.to_day(30)
    for kind, day in order:
        of_customer(ledger, kind, START + day * DAY)
    with ledger.read() as reader:
        found = reader.customer_ledger("zoe")
    assert found is not None
    assert (found.observed_until, found.churned_at) == (START + 5 * DAY, START + 5 * DAY)


def test_who_leaves_without_a_decision_is_not_sent_what_is_planned(ledger: Ledger, clock: FrozenClock) -> None:
    record(ledger, decision("zoe", delay=3))
    clock.to_day(1)
    assert of_customer(ledger, "churned", START + DAY) == "applied"
    assert money(ledger) == (0, 0)
    with ledger.read() as reader:
        assert reader.customers(["zoe"], ["spring"], clock())[0].churned


def test_a_payment_counts_once_to_the_micro(ledger: Ledger, clock: FrozenClock) -> None:
    paid = [("a", 10**15), ("b", 1), ("a", 10**15), ("a", 2), ("c", -3)]
    statuses = [of_customer(ledger, "revenue", reference=name, amount_micros=micros) for name, micros in paid]
    assert statuses == ["applied", "applied", "duplicate", "refused", "applied"]
    with ledger.read() as reader:
        found = reader.customer_ledger("zoe")
    assert found is not None
    assert found.revenue_micros == 10**15 - 2
    with ledger.transaction() as tx:
        tx.erase("zoe")
    with ledger.read() as reader:
        assert reader.customer_ledger("zoe") is None


@pytest.mark.parametrize("kind", ["accepted", "declined", "churned", "opted_out"])
def test_a_time_cut_to_whole_seconds_is_no_time_before_the_decision(
    ledger: Ledger, clock: FrozenClock, kind: OutcomeKind
) -> None:
    clock.now = START + 0.7
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "granted", source="form")
    (contact,) = record(ledger, decision("ann", now=clock.now))
    assert report(ledger, contact, kind, START).status == "applied"
    with ledger.read() as reader:
        assert (reader.consent("ann")[0].status == "opted_out") == (kind == "opted_out")


@pytest.mark.parametrize("at", [START - 400 * DAY, START + 400 * DAY])
def test_an_opt_out_holds_whatever_its_time(ledger: Ledger, clock: FrozenClock, at: float) -> None:
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "granted", source="form")
    clock.now += 60
    (contact,) = record(ledger, decision("ann", now=clock.now))
    assert report(ledger, contact, "opted_out", at).status == "applied"
    assert view(ledger).consent_for("email") == "opted_out"


@pytest.mark.parametrize("kind", ["accepted", "declined"])
def test_who_answers_was_sent_the_message_though_nobody_reported_that(
    ledger: Ledger, clock: FrozenClock, kind: OutcomeKind
) -> None:
    (contact,) = record(ledger, decision("ann", delay=1))
    clock.now += 3600  # a sender of the caller's own was early
    assert report(ledger, contact, kind, clock.now).status == "applied"
    spent = money(ledger)
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "denied", source="form")  # gives nothing back
        assert tx.sent([contact]) == (0, [], [])
    assert money(ledger) == spent


def test_no_number_of_payments_is_too_much_to_add_up(ledger: Ledger, clock: FrozenClock) -> None:
    paid = [Outcome(None, "revenue", START, "zoe", 10**15, f"bill-{n}") for n in range(10_000)]
    paid += [Outcome(None, "revenue", START, "zoe", -1, "refund")]
    with ledger.transaction() as tx:
        tx.outcome(paid)
    with ledger.read() as reader:
        found = reader.customer_ledger("zoe")
    assert found is not None
    assert found.revenue_micros == 10**19 - 1
