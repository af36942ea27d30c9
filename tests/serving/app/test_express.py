"""The short way to a decision answers as Litestar's own, which another spelling of the address ("…/") still goes."""

import json
from typing import Any

import engines
import httpx
import pytest
from served_app import Running

GOOD = {"customer_id": "C-1", "facts": engines.FACTS, "dry_run": True}
JSON = {"Content-Type": "application/json"}
VARIABLE = {"instance", "decision_id", "decided_at"}


def ask(service: Running, path: str, role: str | None, **request: Any) -> tuple[int, dict[str, Any], list[Any]]:
    with service.client(role) as client:
        answer = client.post(path, **request)
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in ("content-length", "date"))
    return answer.status_code, {k: v for k, v in answer.json().items() if k not in VARIABLE}, headers


@pytest.mark.parametrize(
    ("role", "request_", "status"),
    [
        ("decide", {"json": GOOD}, 200),
        ("decide", {"json": {**GOOD, "explain": True}}, 200),
        ("admin", {"json": GOOD, "headers": {"Idempotency-Key": "a b"}}, 422),
        (None, {"json": GOOD}, 401),
        ("report", {"json": GOOD}, 403),
        ("decide", {"json": {**GOOD, "campaign_id": "nowhere"}}, 404),
        ("decide", {"content": b"{" * 300_000, "headers": JSON}, 413),
        ("decide", {"content": b"<a/>", "headers": {"Content-Type": "text/xml"}}, 415),
        ("decide", {"content": b'{"customer_id": ', "headers": JSON}, 400),
        ("decide", {"json": {**GOOD, "risk": 0.9}}, 422),
        ("decide", {"content": json.dumps(GOOD)[:-1].encode() + b', "dry_run": true}', "headers": JSON}, 400),
    ],
)
def test_both_ways_answer_the_same(service: Running, role: str | None, request_: dict[str, Any], status: int) -> None:
    short, long = (ask(service, path, role, **request_) for path in ("/v1/decisions", "/v1/decisions/"))
    assert short == long
    assert short[0] == status
    assert ("cache-control", "no-store") in short[2]


def test_a_batch_goes_both_ways_too(service: Running) -> None:
    body = {"decisions": [GOOD, {**GOOD, "facts": {}}]}
    for path in ("/v1/decisions:batch", "/v1/decisions:batch/"):
        status, answer, _ = ask(service, path, "decide", json=body)
        assert (status, answer["decided"], answer["refused"]) == (200, 1, 1)


def test_another_method_is_litestars_affair(service: Running) -> None:
    answer = httpx.get(f"{service.url}/v1/decisions", verify=False)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


def test_both_ways_are_timed_under_the_same_name(service: Running) -> None:
    for path in ("/v1/decisions", "/v1/decisions/"):
        before = _timed(service)
        ask(service, path, "decide", json=GOOD)
        assert _timed(service) == before + 1


def _timed(service: Running) -> float:
    with service.client("report") as client:
        lines = client.get("/metrics").text.splitlines()
    name = 'retentionjax_request_seconds_count{operation="/v1/decisions",status="200"}'
    return float(next(line for line in lines if line.startswith(name)).rpartition(" ")[2])
