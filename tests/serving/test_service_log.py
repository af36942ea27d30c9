"""The log holds nothing personal and no secret, whatever is logged."""

import io
import json
import logging
import re
from email.message import Message
from http.client import InvalidURL
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.error import HTTPError, URLError

import pytest
import structlog

from serving.domain.contacts import Webhook
from serving.engine.writer import DecisionLine, DecisionLogWriter
from serving.observability import logs


@pytest.fixture
def lines() -> Any:
    out = io.StringIO()
    before = logging.getLogger().handlers, logging.getLogger().level
    logs.configure("debug", out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.reset_defaults()
    logging.getLogger().handlers, _ = before
    logging.getLogger().setLevel(before[1])


SECRETS = {
    "key": "rj_0123456789abcdef_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bearer": "Bearer abc.def-ghi",
    "url": "postgresql://user:hunter2@host/name",
    "e-mail": "maria.lopez+x@example.co.uk",
    "telephone": "+1 (202) 555-0175",
    "card": "4111 1111 1111 1111",
    "card without spaces": "4111111111111111",
    "social security": "123-45-6789",
    "iban": "DE89 3704 0044 0532 0130 00",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_it_is_blanked_in_texts_lists_and_mappings(secret: str, lines: Any) -> None:
    structlog.get_logger("x").info("thing", note=f"before {secret} after", deep={"list": [secret], "tuple": (secret,)})
    (line,) = lines()
    core = re.split("[ :@]", secret)[-2 if "@" in secret else -1]
    assert core not in json.dumps({key: value for key, value in line.items() if key != "timestamp"})
    assert line["note"].startswith("before")


@pytest.mark.parametrize(
    "name", ["customer_id", "first_name", "facts", "password", "api_key", "Authorization", "csrf_token"]
)
def test_fields_that_are_personal_or_secret_by_name_are_removed(name: str, lines: Any) -> None:
    structlog.get_logger("x").info("thing", **{name: "Maria"})
    assert lines()[0][name] == "[removed]"


def test_an_error_is_logged_by_kind_and_place_and_its_words_are_redacted(lines: Any) -> None:
    try:
        int("maria@example.com")
    except ValueError as error:
        structlog.get_logger("x").error("defect", exc_info=error)
    (line,) = lines()
    assert line["error"] == "ValueError"
    assert "test_service_log.py" in line["places"][-1]
    assert "maria" not in json.dumps(line)


def test_what_libraries_log_comes_the_same_way(lines: Any) -> None:
    logging.getLogger("uvicorn.error").warning("from %s", "maria@example.com")
    (line,) = lines()
    assert (line["logger"], line["message"], line["level"]) == ("uvicorn.error", "from [e-mail]", "warning")


def test_ids_and_moments_are_kept(lines: Any) -> None:
    structlog.get_logger("x").info(
        "t", decision_id="0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b", bundle="a3c71a9cf143", day=12
    )
    (line,) = lines()
    assert line["decision_id"] == "0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"
    assert (line["bundle"], line["day"]) == ("a3c71a9cf143", 12)


def test_a_decision_is_one_line_and_leads_to_nobody() -> None:
    out = io.StringIO()
    line = DecisionLine(
        decision_id="d", timestamp=1.5, campaign="default", slot="active", action="wait", reason="policy",
        propensity=0.5, bundle="b",
    )  # fmt: skip
    DecisionLogWriter(out).write([line, line])
    first, second = out.getvalue().splitlines()
    assert first == second
    assert json.loads(first)["event"] == "decision"
    assert {"customer_id", "customer", "facts", "message_text"}.isdisjoint(DecisionLine.__struct_fields__)


def test_no_write_is_larger_than_what_a_pipe_keeps_whole() -> None:
    """POSIX: up to PIPE_BUF bytes of a write are never mixed with what another process writes to the same pipe."""
    written: list[str] = []
    out = mock.Mock(write=written.append)
    lines = [
        DecisionLine(str(number) * (number % 90 + 1), 1.5, "default", "active", "wait", "policy", 0.5, "b")
        for number in range(128)
    ]
    DecisionLogWriter(out).write(
        [*lines, DecisionLine("x" * 5000, 1.5, "default", "active", "wait", "policy", 0.5, "b")]
    )
    assert all(each.endswith("\n") and (len(each) <= 4096 or each.count("\n") == 1) for each in written)
    assert [json.loads(line)["decision_id"] for line in "".join(written).splitlines()][:-1] == [
        line.decision_id for line in lines
    ]
    assert len(written) < len(lines) / 4


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (HTTPError("http://a/S3CRET", 503, "S3CRET", Message(), None), {"error": "HTTPError", "answered": 503}),
        (URLError(ConnectionRefusedError(111, "refused")), {"error": "URLError", "reason": "[Errno 111] refused"}),
        (TimeoutError("timed out"), {"error": "TimeoutError", "reason": "timed out"}),
        (InvalidURL("/S3CRET"), {"error": "InvalidURL"}),
    ],
)
def test_a_webhook_that_fails_is_named_without_its_secrets(error: Exception, said: dict[str, object]) -> None:
    state = SimpleNamespace(
        settings=SimpleNamespace(webhook="https://user:S3CRET@hooks.example:8443/S3CRET?key=S3CRET")
    )
    assert Webhook(state)._why(error) == {"host": "hooks.example", **said}
