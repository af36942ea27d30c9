"""A customer, the decision, why, and what if."""

import asyncio
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.response import Redirect

from retentionjax.bundle import Bundle
from retentionjax.company.money import money as in_words
from retentionjax.errors import BundleError
from retentionjax.shield.brief import CHANNELS, TONES
from serving.console import people
from serving.console.frame import (
    Http,
    currency_of,
    full_page,
    is_part,
    looked_at,
    number,
    page,
    percent,
    read_form,
    signed_in,
    words,
)
from serving.console.people import Person
from serving.domain.decisions.controllers import ask_of, recorded
from serving.domain.decisions.explaining import explained
from serving.domain.decisions.explaining import simulate as simulated
from serving.domain.decisions.schemas import DecisionIn, ExplanationOut, SimulationIn
from serving.engine.contract import Ask, Decision, EngineError, Mark
from serving.express import decode
from serving.fields import IN_WORDS, NAME_PATTERN, UUID_PATTERN
from serving.ledger import LedgerUnavailable
from serving.ledger.records import CustomerLedger, DecisionRecord
from serving.ledger.types import Consent
from serving.problems import field_error, invalid, problem_of
from serving.security.gate import Caller

_FACTS = 3  # of the facts that move the risk most


@dataclass(frozen=True)
class Slider:
    """One thing that can be moved."""

    name: str
    """Name of the form's field."""
    label: str
    value: float
    low: float
    high: float
    step: float
    hint: str = ""


def sliders(
    bundle: Bundle, facts: Mapping[str, Any], strongest: Sequence[str], decision: Decision, multiplier: float
) -> list[Slider]:
    """The charge, the numeric facts that move the risk most, then the ledger's and the campaign's part."""
    schema = bundle.schema
    numbers = [str(schema.charge), *(name for name in strongest if name in schema.numeric and name != schema.charge)]
    found = [_fact(name, float(facts[name])) for name in numbers if isinstance(facts.get(name), int | float)]
    usual = decision.churn.baseline if decision.churn else 0.2
    horizon = int(bundle.params.horizon_days) - 1
    return [
        *found[:_FACTS],
        Slider(
            "history.baseline_churn_probability", "Usual risk", round(usual, 3), 0.001, 0.999, 0.001,
            "If today's risk is far above it, something has happened",
        ),
        Slider("history.day", "Days into the campaign", min(decision.day, horizon), 0, horizon, 1, "0: its first day"),
        Slider("overrides.multiplier", "Multiplier", round(multiplier, 2), 0, 5, 0.05, "Changes an offer's net worth"),
    ]  # fmt: skip


def _fact(name: str, value: float) -> Slider:
    """Slider from zero to twice the value; around it where it is negative."""
    span = max(abs(value), 1.0)
    step = 10.0 ** (len(str(int(span))) - 3)
    low = 0.0 if value >= 0 else value - span
    return Slider(f"fact.{name}", name, value, low, round(value + span, 2), min(1.0, max(step, 0.01)))


@get("/decide", guards=[signed_in("decide", "report")])
async def show_decide(request: Http) -> Response[Any]:
    """The form, for `?decision=` with its result, for `?example=` filled in; who may only read is shown no form, and
    without a decision to read the customers there are."""
    state, query = request.app.state, request.query_params
    decision_id, example = query.get("decision"), query.get("example")
    if decision_id is not None and not re.search(UUID_PATTERN, decision_id):
        raise invalid("This is not the id of a decision.", field_error("decision", decision_id, "a UUID"))
    if decision_id is None and not request.auth.may_decide:
        return Redirect("/console/customers", status_code=303)
    person, shown = Person(), dict[str, Any]()
    if decision_id is not None:
        person, decision, row = await asyncio.to_thread(_recorded, state, decision_id)
        shown = await _shown(request, decision, person, row)
    elif example is not None:
        person = await asyncio.to_thread(people.example, state.settings.console_examples, example)
    return await _page(request, person, shown)


@post("/decide", guards=[signed_in("decide")], status_code=200)
async def decide(request: Http) -> Response[Any]:
    """Decides and records; `try` decides as if. Sent again, the same form gets the same answer."""
    state, form = request.app.state, await read_form(request)
    person = people.of_form(form, state.engine.active.bundle.schema)
    dry_run = form.get("how") == "try"
    if (once := form.get("once", "")) and not re.search(UUID_PATTERN, once):
        raise invalid("The form is not as this page sends it.", field_error("once", once, IN_WORDS[UUID_PATTERN]))
    ask = _ask(person, dry_run=dry_run, idempotency=(request.auth.caller.key_id, once))
    try:
        given = await state.engine.decide(ask)
    except (EngineError, LedgerUnavailable) as error:
        raise problem_of(error) from None
    if not dry_run and not is_part(request):
        return Redirect(f"/console/decide?decision={given.decision_id}", status_code=303)
    row: Any = given.row
    if row is None:
        _, _, row = await asyncio.to_thread(_recorded, state, given.decision_id)
    shown = await _shown(request, msgspec.json.decode(given.body, type=Decision), person, row)
    if not is_part(request):
        return await _page(request, person, shown)
    part = page("result.html", currency=currency_of(request), session=request.auth, **shown)
    if not dry_run:
        part.headers["HX-Push-Url"] = f"/console/decide?decision={given.decision_id}"
    return part


