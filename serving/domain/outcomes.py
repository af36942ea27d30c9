"""`POST /v1/outcomes`."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, post
from litestar.params import JSONBody
from msgspec import Meta

from serving.domain import guarded
from serving.express import decode
from serving.fields import NAME_PATTERN, CustomerId, DecisionId, Micros, Moment
from serving.ledger.types import Outcome, OutcomeResult
from serving.problems import Problem, ProblemDetails, details_of, epoch, field_error, invalid
from serving.security.bodies import BATCH_BODY_LIMIT

MOST = 1000
Kind = Annotated[
    Literal["accepted", "declined", "churned", "opted_out", "kept", "revenue"],
    Meta(
        description="What came of a decision: accepted, declined: the offer; churned: she left; opted_out: no more on "
        "this channel. Of a customer: churned; kept: she is known to have stayed until then; revenue: she paid"
    ),
]


class OutcomeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One outcome, of a decision or of a customer."""

    decision_id: Annotated[DecisionId | None, Meta(description="Either this or customer_id")] = None
    customer_id: Annotated[CustomerId | None, Meta(description="Whether or not there was a decision about her")] = None
    kind: Kind
    at: Annotated[Moment | None, Meta(description="When it happened; now, if left out")] = None
    amount_micros: Annotated[
        Annotated[int, Meta(ge=-(10**15), le=10**15)] | None,
        Meta(description="Amount of revenue, in millionths of the company's currency; a refund is below 0"),
    ] = None
    reference: Annotated[
        Annotated[str, Meta(pattern=NAME_PATTERN)] | None,
        Meta(description="Number of the revenue's invoice or payment; reported again, it counts once"),
    ] = None


class OutcomesIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outcomes in the order in which they are to be applied, each by itself: one that is refused keeps none of the
    others from being applied."""

    outcomes: Annotated[tuple[msgspec.Raw, ...], Meta(min_length=1, max_length=MOST)]
    """Each an OutcomeIn, read by itself."""


class OutcomeOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one outcome."""

    decision_id: Annotated[DecisionId | None, Meta(description="What was reported; null where there is a problem")]
    customer_id: Annotated[CustomerId | None, Meta(description="What was reported; null where there is a problem")]
    kind: Annotated[Kind | None, Meta(description="What was reported; null where there is a problem")]
    status: Annotated[
        Literal["applied", "duplicate", "ignored", "refused", "unknown_decision"],
        Meta(description="duplicate: reported before; ignored: true, nothing follows; refused: it cannot be"),
    ]
    detail: Annotated[str, Meta(description="Why it was ignored or refused")]
    released_micros: Annotated[Micros, Meta(description="Reservation given back to the campaign")]
    committed_micros: Annotated[Micros, Meta(description="Spent by this outcome")]
    problem: Annotated[
        ProblemDetails | None, Meta(description="Why it was refused unread: a field is not as the schema says")
    ] = None


class OutcomesOut(msgspec.Struct, frozen=True):
    """One result for each outcome, in the same order."""

    refused: Annotated[int, Meta(ge=0, description="How many were refused or name an unknown decision")]
    results: tuple[OutcomeOut, ...]


_OF_DECISION: Final = ("accepted", "declined", "churned", "opted_out")
_OF_CUSTOMER: Final = ("churned", "kept", "revenue")


@post(
    "/v1/outcomes",
    status_code=200,
    sync_to_thread=True,
    request_max_body_size=BATCH_BODY_LIMIT,
    **guarded(
        "outcomes", "reportOutcomes", "Report what happened, after decisions or without one", "decide", also=(413, 415)
    ),
)
def report(request: Request[Any, Any, Any], data: JSONBody[OutcomesIn]) -> OutcomesOut:
    """Late and repeated reports are safe: each outcome is applied once, and says what became of it."""
    state = request.app.state
    now: float = state.clock()
    read = [_read(raw, now, f"outcomes[{place}]") for place, raw in enumerate(data.outcomes)]
    good = [each for each in read if isinstance(each, Outcome)]
    applied: list[OutcomeResult] = []
    if good:
        with state.ledger.transaction() as tx:
            applied = tx.outcome(good)
    made = iter(applied)
    results = tuple(_refused(each) if isinstance(each, Problem) else _applied(next(made)) for each in read)
    for result in results:
        state.metrics.outcome(result.kind or "unreadable", result.status)
    return OutcomesOut(sum(each.status in _NOT_TAKEN for each in results), results)


_NOT_TAKEN: Final = ("refused", "unknown_decision")


def _applied(result: OutcomeResult) -> OutcomeOut:
    return msgspec.convert(result, OutcomeOut, from_attributes=True)


def _refused(problem: Problem) -> OutcomeOut:
    return OutcomeOut(None, None, None, "refused", problem.detail, 0, 0, details_of(problem))


def _read(raw: msgspec.Raw, now: float, where: str) -> Outcome | Problem:
    """The outcome, or why it is none."""
    try:
        return _outcome(decode(bytes(raw), OutcomeIn), now)
    except Problem as problem:
        return problem.within(where)


def _outcome(data: OutcomeIn, now: float) -> Outcome:
    """Raises Problem 422 where kind, ids and amount do not go together."""
    of_customer = data.customer_id is not None
    if of_customer == (data.decision_id is not None):
        raise _wrong("customer_id", data.customer_id, "either decision_id or customer_id")
    kinds = _OF_CUSTOMER if of_customer else _OF_DECISION
    if data.kind not in kinds:
        whose = "a customer" if of_customer else "a decision"
        raise _wrong("kind", data.kind, f"of {whose}: {', '.join(kinds)}")
    for name in ("amount_micros", "reference"):
        if (getattr(data, name) is not None) != (data.kind == "revenue"):
            raise _wrong(name, getattr(data, name), "given with revenue, and with nothing else")
    at = now if data.at is None else epoch(data.at, "at")
    return Outcome(data.decision_id, data.kind, at, data.customer_id, data.amount_micros or 0, data.reference or "")


def _wrong(field: str, value: object, allowed: str) -> Problem:
    return invalid("The outcome does not hold together.", field_error(field, value, allowed))
