"""The ledger as the service sees it: transactions that write, one at a time, and readers beside them."""

import contextlib
import json
import operator
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from retentionjax import storage
from serving.ledger import administration, audit, erasure, opening, outcomes, records, subject, wordings
from serving.ledger.database import Connection, Source, texts
from serving.ledger.outcomes import AT_ONCE
from serving.ledger.types import (
    DAY,
    IDEMPOTENCY_SECONDS,
    Clock,
    CooldownBroken,
    DecisionRow,
    HoldoutBroken,
    LedgerError,
    LedgerUnavailable,
    Stored,
)
from serving.ledger.views import CampaignView, CustomerView, Look

T = TypeVar("T")
_PURGED_A_LOOK = 20_000
_IDLE_READERS = 8  # connections kept open between reads

_ANSWERED = """
    SELECT idempotency_key, decided_at, request_digest, decision_id, response FROM decisions
    WHERE idempotency_key IS NOT NULL AND idempotency_key IN (SELECT value FROM json_each(?))"""
_FORGET_KEY = "UPDATE decisions SET idempotency_key = NULL, request_digest = NULL WHERE decision_id = ?"
_EXECUTE = """
    UPDATE contacts SET planned = 0
    WHERE planned = 1 AND due_at <= ? AND customer_id IN (SELECT value FROM json_each(?))"""
_PENDING = """
    SELECT customer_id FROM contacts WHERE planned = 1 AND customer_id IN (SELECT value FROM json_each(?)) LIMIT 1"""
_RESERVE = "UPDATE campaigns SET reserved_micros = reserved_micros + ? WHERE campaign_id = ?"
_AS_IT_IS = (
    "decision_id", "customer_id", "campaign_id", "decided_at", "day", "channel", "action", "offer", "delay", "send_at",
    "mask", "observation", "propensities", "churn_probability", "baseline_churn_probability", "accept_probability",
    "monthly_charge", "bundle_id", "policy_version", "rules_version", "slot", "message_json", "response", "basis",
)  # fmt: skip
_as_it_is = operator.attrgetter(*_AS_IT_IS)
_DECISION = (*_AS_IT_IS, "degradations", "executed", "idempotency_key", "request_digest")
_BASELINES = """
    INSERT INTO baselines (customer_id, campaign_id, churn_probability)
    SELECT customer_id, campaign_id, baseline_churn_probability FROM decisions
    WHERE baseline_churn_probability IS NOT NULL AND decision_id IN (SELECT value FROM json_each(?))
    ON CONFLICT (customer_id, campaign_id) DO NOTHING"""
_CONTACT = (
    "decision_id", "customer_id", "campaign_id", "channel", "offer", "send_at", "send_day", "due_at", "planned",
    "state", "contact_cost_micros", "offer_cost_micros", "reserved_micros", "spent_micros", "offer_days", "effect_days",
    "amount_micros", "pilot", "variant_id", "variant_propensity", "variant_choices", "time_zone", "region",
)  # fmt: skip
_ASSIGNMENT = (
    "campaign_id", "customer_id", "arm", "pilot_arm", "propensity", "assigned_at", "design", "acted_at",
)  # fmt: skip
_ACTED = "UPDATE assignments SET acted_at = ? WHERE customer_id = ? AND campaign_id = ? AND acted_at IS NULL"


class Reader(Look):
    """One look at the ledger, whatever is written meanwhile."""

    decision, recent = records.decision, records.recent
    due, late_places = records.due, records.late_places
    campaign_ids, customer_ledger = records.campaign_ids, records.customer_ledger
    decisions_of = records.decisions_of
    assignments, daily_spend = records.assignments, records.daily_spend
    campaign_record, follow = records.campaign_record, records.follow
    asked = outcomes.asked
    variants, approved_variants = wordings.stored, wordings.approved
    consent, slots, changes = administration.consent, administration.slots, administration.changes
    api_keys, authenticate = administration.api_keys, administration.authenticate
    session_key = administration.session_key
    past_retention = erasure.past_retention
    audit = audit.audit
    held, is_known = subject.held, subject.is_known


