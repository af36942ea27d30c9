"""The ledger against a model of it that fits on a screen: any sequence of decisions, outcomes, days and refusals.

The model keeps a list of contacts and does sums; it knows nothing of SQL, states that follow from states, or columns.
"""

import math
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledger_rows import START, FrozenClock, campaign, decision

from serving.ledger import BudgetExceeded, CooldownBroken, Ledger
from serving.ledger.types import DAY, Outcome, OutcomeKind

BUDGET = 600
COOLDOWN, FATIGUE_DAYS, FATIGUE_CAP, ACCOUNT_CAP = 7, 30, 3, 400  # the engine's rules, which the views must carry
RESERVATION = 14
CUSTOMERS = ("ann", "ben")


@dataclass
class Contact:
    """What the model remembers of one contact."""

    decision_id: str
    customer: str
    decided_at: float
    send_at: float
    contact_cost: int
    offer_cost: int
    answer: str = "open"  # open · accepted · declined (or expired) · cancelled
    accepted_at: float = -math.inf
    touched_at: float = -math.inf  # when it was accepted, or counted as sent after all

    @property
    def cost(self) -> int:
        return {
            "open": self.contact_cost + self.offer_cost,
            "accepted": self.contact_cost + self.offer_cost,
            "declined": self.contact_cost,
            "cancelled": 0,
        }[self.answer]

    def day(self) -> int:
        return math.floor((self.send_at - START) / DAY)