@post("/simulate", guards=[signed_in("decide", "report")], status_code=200)
async def simulate(request: Http) -> Response[Any]:
    """What if: the sliders' values instead of the facts'."""
    state, form = request.app.state, await read_form(request)
    served = state.engine.active
    person = people.of_form(form, served.bundle.schema)
    usual = number(form, "history.baseline_churn_probability")
    day = number(form, "history.day", whole=True)
    body = {
        "customer_id": person.customer_id,
        "facts": person.facts,
        "history": {"baseline_churn_probability": usual, "day": None if day is None else int(day)},
        "overrides": {"multiplier": number(form, "overrides.multiplier")},
    }
    plain = {name: _without_none(value) if name != "facts" else value for name, value in body.items()}
    asked = decode(msgspec.json.encode(plain), SimulationIn)
    found = await state.side_work.run(request.auth.caller, lambda check: simulated(asked, served, check))
    values: dict[str, Any] = {"what_if": found.result, "actions": _likely(found.result.explanation)}
    if is_part(request):
        return page("what_if.html", currency=currency_of(request), **values)
    return await full_page(request, "what_if_page.html", title="What if", **values)


@post("/consent", guards=[signed_in("decide")], status_code=200)
async def record_consent(request: Http) -> Response[Any]:
    """Records that a customer agreed, as told by whoever is signed in; the form stays filled in."""
    fields = await read_form(request)
    customer, channel = fields.get("customer_id", ""), fields.get("channel", "")
    if not re.search(NAME_PATTERN, customer):
        raise invalid("The id has a wrong form.", field_error("Customer id", customer, IN_WORDS[NAME_PATTERN]))
    if channel not in CHANNELS:
        raise invalid("The channel is unknown.", field_error("channel", channel, ", ".join(CHANNELS)))
    person = people.of_request(fields["person"]) if fields.get("person") else Person(customer)
    await asyncio.to_thread(_grant, request.app.state.ledger, customer, channel, request.auth.caller)
    done = f"Consent of {customer} for {words(channel)} is recorded. Decide again."
    return await _page(request, person, {}, done=done)


def _grant(ledger: Any, customer: str, channel: str, caller: Caller) -> None:
    with ledger.transaction() as tx:
        before = {each.channel: each.status for each in tx.consent(customer)}.get(channel, "unknown")
        tx.set_consent(customer, channel, "granted", source=f"console, by {caller.name}")
        tx.changed(str(caller), f"consent of {customer}", f"{channel} granted", f"{channel} {before}")


async def _page(request: Http, person: Person, shown: dict[str, Any], **more: Any) -> Response[str]:
    state = request.app.state
    served = state.engine.active
    recent, campaigns = await asyncio.to_thread(
        state.ledger.ask, lambda reader: (people.recent(reader), reader.campaign_ids(20))
    )
    return await full_page(
        request,
        "decide.html",
        title="Decide",
        fields=people.fields(served.bundle.schema, person),
        recent=recent,
        campaigns=campaigns or ["default"],
        campaign=_campaign(request, person, campaigns),
        examples=await asyncio.to_thread(people.examples, state.settings.console_examples),
        channels=CHANNELS,
        tones=TONES,
        once=str(uuid.uuid4()),
        shown=bool(shown),
        **{"decision": None, **shown, "person": person, **more},
    )


def _campaign(request: Http, person: Person, names: Sequence[str]) -> str:
    """The campaign that the form is filled in with: what was said, what was looked at last, else the first there is."""
    wanted = (person.campaign_id, looked_at(request), "default", *names[:1])
    return next((each for each in wanted if each and each in names), "default")


def _recorded(state: Any, decision_id: str) -> tuple[Person, Decision, DecisionRecord]:
    """A decision of the ledger. Raises Problem 404."""
    found, decision = recorded(state, decision_id)
    return state.ledger.ask(lambda reader: people.of_decision(reader, found)), decision, found


def _known(ledger: Any, decision: Decision) -> tuple[str, Consent | None]:
    """The customer's time zone, empty where nobody said, and what she said of being contacted by the channel."""
    found: CustomerLedger | None = ledger.ask(lambda reader: reader.customer_ledger(decision.customer_id))
    if found is None:
        return "", None
    return found.time_zone or "", next((each for each in found.consent if each.channel == decision.channel), None)


