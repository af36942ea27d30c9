"""The ledger as the service sees it: transactions that write, one at a time, and readers beside them."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from retentionjax import storage
from retentionjax.decide.variants import Variant
from serving.ledger import administration, erasure, migrating, opening, outcomes, recording, wordings
from serving.ledger.database import Connection, Source
from serving.ledger.errors import LedgerError, LedgerUnavailable
from serving.ledger.reader import Reader
from serving.ledger.types import (
    RESERVATION_DAYS,
    ApiKey,
    Campaign,
    Clock,
    ConsentStatus,
    DecisionRow,
    KillSwitch,
    Outcome,
    OutcomeResult,
    Role,
    Slots,
    Stored,
)
from serving.ledger.wordings import VariantState

AT_ONCE = 50
"""Rows that one transaction of housekeeping changes: few enough for it to take no more than milliseconds."""
_PURGED_A_LOOK = 20_000
_IDLE_READERS = 8  # connections kept open between reads


class Transaction(Reader):
    """Writing, alone in the whole database; what it reads stays true until it ends."""

    def idempotent(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Stored]:
        """What those of `keys` (API key id, Idempotency-Key) were answered in the last 24 h; the rest are free."""
        return recording.idempotent(self._connection, keys, self.now)

    def record(self, rows: Sequence[DecisionRow]) -> None:
        """Writes decisions with their contacts, reservations, keys and arms; raises as `recording.record` does, and
        what it raises must pass, so that the transaction is rolled back."""
        self._know([row.campaign_id for row in rows])
        pairs = {(row.customer_id, row.campaign_id) for row in rows if row.campaign_id in self._campaigns}
        if unseen := pairs - self._seen.keys():
            self.customers([pair[0] for pair in unseen], [pair[1] for pair in unseen], self.now)
        recording.record(self._connection, rows, self._campaigns, self._seen)
        self._seen.clear()  # they have decisions now

    def propose_variants(
        self, variants: Sequence[Variant], rules_version: str, who: str, *, approver: str | None = None
    ) -> int:
        """Keeps wordings for somebody to decide about; how many of them are new.

        An `approver` approves at once those that nobody has decided about.
        """
        new = wordings.propose(self._connection, variants, rules_version, who, self.now)
        if approver is not None:
            for each in variants:
                self.decide_variant(each.id, "approved", approver, was="proposed")
        return new

    def decide_variant(self, variant_id: str, state: VariantState, who: str, was: VariantState | None = None) -> bool:
        """Approves, refuses or retires a wording, and remembers who; nothing where it is no longer in the state `was`.

        Raises LedgerError if there is none of that id.
        """
        decided = wordings.decide(self._connection, variant_id, state, who, self.now, was)
        if decided:
            self.changed(who, f"variant {variant_id}", state)
        return decided

    def outcome(self, rows: Sequence[Outcome]) -> list[OutcomeResult]:
        """Applies outcomes in the order given, by the rules of `outcomes`; one result for each."""
        return outcomes.apply(self._connection, rows, self.now)

    def expire(self, now: float, *, reservation_days: float = RESERVATION_DAYS, limit: int = AT_ONCE) -> int:
        """Releases at most `limit` reservations of contacts sent longer ago without an answer; how many."""
        return outcomes.expire(self._connection, now, reservation_days, limit)

    def put_campaign(self, campaign: Campaign) -> None:
        """Makes or changes a campaign. Raises BudgetExceeded for a budget below what is spent and reserved."""
        administration.put_campaign(self._connection, campaign, self.now)
        self._campaigns.pop(campaign.campaign_id, None)

    def set_consent(self, customer_id: str, channel: str, status: ConsentStatus, *, source: str) -> int:
        """Consent given or taken back now; contacts not yet sent are cancelled unless granted. Micros given back."""
        return administration.set_consent(self._connection, customer_id, channel, status, source, self.now)

    def set_time_zone(self, customer_id: str, time_zone: str | None) -> None:
        """Remembers a customer's IANA time zone, which the caller has checked."""
        administration.set_time_zone(self._connection, customer_id, time_zone)

    def set_kill_switch(self, value: KillSwitch) -> None:
        """Sets the kill switch."""
        administration.set_kill_switch(self._connection, value, self.now)

    def set_slots(self, value: Slots) -> None:
        """Sets which bundles serve."""
        administration.set_slots(self._connection, value, self.now)

    def create_key(self, name: str, role: Role) -> tuple[ApiKey, str]:
        """A new API key, and its token, which is kept nowhere."""
        return administration.create_key(self._connection, name, role, self.now)

    def revoke_key(self, key_id: str) -> None:
        """Ends an API key. Raises LedgerError if there is none of that id."""
        administration.revoke_key(self._connection, key_id, self.now)

    def used_keys(self, used: Mapping[str, float]) -> None:
        """Remembers when API keys were used last."""
        administration.used_keys(self._connection, used)

    def touch(self) -> None:
        """Writes something that means nothing: whether the ledger takes writes shows when the transaction ends."""
        administration.touch(self._connection, self.now)

    def erase(self, customer_id: str) -> int:
        """Forgets a customer and keeps the money right; how many decisions were emptied."""
        return erasure.erase(self._connection, customer_id, self.now)

    def purge(self, ids: Sequence[str], retention_days: float) -> int:
        """Deletes those of `ids` that are past the retention period and keeps the money right; how many."""
        return erasure.purge(self._connection, ids, self.now, retention_days)

    def forget(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Deletes what tells of customers and of no campaign any more (`Reader.people_past_retention`)."""
        erasure.forget(self._connection, rows)

    def sent(self, decision_ids: Sequence[str]) -> int:
        """Remembers that contacts were sent now; how many of them had not been."""
        return outcomes.sent(self._connection, decision_ids, self.now)

    def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Whether `holder` alone may do what `name` says, for so long from now."""
        return administration.lease(self._connection, name, holder, seconds, self.now)

    def end_session(self, session: str, ends_at: float) -> None:
        """Ends a console session that would have lasted until `ends_at`; forgets those that are over by now."""
        administration.end_session(self._connection, session, ends_at, self.now)

    def changed(self, who: str, what: str, value: str) -> None:
        """Remembers who set what."""
        administration.changed(self._connection, who, what, value, self.now)


class Ledger:
    """An open ledger; threads may share it. See `open`."""

    def __init__(self, source: Source, clock: Clock, wait_seconds: float) -> None:
        self._source = source
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._writing = threading.Lock()
        self._writer = source.writer()
        self._idle: list[Connection] = []
        self._closed = False

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
            migrating.migrate(ledger._writer)
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
            return export.export(reader._connection, partial, reader.now)  # noqa: SLF001 - its own

    def export_company(self, folder: str | os.PathLike[str], campaign_id: str, what: Sequence[str]) -> dict[str, int]:
        """Writes a campaign as files that company.yaml reads; how many rows each has. See `company_files`."""
        from serving.ledger import company_files  # reads numpy, which no other command on a ledger needs

        with self.read() as reader:
            return company_files.export(reader._connection, storage.as_path(folder), campaign_id, what)  # noqa: SLF001

    def expire(self, reservation_days: float) -> int:
        """Releases all reservations of contacts sent so long ago without an answer; how many."""
        expired = 0
        while True:
            with self._in_turn() as tx:
                found = tx.expire(tx.now, reservation_days=reservation_days)
            expired += found
            if found < AT_ONCE:
                return expired

    def purge(self, retention_days: float) -> int:
        """Deletes all decisions past the retention period and keeps the money right; how many.

        Then who was drawn to what, and what customers paid, as far as they tell of no campaign any more.
        """
        deleted = self._purge_decisions(retention_days)
        while True:
            with self.read() as reader:
                rows = reader.people_past_retention(retention_days, _PURGED_A_LOOK)
            for start in range(0, len(rows), AT_ONCE):
                with self._in_turn() as tx:
                    tx.forget(rows[start : start + AT_ONCE])
            if not rows:
                return deleted

    def _purge_decisions(self, retention_days: float) -> int:
        deleted = 0
        while True:
            with self.read() as reader:
                ids = reader.past_retention(retention_days, _PURGED_A_LOOK)
            before = deleted
            for start in range(0, len(ids), AT_ONCE):
                with self._in_turn() as tx:
                    deleted += tx.purge(ids[start : start + AT_ONCE], retention_days)
            if deleted == before:
                return deleted

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[Transaction]:
        """One of many short transactions, with a pause as long as itself in which decisions get their turn."""
        begun = time.monotonic()
        with self.transaction() as tx:
            yield tx
        time.sleep(min(time.monotonic() - begun, 0.1))

    def forget(self, *, copies: bool = False) -> None:
        """Makes sure, after erasing or purging, that nothing of it is left in the database's files, as far
        as it can.

        `copies`: nor of what the database moved around before; SQLite writes its whole file anew for that. Raises
        LedgerUnavailable where somebody reads or writes all the time.
        """
        with self._writing:
            self._refuse_closed()
            self._writer.forget(copies=copies)

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
