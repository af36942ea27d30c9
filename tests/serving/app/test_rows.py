"""A list whose rows are judged by themselves: of outcomes, of messages that were sent, of decisions."""

import json
import uuid

import pytest
from served_app import FACTS, Running


def contacted(service: Running) -> str:
    """The decision of the first customer of a few whom the policy contacts."""
    said = {"channel": "sms", "status": "granted", "time_zone": "Europe/Berlin", "region": "DE"}
    with service.client("decide") as client:
        for number in range(20):
            assert client.put(f"/v1/customers/sent-{number}/consent", json=said).status_code == 200
            made = client.post("/v1/decisions", json={"customer_id": f"sent-{number}", "facts": FACTS}).json()
            if made["decision"] == "contact":
                return str(made["decision_id"])
    raise AssertionError("this bundle contacts readily")


def test_an_outcome_that_cannot_be_read_keeps_no_other_from_being_applied(service: Running) -> None:
    good = {"customer_id": "row-1", "kind": "kept"}
    bad = {
        "outcomes[1].kind": '{"customer_id": "row-2", "kind": "left"}',
        "outcomes[2].customer_id": '{"customer_id": "a b", "kind": "kept"}',
        "outcomes[3].amount_micros": '{"customer_id": "row-2", "kind": "revenue", "amount_micros": NaN}',
        "outcomes[4].at": '{"customer_id": "row-2", "kind": "kept", "at": "2026-11-29"}',
        "outcomes[5]": "null",
        "outcomes[6].currency": '{"customer_id": "row-2", "kind": "kept", "currency": "EUR"}',
        "outcomes[7].kind": '{"customer_id": "row-2", "kind": "kept", "kind": "churned"}',
        "outcomes[8].at": '{"customer_id": "row-2", "kind": "kept", "at": "2300-01-01T00:00:00Z"}',
        "outcomes[9]" + "[0]" * 16: "[" * 2000 + "]" * 2000,
    }
    rows = ", ".join([json.dumps(good), *bad.values(), json.dumps({**good, "customer_id": "row-3"})])
    with service.client("decide") as client:
        answer = client.post("/v1/outcomes", content=f'{{"outcomes": [{rows}]}}')
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        assert [each["status"] for each in results] == ["applied", *["refused"] * len(bad), "applied"]
        assert answer.json()["refused"] == len(bad)
        named = [each["problem"]["errors"][0]["field"] for each in results[1:-1]]
        assert named[:-1] == list(bad)[:-1]
        assert named[-1].startswith("outcomes[9]")
        many = {
            "outcomes": [{"customer_id": "c" * 128, "kind": "revenue", "amount_micros": 1, "reference": "r" * 128}]
            * 1000
        }
        assert client.post("/v1/outcomes", json=many).status_code == 200, "what the schema allows is not too large"
    with service.client("report") as client:
        assert client.get("/v1/customers/row-3/ledger").json()["observed_until"] is not None
        assert client.get("/v1/customers/row-2/ledger").status_code == 404


def test_a_wrong_id_keeps_no_other_message_from_being_known_as_sent(service: Running) -> None:
    decision = contacted(service)
    with service.client("admin") as client:
        waited = client.post("/v1/decisions", json={"customer_id": "nobody", "facts": FACTS}).json()["decision_id"]
        wrong = ["lost", decision.upper(), str(uuid.uuid4()), waited]
        answer = client.post("/v1/contacts/sent", json={"decision_ids": [*wrong, decision]})
        assert answer.json() == {"sent": 1, "refused": [], "unknown": wrong}


def test_what_is_no_id_at_all_keeps_no_other_message_from_being_known_as_sent(service: Running) -> None:
    decision = contacted(service)
    strange = ["null", "5", "NaN", '"a\\u0000"', '"\\ud800"', f'"{"x" * 300}"', '{"id": 1}']
    with service.client("decide") as client:
        body = f'{{"decision_ids": [{", ".join(strange)}, "{decision}"]}}'
        answer = client.post("/v1/contacts/sent", content=body)
        named = ["x" * 200 if len(each) > 300 else each for each in strange]
        assert (answer.status_code, answer.json()["unknown"]) == (200, named)
        assert decision not in client.get("/v1/contacts/due").text


@pytest.mark.parametrize(("path", "rows"), [("/v1/decisions:batch", "decisions"), ("/v1/outcomes", "outcomes")])
def test_what_stands_beside_the_rows_of_a_batch_is_named(service: Running, path: str, rows: str) -> None:
    with service.client("decide") as client:
        answer = client.post(path, json={rows: [{}], "extra": 1})
        assert (answer.status_code, answer.json()["errors"]) == (422, [{"field": "extra", "allowed": rows}])
