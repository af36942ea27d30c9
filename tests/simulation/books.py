"""The books as somebody keeps them who has never seen the engine's code: rules in plain Python over the ledger's rows.

What callers asked and were answered is remembered as it happened; the rows are read as they are, by SQL that computes
nothing. A rule that is broken raises `Broken`, which no handler of exceptions takes for an error of the program's.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from simulation.disk import Disk, Time

from serving.engine.contract import Answered, Failed, Packet
from serving.ledger.types import OutcomeResult

DAY = 86_400
COOLDOWN, WINDOW, CAP, ACCOUNT, RESERVATION = 7, 30, 3, 30_000_000, 14  # days, days, contacts, micro-dollars, days
CONTACT = 500_000  # micro-dollars
DISCOUNT = {"hello": 0, "five": Fraction(5, 100), "ten": Fraction(10, 100), "twenty": Fraction(20, 100)}
_ACCEPTED = "SELECT decision_id FROM outcomes WHERE kind = 'accepted' AND status = 'applied'"
_REVENUES = "SELECT customer_id, reference, amount_micros FROM revenues"
REFUSALS = {"CampaignNotRunning", "DeadlineExceeded", "LedgerUnavailable", "NotRunning"}


class Broken(BaseException):
    """A promise that was not kept."""


@dataclass(frozen=True)
class Terms:
    """A campaign, as it was made; its budget may change."""

    name: str
    starts_at: float
    days: int
    salt: str
    holdout: float
    arms: tuple[tuple[str, float], ...] = ()
    """Arms of a pilot, if it has one; `share` of the customers until `ends_at`."""
    share: float = 0.0
    ends_at: float = 0.0
    budget_share: float = 0.0

    def day(self, at: float) -> int:
        return math.floor((at - self.starts_at) / DAY)

    def arm(self, customer: str, at: float) -> tuple[str, str | None]:
        """(arm, its arm of the pilot) of a customer who is first decided about at `at`."""
        number = int.from_bytes(hashlib.sha256(f"{self.salt}\0{customer}".encode()).digest()[:7]) / 2**56
        if number < self.holdout:
            return "holdout", None
        edge = self.holdout
        for name, part in self.arms if at < self.ends_at else ():
            edge += self.share * part
            if number < edge:
                return "pilot", name
        return "policy", None


@dataclass
class Question:
    """A decision that somebody wants."""

    number: int
    customer: str
    campaign: str
    channel: str
    key: str | None = None
    digest: str = ""
    dry_run: bool = False
    wrong_facts: bool = False
    copies: int = 0
    """How often it went over the socket."""
    answers: int = 0


class Books:
    """Books of one history."""

    def __init__(self, disk: Disk, time: Time, campaigns: Sequence[Terms], bills: dict[str, str]) -> None:
        """`bills`: $ per 30 days of each customer."""
        self._disk, self._time = disk, time
        self.campaigns, self._bills = {each.name: each for each in campaigns}, bills
        self.questions: dict[int, Question] = {}
        self.given: dict[str, bytes] = {}
        """Decisions that were answered."""
        self._by_key: dict[str, tuple[str, bytes, float]] = {}  # digest, body, first answered
        self.sent: set[str] = set()
        self.asked_about: set[str] = set()  # an answer to what was cancelled is that of a message that was sent
        self.listed: set[str] = set()
        self.erased: set[str] = set()
        self.purged = False
        self.expired_at = -math.inf
        """The latest moment, by the ledger's clock, at which reservations were looked through."""
        self._applied: set[tuple[object, ...]] = set()
        self.revenue: dict[tuple[str, str], int] = {}
        self._rows = 0

    # --- after each commit ------------------------------------------------------------------------------------

    def committed(self) -> None:
        """Looks at every decision that is new."""
        for row in self._disk.look(
            "SELECT rowid, decision_id, customer_id, campaign_id, decided_at, channel, action, slot, executed, mask, "
            "response, idempotency_key FROM decisions WHERE rowid > ? ORDER BY rowid", self._rows
        ):  # fmt: skip
            self._rows = row[0]
            if row[8]:
                self._new(*row[1:7], row[9], row[10], row[11])

    def _new(
        self, name: str, customer: str, campaign: str, at: float, channel: str, action: int, mask: bytes,
        response: bytes, key: str | None,
    ) -> None:  # fmt: skip
        self._asked(customer, campaign, key)
        said, terms = json.loads(response), self.campaigns[campaign]
        if not 0 <= terms.day(at) < terms.days:
            raise Broken(f"{name}: decided on day {terms.day(at)} of a campaign of {terms.days} days")
        if said["action"] != action or said["customer_id"] != customer or not mask[action // 8] >> action % 8 & 1:
            raise Broken(f"{name}: action {action}, and the answer is {said['action']}, the mask {mask!r}")
        if action:
            self._contact(name, customer, terms, at, channel, said)

    def _asked(self, customer: str, campaign: str, key: str | None) -> None:
        """A decision was asked for, and has not been made more often than that; one a key, for a day."""
        asked = [each for each in self.questions.values() if (each.customer, each.campaign) == (customer, campaign)]
        if key is None:
            made = "customer_id = ? AND campaign_id = ? AND idempotency_key IS NULL AND executed = 1"
            count = self._disk.look(f"SELECT COUNT(*) FROM decisions WHERE {made}", customer, campaign)[0][0]
            if count > sum(each.copies for each in asked):  # a key that is a day old is forgotten, so all may count
                raise Broken(f"{count} decisions about {customer}, which nobody asked for")
        elif not any(each.key == key for each in asked):
            raise Broken(f"a decision about {customer} by the key {key}, which nobody sent")

    def _contact(self, name: str, customer: str, terms: Terms, at: float, channel: str, said: dict[str, Any]) -> None:
        look = self._disk.look
        if look("SELECT 1 FROM switches WHERE name = 'kill_switch' AND value = 'never'"):
            raise Broken(f"{name}: a contact under the kill switch")
        consent = look("SELECT status FROM consents WHERE customer_id = ? AND channel = ?", customer, channel)
        if consent != [("granted",)]:
            raise Broken(f"{name}: a contact by {channel}, consent {consent}")
        if look("SELECT 1 FROM customers WHERE customer_id = ? AND churned_at IS NOT NULL", customer):
            raise Broken(f"{name}: a contact to somebody who has left")
        rows = look(
            "SELECT decision_id, campaign_id, send_at, reserved_micros + spent_micros, offer, pilot, reserved_micros "
            "FROM contacts WHERE customer_id = ? AND state <> 'cancelled'", customer
        )  # fmt: skip
        (own,) = [row for row in rows if row[0] == name] or [()]
        offer = said["offer"]["name"]
        price = CONTACT + math.ceil(DISCOUNT[offer] * Fraction(self._bills[customer]) * 1_000_000)
        if not own or own[4] != offer or not own[6] == said["reserved_micros"] == price:
            raise Broken(f"{name}: {own}; {offer} costs {price}, the answer reserves {said['reserved_micros']}")
        day = terms.day(own[2])
        if not at <= own[2] < terms.starts_at + terms.days * DAY:
            raise Broken(f"{name}: sent at {own[2]}, decided at {at}, on day {day} of {terms.days}")
        others = [terms.day(row[2]) for row in rows if row[0] != name]
        if near := [each for each in others if abs(each - day) < COOLDOWN]:
            raise Broken(f"{name}: a contact on day {day}, others of the customer's on {near}")
        if sum(0 <= day - each < WINDOW for each in others) >= CAP:
            raise Broken(f"{name}: a contact on day {day}, the others on {others}")
        if (used := sum(row[3] for row in rows if row[1] == terms.name)) > ACCOUNT:
            raise Broken(f"{name}: the customer's account is at {used}")
        self._by_design(name, customer, terms, at, rows)

    def _by_design(self, name: str, customer: str, terms: Terms, at: float, rows: Sequence[Any]) -> None:
        """Who is held out is not contacted, who is in a pilot only by her arm of it until it ends."""
        (found,) = self._disk.look(
            "SELECT assigned_at FROM assignments WHERE customer_id = ? AND campaign_id = ?", customer, terms.name
        )
        arm, of_pilot = terms.arm(customer, found[0])
        piloted = [row for row in rows if row[1] == terms.name and row[5]]
        if arm == "holdout":
            raise Broken(f"{name}: a contact to {customer}, whom {terms.name} holds out")
        if any(arm != "pilot" or row[4] != of_pilot for row in piloted) or len(piloted) > 1:
            raise Broken(f"{name}: {customer} is drawn to {arm} {of_pilot}; contacts of the pilot: {piloted}")
        if arm == "pilot" and at < terms.ends_at and name not in [row[0] for row in piloted]:
            raise Broken(f"{name}: a contact of the policy's to {customer}, whom a pilot tries until {terms.ends_at}")

    # --- what callers hear ------------------------------------------------------------------------------------

    def answered(self, packet: Packet) -> None:
        question = self.questions.get(packet.number)
        if question is None or question.answers >= question.copies:
            raise Broken(f"an answer to question {packet.number}, which was asked {question and question.copies} times")
        question.answers += 1
        if isinstance(packet, Answered):
            self._given(question, packet)
        elif isinstance(packet, Failed):
            self._refused(question, packet)
        else:
            raise Broken(f"{packet} on the decisions' socket")

    def _given(self, question: Question, packet: Answered) -> None:
        given = packet.given
        row = self._disk.look("SELECT response, customer_id FROM decisions WHERE decision_id = ?", given.decision_id)
        if question.dry_run:
            if row:
                raise Broken(f"{given.decision_id}: a dry run is in the ledger")
            return
        if question.wrong_facts or question.campaign not in self.campaigns:
            raise Broken(f"question {question.number} was answered: {question}")
        if not row or row[0] != (given.body, question.customer):
            raise Broken(f"{given.decision_id} was answered, and the ledger has {row}")
        self.given[given.decision_id] = given.body
        if question.key is not None:
            digest, body, at = self._by_key.setdefault(
                question.key, (question.digest, given.body, self._decided(given.decision_id))
            )
            if (digest, body) != (question.digest, given.body):
                if self._time.wall < at + DAY:
                    raise Broken(f"the key {question.key} is answered with another decision or to another request")
                del self._by_key[question.key]
                self._given(question, packet)

    def _decided(self, name: str) -> float:
        return float(self._disk.look("SELECT decided_at FROM decisions WHERE decision_id = ?", name)[0][0])

    def _refused(self, question: Question, packet: Failed) -> None:
        allowed = set(REFUSALS)
        if question.wrong_facts:
            allowed.add("WrongFacts")
        if question.campaign not in self.campaigns:
            allowed.add("NoCampaign")
        same = [each for each in self.questions.values() if question.key and each.key == question.key]
        if any(each.digest != question.digest for each in same):
            allowed.add("KeyReused")
        if packet.kind not in allowed:
            raise Broken(f"question {question.number} is refused: {packet.kind} {packet.text}")
        alone = len(same) == 1 and question.copies == 1 and packet.kind != "LedgerUnavailable"
        if alone and self._disk.look("SELECT 1 FROM decisions WHERE idempotency_key = ?", question.key):
            raise Broken(f"question {question.number} is refused ({packet.kind}), and its decision is in the ledger")

    def outcomes(self, results: Sequence[OutcomeResult]) -> None:
        """What the ledger said to outcomes; each counts once."""
        for result in results:
            key = (result.decision_id, result.kind)
            if result.status == "applied" and result.decision_id is not None:
                if key in self._applied:
                    raise Broken(f"{key} counts twice")
                self._applied.add(key)

    def granted(self, customer: str) -> None:
        """Who consents again may opt out of the same message again."""
        for (name,) in self._disk.look("SELECT decision_id FROM decisions WHERE customer_id = ?", customer):
            self._applied.discard((name, "opted_out"))

    def due(self, found: Sequence[Any]) -> None:
        """What is to be sent now: with consent, once, to nobody held out."""
        for each in found:
            if each.decision_id in self.sent:
                raise Broken(f"{each.decision_id} is to be sent, and was reported as sent")
            channel, state = self._disk.look(
                "SELECT channel, state FROM contacts WHERE decision_id = ?", each.decision_id
            )[0]
            consent = self._disk.look(
                "SELECT status FROM consents WHERE customer_id = ? AND channel = ?", each.customer_id, channel
            )
            if consent != [("granted",)] or state != "reserved":
                raise Broken(f"{each.decision_id} is to be sent: consent {consent}, {state}")

    # --- now and then, and at the end -------------------------------------------------------------------------

    def recovered(self) -> None:
        """After a crash all is as it was, before or after the transaction that it hit."""
        if self._disk.expected and (now := self._disk.state()) not in self._disk.expected:
            before: Any = self._disk.expected[0]
            changed = {table: (len(before[table]), len(rows)) for table, rows in now.items() if rows != before[table]}
            raise Broken(f"recovery changed the ledger; table: (rows before, rows after): {changed}")
        self.committed()
        self.audit()

    def audit(self) -> None:
        """Every sum anew from the rows; every answer is there; what was sent stays."""
        look = self._disk.look
        money: Counter[tuple[str, str]] = Counter()
        accounts: Counter[tuple[str, str]] = Counter()
        accepted = {row[0] for row in look(_ACCEPTED)}
        for name, customer, campaign, state, contact, offer, reserved, spent, send_at in look(
            "SELECT decision_id, customer_id, campaign_id, state, contact_cost_micros, offer_cost_micros, "
            "reserved_micros, spent_micros, send_at FROM contacts"
        ):
            full = contact + offer
            right = {"reserved": (full, 0), "accepted": (0, full), "cancelled": (0, 0)}.get(state, (0, contact))
            if (reserved, spent) != right or (state == "accepted") != (name in accepted):
                raise Broken(f"{name}: {state}, reserved {reserved}, spent {spent} of {full}")
            if state == "cancelled" and name in self.sent | self.listed:
                raise Broken(f"{name} was sent, or may have been, and is cancelled: its money is free, and its day")
            if state == "expired" and name not in self.asked_about and send_at + RESERVATION * DAY > self.expired_at:
                raise Broken(f"{name}: sent at {send_at}, and has expired by {self.expired_at}")
            money[campaign, "reserved"] += reserved
            money[campaign, "spent"] += spent
            accounts[customer, campaign] += reserved + spent
        for campaign, spent in look("SELECT campaign_id, spent_micros FROM purged_spend"):
            money[campaign, "spent"] += spent
        for campaign, budget, spent, reserved in look(
            "SELECT campaign_id, budget_micros, spent_micros, reserved_micros FROM campaigns"
        ):
            by_rows = money[campaign, "spent"], money[campaign, "reserved"]
            if (spent, reserved) != by_rows or spent + reserved > budget:
                raise Broken(f"{campaign}: spent {spent}, reserved {reserved} of {budget}; the rows say {by_rows}")
        if over := {account: used for account, used in accounts.items() if used > ACCOUNT}:
            raise Broken(f"accounts above their cap: {over}")
        self._drawn()
        self._kept()

    def _drawn(self) -> None:
        for campaign, customer, arm, of_pilot, at in self._disk.look(
            "SELECT campaign_id, customer_id, arm, pilot_arm, assigned_at FROM assignments"
        ):
            if customer in self._bills and (arm, of_pilot) != self.campaigns[campaign].arm(customer, at):
                raise Broken(f"{customer} is in {arm} {of_pilot} of {campaign}")

    def _kept(self) -> None:
        """Nothing that was answered or reported is lost or counts twice."""
        rows = dict(self._disk.look("SELECT decision_id, response FROM decisions"))
        for name, body in self.given.items():
            if not (self.purged if name not in rows else rows[name] == body or (rows[name] is None and self.erased)):
                raise Broken(f"{name} was answered, and the ledger has {rows.get(name, 'nothing')!r}")
        for customer, reference, amount in self._disk.look(_REVENUES):
            if self.revenue.get((customer, reference)) != amount:
                raise Broken(f"{customer} paid {amount} ({reference}); reported was {self.revenue}")
