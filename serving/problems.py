"""What the service says when it, or its engine, refuses: RFC 9457 problem documents that name the field, its
value and what is allowed.

No text of an exception, path or stack is ever part of an answer; the log has them, under the same `instance`.
"""

import datetime as dt
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from retentionjax.decide.record_facts import MISSING, FactFault
from serving.engine.contract import (
    CampaignNotRunning,
    DeadlineExceeded,
    EngineLost,
    KeyReused,
    NoCampaign,
    NotRunning,
    Overloaded,
    WrongFacts,
)
from serving.fields import IN_WORDS
from serving.ledger import CommitUnknown, LedgerUnavailable
from serving.moments import EARLIEST, LATEST

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:retentionjax:problem:"
_SHOWN = 100  # characters of a refused value that are repeated to its sender

_log = structlog.get_logger("serving.problems")


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field that was refused."""

    field: Annotated[str, msgspec.Meta(description="Path of the field, as in `facts.tenure` or `outcomes[3].kind`")]
    value: Annotated[str | None, msgspec.Meta(description="What was given, as JSON, cut after 100 characters")] = None
    allowed: Annotated[str | None, msgspec.Meta(description="What is allowed there")] = None


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document (RFC 9457)."""

    type: Annotated[str, msgspec.Meta(description="A URN that names the kind of problem and never changes")]
    title: Annotated[str, msgspec.Meta(description="The kind in words")]
    status: Annotated[int, msgspec.Meta(description="The HTTP status")]
    detail: Annotated[str, msgspec.Meta(description="This case in words")]
    instance: Annotated[str, msgspec.Meta(description="Names this case in the service's log")]
    errors: Annotated[tuple[FieldError, ...], msgspec.Meta(description="The fields at fault")] = ()


class Problem(Exception):  # noqa: N818 - what RFC 9457 calls it
    """A refusal. `type` is its short name, such as `campaign-not-running`; `errors` may also be dicts."""

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - the member's name in RFC 9457
        title: str,
        detail: str,
        errors: Sequence[FieldError | Mapping[str, Any]] = (),
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {type}: {detail}")
        self.status, self.type, self.title, self.detail = status, type, title, detail
        self.errors = tuple(each if isinstance(each, FieldError) else field_error(**each) for each in errors)
        self.headers = dict(headers or {})

    def within(self, place: str) -> "Problem":
        """The same of a part of a body: its fields are those of `place`."""
        errors = [msgspec.structs.replace(each, field=_within(place, each.field)) for each in self.errors]
        return Problem(self.status, self.type, self.title, self.detail, errors, headers=self.headers)


def _within(place: str, field: str) -> str:
    return place if field == "body" else f"{place}.{field}"


_MISSING = object()


def field_error(field: str, value: object = _MISSING, allowed: str | None = None) -> FieldError:
    """A FieldError that shows `value` as JSON, shortened; without `value` the field was missing or is secret."""
    return FieldError(field, None if value is _MISSING else _shown(value), allowed)


def invalid(detail: str, *errors: FieldError) -> Problem:
    """422: well-formed, and not what the schema allows."""
    return Problem(422, "invalid-request", "The request does not fit the schema", detail, errors)


def epoch(moment: dt.datetime, field: str) -> float:
    """A moment of a body as UTC epoch seconds. Raises Problem 422 naming the field for one so far away that it is a
    slip, or cannot even be said in UTC."""
    if EARLIEST <= moment < LATEST:
        return moment.timestamp()
    allowed = f"a moment from {EARLIEST:%Y-%m-%d} until before {LATEST:%Y-%m-%d}, UTC"
    raise invalid("A moment is too far away.", field_error(field, moment, allowed))


def not_found(what: str, field: str, value: str) -> Problem:
    """404: nothing of that name. `what` as in "decision"."""
    detail = f"There is no such {what}."
    return Problem(404, "not-found", "Not found", detail, [field_error(field, value, f"an existing {what}")])


def unavailable(type: str, detail: str, retry_after: float) -> Problem:  # noqa: A002
    """503 with Retry-After [s]: it will pass."""
    headers = {"Retry-After": _seconds(retry_after)}
    return Problem(503, type, "Not available now", detail, headers=headers)


def _seconds(wait: float) -> str:
    """A wait as Retry-After has it: whole seconds, and never too few."""
    return str(max(1, math.ceil(wait)))