class Transaction(Reader):
    """Writing, alone in the whole database; what it reads stays true until it ends."""

    put_campaign, set_consent = administration.put_campaign, administration.set_consent
    set_place, set_kill_switch = administration.set_place, administration.set_kill_switch
    create_key, revoke_key = administration.create_key, administration.revoke_key
    used_keys, end_session = administration.used_keys, administration.end_session
    set_slots, changed = administration.set_slots, administration.changed
    touch, lease = administration.touch, administration.lease
    outcome, expire, lapse = outcomes.apply, outcomes.expire, outcomes.lapse
    sent, listed = outcomes.sent, outcomes.listed
    erase, purge = erasure.erase, erasure.purge
    propose_variants, decide_variant = wordings.propose, wordings.decide

    def idempotent(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Stored]:
        """What those of `keys` (API key id, Idempotency-Key) were answered that are not older than 24 h.

        Older ones are forgotten, so that they can be used again.
        """
        if not keys:
            return {}
        wanted, since = {_key(*key): key for key in keys}, self.now - IDEMPOTENCY_SECONDS
        rows = self.rows(_ANSWERED, texts(wanted))
        stale = [(decision_id,) for _, at, _, decision_id, _ in rows if at <= since]
        if stale:
            self.many(_FORGET_KEY, stale)
        return {wanted[key]: Stored(*answer) for key, at, *answer in rows if at > since}

    def record(self, rows: Sequence[DecisionRow]) -> None:
        """Writes decisions: the row, the contact, the reservation and the Idempotency-Key together or not at all, and
        with a customer's first one in a campaign the arm that she was drawn to.

        Raises BudgetExceeded, CooldownBroken or DuplicateRecord where the database's own rules say no, HoldoutBroken
        for a contact to a customer whom its campaign holds out, and LedgerError for a row that contradicts itself;
        what it raises must pass, so that the transaction is rolled back.
        """
        known, seen = self._known(row.campaign_id for row in rows), self._seen
        pairs = dict.fromkeys((row.customer_id, row.campaign_id) for row in rows)
        if unseen := [pair for pair in pairs if pair not in seen]:
            self.customers([pair[0] for pair in unseen], [pair[1] for pair in unseen], self.now)
        for row in rows:
            _check(row, seen[row.customer_id, row.campaign_id])
        contacts = [row for row in rows if row.executed and row.send_at is not None]
        if contacts:
            _reserve(self, contacts)
        self.insert("decisions", _DECISION, [_decision(row) for row in rows])
        _first(self, rows, known, seen)
        if contacts:
            self.insert("contacts", _CONTACT, [_contact(row, known[row.campaign_id]) for row in contacts])
        seen.clear()  # they have decisions now


