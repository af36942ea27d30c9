"""The service as a caller meets it: a customer's way through it, who may do what, and how it refuses."""

import datetime as dt
import json
import re
import time
from pathlib import Path
from typing import Any

import bundles
import pytest
import served_app
from litestar.handlers import HTTPRouteHandler
from served_app import FACTS, Running

from experiments import pipeline
from retentionjax.bundle import loading
from retentionjax.decide.decision import decide as decide_command
from retentionjax.decide.draws import place
from retentionjax.decide.program import Decider
from serving.security.gate import requires

OPEN = {"/healthz", "/readyz", "/console/sign-in", "/console/static/{file_path:path}"}
UNKNOWN = "0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"


def consent(service: Running, customer: str, status: str = "granted") -> None:
    with service.client("decide") as client:
        body = {"channel": "sms", "status": status, "source": "test", "time_zone": "America/Chicago", "region": "US-IL"}
        assert client.put(f"/v1/customers/{customer}/consent", json=body).status_code == 200


def decide(service: Running, customer: str, **fields: Any) -> dict[str, Any]:
    with service.client("decide") as client:
        answer = client.post("/v1/decisions", json={"customer_id": customer, "facts": FACTS, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def contacted(service: Running, prefix: str) -> dict[str, Any]:
    """The decision of the first customer of a few whom the policy contacts."""
    for number in range(20):
        consent(service, f"{prefix}-{number}")
        found = decide(service, f"{prefix}-{number}")
        if found["decision"] == "contact":
            return found
    raise AssertionError("this bundle contacts readily")


def test_from_consent_to_outcome_the_money_is_one(service: Running) -> None:
    with service.client("admin") as client:
        before = client.get("/v1/campaigns/default").json()
        decision = contacted(service, "way")
        reserved = client.get("/v1/campaigns/default").json()
        assert reserved["reserved_micros"] - before["reserved_micros"] == decision["reserved_micros"] > 0
        outcome = {"decision_id": decision["decision_id"], "kind": "accepted"}
        assert client.post("/v1/contacts/sent", json={"decision_ids": [decision["decision_id"]]}).json()["sent"] == 1
        results = client.post("/v1/outcomes", json={"outcomes": [outcome, outcome]}).json()["results"]
        assert [each["status"] for each in results] == ["applied", "duplicate"]
        after = client.get("/v1/campaigns/default").json()
        assert after["spent_micros"] - before["spent_micros"] == decision["reserved_micros"]
        assert after["reserved_micros"] == before["reserved_micros"]
        assert after["budget_micros"] == after["spent_micros"] + after["reserved_micros"] + after["left_micros"]
        ledger = client.get(f"/v1/customers/{decision['customer_id']}/ledger").json()
        assert [each["state"] for each in ledger["contacts"]] == ["accepted"]
        assert (ledger["time_zone"], ledger["region"]) == ("America/Chicago", "US-IL")
        read = client.get(f"/v1/decisions/{decision['decision_id']}").json()
        assert (read["decision"], read["contact_state"]) == (decision, "accepted")
        why = client.get(f"/v1/decisions/{decision['decision_id']}/explanation").json()
        assert sum(each["propensity"] for each in why["actions"]) == pytest.approx(1, abs=1e-5)


def test_without_consent_there_is_no_contact_and_it_says_so(service: Running) -> None:
    found = decide(service, "nobody-asked")
    assert found["decision"] == "wait"
    assert [each["rule"] for each in found["rules"]] == ["consent"]
    consent(service, "nobody-asked")
    consent(service, "nobody-asked", "opted_out")
    with service.client("decide") as client:
        copied = {"channel": "sms", "status": "granted", "at": "2020-01-01T00:00:00Z"}
        (holds,) = client.put("/v1/customers/nobody-asked/consent", json=copied).json()["consents"]
    assert holds["status"] == "opted_out", "what she said later stays"
    assert decide(service, "nobody-asked")["decision"] == "wait"


def test_a_repeated_request_gets_the_same_answer(service: Running) -> None:
    body = {"customer_id": "twice", "facts": FACTS}
    with service.client("decide") as client:
        first, second = (client.post("/v1/decisions", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2))
        other = client.post(
            "/v1/decisions", json={**body, "dry_run": False, "channel": "email"}, headers={"Idempotency-Key": "k"}
        )
    assert first.content == second.content
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


def test_the_kill_switch_stops_every_contact(bundle: Path, tmp_path: Path) -> None:
    with served_app.serve(tmp_path, bundle) as own, own.client("admin") as client:
        assert client.put("/v1/admin/kill-switch", json={"mode": "never"}).json() == {"mode": "never"}
        consent(own, "C-1")
        found = decide(own, "C-1")
        assert (found["decision"], [each["rule"] for each in found["rules"]]) == ("wait", ["kill_switch"])
        assert client.get("/v1/admin/kill-switch").json() == {"mode": "never"}


def test_a_campaign_is_made_and_changed_but_never_below_what_is_used(service: Running) -> None:
    with service.client("admin") as client:
        body = {"budget_micros": 7_000_000, "customers_expected": 10, "starts_at": "2026-05-01T00:00:00+02:00"}
        made = client.put("/v1/campaigns/spring", json=body).json()
        assert (made["starts_at"], made["left_micros"], made["state"]) == (
            "2026-04-30T22:00:00.000Z",
            7_000_000,
            "running",
        )
        contacted(service, "money")
        used = {"budget_micros": 1, "customers_expected": 10}
        refused = client.put("/v1/campaigns/default", json=used)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, "budget_micros")
        moved = {"budget_micros": 10**10, "customers_expected": 10, "starts_at": "2026-05-01T00:00:00Z"}
        refused = client.put("/v1/campaigns/default", json=moved)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, "starts_at")