async def _shown(request: Http, decision: Decision, person: Person, row: Any) -> dict[str, Any]:
    """What the result's template wants; `row` has propensities, basis and bundle_id."""
    state, explanation = request.app.state, None
    if row.propensities is not None and row.basis is not None:
        explanation = await explained(state, request.auth.caller, decision, row)
    message, bundle = decision.message, state.engine.active.bundle
    reasons = [each.field for each in explanation.reasons] if explanation else []
    zone, consent = await asyncio.to_thread(_known, state.ledger, decision)
    has_consent = consent is not None and consent.status == "granted"  # by now
    return {
        "decision": decision,
        "person": person,
        "explanation": explanation,
        "actions": _likely(explanation) if explanation else (),
        "segments": marked(message.text, message.warnings) if message else (),
        "sliders": sliders(bundle, person.facts, reasons, decision, state.engine.price),
        "zone": person.time_zone or zone,
        "consent": consent,
        "consent_missing": not has_consent and any(each.rule == "consent" for each in decision.rules),
        "waiting": waiting(decision, explanation, currency_of(request)) if decision.decision == "wait" else "",
        "unusual": await asyncio.to_thread(unusual, bundle, person.facts),
    }


def waiting(decision: Decision, why: ExplanationOut | None, currency: str) -> str:
    """Why nobody is contacted, in a sentence."""
    if why is None:
        return "The record of what decided it has been deleted."
    forbidden = [each for each in why.constraints if len(each.actions) == len(why.actions) - 1]
    if forbidden:
        return f"No contact is possible today: {forbidden[0].why.removeprefix('no contact: ')}."
    certain = decision.propensity > _CERTAIN
    drawn = "The policy waits"
    if not certain:
        drawn += f" here with a chance of {percent(decision.propensity)}, and that was drawn"
    legal = [each for each in why.offers if each.is_legal]
    if not legal:
        return f"{drawn}."
    best = max(legal, key=lambda each: each.net)
    gain, cost, net = (in_words(value, currency, cents=True) for value in (best.gain, best.cost, abs(best.net)))
    worth = (
        f"a contact today ({best.words}) would bring {gain} and cost {cost}, and a unit of budget brings "
        f"{why.multiplier or 0.0:.2f} elsewhere"
    )
    if best.net <= 0:
        return f"{drawn}: {worth}, so it would lose {net}."
    return f"{drawn}, though {worth}, so it would gain {net}: a later day, or other customers, promise more."


_CERTAIN = 0.9995
"""Chance from which on a page says 100.0 %."""


def unusual(bundle: Bundle, facts: Mapping[str, Any]) -> list[str]:
    """A sentence for each number that lies outside of what the models saw in training, as far as the bundle knows."""
    from retentionjax.bundle import drift  # loads scipy, which nothing else here needs

    try:
        references = drift.read(bundle)
    except BundleError:
        return []
    found = {}
    for model, reference in references.items():
        for name, column in reference.columns.items():
            value = facts.get(name)
            if column.edges and isinstance(value, int | float) and not column.edges[0] <= value < column.edges[-1]:
                low, high = (f"{round(edge, 2) + 0.0:.10g}" for edge in (column.edges[0], column.edges[-1]))
                found[name] = f"{name} is {value:.10g}; the model of {model} has only seen {low} to {high}."
    return list(found.values())


def marked(text: str, marks: Sequence[Mark]) -> list[tuple[str, Mark | None]]:
    """The text in pieces, each with the mark that covers it; marks that overlap an earlier one are left out."""
    pieces, place = [], 0
    for mark in sorted(marks, key=lambda each: each.start):
        if mark.start < place or mark.end <= mark.start:
            continue
        pieces += [(text[place : mark.start], None), (text[mark.start : mark.end], mark)]
        place = mark.end
    return [piece for piece in [*pieces, (text[place:], None)] if piece[0]]


def _likely(why: ExplanationOut) -> list[Any]:
    """Actions, the likeliest first; those that no rule forbids before the others."""
    return sorted(why.actions, key=lambda each: (bool(each.removed_by), -each.propensity, each.action))


def _ask(person: Person, *, dry_run: bool, idempotency: tuple[str, str]) -> Ask:
    """Asks as if it came by the API. Raises Problem 422 where a field does not fit."""
    key_id, once = idempotency
    data = decode(people.request_of(person, dry_run=dry_run), DecisionIn)
    return ask_of(data, key_id, f"console:{once}" if once else None)


def _without_none(value: Any) -> Any:
    return {name: each for name, each in value.items() if each is not None} if isinstance(value, dict) else value
