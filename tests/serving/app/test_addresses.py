"""Addresses and methods that there are not: each is refused with a problem document, and a 405 says what it knows."""

import re

import pytest
from served_app import Running

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")


@pytest.mark.parametrize("role", ["admin", None])
def test_every_refusal_beside_the_console_is_a_problem_document(service: Running, role: str | None) -> None:
    own = {re.sub(r"\{[^}]*\}", "x", route.path) for route in service.app.routes}
    places = {
        place for path in own | {"/v1"} for place in (path, f"{path.rstrip('/')}/", f"{path.rstrip('/')}/nothing")
    }
    refused = set()
    with service.client(role) as client:
        for place in sorted(each for each in places if not each.startswith("/console")):
            for method in METHODS:
                answer = client.request(method, place)
                if answer.status_code >= 400:
                    kind = answer.headers["content-type"].partition(";")[0]
                    assert kind == "application/problem+json", (method, place, answer.status_code, kind)
                    assert "allow" in answer.headers or answer.status_code != 405, (method, place)
                    refused.add(answer.status_code)
    assert refused >= {404, 405, 401 if role is None else 422}
    assert "/schema/nothing" in places
