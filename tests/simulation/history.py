"""One history from one seed: the engine as it is, its ledger, callers, operators and senders, and what goes wrong.

All is one thread: the engine waits for its pipe, and while it waits the world goes on. Clocks, disk, socket, ids and
every choice are the seed's. What is not the engine's own here is the policy: the compiled program scores and says what
is legal, and among that the seed chooses, since contacts that a policy rarely makes are where rules break.
"""

import copy
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any, TypeVar
from unittest import mock

import numpy as np
from simulation.books import Books, Broken, Question, Terms
from simulation.disk import Crashed, Disk, Time, Trouble
from simulation.pipe import SimulatedPipe

from retentionjax.decide.draws import Pilot
from retentionjax.decide.program import Decided
from serving.engine.contract import BundleVersion
from serving.engine.slots import Lineup, Served, Slot
from serving.engine.writer import Writer
from serving.ledger import Ledger, LedgerError, LedgerUnavailable, Transaction
from serving.ledger.records import DueContact
from serving.ledger.types import DAY, MICROS, Campaign, Outcome, Slots
from serving.observability.metrics import Metrics
from serving.settings import Settings

NOON = 1_780_315_200.0  # Monday, 1 June 2026, 12:00 UTC
BILLS = {"ann": "80.1", "ben": "19.995", "cat": "118.75", "dan": "33.33", "eve": "64.000001", "fay": "100"}
ZONES = (None, "America/New_York", "Pacific/Honolulu")
CHANNELS = ("sms", "email", "push")
METRICS = Metrics()  # says nothing about what happens; one for all histories
Result = TypeVar("Result")


class SeededDecider:
    """The bundle's compiled program, whose propensities are the seed's among what it calls legal."""

    def __init__(self, decider: Any, random: Random, failing: float) -> None:
        self._decider, self._random, self._failing = decider, random, failing
        self.facts = decider.facts

    def decide(self, *given: Any, by_rule: bool = False) -> Decided:
        if self._random.random() < self._failing:
            raise RuntimeError("the models fail")
        decided: Decided = self._decider.decide(*given, by_rule=by_rule)
        chances = np.zeros_like(decided.propensities)
        for row, mask in enumerate(decided.mask):
            legal = np.flatnonzero(mask).tolist()
            chances[row, self._random.choice(legal[1:] or legal) if self._random.random() < 0.8 else 0] = 1.0
        return decided._replace(propensities=chances)


