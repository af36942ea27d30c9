"""`/v1/decisions`: made, many at once, what if, read again, explained."""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.openapi.spec import Operation, Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import JSONBody

from retentionjax.shield.contact import is_region
from retentionjax.shield.rules import load_rules
from serving.domain import guarded
from serving.domain.decisions.explaining import explain, explained, simulate
from serving.domain.decisions.schemas import (
    DecisionIn,
    DecisionOut,
    DecisionsIn,
    DecisionsOut,
    ExplanationOut,
    OutcomeSeen,
    RecordedDecision,
    SimulationIn,
    SimulationOut,
)
from serving.engine.contract import Ask, Decision, EngineError, FactValue, Given
from serving.engine.messages import is_zone
from serving.express import Encoded, decode, sole
from serving.fields import DecisionInPath, shown
from serving.ledger import LedgerUnavailable
from serving.ledger.records import DecisionRecord
from serving.problems import Problem, details_of, field_error, invalid, not_found, problem_of
from serving.security.bodies import BATCH_BODY_LIMIT
from serving.security.gate import Caller
from serving.side_work import TOKENS

EXPRESS = ("decide", "decide_many")
"""Handlers to which there is a short way, by name."""
_ENCODER = msgspec.json.Encoder()
_CANONICAL = msgspec.json.Encoder(order="deterministic")
_EXACT = 2**53  # below it a float is the number that was meant
_REPLAYED = ((b"idempotent-replayed", b"true"),)
_KEY_NAME = "Idempotency-Key"
_KEY_PATTERN = r"^[!-~]+$(?!\n)"
_LONGEST_KEY = 128
_KEY_HEADER = _KEY_NAME.lower().encode()
_KEY_FORM = re.compile(rb"[!-~]{1,%d}" % _LONGEST_KEY)


@dataclass
class Keyed(Operation):
    """`operation_class=` of a handler that takes the header, which OpenAPI then describes."""

    def __post_init__(self) -> None:
        form = Schema(type=OpenAPIType.STRING, min_length=1, max_length=_LONGEST_KEY, pattern=_KEY_PATTERN)
        words = "A repeated request with the same key gets the same answer for 24 hours"
        key = Parameter(name=_KEY_NAME, param_in="header", description=words, required=False, schema=form)
        self.parameters = [*(self.parameters or ()), key]


@post(
    "/v1/decisions",
    name=EXPRESS[0],
    status_code=200,
    operation_class=Keyed,
    **guarded("decisions", "decide", "Decide about one customer", "decide", also=(404, 409, 413, 415)),
)
async def decide(request: Request[Any, Any, Any], data: JSONBody[DecisionIn]) -> Response[DecisionOut]:
    """Contact or wait, with which offer, when, in which words. The answer is in the ledger before it is given."""
    state = request.app.state
    if data.explain:
        state.gate.charge(request.auth, 1 + TOKENS, instead_of=1)
    try:
        given = await state.engine.decide(ask_of(data, request.auth.key_id, key_of(request)))
    except (EngineError, LedgerUnavailable) as error:
        raise problem_of(error) from None
    body = await _explained(state, request.auth, given) if data.explain else given.body
    return Encoded(body, _REPLAYED if given.replayed else ())


@post(
    "/v1/decisions:batch",
    name=EXPRESS[1],
    status_code=200,
    request_max_body_size=BATCH_BODY_LIMIT,
    operation_class=Keyed,
    **guarded("decisions", "decideMany", "Decide about up to 1,000 customers", "decide", also=(413, 415)),
)
async def decide_many(request: Request[Any, Any, Any], data: JSONBody[DecisionsIn]) -> Response[DecisionsOut]:
    """Each is made or refused by itself. With an Idempotency-Key, that key and a decision's place are its key, apart
    from keys of single decisions; `Idempotent-Replayed: true` says that all of them were answered before."""
    state, caller, idempotency_key = request.app.state, request.auth, key_of(request)
    rows = [_row(each, caller.key_id, idempotency_key, place) for place, each in enumerate(data.decisions)]
    good = [row for row in rows if not isinstance(row, Problem)]
    state.gate.charge(caller, len(rows) + TOKENS * sum(explain for _, explain in good), instead_of=1)
    found = iter(await state.engine.decide_many([ask for ask, _ in good]))
    made_of = [row if isinstance(row, Problem) else next(found) for row in rows]
    results: list[dict[str, Any]] = []
    for place, (row, made) in enumerate(zip(rows, made_of, strict=True)):
        if isinstance(made, Exception):
            problem = made if isinstance(made, Problem) else problem_of(made)
            results.append({"problem": details_of(problem.within(f"decisions[{place}]"))})
        else:
            explain = not isinstance(row, Problem) and row[1]
            body = await _explained(state, caller, made) if explain else made.body
            results.append({"decision": msgspec.Raw(body)})
    refused = sum("problem" in each for each in results)
    body = _ENCODER.encode({"decided": len(results) - refused, "refused": refused, "results": results})
    replayed = bool(results) and all(isinstance(each, Given) and each.replayed for each in made_of)
    return Encoded(body, _REPLAYED if replayed else ())


