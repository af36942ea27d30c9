#!/usr/bin/env python3
"""Asks a running service for a decision, as a caller would, and writes nothing: `smoke.py URL [--requests 20]`.

The service's key is read from RETENTIONJAX_KEY, Cloud Run's identity token, where the service is private, from
ID_TOKEN. The customer is the example that the service's own schema gives for its bundle; `--customer` names another.
Status 1 names the first thing that is not as it must be.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


class FailedError(Exception):
    """What is not as it must be."""


def ask(url: str, body: Any = None, *, key: bool = True) -> tuple[int, Any]:
    """(status, JSON) of an answer. Raises FailedError when there is none."""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("ID_TOKEN"):
        headers["X-Serverless-Authorization"] = f"Bearer {token}"
    if key and (secret := os.environ.get("RETENTIONJAX_KEY")):
        headers["Authorization"] = f"Bearer {secret}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, parsed(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, parsed(error.read())
    except OSError as error:
        raise FailedError(f"{url}: no answer: {error}") from None


def parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def expect(what: str, status: int, wanted: int, answer: Any) -> None:
    if status != wanted:
        raise FailedError(f"{what}: status {status}, {wanted} is wanted: {str(answer)[:500]}")


def example(base: str) -> dict[str, Any]:
    """The facts of a customer that the loaded bundle's schema shows. Raises FailedError."""
    status, schema = ask(base + "/schema/openapi.json")
    expect("the schema", status, 200, schema)
    try:
        facts: dict[str, Any] = schema["components"]["schemas"]["DecisionIn"]["properties"]["facts"]["examples"][0]
    except (TypeError, LookupError) as error:
        raise FailedError(f"the schema: no example of a customer's facts ({error!r})") from None
    return facts


def check(base: str, customer: dict[str, Any] | None, requests: int, slowest: float) -> str:
    """All checks; returns what to say. Raises FailedError."""
    # /healthz never gets through to a container of Cloud Run: its front end keeps the path for itself.
    expect("/readyz", *swap(ask(base + "/readyz", key=False), 200))
    given = example(base) if customer is None else customer
    facts = {name: value for name, value in given.items() if name not in ("customer_id", "history", "recipient")}
    body = {"customer_id": "smoke-test", "facts": facts, "dry_run": True}
    expect("a decision without a key", *swap(ask(base + "/v1/decisions", body, key=False), 401))
    expect("a decision without facts", *swap(ask(base + "/v1/decisions", body | {"facts": {}}), 400, 422))
    seconds = []
    for _ in range(requests):
        started = time.perf_counter()
        status, answer = ask(base + "/v1/decisions", body)
        seconds.append(time.perf_counter() - started)
        expect("a decision", status, 200, answer)
        if not isinstance(answer, dict) or "action" not in json.dumps(answer):
            raise FailedError(f"a decision: no action in {str(answer)[:500]}")
    seconds.sort()
    late = seconds[int(0.95 * (len(seconds) - 1))]
    if late > slowest:
        raise FailedError(f"p95 of {requests} decisions is {late * 1e3:.0f} ms, over {slowest * 1e3:.0f} ms")
    return f"{requests} decisions, median {seconds[len(seconds) // 2] * 1e3:.0f} ms, p95 {late * 1e3:.0f} ms"


def swap(answered: tuple[int, Any], *wanted: int) -> tuple[int, int, Any]:
    """Arguments of `expect`: any of the wanted statuses will do."""
    status, answer = answered
    return status, status if status in wanted else wanted[0], answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--slowest", type=float, default=2.0, metavar="S", help="p95 above which it fails (2)")
    parser.add_argument("--customer", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    customer = None if arguments.customer is None else json.loads(arguments.customer.read_text(encoding="utf-8"))
    try:
        print(f"OK: {check(arguments.url.rstrip('/'), customer, arguments.requests, arguments.slowest)}")
    except FailedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