def details_of(problem: Problem) -> ProblemDetails:
    """The document of a refusal, logged under its `instance`."""
    body = ProblemDetails(
        type=TYPE + problem.type,
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        instance=f"urn:uuid:{uuid.uuid4()}",
        errors=problem.errors,
    )
    _log.info("problem", status=problem.status, type=problem.type, instance=body.instance)
    return body


def count(request: Request[Any, Any, Any], problem: Problem) -> None:
    """Counts a request that is answered with a problem, be it as a document or as a page."""
    request.app.state.metrics.refusal(problem.type)


def problem_response(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    """Litestar's handler of Problem: the answer to a refused request, which is counted."""
    count(request, problem)
    body = details_of(problem)
    return Response(
        msgspec.json.encode(body), status_code=problem.status, media_type=MEDIA_TYPE, headers=problem.headers
    )


def unauthorised(detail: str) -> Problem:
    """401."""
    headers = {"WWW-Authenticate": 'Bearer realm="retentionjax"'}
    return Problem(401, "unauthorised", "No valid API key", detail, headers=headers)


def too_many(detail: str, wait: float) -> Problem:
    """429; `wait` in seconds."""
    headers = {"Retry-After": _seconds(wait)}
    return Problem(429, "too-many-requests", "Too many requests", detail, headers=headers)


# What Litestar itself refuses, in our words: its own may quote what was sent.
_LITESTAR = {
    400: ("malformed-request", "The request cannot be read", "The request cannot be read."),
    404: ("not-found", "Not found", "There is nothing at this address."),
    405: ("method-not-allowed", "Method not allowed", "This address does not know this method; see `Allow`."),
    413: ("body-too-large", "The body is too large", "The body is larger than this address takes."),
    415: ("unsupported-media-type", "Unsupported media type", "The body must be application/json."),
}


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Litestar's handler of its own refusals: unknown address, method, oversized body, path and query parameters."""
    if isinstance(error, ValidationException):
        return problem_response(request, _of_parameters(request, error))
    if error.status_code >= 500:
        return on_exception(request, error)
    phrase = HTTPStatus(error.status_code).phrase
    kind = (f"http-{error.status_code}", phrase, f"{phrase}.")
    type_, title, detail = _LITESTAR.get(error.status_code, kind)
    return problem_response(request, Problem(error.status_code, type_, title, detail, headers=allowed_methods(error)))


def allowed_methods(error: HTTPException) -> dict[str, str]:
    """The header that says which methods an address knows, where it is refused for its method."""
    return {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}


def defect(error: Exception) -> Problem:
    """500 for what nobody foresaw, a fault of ours: the log knows it, the answer only where to look."""
    _log.error("defect", error=type(error).__name__, exc_info=error)
    return Problem(500, "defect", "The service failed", "The service failed; its log says why.")


def ledger_unavailable(error: LedgerUnavailable) -> Problem:
    """503 for a ledger that cannot be used now; the log says why."""
    _log.warning("the ledger is not available", exc_info=error)
    return problem_of(error)


def on_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's handler of everything else."""
    return problem_response(request, defect(error))


def _of_parameters(request: Request[Any, Any, Any], error: ValidationException) -> Problem:
    """Path, query and header parameters, which Litestar checks itself."""
    given = {**request.path_params, **request.query_params}
    errors = []
    for each in error.extra if isinstance(error.extra, list) else []:
        field = str(each.get("key", "body"))
        value = {"value": given[field]} if field in given else {}
        if field == "data":  # the handler's parameter; there was no body
            field, each = "body", {"message": "Expected `JSON`"}
        errors.append(field_error(field, allowed=allowed_by(str(each.get("message"))), **value))
    return invalid("A parameter of the request is not as the schema says.", *errors)


_EXPECTED = re.compile(r"Expected (.*?)(?:, got .*)?$", re.DOTALL)
_PATTERN = re.compile(r"matching regex ['\"](.*)['\"]$")


_UNEXPECTED = {
    "range": "a number in range",
    "datetime": "ISO 8601 with an offset, as in 2026-11-26T10:15:00Z; seconds from 0 to 59",
}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "array": "a list",
    "object": "an object",
    "bool": "true or false",
    "datetime": "a moment, ISO 8601 with an offset",
    "datetime with a timezone component": "a moment, ISO 8601 with an offset",
}
_BOUNDED = re.compile(r"(int|float|str|array|object)(?: \| null)?( of length)? (>=|<=|>|<) (-?[\d.e+]+)")
_BOUNDS = {">=": "{} or more", "<=": "{} at most", ">": "above {}", "<": "below {}"}