class LedgerMachine(RuleBasedStateMachine):
    """Drives a ledger and the model side by side."""

    url = ""

    @initialize()
    def open(self) -> None:
        self.folder = None
        url = self.url
        if not url:
            self.folder = tempfile.TemporaryDirectory()
            url = f"sqlite:///{self.folder.name}/ledger.db"
        self.clock = FrozenClock()
        self.ledger = Ledger.open(url, clock=self.clock)
        self.campaign_id = f"c{id(self)}"  # a database may serve several runs
        with self.ledger.transaction() as tx:
            tx.put_campaign(campaign(BUDGET, self.campaign_id))
        self.contacts: list[Contact] = []
        self.churned: dict[str, float] = {}
        self.reported: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            if self.folder is not None:
                self.folder.cleanup()

    def name(self, customer: str) -> str:
        return f"{self.campaign_id}-{customer}"

    def today(self) -> int:
        return math.floor((self.clock.now - START) / DAY)

    def live(self, customer: str) -> list[Contact]:
        return [each for each in self.contacts if each.customer == customer and each.answer != "cancelled"]

    @rule(hours=st.sampled_from([1, 20, 24, 3 * 24, 7 * 24, 7 * 24, 15 * 24]))
    def time_passes(self, hours: int) -> None:
        self.clock.now += hours * 3600

    @rule(
        customer=st.sampled_from(CUSTOMERS),
        delay=st.sampled_from([0, 1, 3]),
        offer_cost=st.integers(0, 300),
        contact_cost=st.integers(1, 50),
        days=st.sampled_from([0, 3, 7, 8]),
    )
    def contact(self, customer: str, delay: int, offer_cost: int, contact_cost: int, days: int) -> None:
        """Some days later the engine looks at the view, then writes; the database's own rules must agree."""
        self.clock.now += days * DAY
        row = replace(
            decision(
                self.name(customer), now=self.clock.now, delay=delay, offer_cost=offer_cost, contact_cost=contact_cost
            ),
            campaign_id=self.campaign_id,
        )
        fits = sum(each.cost for each in self.contacts) + row.reserve_micros <= BUDGET
        with self.ledger.transaction() as tx:
            view = tx.customers([row.customer_id], [self.campaign_id], self.clock.now)[0]
            left = tx.campaigns([self.campaign_id])[self.campaign_id].left_micros
            executed = view.contacts_days_ago
            allowed = (
                view.pending_offer is None
                and (not executed or executed[0] + delay >= COOLDOWN)
                and sum(days + delay < FATIGUE_DAYS for days in executed) < FATIGUE_CAP
                and view.account_used_micros + row.reserve_micros <= ACCOUNT_CAP
            )
            assert (row.reserve_micros <= left) == fits
            if allowed and fits:
                tx.record([row])
        if allowed and fits:
            self.contacts.append(
                Contact(row.decision_id, customer, self.clock.now, row.send_at or 0.0, contact_cost, offer_cost)
            )

    @rule(
        customer=st.sampled_from(CUSTOMERS),
        delay=st.sampled_from([0, 1, 3]),
        offer_cost=st.sampled_from([0, 0, 0, BUDGET]),
    )
    def careless_contact(self, customer: str, delay: int, offer_cost: int) -> None:
        """An engine that looks at nothing: the database refuses an overspent budget, a taken day, a second plan."""
        row = replace(
            decision(self.name(customer), now=self.clock.now, delay=delay, offer_cost=offer_cost, contact_cost=1),
            campaign_id=self.campaign_id,
        )
        days = [each.day() for each in self.live(customer)]
        taken = self.today() + delay in days or any(day > self.today() for day in days)
        dear = sum(each.cost for each in self.contacts) + row.reserve_micros > BUDGET
        if taken or dear:
            with pytest.raises((BudgetExceeded, CooldownBroken)), self.ledger.transaction() as tx:
                tx.record([row])

    @precondition(lambda self: self.contacts)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["accepted", "declined", "churned", "opted_out"]),
        hours=st.sampled_from([0, 0, 30, 200, 1000]),
    )
    def outcome(self, data: st.DataObject, kind: OutcomeKind, hours: int) -> None:
        contact = data.draw(st.sampled_from(self.contacts))
        at = max(contact.decided_at, self.clock.now - hours * 3600)
        with self.ledger.transaction() as tx:
            result = tx.outcome([Outcome(contact.decision_id, kind, at)])[0]
        if (contact.decision_id, kind) in self.reported:
            assert result.status == "duplicate"
            return
        if kind == "accepted":
            assert (result.status == "applied") == self._accept(contact, at)
        elif kind == "declined":
            if contact.answer == "cancelled":
                assert result.status == ("applied" if self._revive(contact) else "refused")
            else:
                assert result.status == ("applied" if contact.answer == "open" else "ignored")
                contact.answer = "declined" if contact.answer == "open" else contact.answer
        else:
            if kind == "opted_out" and contact.answer == "cancelled" and contact.send_at <= self.clock.now:
                self._revive(contact)
            self._leave(contact.customer, kind, at)
        if result.status != "refused":
            self.reported.add((contact.decision_id, kind))

    def _accept(self, contact: Contact, at: float) -> bool:
        if contact.answer == "cancelled" and not self._revive(contact):
            return False
        if self.churned.get(contact.customer, math.inf) < at:
            return False
        if contact.answer == "declined":
            later = any(each.send_at > contact.send_at for each in self.live(contact.customer))
            if later or sum(each.cost for each in self.contacts) + contact.offer_cost > BUDGET:
                return False
        contact.answer, contact.accepted_at, contact.touched_at = "accepted", at, self.clock.now
        return True

    def _revive(self, contact: Contact) -> bool:
        """What was cancelled was sent after all: it costs money, where nothing has taken its place."""
        others = [each for each in self.live(contact.customer) if each is not contact]
        if any(max(each.decided_at, each.touched_at) >= contact.decided_at for each in others):
            return False
        if any(each.day() == contact.day() for each in others):
            return False
        if sum(each.cost for each in self.contacts) + contact.contact_cost > BUDGET:
            return False
        contact.answer, contact.touched_at = "declined", self.clock.now
        return True

    def _leave(self, customer: str, kind: OutcomeKind, at: float) -> None:
        if kind == "churned":
            if self.churned.get(customer, math.inf) <= at:
                return
            self.churned[customer] = at
        for each in self.live(customer):
            if each.answer == "open" and each.send_at > self.clock.now:
                each.answer = "cancelled"

    @precondition(lambda self: any(each.answer == "open" for each in self.contacts))
    @rule()
    def expiry(self) -> None:
        with self.ledger.transaction() as tx:
            tx.expire(self.clock.now, reservation_days=RESERVATION)
        for each in self.contacts:
            if each.answer == "open" and each.send_at <= self.clock.now - RESERVATION * DAY:
                each.answer = "declined"

    @precondition(lambda self: len(self.contacts) > 4)
    @rule(customer=st.sampled_from(CUSTOMERS))
    def erasure(self, customer: str) -> None:
        """Forgotten, she is a new customer; her money is nobody's and stays."""
        with self.ledger.transaction() as tx:
            tx.erase(self.name(customer))
        for each in self.live(customer):
            if each.answer == "open" and each.send_at > self.clock.now:
                each.answer = "cancelled"
            each.customer = f"erased {customer} {self.clock.now} {len(self.reported)}"
        self.contacts = [each for each in self.contacts if each.customer != customer]  # cancelled ones: no money
        self.churned.pop(customer, None)

    @invariant()
    def money_is_the_sum_of_the_contacts(self) -> None:
        if not hasattr(self, "ledger"):
            return
        with self.ledger.read() as reader:
            view = reader.campaign(self.campaign_id)
            assert reader.audit() == []
        assert view is not None
        open_ = sum(each.cost for each in self.contacts if each.answer == "open")
        assert view.reserved_micros == open_
        assert view.spent_micros == sum(each.cost for each in self.contacts) - open_
        assert view.spent_micros + view.reserved_micros <= BUDGET

    @invariant()
    def views_tell_what_the_contacts_tell(self) -> None:
        if not hasattr(self, "ledger"):
            return
        with self.ledger.read() as reader:
            views = reader.customers(
                [self.name(customer) for customer in CUSTOMERS], [self.campaign_id] * 2, self.clock.now
            )
        for customer, view in zip(CUSTOMERS, views, strict=True):
            contacts = self.live(customer)
            ahead = [each.day() - self.today() for each in contacts]
            assert view.contacts_days_ago == tuple(sorted(-days for days in ahead if days <= 0))
            assert view.pending_days == sum(days for days in ahead if days > 0)
            assert view.account_used_micros == sum(each.cost for each in contacts) <= ACCOUNT_CAP
            assert view.churned == (customer in self.churned)
            days = sorted(each.day() for each in contacts)
            assert all(later - earlier >= COOLDOWN for earlier, later in pairwise(days))
            assert all(sum(day - FATIGUE_DAYS < each <= day for each in days) <= FATIGUE_CAP for day in days)


@pytest.fixture(params=["sqlite", "postgres"])
def machine_url(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()


def test_no_sequence_of_events_breaks_the_ledger(machine_url: str) -> None:
    class Machine(LedgerMachine):
        url = machine_url

    few = settings(max_examples=30 if not machine_url else 5, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Machine, settings=few)  # type: ignore[no-untyped-call]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_long_sequence_of_events_breaks_the_ledger(machine_url: str) -> None:
    class Machine(LedgerMachine):
        url = machine_url

    many = settings(
        max_examples=300 if not machine_url else 100, stateful_step_count=60, deadline=None, derandomize=False
    )
    run_state_machine_as_test(Machine, settings=many)  # type: ignore[no-untyped-call]