class History:
    """Everything of one seed. `run` raises Broken."""

    def __init__(self, seed: int, served: Served, blank: bytes) -> None:
        self.seed, self.random, self.trace = seed, Random(seed), list[str]()
        self.time = Time(NOON + self.random.randrange(24) * 3600)
        self.disk = Disk(self.random, self.time, blank)
        self.disk.said = self.note
        self.settings = Settings(
            bundle="any", deadline_ms=2000.0, batch_wait_ms=2.0, log_level="warning", canary_window=10,
            canary_p99_ms=60_000.0, exploration=self.random.choice([0.0, 0.1]),
        )  # fmt: skip
        ids = Random(f"ids of {seed}")
        self._tokens = lambda size=32: ids.randbytes(size).hex()
        self.terms = [self._terms(name) for name in ("spring", "summer")[: self.random.choice([1, 1, 2])]]
        self.books = Books(self.disk, self.time, self.terms, BILLS)
        self.disk.committed = self.books.committed
        self._slots = [self._slot(served, name) for name in ("active", "canary")]
        self._steps = self.random.randint(10, 60)
        kinds = [(act, weight * self.random.choice([0, 0.3, 1, 1, 3])) for act, weight in self._acts()]
        self._kinds = [(self.ask, 12.0), (self.wait, 6.0), *kinds]
        self._trouble = Trouble(*(chance * self.random.choice([0, 0, 1, 3]) for chance in (0.02, 0.02, 0.02, 0.03)))
        self._number = 0

    def note(self, what: str) -> None:
        days, rest = divmod(self.time.wall - NOON, DAY)
        self.trace.append(f"day {days:3.0f} {rest // 3600:02.0f}:{rest % 3600 / 60:05.2f}  {what}")

    # --- lives ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Lives it to its end. Raises Broken."""
        with mock.patch.object(secrets, "token_hex", self._tokens):
            try:
                self._found()
                while not self._life():
                    self.disk.boot()
            finally:
                self.disk.remove()

    def _found(self) -> None:
        """The ledger's first rows."""
        ledger = self._open()
        with ledger.transaction() as tx:
            for terms in self.terms:
                budget = self.random.choice([4, 15, 15, 60]) * MICROS + self.random.randrange(MICROS)
                tx.put_campaign(_campaign(terms, budget))
            for customer in BILLS:
                tx.set_place(customer, time_zone=self.random.choice(ZONES))
                for channel in CHANNELS:
                    tx.set_consent(customer, channel, "granted", source="test")
        ledger.close()

    def _life(self) -> bool:
        """One life, from a start to a crash or the end; whether it was the end."""
        opened: list[Ledger] = []
        self.pipe = SimulatedPipe(self, BILLS)
        try:
            opened.append(self._open())
            opened.append(self._open())
            self.books.recovered()
            self.service, engine = opened
            with self.service.read() as reader:
                stored = reader.slots()
            self.writer = Writer(engine, self.settings, METRICS, self.pipe, 8, monotonic=lambda: self.time.monotonic)
            self.writer.lineup = self._lineup(stored)
            self.disk.trouble = self._trouble
            self.pipe.ask([each for each in self.books.questions.values() if each.key and not each.answers])
            self.writer.run()
            self.books.audit()
            self._ended()
        except (Crashed, LedgerUnavailable):  # the latter at the start, which the service tries again
            return False
        finally:
            self.disk.trouble = Trouble()
            for each in opened:
                each.close()
        return True

    def _open(self) -> Ledger:
        return Ledger.on(self.disk.source(), clock=lambda: self.time.wall, wait_seconds=0.01)

    def _lineup(self, stored: Slots) -> Lineup:
        active, canary = self._slots
        return Lineup(active, canary, 0.5) if stored.canary == canary.record else Lineup(active)

    def _ended(self) -> None:
        """Everybody who asked this life was answered, and the program's own audit finds nothing."""
        if left := [each for each in self.pipe.asked if not each.answers]:
            raise Broken(f"never answered: {[each.number for each in left]}")
        with self.service.read() as reader:
            if found := reader.audit(cooldown_days=0):
                raise Broken(f"audit: {found}")

    # --- the world --------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Something happens, or nothing does any more."""
        self._steps -= 1
        if self._steps > 0:
            acts, weights = zip(*self._kinds, strict=True)
            self.random.choices(acts, weights)[0]()
            return
        self.disk.trouble = Trouble()
        self.writer.close()

    def _acts(self) -> Sequence[tuple[Callable[[], None], float]]:
        return (
            (self.answer, 5), (self.repeat, 2), (self.consent, 2), (self.send, 4), (self.expire, 1), (self.jump, 2),
            (self.budget, 0.7), (self.switch, 0.5), (self.pay, 0.7), (self.leave, 0.5), (self.erase, 0.3),
            (self.purge, 0.2), (self.canary, 0.7), (self.crash, 0.7),
        )  # fmt: skip

    def ask(self) -> None:
        """A few people want decisions at once."""
        questions = []
        for _ in range(self.random.choice([1, 1, 1, 2, 5, 9])):
            self._number += 1
            odd = self.random.random()
            question = Question(
                self._number,
                self.random.choice(list(BILLS)),
                "winter" if odd < 0.02 else self.random.choice(self.terms).name,
                self.random.choice(CHANNELS),
                key=f"caller:{self._number}" if self.random.random() < 0.6 else None,
                digest=f"digest {self._number}",
                dry_run=0.02 < odd < 0.06,
                wrong_facts=0.06 < odd < 0.08,
            )
            if question.customer in self.books.erased:
                continue
            self.books.questions[self._number] = question
            questions.append(question)
        self.pipe.ask(questions)

    def repeat(self) -> None:
        """A key is used again, now and then for something else."""
        keyed = [each for each in self.books.questions.values() if each.key and each.customer not in self.books.erased]
        if keyed:
            before = self.random.choice(keyed)
            self._number += 1
            again = replace(before, number=self._number, copies=0, answers=0)
            if self.random.random() < 0.1:
                again.digest = f"digest {self._number}"
            self.books.questions[self._number] = again
            self.pipe.ask([again])

    def wait(self) -> None:
        hours = self.random.choice([0.001, 1, 5, 12, 24, 24, 72, 7 * 24, 10 * 24])
        self.time.passes(hours * 3600)
        self.note(f"{hours:g} hours pass")

    def jump(self) -> None:
        """Somebody sets the clock."""
        days = self.random.choice([-1, -1, 1]) * self.random.choice([1 / 24, 1, 1, 3, 8, 30])
        self.time.wall += days * DAY
        self.note(f"the clock is set by {days:+g} days")

    def answer(self) -> None:
        """An outcome is reported, or some."""
        known = sorted(self.books.given)
        if known:
            rows = []
            for name in self.random.choices(known, k=self.random.choice([1, 1, 3])):
                kind: Any = self.random.choices(["accepted", "declined", "opted_out", "churned"], [5, 4, 1, 0.5])[0]
                rows.append(Outcome(name, kind, self.time.wall - self.random.choice([0, 0, 3600, 5 * DAY])))
            self.books.asked_about.update(each.decision_id for each in rows if each.decision_id is not None)
            said = ", ".join(f"{each.decision_id}"[-4:] + f" {each.kind}" for each in rows)
            self.books.outcomes(self._write(said, lambda tx: tx.outcome(rows)) or ())

    def pay(self) -> None:
        customer, reference = self.random.choice(list(BILLS)), self.random.choice("abc")
        amount = self.books.revenue.setdefault((customer, reference), self.random.randrange(1, 100) * MICROS)
        row = Outcome(None, "revenue", self.time.wall, customer, amount, reference)
        self._write(f"{customer} pays {amount} ({reference})", lambda tx: tx.outcome([row]))

    def leave(self) -> None:
        customer = self.random.choice(list(BILLS))
        kind: Any = self.random.choice(["churned", "kept", "kept"])
        row = Outcome(None, kind, self.time.wall - self.random.choice([0, DAY]), customer)
        self._write(f"{customer}: {kind}", lambda tx: tx.outcome([row]))

    def consent(self) -> None:
        customer, channel = self.random.choice(list(BILLS)), self.random.choice(CHANNELS)
        status: Any = self.random.choice(["granted", "granted", "denied", "opted_out"])
        said = f"consent of {customer} to {channel}: {status}"
        self._write(said, lambda tx: tx.set_consent(customer, channel, status, source="test"))
        if status == "granted":
            self.books.granted(customer)

    def send(self) -> None:
        """Whoever sends asks what is due, sends it and mostly says so."""

        def ask(tx: Transaction) -> list[DueContact]:
            found = tx.due(self.time.wall, self.time.wall - DAY, 100)
            tx.listed([each.decision_id for each in found])
            return found

        if (found := self._write("what is due is listed", ask)) is not None:
            self.books.due(found)
            names = [each.decision_id for each in found]
            self.books.listed.update(names)
            if (
                names
                and self.random.random() < 0.8
                and self._write(f"sent: {[each[-4:] for each in names]}", lambda tx: tx.sent(names)) is not None
            ):
                self.books.sent.update(names)

    def expire(self) -> None:
        self.note("reservations are looked through")
        self.books.expired_at = max(self.books.expired_at, self.time.wall)
        with suppress(LedgerUnavailable):
            self.service.lapse()
            self.service.expire(self.settings.reservation_days)

    def purge(self) -> None:
        self.note("old decisions are purged")
        self.books.purged = True
        with suppress(LedgerUnavailable):
            self.service.purge(60.0)

    def erase(self) -> None:
        customer = self.random.choice(list(BILLS))
        self.books.erased.add(customer)
        self._write(f"{customer} is forgotten", lambda tx: tx.erase(customer))

    def budget(self) -> None:
        terms, dollars = self.random.choice(self.terms), self.random.choice([1, 5, 20, 60])
        changed = _campaign(terms, dollars * MICROS)
        self._write(f"{terms.name} may cost {dollars} $", lambda tx: tx.put_campaign(changed))

    def switch(self) -> None:
        value: Any = self.random.choice(["policy", "policy", "baseline", "never"])
        self._write(f"the kill switch is at {value}", lambda tx: tx.set_kill_switch(value))

    def canary(self) -> None:
        active, canary = self._slots
        slots = Slots(active.record, canary.record, 0.5)
        if self._write("a canary", lambda tx: tx.set_slots(slots) or True):
            self.writer.replace(Lineup(active, canary, 0.5))

    def crash(self) -> None:
        if self.disk.happens(0.5):
            self.disk.crash()

    def _write(self, what: str, work: Callable[[Transaction], Result]) -> Result | None:
        """The service's own transaction; None where it failed."""
        self.note(what)
        try:
            with self.service.transaction() as tx:
                return work(tx)
        except LedgerError as error:  # unavailable, or refused by a rule of the ledger's
            self.note(f"  {type(error).__name__}: {error}")
            return None

    # --- what there is ----------------------------------------------------------------------------------------

    def _terms(self, name: str) -> Terms:
        starts_at = self.time.wall - self.random.choice([0, 5, 13]) * 3600
        days = self.random.choice([20, 90])
        holdout = self.random.choice([0.0, 0.0, 0.3])
        if self.random.random() < 0.6:
            return Terms(name, starts_at, days, f"salt {self.seed} {name}", holdout)
        ends_at = starts_at + self.random.choice([3, 15]) * DAY
        arms = (("none", 0.25), ("hello", 0.25), ("ten", 0.5))
        return Terms(name, starts_at, days, f"salt {self.seed} {name}", holdout, arms, 0.6, ends_at, 0.5)

    def _slot(self, served: Served, name: Any) -> Slot:
        """The bundle in a place, under a name of its own, with models that may fail."""
        own = copy.copy(served)
        own.id = name * 8
        failing = self.random.choice([0, 0, 0.1]) if name == "active" else self.random.choice([0, 0.2])
        decider: Any = SeededDecider(served.decider, self.random, failing)
        own.decider = decider
        own.versions = {
            slot: BundleVersion(own.id, own.policy_version, own.rules_version, slot, own.synthetic)
            for slot in served.versions
        }
        return Slot(name, own)


def _campaign(terms: Terms, budget: int) -> Campaign:
    pilot = Pilot(terms.share, terms.arms, terms.ends_at, terms.budget_share) if terms.arms else None
    return Campaign(terms.name, budget, terms.starts_at, terms.days, 100, terms.holdout, pilot, terms.salt)