def allowed_by(message: str) -> str:
    """What msgspec says it expected, in our words: `Expected `int` >= 1, got …` → a whole number, 1 or more."""
    found = _EXPECTED.match(message)
    if found is None:
        return next((words for part, words in _UNEXPECTED.items() if part in message), "see the schema")
    expected = found[1].replace("`", "")
    pattern = _PATTERN.search(expected)
    if pattern:
        return IN_WORDS.get(pattern[1].replace("\\\\", "\\"), expected)
    if bounded := _BOUNDED.fullmatch(expected):
        kind, length, sign, number = bounded.groups()
        counted = {"": "", "str": " characters"}.get(kind if length else "", " entries")
        return f"{_KINDS[kind]}, {_BOUNDS[sign].format(f'{float(number):.15g}{counted}')}"
    return " or ".join(_KINDS.get(kind, kind) for kind in expected.split(" | "))


def _shown(value: object) -> str:
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, UnicodeError, RecursionError):
        text = ascii(value) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


_MEANINGS = {
    400: "The request cannot be read",
    401: "No valid API key",
    403: "The key's role may not do this",
    404: "No such thing",
    409: "Not possible in the present state",
    413: "The body is too large",
    415: "Another media type than application/json",
    422: "The request does not fit the schema",
    429: "Too many requests with this key",
    503: "Not available now; see Retry-After",
}
_ALWAYS = (400, 401, 403, 422, 429, 503)


def responses(*statuses: int) -> dict[int, ResponseSpec]:
    """`responses=` of a handler: the problems every guarded address may answer, and `statuses` besides."""
    return {
        status: ResponseSpec(
            ProblemDetails, description=_MEANINGS[status], media_type=MEDIA_TYPE, generate_examples=False
        )
        for status in sorted({*_ALWAYS, *statuses})
    }


_SOON = 1.0  # seconds


def problem_of(error: Exception) -> Problem:
    """What to answer for `error`. Raises `error` if it is none of the engine's."""
    if isinstance(error, WrongFacts):
        fields = [_of_fact(each) for each in error.faults]
        return invalid("Facts do not fit the bundle's schema.", *fields)
    if isinstance(error, NoCampaign):
        return not_found("campaign", "campaign_id", str(error))
    if isinstance(error, CampaignNotRunning):
        detail = f"The campaign is {error}." if str(error) == "over" else "The campaign has not begun."
        return Problem(409, "campaign-not-running", "The campaign does not run now", detail)
    if isinstance(error, KeyReused):
        detail = "This Idempotency-Key was used in the last 24 hours with another request."
        named = field_error("Idempotency-Key", allowed="a new key for a new request")
        return Problem(422, "idempotency-key-reused", "The key belongs to another request", detail, [named])
    for kind, words in _STATES.items():
        if isinstance(error, kind):
            return unavailable(*words, getattr(error, "retry_after", _SOON))
    raise error


_STATES: dict[type[Exception], tuple[str, str]] = {
    Overloaded: ("overloaded", "Too many decisions wait. Nothing was written."),
    DeadlineExceeded: ("deadline-exceeded", "It was not decided in time. Nothing was written."),
    NotRunning: ("not-running", "The service starts or stops. Nothing was written."),
    EngineLost: (
        "engine-lost",
        "The engine ended before it answered. Repeat with the same Idempotency-Key: it may have been written.",
    ),
    CommitUnknown: (
        "commit-unknown",
        "The connection to the ledger broke at the commit. Repeat with the same Idempotency-Key: it may be written.",
    ),
    LedgerUnavailable: (
        "ledger-unavailable",
        "The ledger cannot be reached, is full or busy. Nothing was written; repeating is safe.",
    ),
}


def _of_fact(fault: FactFault) -> FieldError:
    place = f"facts.{fault.field}"
    if fault.wrong == MISSING:
        return field_error(place, allowed=fault.allowed)
    return field_error(place, fault.value, fault.allowed)
