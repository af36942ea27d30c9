"""`POST /v1/outcomes`."""

from typing import Any

from litestar import Request, post
from litestar.params import JSONBody

from serving.domain.outcomes.schemas import OutcomeOut, OutcomesIn, OutcomesOut
from serving.ledger.types import Outcome
from serving.problems import responses
from serving.security.guards import requires


@post(
    "/v1/outcomes",
    operation_id="reportOutcomes",
    summary="Report what happened after decisions",
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
    outcomes = [
        Outcome(each.decision_id, each.kind, now if each.at is None else each.at.timestamp()) for each in data.outcomes
    ]
    with state.ledger.transaction() as tx:
        results = tx.outcome(outcomes)
    for result in results:
        state.metrics.outcome(result.kind, result.status)
    return OutcomesOut(
        tuple(
            OutcomeOut(
                each.decision_id, each.kind, each.status, each.detail, each.released_micros, each.committed_micros
            )
            for each in results
        )
    )
