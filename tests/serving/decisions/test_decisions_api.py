"""`/v1/decisions` as a caller sees it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import engines
import msgspec
import pytest
from litestar.testing import TestClient

from retentionjax.bundle import load
from retentionjax.decide.decision import decide
from retentionjax.decide.program import Decider
from serving.domain.decisions.schemas import DecisionIn, DecisionsOut, ExplanationOut, RecordedDecision, SimulationOut
from serving.engine.contract import Decision

Client = TestClient[Any]


def body(customer: str = "C-1", **fields: Any) -> dict[str, Any]:
    return {"customer_id": customer, "facts": engines.FACTS, **fields}


def ask(client: Client, customer: str = "C-1", **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/decisions", json=body(customer, **fields))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def a_contact(client: Client, **fields: Any) -> dict[str, Any]:
    return next(
        found for number in range(64) if (found := ask(client, f"C-{number}", **fields))["decision"] == "contact"
    )


def errors(client: Client, path: str, sent: Any, status: int = 422) -> dict[str, Any]:
    """Field → what is allowed."""
    answer = client.post(path, json=sent)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {each["field"]: each.get("allowed") for each in answer.json()["errors"]}


def test_a_decision_names_versions_propensity_and_what_constrained_it(client: Client, folder: Path) -> None:
    found = a_contact(client)
    bundle = load(folder)
    assert found["bundle"]["id"] == bundle.manifest.id
    assert found["bundle"]["rules_version"] == bundle.rules.version  # type: ignore[union-attr]
    assert 0 < found["propensity"] <= 1
    assert found["message"]["source"] == "template"
    assert found["reserved_micros"] >= 500_000
    assert found["degradations"] == []
    again = ask(client, found["customer_id"])
    assert again["decision"] == "wait"
    assert {each["rule"] for each in again["rules"]} & {"pending", "cooldown"}


def test_a_decision_is_read_again_with_what_came_of_it(client: Client) -> None:
    found = a_contact(client)
    answer = client.get(f"/v1/decisions/{found['decision_id']}")
    recorded = msgspec.json.decode(answer.content, type=RecordedDecision)
    assert recorded.decision == msgspec.convert(found, Decision)
    assert (recorded.contact_state, recorded.outcomes) == ("reserved", ())
    report = {"outcomes": [{"decision_id": found["decision_id"], "kind": "declined"}]}
    if found["delay_days"] == 0:
        assert client.post("/v1/outcomes", json=report).status_code == 200
        assert client.get(f"/v1/decisions/{found['decision_id']}").json()["contact_state"] == "declined"


def test_the_explanation_agrees_with_the_single_decision_of_the_command(client: Client, folder: Path) -> None:
    found = ask(client)
    answer = client.get(f"/v1/decisions/{found['decision_id']}/explanation")
    explained = msgspec.json.decode(answer.content, type=ExplanationOut)
    alone = decide(Decider(load(folder), sizes=(1,)), {"customer_id": "C-1", **engines.FACTS})
    why = alone.explanation
    assert found["action"] == alone.action
    assert (found["offer"] or {}).get("name") == alone.offer_name
    assert [each.propensity for each in explained.actions] == pytest.approx(alone.propensities, abs=1e-5)
    assert [msgspec.to_builtins(each) for each in explained.reasons] == [asdict(each) for each in why.reasons]
    assert [each.gain for each in explained.offers] == pytest.approx([each.gain for each in why.offers])
    assert [each.offer for each in explained.offers] == ["hello", "five", "ten", "twenty"]
    assert explained.expected is not None
    assert explained.expected.uplift == pytest.approx(why.expected["uplift"], rel=1e-4)
    assert explained.pacing is not None
    assert (explained.pacing.throttle, explained.pacing.kill_switch) == (1.0, "policy")
    assert explained.incomplete == ()


def test_each_constraint_is_explained_in_words(client: Client) -> None:
    found = ask(client, "stranger")
    explained = client.get(f"/v1/decisions/{found['decision_id']}/explanation").json()
    assert explained["constraints"][0]["rule"] == "consent"
    assert "agreed" in explained["constraints"][0]["why"]
    assert explained["actions"][5]["removed_by"] == ["consent"]
    contacted = a_contact(client)
    again = ask(client, contacted["customer_id"], explain=True)
    assert all(each["why"] for each in again["explanation"]["constraints"])


def test_explain_answers_with_the_explanation_for_dry_runs_and_repeats_too(client: Client) -> None:
    dry = ask(client, explain=True, dry_run=True)
    assert dry["dry_run"]
    assert len(dry["explanation"]["actions"]) == 13
    assert client.get(f"/v1/decisions/{dry['decision_id']}").status_code == 404
    key = {"Idempotency-Key": "K-1"}
    first = client.post("/v1/decisions", json=body(explain=True), headers=key)
    second = client.post("/v1/decisions", json=body(explain=True), headers=key)
    assert second.headers["idempotent-replayed"] == "true"
    assert first.json() == second.json()


def test_an_idempotency_key_belongs_to_one_request(client: Client, clock: engines.Clock) -> None:
    key = {"Idempotency-Key": "K-1"}
    first = client.post("/v1/decisions", json=body(), headers=key)
    assert client.post("/v1/decisions", json=body(), headers=key).content == first.content
    other = client.post("/v1/decisions", json=body("C-2"), headers=key)
    assert other.status_code == 422
    assert other.json()["type"].endswith("idempotency-key-reused")
    clock.at += 86_401
    later = client.post("/v1/decisions", json=body("C-2"), headers=key)
    assert later.status_code == 200
    assert client.post("/v1/decisions", json=body(), headers={"Idempotency-Key": "a b"}).status_code == 422


def test_a_key_knows_the_same_request_however_it_is_written(client: Client) -> None:
    key = {"Idempotency-Key": "K-2"}
    first = client.post("/v1/decisions", json=body(), headers=key)
    facts = {name: float(value) if isinstance(value, int) else value for name, value in engines.FACTS.items()}
    assert facts["months"] == engines.FACTS["months"]
    again = client.post("/v1/decisions", json=body(facts=dict(reversed(facts.items()))), headers=key)
    assert (again.status_code, again.content) == (200, first.content)


def test_a_batch_and_a_single_decision_share_no_key(client: Client) -> None:
    batch = {"decisions": [body("C-1"), body("C-2")]}
    first = client.post("/v1/decisions:batch", json=batch, headers={"Idempotency-Key": "clash"})
    single = client.post("/v1/decisions", json=body("C-1"), headers={"Idempotency-Key": "clash#0"})
    assert single.status_code == 200
    assert single.json()["decision_id"] != first.json()["results"][0]["decision"]["decision_id"]
    again = client.post("/v1/decisions:batch", json=batch, headers={"Idempotency-Key": "clash"})
    assert again.json() == first.json()
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")


def test_a_batch_answers_each_by_itself(client: Client) -> None:
    wanted = [body(f"C-{number}") for number in range(20)]
    wanted[3] = body("C-3", facts={**engines.FACTS, "plan": ""})
    wanted[5] = body("C-5", campaign_id="nowhere")
    wanted[7] = body("C-7", explain=True)
    answer = client.post("/v1/decisions:batch", json={"decisions": wanted}, headers={"Idempotency-Key": "B-1"})
    assert answer.status_code == 200, answer.text
    found = msgspec.json.decode(answer.content, type=DecisionsOut)
    assert (found.decided, found.refused) == (18, 2)
    problems = {place: each.problem for place, each in enumerate(found.results) if each.problem is not None}
    assert {place: each.errors[0].field for place, each in problems.items()} == {
        3: "decisions[3].facts.plan",
        5: "decisions[5].campaign_id",
    }
    customers = [each.decision.customer_id for each in found.results if each.decision is not None]
    assert customers == [f"C-{number}" for number in range(20) if number not in (3, 5)]
    assert found.results[7].decision is not None
    assert found.results[7].decision.explanation is not None
    again = client.post("/v1/decisions:batch", json={"decisions": wanted}, headers={"Idempotency-Key": "B-1"})
    repeated = msgspec.json.decode(again.content, type=DecisionsOut)
    assert [each.decision for each in repeated.results] == [each.decision for each in found.results]


@pytest.mark.parametrize(
    ("change", "field", "allowed"),
    [
        ({"facts": {**engines.FACTS, "plan": ""}}, "facts.plan", "'basic', 'plus'"),
        ({"facts": {**engines.FACTS, "bill": 0}}, "facts.bill", "money, 1e-06 to 1,000,000"),
        ({"facts": {**engines.FACTS, "age": "old"}}, "facts.age", "a finite number"),
        ({"facts": {**engines.FACTS, "colour": 1}}, "facts.colour", "months, bill, age"),
        ({"facts": {}}, "facts.months", "a finite number or null"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "IANA"),
        ({"region": "Bavaria"}, "region", "AU, BR, CA, CO, DE"),
        ({"channel": "fax"}, "channel", None),
        ({"customer_id": "Robert'); DROP TABLE"}, "customer_id", None),
        ({"budget": 5}, "budget", "customer_id"),
        ({"dry_run": "yes"}, "dry_run", None),
    ],
)
def test_what_does_not_fit_is_named(client: Client, change: dict[str, Any], field: str, allowed: str | None) -> None:
    found = errors(client, "/v1/decisions", body(**change))
    assert field in found
    assert allowed is None or allowed in found[field]


def test_every_wrong_fact_is_named_at_once(client: Client) -> None:
    facts = {"months": None, "bill": -3, "plan": "", "channel": "mail", "more": 1}
    assert set(errors(client, "/v1/decisions", body(facts=facts))) == {
        "facts.bill",
        "facts.plan",
        "facts.age",
        "facts.more",
    }


def test_a_campaign_that_does_not_run_refuses(client: Client, clock: engines.Clock) -> None:
    assert errors(client, "/v1/decisions", body(campaign_id="nowhere"), 404) == {"campaign_id": "an existing campaign"}
    clock.at += 91 * 86_400
    answer = client.post("/v1/decisions", json=body())
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("campaign-not-running")


def test_what_if_writes_nothing_and_equals_the_decision_of_the_command(client: Client, folder: Path) -> None:
    history = {"day": 20, "contacts_days_ago": [3], "baseline_churn_probability": 0.05}
    asked = {"facts": engines.FACTS, "history": history, "vary": {"name": "facts.bill", "values": [20, 60, 110]}}
    answer = client.post("/v1/decisions:simulate", json=asked)
    assert answer.status_code == 200, answer.text
    found = msgspec.json.decode(answer.content, type=SimulationOut)
    alone = decide(Decider(load(folder), sizes=(1,)), {"customer_id": "what-if", **engines.FACTS, "history": history})
    assert found.result.action == alone.action
    assert found.result.churn.state == ("elevated" if alone.risk.elevated else "calm")
    assert [each.rule for each in found.result.explanation.constraints] == [
        each.rule for each in alone.explanation.constraints
    ]
    assert [each.result.monthly_charge for each in found.points] == [20, 60, 110]
    assert client.get("/v1/customers/what-if/ledger").status_code in (403, 404)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("overrides.multiplier", [0, 1, 5]),
        ("overrides.offers.twenty.discount", [0.2, 0.3]),
        ("overrides.offers.hello.amount", [0, 12]),
        ("overrides.account_cap", [5, 50]),
        ("history.day", [0, 80]),
        ("facts.channel", ["mail", "phone"]),
    ],
)
def test_what_if_moves_one_thing(client: Client, name: str, values: list[Any]) -> None:
    answer = client.post(
        "/v1/decisions:simulate", json={"facts": engines.FACTS, "vary": {"name": name, "values": values}}
    )
    assert answer.status_code == 200, answer.text
    points = msgspec.json.decode(answer.content, type=SimulationOut).points
    assert [each.value for each in points] == values
    shown = [
        [(each.offer, each.acceptance, each.net) for each in point.result.explanation.offers]
        + [each.rule for each in point.result.explanation.constraints]  # type: ignore[misc]
        + [point.result.explanation.never_contact_value]  # type: ignore[list-item]
        for point in points
    ]
    assert shown[0] != shown[-1]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"history": {"day": 99}}, "history.day"),
        ({"history": {"day": 5, "contacts_days_ago": [9]}}, "history.contacts_days_ago"),
        ({"history": {"running_offer": "ten"}}, "history"),
        ({"history": {"pending": {"offer": "fifteen", "days": 1}}}, "history.pending.offer"),
        ({"overrides": {"multiplier": -1}}, "overrides.multiplier"),
        ({"vary": {"name": "facts.plan", "values": [""]}}, "facts.plan"),
        ({"vary": {"name": "history.contacts", "values": [1]}}, "vary.name"),
        ({"vary": {"name": "overrides.offers.hello.discount", "values": [7]}}, "vary.values"),
        ({"overrides": {"offers": {"fifteen": {"discount": 0.15}}}}, "overrides.offers.fifteen"),
    ],
)
def test_what_could_not_have_happened_is_named(client: Client, asked: dict[str, Any], field: str) -> None:
    assert field in errors(client, "/v1/decisions:simulate", {"facts": engines.FACTS, **asked})


@pytest.mark.parametrize(
    ("history", "field", "value"),
    [
        ({"day": 5, "contacts_days_ago": [9]}, "history.contacts_days_ago", "[9]"),
        ({"day": 5, "contacts_days_ago": [1, 1]}, "history.contacts_days_ago", "[1,1]"),
        ({"pending": {"offer": "fifteen", "days": 1}}, "history.pending.offer", '"fifteen"'),
        ({"running_offer": "ten"}, "history", '{"running_offer":"ten"}'),
    ],
)
def test_a_history_that_could_not_be_is_answered_with_what_was_given(
    client: Client, history: dict[str, Any], field: str, value: str
) -> None:
    answer = client.post("/v1/decisions:simulate", json={"facts": engines.FACTS, "history": history})
    (named,) = answer.json()["errors"]
    assert (named["field"], named["value"]) == (field, value)
    assert named["allowed"]


def test_the_api_describes_itself(client: Client) -> None:
    described = client.get("/schema/openapi.json").json()
    operations = {
        (path, method): each["operationId"]
        for path, methods in described["paths"].items()
        for method, each in methods.items()
        if "/decisions" in path
    }
    assert operations == {
        ("/v1/decisions", "post"): "decide",
        ("/v1/decisions:batch", "post"): "decideMany",
        ("/v1/decisions:simulate", "post"): "simulate",
        ("/v1/decisions/{decision_id}", "get"): "readDecision",
        ("/v1/decisions/{decision_id}/explanation", "get"): "explainDecision",
    }
    fields = described["components"]["schemas"]["DecisionIn"]["properties"]
    assert set(fields) == set(DecisionIn.__struct_fields__)
    assert all("description" in str(each) for each in fields.values())


def test_a_category_given_as_a_number_is_described_as_far_as_it_is_read(client: Client) -> None:
    schemas = client.get("/schema/openapi.json").json()["components"]["schemas"]
    facts = schemas["DecisionIn"]["properties"]["facts"]["properties"]
    name, whole = next(
        (name, kind) for name, each in facts.items() for kind in each.get("anyOf", ()) if kind.get("type") == "integer"
    )
    ask(client, facts={**engines.FACTS, name: 0.0})
    for limit, beyond in (("minimum", -1), ("maximum", 1)):
        ask(client, facts={**engines.FACTS, name: whole[limit]})
        assert (
            client.post("/v1/decisions", json=body(facts={**engines.FACTS, name: whole[limit] + beyond})).status_code
            == 400
        )
