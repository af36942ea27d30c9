"""What takes long keeps nobody else waiting."""

import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import served_app
from served_app import FACTS, Running

from serving import side_work
from serving.ledger import Ledger, Reader


def test_what_ifs_keep_nobody_waiting(service: Running) -> None:
    """Keys, probes, consent and decisions while more what-ifs are asked than can be made."""
    values = [20.0, 50.0, 80.0, 110.0]
    body = {"facts": FACTS, "vary": {"name": "facts.bill", "values": values}}
    with service.ledger.transaction() as tx:
        keys = [tx.create_key(f"asks {number}", "report")[1] for number in range(8)]

    def ask(key: str) -> int:
        with service.client(None) as client:
            headers = {"Authorization": f"Bearer {key}"}
            return client.post("/v1/decisions:simulate", json=body, headers=headers).status_code

    with ThreadPoolExecutor(24) as threads, service.client("decide") as client, service.client(None) as stranger:
        asked = [threads.submit(ask, key) for key in keys * 3]
        time.sleep(0.3)
        slowest, meanwhile = 0.0, 0
        for number in range(10):
            begun = time.monotonic()
            assert client.get("/readyz").status_code == 200
            said = {"channel": "sms", "status": "granted"}
            assert client.put(f"/v1/customers/side-{number}/consent", json=said).status_code == 200
            assert client.post("/v1/decisions", json={"customer_id": "side", "facts": FACTS}).status_code == 200
            refused = stranger.get("/v1/customers/a/consent", headers={"Authorization": f"Bearer new{number}"})
            assert refused.status_code == 401
            slowest = max(slowest, time.monotonic() - begun)
            meanwhile += not all(each.done() for each in asked)
        found = [each.result() for each in asked]
    assert set(found) <= {200, 429, 503}
    assert 200 in found
    assert 503 in found
    assert meanwhile, "all what-ifs were made before anybody had to wait for them"
    assert slowest < 2


@pytest.mark.parametrize(("look", "address"), [("daily_spend", "/v1/campaigns/default"), ("variants", "/v1/variants")])
def test_looks_at_all_contacts_of_a_campaign_keep_nobody_waiting(
    service: Running, monkeypatch: pytest.MonkeyPatch, look: str, address: str
) -> None:
    done, works = threading.Event(), getattr(Reader, look)

    def slow(*arguments: Any) -> Any:
        assert done.wait(60)
        return works(*arguments)

    monkeypatch.setattr(Reader, look, slow)
    with ThreadPoolExecutor(40) as threads, service.client() as client:
        asked = [threads.submit(client.get, address) for _ in range(40)]  # more than there are threads
        try:
            while sum(each.running() for each in asked) < len(asked):
                time.sleep(0.01)
            time.sleep(0.1)
            for number in range(3):
                said = {"channel": "sms", "status": "denied"}
                assert client.put(f"/v1/customers/look-{number}/consent", json=said).status_code == 200
        finally:
            done.set()
        assert {each.result().status_code for each in asked} <= {200, 429}


def test_a_decision_is_not_held_back_by_its_explanation(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_work, "MOST_WAITING", 0)
    with service.client("decide") as client:
        answer = client.post("/v1/decisions", json={"customer_id": "why", "facts": FACTS, "explain": True})
        assert answer.status_code == 200
        explanation = answer.json()["explanation"]
        assert explanation["incomplete"] == ["no_time"]
        assert explanation["reasons"] == explanation["offers"] == []
        names = [each["name"] for each in explanation["actions"]]
        assert names[0] == "wait"
        assert all(name.endswith(("today", "tomorrow", "days")) for name in names[1:])
        asked = client.get(f"/v1/decisions/{answer.json()['decision_id']}/explanation")
        assert asked.status_code == 503


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds the ledger busy waits for a fraction of a second, and not for five."""
    monkeypatch.setattr(Ledger, "open", functools.partial(Ledger.open, wait_seconds=0.2))


def test_it_is_not_ready_while_the_ledger_takes_no_writes(impatient: None, bundle: Path, tmp_path: Path) -> None:
    with served_app.serve(tmp_path, bundle) as own, own.client(None) as client:
        with own.ledger.transaction() as tx:
            tx.touch()  # a writer beside the service keeps it waiting longer than it will
            answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["ledger_writes"]) == (503, False)
        while client.get("/readyz").status_code != 200:  # pytest's own timeout ends what never is
            time.sleep(0.05)
        with own.client("report") as reader:
            described = reader.get("/schema").json()["paths"]["/readyz"]["get"]["responses"]["503"]["content"]
        assert described == {"application/json": {"schema": {"$ref": "#/components/schemas/Readiness"}}}


def test_a_page_that_cannot_be_given_now_says_when_to_come_again(impatient: None, bundle: Path, tmp_path: Path) -> None:
    with served_app.serve(tmp_path, bundle) as own, served_app.session(own, "admin") as console:
        form = {"csrf": served_app.csrf(console), "mode": "never"}
        with own.ledger.transaction() as tx:
            tx.touch()  # a writer beside the service keeps it waiting longer than it will
            answer = console.post("/console/safety", data=form)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"].startswith("text/html"), "and is a page, from which there is a way back"
    assert "Nothing was written" in answer.text