@post(
    "/v1/decisions:simulate",
    status_code=200,
    **guarded("decisions", "simulate", "What if", "decide", "report", also=(413, 415), tokens=TOKENS),
)
async def what_if(request: Request[Any, Any, Any], data: JSONBody[SimulationIn]) -> SimulationOut:
    """Facts, a history and constants that need not be true; nothing is written."""
    try:
        served = request.app.state.engine.active
    except EngineError as error:
        raise problem_of(error) from None
    if data.vary is not None:
        request.app.state.gate.charge(request.auth, TOKENS * (1 + len(data.vary.values)), instead_of=TOKENS)
    return await request.app.state.side_work.run(request.auth, lambda check: simulate(data, served, check))


@get(
    "/v1/decisions/{decision_id:str}",
    sync_to_thread=True,
    **guarded("decisions", "readDecision", "A decision, and what came of it", "decide", "report", also=(404,)),
)
def read_decision(request: Request[Any, Any, Any], decision_id: DecisionInPath) -> RecordedDecision:
    """The decision as it was answered; a customer who was erased has none any more."""
    found, decision = recorded(request.app.state, decision_id)
    outcomes = tuple(shown(OutcomeSeen, each) for each in found.outcomes)
    return shown(RecordedDecision, found, decision=decision, outcomes=outcomes)


@get(
    "/v1/decisions/{decision_id:str}/explanation",
    **guarded(
        "decisions", "explainDecision", "Why a decision is what it is", "decide", "report", also=(404,), tokens=TOKENS
    ),
)
async def read_explanation(request: Request[Any, Any, Any], decision_id: DecisionInPath) -> ExplanationOut:
    """Each constraint and the actions it took away, propensities, expected values, the facts that matter most."""
    state = request.app.state
    found, decision = await asyncio.to_thread(recorded, state, decision_id)
    propensities, basis = found.propensities, found.basis
    if propensities is None or basis is None:
        raise not_found("decision", "decision_id", decision_id)
    served = state.engine.served(found.bundle_id)
    made: ExplanationOut = await state.side_work.run(
        request.auth, lambda _: explain(decision, propensities, basis, served)
    )
    return made


def _row(raw: msgspec.Raw, key_id: str, idempotency_key: str | None, place: int) -> tuple[Ask, bool] | Problem:
    """What the engine is asked by one of many and whether it is to be explained, or why it is not asked."""
    try:
        row = decode(bytes(raw), DecisionIn)
        key = None if idempotency_key is None else f"{idempotency_key} {place}"  # no caller's key has a space
        return ask_of(row, key_id, key), row.explain
    except Problem as problem:
        return problem


def key_of(request: Request[Any, Any, Any]) -> str | None:
    """The key, None without one. Raises Problem 422 for one of another form, 400 for two."""
    value = sole(request.scope["headers"], _KEY_HEADER)
    if value is None:
        return None
    if not _KEY_FORM.fullmatch(value):
        allowed = f"1 to {_LONGEST_KEY} visible ASCII characters"
        raise invalid("A header has a wrong form.", field_error(_KEY_NAME, value.decode("latin-1"), allowed))
    return value.decode()


def refuse_unknown_place(time_zone: str | None, region: str | None) -> None:
    """Raises Problem 422 naming the field unless the time zone is one, and the region has quiet hours."""
    if time_zone is not None and not is_zone(time_zone):
        allowed = "an IANA name such as America/Chicago"
        raise invalid("The time zone is unknown.", field_error("time_zone", time_zone, allowed))
    if region is not None and not is_region(region):
        countries = ", ".join(load_rules().contact.countries)
        allowed = f"{countries}, or one of their regions such as US-FL"
        raise invalid("The region is unknown.", field_error("region", region, allowed))


def ask_of(data: DecisionIn, key_id: str, idempotency_key: str | None) -> Ask:
    """What the engine is asked by a request of this key. Raises Problem 422 for a time zone or region that is none."""
    refuse_unknown_place(data.time_zone, data.region)
    idempotency = None
    if idempotency_key is not None:
        idempotency = (key_id, idempotency_key, _digest(data))
    asked = msgspec.structs.asdict(data)
    del asked["explain"]
    return Ask(**asked, idempotency=None if data.dry_run else idempotency)


def _digest(data: DecisionIn) -> str:
    """Digest of what a request says, however it is written: facts in any order, 6.0 for 6."""
    facts = {name: _whole(value) for name, value in data.facts.items()}
    text = _CANONICAL.encode(msgspec.structs.replace(data, facts=facts))
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _whole(value: FactValue) -> FactValue:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


async def _explained(state: Any, caller: Caller, given: Given) -> bytes:
    """The answer with its explanation."""
    row: Any = given.row
    if row is None:
        row, _ = await asyncio.to_thread(recorded, state, given.decision_id)
    decision = msgspec.json.decode(given.body, type=Decision)
    explanation = await explained(state, caller, decision, row)
    fields = {name: getattr(decision, name) for name in Decision.__struct_fields__}
    return _ENCODER.encode(DecisionOut(**fields, explanation=explanation))


def recorded(state: Any, decision_id: str) -> tuple[DecisionRecord, Decision]:
    """A decision as the ledger has it. Raises Problem 404 where there is none, or its customer is erased."""
    with state.ledger.read() as reader:
        found: DecisionRecord | None = reader.decision(decision_id)
    if found is None or found.response is None:
        raise not_found("decision", "decision_id", decision_id)
    return found, msgspec.json.decode(found.response, type=Decision)


decisions_router = Router("/", route_handlers=[decide, decide_many, what_if, read_decision, read_explanation])
