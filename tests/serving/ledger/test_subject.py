"""All that is held of a customer can be shown, and an id that the ledger does not know is an error."""

import json

import pytest
from ledger_rows import CONTACT_COST, FrozenClock, decision, record

from serving import ledger_command
from serving.ledger import Ledger, LedgerError, subject
from serving.ledger.types import Outcome


def test_no_table_of_customers_is_left_out(ledger: Ledger) -> None:
    with ledger.read() as reader:
        named = {table for table in reader.tables() if "customer_id" in reader.columns(table)}
    assert named == subject.HELD.keys() - {"outcomes", "changes"}


def test_every_row_about_her_is_shown(
    ledger: Ledger, database: str, clock: FrozenClock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, other = record(ledger, decision("ann", key="k"), decision("ben"))
    with ledger.transaction() as tx:
        tx.set_consent("ann", "email", "granted", source="call")
        tx.changed("desk", "consent of ann", "email granted", "email unknown")
        tx.set_place("ann", time_zone="Europe/Berlin")
        tx.outcome([Outcome(shown, "accepted", clock.now), Outcome(None, "revenue", clock.now, "ann", 5, "bill")])
    assert ledger_command.main(["show", "--database", database, "--customer", "ann"]) == 0
    text = capsys.readouterr().out
    rows = {row["table"]: row for row in map(json.loads, text.splitlines())}
    assert rows.keys() == subject.HELD.keys()
    assert rows["customers"]["time_zone"] == "Europe/Berlin"
    assert rows["decisions"]["message_json"] == {"text": "Hello Ann"}
    assert len(rows["decisions"]["observation"]) == 16
    assert rows["contacts"]["contact_cost_micros"] == CONTACT_COST
    assert rows["outcomes"]["happened_at"].startswith("2026-")
    assert other not in text


@pytest.mark.parametrize("verb", ["show", "erase"])
def test_an_unknown_customer_is_an_error(verb: str, ledger: Ledger, database: str) -> None:
    record(ledger, decision("ann"))
    with pytest.raises(LedgerError, match=r"'NO SUCH'; allowed: one of whom the ledger holds something"):
        ledger_command.main([verb, "--database", database, "--customer", "NO SUCH"])