def test_a_start_given_back_as_it_was_shown_is_no_new_one(service: Running) -> None:
    exactly = "2026-05-01T00:00:00.123456Z"
    with service.client("admin") as client:
        body = {"budget_micros": 7_000_000, "customers_expected": 10, "starts_at": exactly}
        shown = client.put("/v1/campaigns/exact", json=body).json()["starts_at"]
        asked = {"customer_id": "exact", "facts": FACTS, "campaign_id": "exact"}
        assert client.post("/v1/decisions", json=asked).status_code == 200
        again = client.put("/v1/campaigns/exact", json={"starts_at": shown})
        assert (again.status_code, again.json()["starts_at"]) == (200, shown)
        assert client.put("/v1/campaigns/exact", json={"starts_at": "2026-05-01T00:00:00.125Z"}).status_code == 409
    with service.ledger.read() as view:
        ((kept,),) = view.rows("SELECT starts_at FROM campaigns WHERE campaign_id = 'exact'")
    assert kept == dt.datetime.fromisoformat(exactly).timestamp(), "decisions count their days from it"


def test_a_campaign_holds_out_and_pilots_as_it_is_told(service: Running) -> None:
    arms = {"none": 0.5, "hello": 0.25, "ten": 0.25}
    trial = {"share": 0.25, "arms": arms, "ends_at": "2026-08-01T00:00:00Z", "budget_share": 0.5}
    body = {"budget_micros": 7_000_000, "customers_expected": 10}
    with service.client("admin") as client:

        def put(**changed: Any) -> Any:
            return client.put("/v1/campaigns/proof", json={**body, **changed}).json()

        made = put(salt="s")
        assert made["holdout"] == {"share": 0.05, "customers": 0, "of_customers": 0, "salt": "s"}
        assert made["pilot"] is None
        changed = put(holdout=0.75, pilot=trial)
        assert changed["pilot"] == trial | {"customers": 0, "acted": 0, "used_micros": 0}
        assert put() == changed, "what is left out stays as it was"
        faults = {
            "holdout": {"holdout": 0.95},
            "pilot.share": {"holdout": 0.9},
            "pilot.arms": {"pilot": trial | {"arms": {"none": 0.2, "ten": 0.8}}},
            "pilot.arms.fifty": {"pilot": trial | {"arms": {"none": 0.2, "fifty": 0.8}}},
            "salt": {"salt": "t"},
        }
        for field, wrong in faults.items():
            assert [each["field"] for each in put(**wrong)["errors"]] == [field]
        names = [f"P-{number}" for number in range(12)]
        decided = [
            client.post(
                "/v1/decisions",
                json={"customer_id": each, "facts": FACTS, "campaign_id": "proof", "explain": True},
            ).json()
            for each in names
        ]
        drawn = {each["customer_id"]: each["reason"] for each in decided}
        assert drawn == {each: "holdout" if place("s", each) < 0.75 else "pilot" for each in names}
        for each in decided:
            why = {rule["rule"]: rule["why"] for rule in each["explanation"]["constraints"]}
            assert each["decision"] == "wait"
            assert ("never contacts" in why["holdout"]) if each["reason"] == "holdout" else ("pilot" in why["pilot"])
            assert client.get(f"/v1/decisions/{each['decision_id']}").json()["decision"]["reason"] == each["reason"]
        now = client.get("/v1/campaigns/proof").json()
        held_out = sum(each == "holdout" for each in drawn.values())
        assert (now["holdout"]["customers"], now["holdout"]["of_customers"]) == (held_out, 12)
        assert (now["pilot"]["customers"], now["pilot"]["acted"]) == (12 - held_out, 0), "nobody consented"
        ledger = client.get(f"/v1/customers/{names[0]}/ledger").json()
        assert ledger["arms"] == {"proof": drawn[names[0]]}


