"""What /metrics says of campaigns is what the ledger says, whatever moved their money and whichever process did."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import served_app
from served_app import FACTS, Running

from serving.domain.campaigns import measured
from serving.ledger import Ledger, LedgerUnavailable, database
from serving.ledger.types import DAY, MICROS, Campaign


@pytest.fixture
def own(tmp_path: Path, bundle: Path) -> Iterator[Running]:
    with served_app.serve(tmp_path, bundle) as running:
        yield running


def scraped(own: Running) -> dict[str, dict[str, float]]:
    """A campaign's dollars by their state, by its name."""
    with own.client("report") as client:
        text = client.get("/metrics").text
    found: dict[str, dict[str, float]] = {}
    for campaign, state, value in re.findall(r'campaign_dollars{campaign="(.*?)",state="(.*?)"} (.*)', text):
        found.setdefault(campaign, {})[state] = float(value)
    return found


def in_ledger(own: Running) -> dict[str, float]:
    with own.ledger.read() as view:
        campaign = view.campaign("default")
    assert campaign is not None
    return {name: getattr(campaign, f"{name}_micros") / MICROS for name in ("budget", "spent", "reserved", "left")}


def test_money_is_that_of_the_ledger_after_a_burst_outcomes_and_expiry(own: Running) -> None:
    assert scraped(own) == {"default": in_ledger(own)}, "before anybody was decided about"
    with own.client() as client:
        names = [f"C-{number}" for number in range(32)]
        for name in names:
            client.put(f"/v1/customers/{name}/consent", json={"channel": "sms", "status": "granted"})
        rows = [{"customer_id": name, "facts": FACTS} for name in names]
        results = client.post("/v1/decisions:batch", json={"decisions": rows}).json()["results"]
        burst = scraped(own)["default"]
        assert burst == in_ledger(own)
        assert burst["reserved"] > 0
        offered = [each["decision"] for each in results if each["decision"]["reserved_micros"]]
        own.clock.at += 2 * DAY
        outcome = {"decision_id": offered[0]["decision_id"], "kind": "accepted"}
        assert client.post("/v1/outcomes", json={"outcomes": [outcome]}).json()["results"][0]["status"] == "applied"
    answered = scraped(own)["default"]
    assert answered == in_ledger(own)
    assert answered["spent"] > 0
    own.clock.at += 20 * DAY
    assert own.ledger.expire(14)
    expired = scraped(own)["default"]
    assert expired == in_ledger(own)
    assert expired["reserved"] == 0
    own.clock.at += 300 * DAY
    assert scraped(own) == {}, "the campaign is over"


def test_no_money_is_shown_while_the_ledger_does_not_answer(own: Running) -> None:
    before = scraped(own)  # which makes the key known
    with mock.patch.object(Ledger, "read", side_effect=LedgerUnavailable("gone")):
        assert scraped(own) == {}, "a figure of before looks like one of now"
    assert scraped(own) == before != {}


def test_a_thousand_campaigns_take_as_many_statements_as_one(own: Running) -> None:
    rows, here = database.SqliteConnection.rows, threading.current_thread()
    asked: list[str] = []

    def counted(self: database.SqliteConnection, statement: str, *values: Any) -> Any:
        if threading.current_thread() is here:  # what the service does besides is not counted
            asked.append(statement)
        return rows(self, statement, *values)

    def statements() -> int:
        asked.clear()
        with mock.patch.object(database.SqliteConnection, "rows", counted):
            measured(own.app.state)
        return len(asked)

    one = statements()
    now = own.clock()
    with own.ledger.transaction() as tx:
        for number in range(999):
            tx.put_campaign(Campaign(f"campaign {number}", 1_000 * MICROS, now, 90, 1_000))
    assert statements() == one <= 2
    found = scraped(own)
    assert len(found) == 1000
    assert found["campaign 998"] == {"budget": 1000.0, "spent": 0.0, "reserved": 0.0, "left": 1000.0}
