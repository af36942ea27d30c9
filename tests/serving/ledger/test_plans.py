"""No statement of a transaction reads a table from end to end: the databases' own plans say so, and a clock does."""

import random
import time
from collections.abc import Iterator
from typing import Any

import ledger_rows
import pytest
from ledger_rows import START, FrozenClock, decision, record

from serving.ledger import Ledger, erasure
from serving.ledger.ledger import _CONTACT, _DECISION
from serving.ledger.opening import PostgresConnection, in_postgres
from serving.ledger.types import DAY, Outcome, OutcomeKind, Slots

GROWS = (
    "decisions", "contacts", "outcomes", "customers", "consents", "baselines", "purged_spend", "assignments", "revenues"
)  # fmt: skip
"""Tables with a row for each customer or decision; the others stay small."""
LONG = 0.1
"""Seconds that a transaction may take on a million decisions, but for the disk, on a busy machine; a scan takes 1.5."""


class Watched:
    """A connection that remembers the statements it ran, and how long its last transaction was."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.seen = connection, dict[str, tuple[Any, ...]]()
        self.began = self.took = 0.0

    def begin(self) -> None:
        self.connection.begin()
        self.began = time.perf_counter()

    def commit(self) -> None:
        self.took = time.perf_counter() - self.began  # the disk's part comes after it, and depends on the disk
        self.connection.commit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def rows(self, statement: str, *values: Any) -> Any:
        self.seen.setdefault(statement, values)
        return self.connection.rows(statement, *values)

    def run(self, statement: str, *values: Any) -> Any:
        self.seen.setdefault(statement, values)
        return self.connection.run(statement, *values)

    def many(self, statement: str, values: Any) -> Any:
        values = list(values)
        for each in values:
            self.seen.setdefault(statement, each)
        return self.connection.many(statement, values)


def everything(ledger: Ledger, clock: FrozenClock, prefix: str = "") -> Iterator[str]:
    """Does all that the service writes, a transaction at a time; says what."""
    ann, ben = f"{prefix}ann", f"{prefix}ben"
    now = clock.now
    with ledger.transaction() as tx:
        tx.campaigns(["spring"])
        tx.customers([ann, ben], ["spring", "spring"], now)
        assert tx.idempotent([("key-1", "new")]) == {}
        rows = [decision(ann, now=now, key=f"{prefix}k", decision_id=f"{prefix}1"), decision(ben, now=now, delay=3,
                decision_id=f"{prefix}2")]  # fmt: skip
        tx.record(rows)
    yield "decide"
    clock.now = now + 30 * DAY
    with ledger.transaction() as tx:
        tx.idempotent([("key-1", f"{prefix}k")])
        tx.record([decision(ben, now=clock.now, delay=1, decision_id=f"{prefix}3")])
    yield "decide later"
    kinds: list[OutcomeKind] = ["accepted", "declined", "opted_out", "churned"]
    with ledger.transaction() as tx:
        tx.outcome([Outcome(f"{prefix}1", kind, clock.now) for kind in kinds])
    yield "outcomes"
    with ledger.transaction() as tx:
        tx.set_consent(ben, "email", "denied", source="test")
        tx.set_place(ben, time_zone="America/Chicago")
    yield "consent"
    with ledger.transaction() as tx:
        tx.put_campaign(ledger_rows.campaign(10**12))
        tx.put_campaign(ledger_rows.campaign(campaign_id=f"{prefix}autumn"))
    yield "campaigns"
    with ledger.transaction() as tx:
        tx.put_campaign(ledger_rows.campaign(campaign_id=f"{prefix}autumn", budget=1))
    yield "a campaign without decisions"
    with ledger.transaction() as tx:
        tx.expire(clock.now)
    yield "expire"
    with ledger.transaction() as tx:
        assert tx.erase(ann) == 1
    yield "erase"
    with ledger.read() as reader:
        reader.now = START + 5000 * DAY
        old = reader.past_retention(60, 100)
    with ledger.transaction() as tx:
        tx.purge(old[:50] or [f"{prefix}1"], 60)
    yield "purge"
    with ledger.transaction() as tx:
        key, _ = tx.create_key("test", "admin")
        tx.used_keys({key.key_id: clock.now})
        tx.revoke_key(key.key_id)
        tx.end_session("word", clock.now + 1)
        tx.changed("test", "a", "b")
        tx.sent([f"{prefix}3"])
        assert tx.lease("test", "me", 1.0)
        tx.set_kill_switch("policy")
        tx.set_slots(Slots())
        tx.touch()
    yield "the rest"
    clock.now = now


def plan(connection: Any, statement: str, values: tuple[Any, ...]) -> str:
    if isinstance(connection, PostgresConnection):
        rows = connection._connection.execute(b"EXPLAIN " + in_postgres(statement), values).fetchall()
        return "\n".join(row[0] for row in rows)
    return "\n".join(row[3] for row in connection.rows(f"EXPLAIN QUERY PLAN {statement}", *values))


def scanned(text: str, statement: str) -> list[str]:
    """Tables that grow and that a plan reads from end to end."""
    words = text.replace("Seq Scan on ", "SCAN ").split("\n")
    names = [line.split("SCAN ")[1].split()[0] for line in words if "SCAN " in line]
    short = {"d": "decisions", "c": "contacts", "g": "campaigns"}
    return [name for name in names if short.get(name, name) in GROWS and name in statement]


def test_no_statement_of_a_transaction_reads_a_whole_table(ledger: Ledger, clock: FrozenClock) -> None:
    ledger._writer = watched = Watched(ledger._writer)  # type: ignore[assignment]
    steps = list(everything(ledger, clock))
    assert len(steps) == 10
    watched.begin()
    if isinstance(watched.connection, PostgresConnection):
        # On small tables a scan is right; the question is whether there is another way.
        watched.connection._connection.execute(b"SET LOCAL enable_seqscan = off")
    found = {
        statement: tables
        for statement, values in watched.seen.items()
        if not statement.lstrip().startswith("INSERT INTO decisions")
        and (tables := scanned(plan(watched.connection, statement, values), statement))
    }
    watched.rollback()
    assert len(watched.seen) > 35
    assert found == {}


def test_nobody_is_looked_for_to_be_forgotten_before_a_campaign_is_through(ledger: Ledger, clock: FrozenClock) -> None:
    record(ledger, decision("ann", contact=False))
    clock.to_day(500)  # long over, and its decisions are still there
    ledger._writer = watched = Watched(ledger._writer)  # type: ignore[assignment]
    with ledger.transaction() as tx:
        for table in erasure.OF_PEOPLE:
            assert list(erasure.people_past_retention(tx, 60, 100, table)) == []
    assert watched.seen
    assert not [said for said in watched.seen if "assignments" in said or "baselines" in said]


def fill(ledger: Ledger, decisions: int) -> None:
    """A ledger as a year leaves it: a fifth of the decisions are contacts, most of them answered or expired."""
    drawn, now = random.Random(0), START
    blob = drawn.randbytes(700)
    batch = 10_000
    writer = ledger._writer
    for start in range(0, decisions, batch):
        writer.begin()
        rows, contacts, outcomes = [], [], []
        for number in range(start, start + batch):
            name, at = f"f{number:09}", now - (decisions - number) * 300 * DAY / decisions
            contact = number % 5 == 0
            rows.append(
                (name, f"c{number * 7919 % (decisions // 4):09}", "spring", at, 0, "email", int(contact), "ten", 0,
                 at if contact else None, b"1", blob[:64], blob[:52], 0.3, 0.25, 0.1, 65.0, "b", "p", "r", "active",
                 None, blob, blob[:300], "[]", 1, None, None)
            )  # fmt: skip
            if contact:
                state = "reserved" if at > now - 10 * DAY else "declined" if number % 2 else "expired"
                spent = 0 if state == "reserved" else 1
                contacts.append(
                    (name, rows[-1][1], "spring", "email", "ten", at, number, at, 0, state, 1, 1, 2 * (1 - spent),
                     spent, 30, 30, 0, 0, "", 1.0, "", None, None)
                )  # fmt: skip
                if state == "declined":
                    outcomes.append((name, "declined", at, at, "applied"))
        writer.insert("decisions", _DECISION, rows)
        writer.insert("contacts", _CONTACT, contacts)
        writer.insert("outcomes", ("decision_id", "kind", "happened_at", "recorded_at", "status"), outcomes)
        writer.commit()
    writer.begin()
    writer.run(
        "UPDATE campaigns SET budget_micros = 1000000000000, spent_micros = (SELECT SUM(spent_micros) FROM contacts), "
        "reserved_micros = (SELECT SUM(reserved_micros) FROM contacts)"
    )
    writer.commit()


@pytest.mark.slow
@pytest.mark.parametrize("decisions", [1_000_000])
def test_a_million_decisions_keep_no_transaction_waiting(ledger: Ledger, clock: FrozenClock, decisions: int) -> None:
    fill(ledger, decisions)
    ledger._writer = watched = Watched(ledger._writer)  # type: ignore[assignment]
    best: dict[str, float] = {}
    for turn in range(5):
        for step in everything(ledger, clock, prefix=f"turn {turn} "):
            best[step] = min(best.get(step, 9.0), watched.took)
    print({step: f"{1000 * seconds:.1f} ms" for step, seconds in best.items()})
    assert max(best.values()) < LONG, best