class Ledger:
    """An open ledger; threads may share it. See `open`."""

    def __init__(self, source: Source, clock: Clock, wait_seconds: float) -> None:
        self._source, self._clock, self._wait_seconds = source, clock, wait_seconds
        self._writing = threading.Lock()
        self._writer = source.writer()
        self._idle: list[Connection] = []
        self._closed = False
        self._remains = True  # of what `purge` deleted, by a process before this one even, in the database's files

    @classmethod
    def open(cls, url: str, *, clock: Clock, wait_seconds: float = 5.0, create: bool = True) -> "Ledger":
        """Opens the database at `url`, brought to this program's schema.

        Raises ConfigError for a URL that is none, LedgerUnavailable if it cannot be reached in `wait_seconds`, and
        LedgerError if a newer program wrote it, or if it is a file that is not there and `create` is false.
        """
        return cls.on(opening.source(url, wait_seconds, create=create), clock=clock, wait_seconds=wait_seconds)

    @classmethod
    def on(cls, source: Source, *, clock: Clock, wait_seconds: float = 5.0) -> "Ledger":
        """Opens a database, brought to this program's schema. Raises as `open`."""
        ledger = cls(source, clock, wait_seconds)
        try:
            opening.migrate(ledger._writer)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """The only way to write: commits when the block ends well, rolls back when it raises.

        Raises LedgerUnavailable if another writes for longer than `wait_seconds`, or the database is gone or full.
        """
        if not self._writing.acquire(timeout=self._wait_seconds):
            raise LedgerUnavailable("the ledger is busy: another transaction did not end in time")
        try:
            self._refuse_closed()
            self._writer.begin()
            try:
                yield Transaction(self._writer, self._clock())
                self._writer.commit()
            except BaseException:
                self._writer.rollback()
                raise
        finally:
            self._writing.release()

    def ask(self, question: Callable[["Reader"], T]) -> T:
        """The answer to a question about the ledger as it is now."""
        with self.read() as reader:
            return question(reader)

    @contextlib.contextmanager
    def read(self) -> Iterator[Reader]:
        """A snapshot to read from, beside whoever writes; on a connection that no other thread uses meanwhile."""
        self._refuse_closed()
        connection = self._reader()
        try:
            connection.begin()
            yield Reader(connection, self._clock())
            connection.commit()
        except BaseException:
            connection.close()
            raise
        if self._closed or len(self._idle) >= _IDLE_READERS:
            connection.close()
        else:
            self._idle.append(connection)

    def export(self, path: str | os.PathLike[str]) -> int:
        """Writes the table of off-policy evaluation as Parquet, whole or not at all; how many rows. See `export`."""
        from serving.ledger import export  # reads tables and models, which no other command on a ledger needs

        with self.read() as reader, storage.new_file(path) as partial:
            return export.export(reader, partial)

    def export_company(self, folder: str | os.PathLike[str], campaign_id: str, what: Sequence[str]) -> dict[str, int]:
        """Writes a campaign as files that company.yaml reads; how many rows each has. See `company_files`."""
        from serving.ledger import company_files  # reads numpy, which no other command on a ledger needs

        with self.read() as reader:
            return company_files.export(reader, storage.as_path(folder), campaign_id, what)

    def expire(self, reservation_days: float) -> int:
        """Releases all reservations of contacts sent so long ago without an answer; how many."""
        return self._in_turns(lambda tx: tx.expire(tx.now, reservation_days=reservation_days))

    def lapse(self) -> int:
        """Cancels all contacts that nobody was given to send, and that are too late by now; how many."""
        return self._in_turns(outcomes.lapse)

    def purge(self, retention_days: float) -> int:
        """Deletes all decisions past the retention period and keeps the money right; how many.

        Then who was drawn to what and first scored how, and what customers paid, as far as they tell of no campaign any
        more. What was deleted is forgotten; raises as `forget`, and the next call tries it again.
        """
        deleted = self._delete(
            partial(erasure.past_retention, retention_days=retention_days, limit=_PURGED_A_LOOK),
            partial(erasure.purge, retention_days=retention_days),
        )
        for table in erasure.OF_PEOPLE:
            look = partial(erasure.people_past_retention, retention_days=retention_days, limit=_PURGED_A_LOOK)
            self._delete(partial(look, table=table), partial(erasure.forget, table=table))
        if self._remains:
            self.forget()
        return deleted

    def _delete(self, find: Callable[[Reader], Sequence[T]], delete: Callable[[Transaction, Sequence[T]], int]) -> int:
        """Deletes what is found, until that is not all that one look finds; how many rows."""
        deleted = 0
        while True:
            found, before = self.ask(find), deleted
            for start in range(0, len(found), AT_ONCE):
                self._remains = True
                with self._in_turn() as tx:
                    deleted += delete(tx, found[start : start + AT_ONCE])
            if deleted == before or len(found) < _PURGED_A_LOOK:
                return deleted

    def _in_turns(self, work: Callable[[Transaction], int]) -> int:
        """Does `work` on `AT_ONCE` rows at a time until there are no more; how many in all."""
        done = 0
        while True:
            with self._in_turn() as tx:
                found = work(tx)
            done += found
            if found < AT_ONCE:
                return done

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[Transaction]:
        """One of many short transactions, with a pause as long as itself in which decisions get their turn."""
        begun = time.monotonic()
        with self.transaction() as tx:
            yield tx
        time.sleep(min(time.monotonic() - begun, 0.1))

    def forget(self, *, copies: bool = False) -> None:
        """Makes sure that nothing deleted is left in the database's files, as far as it can; `copies`: nor moved around
        before, for which SQLite writes its whole file anew. On a connection of its own: who writes meanwhile does not
        wait until nobody reads. Raises LedgerUnavailable where somebody reads or writes all the time."""
        self._refuse_closed()
        with contextlib.closing(self._source.writer()) as connection:
            connection.forget(copies=copies)
        self._remains = False

    def close(self) -> None:
        """Waits for the transaction in progress and closes every connection; closing twice is once."""
        with self._writing:
            self._closed = True
            self._writer.close()
        while self._idle:
            self._idle.pop().close()

    def _reader(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._source.reader()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise LedgerError("the ledger is closed")


# --- decisions as rows ---------------------------------------------------------------------------------------------


def _key(key_id: str, key: str) -> str:
    """The id of an API key and an Idempotency-Key in one column; the id has no colon."""
    return f"{key_id}:{key}"


def _first(
    tx: Transaction,
    rows: Sequence[DecisionRow],
    known: Mapping[str, CampaignView],
    seen: Mapping[tuple[str, str], CustomerView],
) -> None:
    """Writes what is remembered of a customer's first decision in a campaign: her score, and the arm she was drawn to;
    and of a pilot's that the arm was carried out."""
    # A shadow must leave no trace in what the active bundle sees; where the models failed there is no score.
    first: list[str] = []
    drawn: dict[tuple[str, str], DecisionRow] = {}
    acted: list[DecisionRow] = []
    for row in rows:
        if row.executed:
            view = seen[pair := (row.customer_id, row.campaign_id)]
            if view.baseline_churn_probability is None:
                first.append(row.decision_id)
            if not view.assignment.recorded:
                drawn[pair] = row
            elif row.pilot:
                acted.append(row)
    if first:
        tx.run(_BASELINES, texts(first))
    if drawn:
        made = [_assignment(row, seen[pair], known[row.campaign_id]) for pair, row in drawn.items()]
        tx.insert("assignments", _ASSIGNMENT, made)
    if acted:
        tx.many(_ACTED, [(row.decided_at, row.customer_id, row.campaign_id) for row in acted])


def _check(row: DecisionRow, view: CustomerView) -> None:
    where = f"decision {row.decision_id}"
    if row.executed == (row.slot == "shadow"):
        raise LedgerError(f"{where}: slot {row.slot} with executed {row.executed}; shadow alone is not executed")
    if (row.action == 0) != (row.send_at is None):
        raise LedgerError(f"{where}: action {row.action} with send_at {row.send_at}; a contact alone has a time")
    contact = row.executed and row.send_at is not None
    if contact and view.assignment.arm.group == "holdout":
        raise HoldoutBroken(f"{where}: the campaign holds the customer out")
    if not (0 <= row.contact_cost_micros <= row.reserve_micros if contact else row.reserve_micros == 0):
        raise LedgerError(
            f"{where}: reserve_micros {row.reserve_micros}, contact_cost_micros {row.contact_cost_micros}; a contact "
            "reserves its own cost and the offer's, anything else 0"
        )
    if row.send_at is not None and row.send_at < row.decided_at:
        raise LedgerError(f"{where}: send_at {row.send_at} is before decided_at {row.decided_at}")


def _reserve(tx: Transaction, contacts: Sequence[DecisionRow]) -> None:
    """Takes the money, after the look at who has a contact pending, which no index can express."""
    customers = texts(row.customer_id for row in contacts)
    tx.run(_EXECUTE, max(row.decided_at for row in contacts), customers)
    if tx.rows(_PENDING, customers):
        raise CooldownBroken("the customer has a contact pending already")
    amounts: Counter[str] = Counter()
    for row in contacts:
        amounts[row.campaign_id] += row.reserve_micros
    tx.many(_RESERVE, [(amount, campaign) for campaign, amount in sorted(amounts.items())])


def _decision(row: DecisionRow) -> tuple[object, ...]:
    degradations = json.dumps(row.degradations) if row.degradations else "[]"
    key = (_key(*row.idempotency[:2]), row.idempotency[2]) if row.idempotency else (None, None)
    return (*_as_it_is(row), degradations, int(row.executed), *key)


def _contact(row: DecisionRow, campaign: CampaignView) -> tuple[object, ...]:
    send_at = row.send_at if row.send_at is not None else row.decided_at
    send_day = campaign.day(send_at)
    return (
        row.decision_id, row.customer_id, row.campaign_id, row.channel, row.offer, send_at, send_day,
        campaign.starts_at + send_day * DAY, int(send_day > campaign.day(row.decided_at)), "reserved",
        row.contact_cost_micros, row.reserve_micros - row.contact_cost_micros, row.reserve_micros, 0,
        row.offer_days, row.effect_days, row.amount_micros, int(row.pilot), row.variant_id, row.variant_propensity,
        row.variant_choices, row.time_zone, row.region,
    )  # fmt: skip


def _assignment(row: DecisionRow, view: CustomerView, campaign: CampaignView) -> tuple[object, ...]:
    acted_at = row.decided_at if row.pilot else None
    return (row.campaign_id, row.customer_id, *view.assignment.arm, row.decided_at, campaign.design, acted_at)
