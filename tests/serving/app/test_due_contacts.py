"""Messages reach whoever sends them once, when they are due, and only while they may still be sent."""

import hashlib
import hmac
import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
import served_app
from documents_of import ROOT
from served_app import FACTS, Running

from serving.domain.contacts import Webhook
from serving.ledger import Ledger, LedgerUnavailable

CUSTOMERS = [f"due-{number}" for number in range(12)]


class Receiver(http.server.BaseHTTPRequestHandler):
    status = 200
    got: list[tuple[str, bytes]] = []  # noqa: RUF012 - of the class, which the server makes anew for each request

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.headers["RetentionJax-Signature"], body))
        self.send_response(self.status)
        if self.status // 100 == 3:
            self.send_header("Location", "/login")
        self.end_headers()

    def do_GET(self) -> None:
        self.got.append((self.headers["RetentionJax-Signature"], b""))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def own(tmp_path: Path, bundle: Path, receiver: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr("serving.domain.contacts.EVERY_SECONDS", 10_000.0)  # the tests say when
    Receiver.got, Receiver.status = [], 200
    with served_app.serve(tmp_path, bundle, webhook=receiver, webhook_secret="w" * 32) as running:
        yield running


def decided(own: Running) -> list[dict[str, Any]]:
    """The contacts, all of which are due some days later."""
    with own.client("decide") as client:
        for name in CUSTOMERS:
            consent(client, name, "granted")
        body = {"decisions": [{"customer_id": name, "facts": FACTS} for name in CUSTOMERS]}
        results = client.post("/v1/decisions:batch", json=body).json()["results"]
    contacts = [each["decision"] for each in results if each["decision"]["decision"] == "contact"]
    assert len(contacts) > 4
    return contacts


def consent(client: httpx.Client, customer: str, status: str) -> None:
    said = {"channel": "sms", "status": status, "time_zone": "America/Chicago"}
    assert client.put(f"/v1/customers/{customer}/consent", json=said).status_code == 200


def test_a_look_at_the_head_of_the_list_is_not_taken_for_a_list_that_was_given(own: Running) -> None:
    decided(own)
    listed = "SELECT COUNT(*) FROM contacts WHERE listed_at IS NOT NULL"
    for method, wanted in (("HEAD", False), ("GET", True)):
        with own.client("decide") as client:
            assert client.request(method, "/v1/contacts/due").status_code == 200
        with own.ledger.read() as view:
            assert (view.rows(listed)[0][0] > 0) is wanted


def due(own: Running, limit: int = 1000) -> set[str]:
    with own.client("decide") as client:
        answer = client.get("/v1/contacts/due", params={"limit": limit})
    assert answer.status_code == 200, answer.text
    return {each["decision_id"] for each in answer.json()["contacts"]}


def test_what_is_due_is_listed_until_it_is_sent(own: Running) -> None:
    contacts = decided(own)
    now = [each["decision_id"] for each in contacts if each["delay_days"] == 0]
    assert due(own) == set(now)
    with own.client("decide") as client:
        assert client.post("/v1/contacts/sent", json={"decision_ids": [*now, *now]}).json()["sent"] == len(now)
        assert client.post("/v1/contacts/sent", json={"decision_ids": now}).json()["sent"] == 0
    assert due(own) == set()
    own.clock.at += 86_400
    assert due(own) == {each["decision_id"] for each in contacts if each["delay_days"] == 1}


def test_a_ledger_that_takes_no_writes_lists_nothing(own: Running) -> None:
    """On a full disk the kill switch cannot be set, and nobody needs it: what was listed before is not listed again."""
    decided(own)
    listed = due(own)
    assert listed
    full = mock.patch.object(Ledger, "transaction", side_effect=LedgerUnavailable("SQLITE_FULL"))
    with own.client() as client, full:
        assert client.put("/v1/admin/kill-switch", json={"mode": "never"}).status_code == 503
        own.clock.at += 61
        refused = client.get("/v1/contacts/due")
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:retentionjax:problem:ledger-unavailable")
    assert due(own) == listed


def test_consent_and_departures_are_looked_at_when_the_list_is_read(own: Running) -> None:
    first, second, third, *others = [each for each in decided(own) if each["delay_days"] == 0]
    with own.client("admin") as client:
        consent(client, first["customer_id"], "opted_out")
        left = {"decision_id": second["decision_id"], "kind": "churned"}
        client.post("/v1/outcomes", json={"outcomes": [left]})
        assert due(own) == {each["decision_id"] for each in (third, *others)}
        client.put("/v1/admin/kill-switch", json={"mode": "never"})
        assert due(own) == set()
        client.put("/v1/admin/kill-switch", json={"mode": "policy"})
        own.clock.at += 9 * 3600  # 23:30 in Chicago
        assert due(own) == set()
        own.clock.at += 14 * 3600  # 13:30 on the next day: a day late by now or not, never sent at night
        assert due(own) >= {each["decision_id"] for each in (third, *others)}
        own.clock.at += 2 * 3600
        assert not due(own) & {each["decision_id"] for each in (third, *others)}


def test_a_paused_campaign_contacts_nobody_until_it_is_resumed(own: Running) -> None:
    planned = {each["decision_id"] for each in decided(own) if each["delay_days"] == 0}
    new = [f"new-{number}" for number in range(12)]
    body = {"decisions": [{"customer_id": name, "facts": FACTS} for name in new]}
    with own.client("admin") as client, served_app.session(own, "admin") as console:
        for name in new:
            consent(client, name, "granted")

        def press(word: str) -> str:
            form = {"csrf": served_app.csrf(console), "campaign_id": "default", "pause": word}
            return console.post("/console/campaigns", data=form).text

        page = press("yes")
        assert "Paused: nobody is contacted" in page
        assert "Resume it" in page
        assert client.get("/v1/campaigns/default").json()["paused_at"] is not None
        assert due(own) == set()
        alone = client.post("/v1/decisions", json={**body["decisions"][0], "explain": True}).json()
        batch = client.post("/v1/decisions:batch", json=body).json()["results"]
        form = {"csrf": served_app.csrf(console), "customer_id": new[1], "how": "try", "campaign_id": "default"}
        pasted = console.post("/console/decide", data={**form, "paste": json.dumps(FACTS)})
        for each in (alone, *(result["decision"] for result in batch)):
            assert (each["decision"], each["propensity"]) == ("wait", 1.0)
            assert "paused" in {rule["rule"] for rule in each["rules"]}
        assert "the campaign is paused" in {each["why"] for each in alone["explanation"]["constraints"]}
        assert "No contact is possible today: the campaign is paused." in pasted.text
        assert "Resumed." in press("no")
        assert due(own) == planned
        changes = console.get("/console/safety").text
        assert len(re.findall(r"held out, paused</td>", changes)) == 2  # set, and what it was before it was resumed
    own.clock.at += 86_400
    with own.client("decide") as client:
        results = client.post("/v1/decisions:batch", json=body).json()["results"]
    assert any(each["decision"]["decision"] == "contact" for each in results)


def test_the_webhook_gets_what_is_due_once_and_signed(own: Running) -> None:
    now = {each["decision_id"] for each in decided(own) if each["delay_days"] == 0}
    own.clock.at += 61  # the service's own, which began and found nothing, has the lease until then
    hooks = [Webhook(own.app.state) for _ in range(2)]
    Receiver.status = 500
    with pytest.raises(OSError, match="500"):
        hooks[0].once()
    assert due(own) == now  # refused, so it comes again
    Receiver.status, Receiver.got = 200, []
    assert [hook.once() for hook in hooks] == [len(now), 0]  # one worker at a time
    assert hooks[0].once() == 0
    ((header, body),) = Receiver.got
    assert {each["decision_id"] for each in json.loads(body)["contacts"]} == now
    at, _, mac = header.removeprefix("t=").partition(",v1=")
    assert mac == hmac.new(b"w" * 32, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    found = re.search(r"```python\n(def is_ours.*?)```", (ROOT / "serving/README.md").read_text(), re.DOTALL)
    assert found is not None
    code: dict[str, Any] = {"hmac": hmac}
    exec(found[1], code)
    verdicts = [code["is_ours"](header, sent, "w" * 32, int(at)) for sent in (body, body + b" ")]
    assert verdicts == [True, False]
    assert due(own) == set()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(own: Running, status: int) -> None:
    now = {each["decision_id"] for each in decided(own) if each["delay_days"] == 0}
    own.clock.at += 61
    Receiver.status, Receiver.got = status, []
    with pytest.raises(OSError, match=str(status)):
        Webhook(own.app.state).once()
    assert len(Receiver.got) == 1
    assert due(own) == now


def contact_in(client: httpx.Client, place: dict[str, str]) -> str:
    """A contact due now to a customer of Chicago, by the ledger, whom the request puts elsewhere."""
    for number in range(100):
        name = f"abroad-{place['time_zone'][-4:]}-{number}"
        consent(client, name, "granted")
        made = client.post("/v1/decisions", json={"customer_id": name, "facts": FACTS, **place}).json()
        if made["decision"] == "contact" and made["delay_days"] == 0:
            return str(made["decision_id"])
    raise AssertionError("nobody is contacted today")


def test_late_messages_are_looked_at_by_the_place_that_the_request_gave(own: Running) -> None:
    with own.client("decide") as client:
        own.clock.at += 3 * 3600  # 17:30 in Chicago, 12:30 in Honolulu
        here = contact_in(client, {"time_zone": "America/Chicago", "region": "US-IL"})
        west = contact_in(client, {"time_zone": "Pacific/Honolulu", "region": "US-HI"})
    own.clock.at += 5 * 3600  # 22:30 in Chicago, 17:30 in Honolulu
    assert due(own) == {west}
    own.clock.at += 6 * 3600  # 4:30 and 23:30
    assert due(own) == set()
    own.clock.at += 6 * 3600  # 10:30 and 5:30
    assert due(own) == {here}


def test_those_who_wait_for_the_morning_keep_nobody_else_waiting(own: Running) -> None:
    late = {each["decision_id"] for each in decided(own) if each["delay_days"] == 0}
    own.clock.at += 9 * 3600  # 23:30 in Chicago, where they all are; 18:30 in Honolulu
    assert due(own) == set()
    with own.client("decide") as client:
        fresh = contact_in(client, {"time_zone": "Pacific/Honolulu", "region": "US-HI"})
    assert len(late) > 1
    assert due(own, limit=1) == {fresh}