def test_outcomes_of_customers_need_no_decision(service: Running) -> None:
    with service.client("decide") as client:

        def report(**outcome: Any) -> Any:
            return client.post("/v1/outcomes", json={"outcomes": [outcome]}).json()

        paid = {"customer_id": "Q-1", "kind": "revenue", "amount_micros": 49_990_000, "reference": "invoice-7"}
        told = [paid, paid, {"customer_id": "Q-1", "kind": "kept"}, {"customer_id": "Q-2", "kind": "churned"}]
        assert [report(**each)["results"][0]["status"] for each in told] == [
            "applied", "duplicate", "applied", "applied",
        ]  # fmt: skip
        faults = {
            "outcomes[0].customer_id": {"kind": "kept"},
            "outcomes[0].kind": {"customer_id": "Q-1", "kind": "accepted"},
            "outcomes[0].amount_micros": {"customer_id": "Q-1", "kind": "revenue", "reference": "i"},
            "outcomes[0].reference": {"customer_id": "Q-1", "kind": "kept", "reference": "i"},
        }
        for field, wrong in faults.items():
            (result,) = report(**wrong)["results"]
            assert [each["field"] for each in result["problem"]["errors"]] == [field]
    with service.client("report") as client:
        held = client.get("/v1/customers/Q-1/ledger").json()
        assert held["revenue_micros"] == 49_990_000
        assert held["observed_until"] is not None
        assert client.get("/v1/customers/Q-2/ledger").json()["churned_at"] is not None


def test_bundles_are_listed_and_one_that_is_none_leaves_all_as_it_was(service: Running, tmp_path: Path) -> None:
    with service.client("admin") as client:
        before = client.get("/v1/bundles").json()
        refused = client.post("/v1/bundles:activate", json={"slot": "active", "path": str(tmp_path)})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, "path")
        assert client.get("/v1/bundles").json() == before
        assert [each["slot"] for each in before["bundles"]] == ["active"]


def test_a_shadow_comes_and_goes(service: Running, bundle: Path) -> None:
    with service.client("admin") as client:
        added = client.post("/v1/bundles:activate", json={"slot": "shadow", "path": str(bundle)}).json()
        assert [each["slot"] for each in added["bundles"]] == ["active", "shadow"]
        ended = client.post("/v1/bundles:activate", json={"slot": "shadow"}).json()
        assert [each["slot"] for each in ended["bundles"]] == ["active"]


