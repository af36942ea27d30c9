"""A ledger that an older program filled: nothing of it is lost or changes its meaning, on either database."""

from typing import Any

import pytest
from ledger_rows import CONTACT_COST, OFFER_COST, START, FrozenClock, decision, money, record

from serving.ledger import Ledger, opening
from serving.ledger.types import DAY, MICROS, Outcome

FULL = CONTACT_COST + OFFER_COST
CUSTOMERS = ("ann", "ben", "cat")
NOW = START + 3 * DAY

CAMPAIGN = {
    "campaign_id": "spring", "budget_micros": 100 * MICROS, "spent_micros": FULL, "reserved_micros": FULL,
    "starts_at": START, "horizon_days": 90, "customers_expected": 100,
}  # fmt: skip


def decided(name: str, customer: str, at: float, *, contact: bool, executed: int = 1) -> dict[str, Any]:
    return {
        "decision_id": name, "customer_id": customer, "campaign_id": "spring", "decided_at": at, "day": 0,
        "channel": "email", "action": int(contact), "offer": "five" if contact else None, "delay": 0,
        "send_at": at if contact else None, "mask": b"\xff\x1f", "bundle_id": "old", "policy_version": "1",
        "rules_version": "1", "slot": "active" if executed else "shadow", "degradations": "[]", "executed": executed,
        "response": name.encode(), "idempotency_key": f"caller:{name}", "request_digest": "digest",
    }  # fmt: skip


def contacted(name: str, customer: str, at: float, state: str) -> dict[str, Any]:
    return {
        "decision_id": name, "customer_id": customer, "campaign_id": "spring", "channel": "email", "offer": "five",
        "send_at": at, "send_day": 0, "due_at": START, "planned": 0, "state": state,
        "contact_cost_micros": CONTACT_COST, "offer_cost_micros": OFFER_COST,
        "reserved_micros": FULL if state == "reserved" else 0, "spent_micros": FULL if state == "accepted" else 0,
        "accepted_at": at if state == "accepted" else None, "offer_days": 30, "effect_days": 30, "amount_micros": 0,
    }  # fmt: skip


ROWS: dict[str, list[dict[str, Any]]] = {
    "campaigns": [CAMPAIGN],
    "customers": [{"customer_id": "ann", "time_zone": "America/Chicago", "churned_at": None}],
    "consents": [
        {"customer_id": each, "channel": "email", "status": "granted", "changed_at": START, "source": "form"}
        for each in CUSTOMERS
    ],
    "decisions": [
        decided("a0", "ann", START + 1, contact=False),
        decided("a1", "ann", START + 60, contact=True),
        decided("b1", "ben", START + 120, contact=True),
        decided("c1", "cat", START + 180, contact=True, executed=0),
    ],
    "baselines": [{"customer_id": "ann", "campaign_id": "spring", "churn_probability": 0.25}],
    "contacts": [contacted("a1", "ann", START + 60, "accepted"), contacted("b1", "ben", START + 120, "reserved")],
    "outcomes": [
        {"decision_id": "a1", "kind": "accepted", "happened_at": START + 60, "recorded_at": START + 61,
         "status": "applied"}
    ],
}  # fmt: skip


def fill(database: str, schema: int, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger of an older schema, with rows of every kind."""
    known = opening.migrations()
    with monkeypatch.context() as older:
        older.setattr(opening, "migrations", lambda: known[:schema])
        ledger = Ledger.open(database, clock=clock)
        with ledger.transaction() as tx:
            for table, rows in ROWS.items():
                for row in rows:
                    tx.insert(table, tuple(row), [tuple(row.values())])
            if schema > 3:
                for statement in ("UPDATE campaigns SET salt = 'sea'", "DELETE FROM designs"):
                    tx.run(statement)
                design = ("campaign_id", "number", "set_at", "holdout")
                tx.insert("designs", design, [("spring", 0, START, 0.0)])
                drawn = ("campaign_id", "customer_id", "arm", "propensity", "assigned_at", "design")
                ours = [
                    ("spring", "ann", "policy", 1.0, START + 1, 0),
                    ("spring", "ben", "policy", 1.0, START + 120, 0),
                ]
                tx.insert("assignments", drawn, ours)
        ledger.close()


@pytest.mark.parametrize("schema", [3, 4])
def test_an_older_ledger_is_read_and_written_on(
    empty: str, clock: FrozenClock, schema: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.now = NOW
    fill(empty, schema, clock, monkeypatch)
    ledger = Ledger.open(empty, clock=clock)
    assert money(ledger) == (FULL, FULL)  # its audit says nothing
    with ledger.read() as reader:
        campaign = reader.campaign("spring")
        views = reader.customers(CUSTOMERS, ["spring"] * 3, NOW)
        drawn = reader.assignments("spring")
        kept = reader.decision("a1")
    assert campaign is not None
    assert campaign.paused_at is None
    assert (campaign.holdout, campaign.pilot, campaign.salt) == (0.0, None, "spring" if schema == 3 else "sea")
    assert [each.contacts_days_ago for each in views] == [(3,), (3,), ()]
    assert [each.assignment.recorded for each in views] == [True, True, False]  # a shadow's decision draws nobody
    assert {each.assignment.arm.group for each in views} == {"policy"}
    assert (views[0].baseline_churn_probability, views[0].time_zone) == (0.25, "America/Chicago")
    assert (views[0].running_offer, views[0].protection_days_left) == ("five", 27)
    assert (drawn.customers, drawn.held_out, drawn.in_pilot) == (2, 0, 0)
    assert kept is not None
    assert (kept.response, kept.contact_state, kept.spent_micros) == (b"a1", "accepted", FULL)
    clock.now = START + 3600
    with ledger.transaction() as tx:
        assert tx.idempotent([("caller", "a1")])[("caller", "a1")].response == b"a1"
        assert tx.outcome([Outcome("a1", "accepted", clock.now)])[0].status == "duplicate"
        assert tx.outcome([Outcome("b1", "declined", clock.now)])[0].status == "applied"
    clock.now = NOW
    record(ledger, decision("cat", now=NOW))
    assert money(ledger) == (FULL + CONTACT_COST, FULL)
    with ledger.read() as reader:
        assert reader.assignments("spring").customers == 3
    ledger.close()
