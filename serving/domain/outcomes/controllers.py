"""`POST /v1/outcomes`."""

from typing import Any, Final

import msgspec
from litestar import Request, post
from litestar.params import JSONBody

from serving.domain.outcomes.schemas import OutcomeIn, OutcomeOut, OutcomesIn, OutcomesOut
from serving.ledger.types import Outcome
from serving.problems import Problem, field_error, invalid, responses
from serving.security.gate import requires

_OF_DECISION: Final = ("accepted", "declined", "churned", "opted_out")
_OF_CUSTOMER: Final = ("churned", "kept", "revenue")


@post(
    "/v1/outcomes",
    operation_id="reportOutcomes",
    summary="Report what happened, after decisions or without one",
    tags=["outcomes"],
    status_code=200,
    guards=[requires("decide")],
    responses=responses(413, 415),
    sync_to_thread=True,
)
def report(request: Request[Any, Any, Any], data: JSONBody[OutcomesIn]) -> OutcomesOut:
    """Late and repeated reports are safe: each outcome is applied once, and says what became of it."""
    state = request.app.state
    now: float = state.clock()
    outcomes = [_outcome(each, now, f"outcomes[{place}]") for place, each in enumerate(data.outcomes)]
    with state.ledger.transaction() as tx:
        results = tx.outcome(outcomes)
    for result in results:
        state.metrics.outcome(result.kind, result.status)
    return OutcomesOut(tuple(msgspec.convert(each, OutcomeOut, from_attributes=True) for each in results))


def _outcome(data: OutcomeIn, now: float, where: str) -> Outcome:
    """Raises Problem 422 where kind, ids and amount do not go together."""
    of_customer = data.customer_id is not None
    if of_customer == (data.decision_id is not None):
        raise _wrong(f"{where}.customer_id", data.customer_id, "either decision_id or customer_id")
    kinds = _OF_CUSTOMER if of_customer else _OF_DECISION
    if data.kind not in kinds:
        whose = "a customer" if of_customer else "a decision"
        raise _wrong(f"{where}.kind", data.kind, f"of {whose}: {', '.join(kinds)}")
    for name in ("amount_micros", "reference"):
        if (getattr(data, name) is not None) != (data.kind == "revenue"):
            raise _wrong(f"{where}.{name}", getattr(data, name), "given with revenue, and with nothing else")
    at = now if data.at is None else data.at.timestamp()
    return Outcome(data.decision_id, data.kind, at, data.customer_id, data.amount_micros or 0, data.reference or "")


def _wrong(field: str, value: object, allowed: str) -> Problem:
    return invalid("The outcome does not hold together.", field_error(field, value, allowed))