def test_a_relative_path_is_kept_as_what_it_means_from_anywhere(
    service: Running, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle.parent)
    with service.client("admin") as client:
        client.post("/v1/bundles:activate", json={"slot": "shadow", "path": bundle.name})
        with service.ledger.read() as view:
            shadow, told = view.slots().shadow, view.changes(1)[0].value
        client.post("/v1/bundles:activate", json={"slot": "shadow"})
    assert shadow is not None
    assert shadow.path == told == str(bundle)


def test_it_is_ready_and_counts_what_it_does(service: Running) -> None:
    decide(service, "counted")
    with service.client(None) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"ready": True, "compiled": True, "ledger_writes": True}
    with service.client("report") as client:
        text = client.get("/metrics").text
    assert 'retentionjax_decisions_total{action="wait",reason="consent",slot="active"}' in text
    assert 'operation="/v1/decisions",status="200"' in text


# --- who may do what ------------------------------------------------------------------------------------------


def handlers(service: Running) -> list[tuple[str, HTTPRouteHandler]]:
    return [
        (route.path, handler)
        for route in service.app.routes
        for handler in getattr(route, "route_handlers", ())
        if handler.http_methods != {"OPTIONS"}
    ]


def test_every_address_has_a_guard_that_names_its_roles(service: Running) -> None:
    paths = {
        path
        for path, handler in handlers(service)
        if not any(hasattr(each, "roles") for each in handler.resolve_guards())
    }
    assert paths == OPEN


CALLS: list[tuple[str, str, Any, set[str]]] = [
    ("POST", "/v1/decisions", {"customer_id": "x", "facts": FACTS, "dry_run": True}, {"decide"}),
    ("POST", "/v1/decisions:batch", {"decisions": [{"customer_id": "x", "facts": FACTS, "dry_run": True}]}, {"decide"}),
    ("POST", "/v1/decisions:simulate", {"facts": FACTS}, {"decide", "report"}),
    ("GET", f"/v1/decisions/{UNKNOWN}", None, {"decide", "report"}),
    ("GET", f"/v1/decisions/{UNKNOWN}/explanation", None, {"decide", "report"}),
    ("POST", "/v1/outcomes", {"outcomes": [{"decision_id": UNKNOWN, "kind": "declined"}]}, {"decide"}),
    ("GET", "/v1/contacts/due", None, {"decide"}),
    ("POST", "/v1/contacts/sent", {"decision_ids": [UNKNOWN]}, {"decide"}),
    ("GET", "/v1/variants", None, {"report"}),
    ("POST", "/v1/variants", {"variants": [{"offer": "x", "text": "y"}]}, set()),
    ("PATCH", f"/v1/variants/{'0' * 16}", {"state": "refused"}, set()),
    ("GET", "/v1/customers/x/consent", None, {"decide", "report"}),
    ("PUT", "/v1/customers/x/consent", {"channel": "sms", "status": "denied"}, {"decide"}),
    ("GET", "/v1/customers/x/ledger", None, {"report"}),
    ("GET", "/v1/campaigns", None, {"report"}),
    ("GET", "/v1/campaigns/default", None, {"report"}),
    ("GET", "/v1/campaigns/default/lift", None, {"report"}),
    ("PUT", "/v1/campaigns/other", {"budget_micros": 1, "customers_expected": 1}, set()),
    ("GET", "/v1/bundles", None, {"report"}),
    ("POST", "/v1/bundles:activate", {"slot": "shadow"}, set()),
    ("GET", "/v1/admin/kill-switch", None, {"report"}),
    ("PUT", "/v1/admin/kill-switch", {"mode": "policy"}, set()),
    ("GET", "/metrics", None, {"report"}),
    ("GET", "/schema", None, {"decide", "report"}),
]


