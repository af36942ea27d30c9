"""The log: structlog, one JSON object a line on stderr, with nothing personal and no secret in it.

A decision is one line, made of fields that are safe by themselves (`serving.engine.writer.DecisionLine`). Every other
line passes `redact`, which blanks what looks personal or secret wherever it stands.
"""

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

Event = MutableMapping[str, Any]

_SECRET_NAMES = re.compile(r"(?i)secret|password|passwd|token|authori[sz]ation|api_?key$|cookie|credential")
_PERSONAL_NAMES = frozenset({"customer_id", "customer", "first_name", "name", "facts", "text", "body", "recipient"})
_REMOVED = "[removed]"
# Order matters: a key may hold digits that look like a telephone number.
_PATTERNS = (
    ("[key]", re.compile(r"\brj_[\w-]{8,}")),
    ("[secret]", re.compile(r"(?i)\b(?:bearer|basic)\s+[\w.+/=~-]{8,}")),
    (r"\1[secret]@", re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+@")),
    ("[e-mail]", re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    ("[iban]", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")),
    ("[number]", re.compile(r"(?<![\w.-])\+?\(?\d(?:[ ().-]{0,2}\d){8,18}(?![\w.-])")),  # cards, telephones, SSNs
)


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Sets structlog up for this process, and sends what libraries log, warnings and worse, the same way."""
    out = stream or sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception,
            redact,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(logging.WARNING)


def redact(_logger: Any, _method: str, event: Event) -> Event:
    """structlog's processor: blanks secrets and personal data, by the name of the field and by the look of the text."""
    return {
        name: value if name in ("event", "level", "timestamp") else _clean(name, value) for name, value in event.items()
    }


def redacted(text: str) -> str:
    """`text` without what looks like a key, a password, an address, a number of a person."""
    for replacement, pattern in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _clean(name: str, value: Any) -> Any:
    if name in _PERSONAL_NAMES or _SECRET_NAMES.search(name):
        return _REMOVED
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", each) for each in value]
    return value if isinstance(value, int | float | bool) or value is None else redacted(str(value))


def _exception(_logger: Any, _method: str, event: Event) -> Event:
    """`exc_info` as places in the code and kinds of errors; the messages may quote a customer, and are redacted."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["message"] = str(error).partition("\n")[0]
        event["places"] = [
            f"{each.name} {each.filename}:{each.lineno}" for each in traceback.extract_tb(error.__traceback__)
        ]
    return event


def _render(_logger: Any, _method: str, event: Event) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


class _Forward(logging.Handler):
    """Sends records of the standard library to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        extra = {"exc_info": record.exc_info} if record.exc_info else {}
        getattr(log, record.levelname.lower(), log.warning)(
            "library", logger=record.name, message=record.getMessage(), **extra
        )