@pytest.mark.parametrize(("method", "path", "body", "allowed"), CALLS, ids=[f"{each[0]} {each[1]}" for each in CALLS])
def test_a_role_may_do_what_is_its_own_and_admin_everything(
    service: Running, method: str, path: str, body: Any, allowed: set[str]
) -> None:
    statuses = {}
    for role in ("decide", "report", "admin"):
        with service.client(role) as client:
            statuses[role] = client.request(method, path, json=body).status_code
    assert {role for role, status in statuses.items() if status != 403} == allowed | {"admin"}
    assert set(statuses.values()) <= {200, 403, 404, 422}
    with service.client(None) as client:
        anonymous = client.request(method, path, json=body)
    assert (anonymous.status_code, anonymous.headers["content-type"]) == (401, "application/problem+json")


def test_the_list_above_is_complete(service: Running) -> None:
    asked = {(method, path.replace("/x/", "/{customer_id:str}/")) for method, path, _, _ in CALLS}
    asked = {(method, path.replace(UNKNOWN, "{decision_id:str}")) for method, path in asked}
    asked = {(method, re.sub(r"(?<=/v1/campaigns/)\w+", "{campaign_id:str}", path)) for method, path in asked}
    asked = {(method, path.replace("0" * 16, "{variant_id:str}")) for method, path in asked}
    known = {
        (method, path)
        for path, handler in handlers(service)
        for method in handler.http_methods - {"OPTIONS"}
        if not path.startswith(("/console", "/schema/")) and path not in OPEN
    }
    assert known == asked


def test_a_revoked_key_stops_within_the_time_stated(bundle: Path, tmp_path: Path) -> None:
    with served_app.serve(tmp_path, bundle, key_cache_seconds=0.3) as own, own.client("report") as client:
        assert client.get("/v1/bundles").status_code == 200
        with own.ledger.transaction() as tx:
            tx.revoke_key(next(each.key_id for each in tx.api_keys() if each.role == "report"))
        time.sleep(0.35)
        assert client.get("/v1/bundles").status_code == 401


def test_too_many_requests_are_told_when_to_come_again(bundle: Path, tmp_path: Path) -> None:
    with served_app.serve(tmp_path, bundle, rate=1.0, rate_burst=3.0) as own, own.client("report") as client:
        answers = [client.get("/v1/bundles") for _ in range(5)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
        assert answers[-1].headers["Retry-After"] == "1"
        with own.client("admin") as other:
            assert other.get("/v1/bundles").status_code == 200


def test_admin_is_in_every_guard() -> None:
    assert requires().roles == {"admin"}  # type: ignore[attr-defined]


def test_the_first_decision_is_the_one_of_the_command_line(service: Running, bundle: Path) -> None:
    """A customer's file with her usual risk: `retentionjax decide` and a new ledger say the same of her."""
    customer = {**bundles.CUSTOMER, "customer_id": "from-the-file", "history": {"baseline_churn_probability": 0.05}}
    file = json.loads(json.dumps(customer))
    shown = decide_command(Decider(loading.load(bundle), sizes=(1,)), file)
    consent(service, "from-the-file")
    request = pipeline.request(customer) | {"campaign_id": "untouched"}  # nothing spent, so nothing is slowed down
    with service.client("admin") as client:
        wide = {"budget_micros": 5_000_000_000, "customers_expected": 64, "holdout": 0.0}
        client.put("/v1/campaigns/untouched", json=wide)
        answer = client.post("/v1/decisions", json=request).json()
        again = client.post("/v1/decisions", json=request | {"baseline_churn_probability": 0.9})
    chances = [each["propensity"] for each in answer["explanation"]["actions"]]
    assert shown.risk.elevated
    assert answer["churn"]["state"] == "elevated"
    assert answer["churn"]["baseline"] == pytest.approx(0.05, abs=1e-6)
    assert chances == pytest.approx(list(shown.propensities), abs=1e-4)
    assert again.json()["churn"]["baseline"] == pytest.approx(0.05, abs=1e-6)  # the ledger's goes before the caller's
