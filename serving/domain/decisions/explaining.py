"""Why a decision is what it is, from its record, and from the bundle that made it where that still serves; and what if:
a decision about facts, a history and constants that need not be true, once or along one of them.
"""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import structlog

from retentionjax.bundle import Bundle
from retentionjax.bundle.customer import HISTORY
from retentionjax.bundle.program import VALUES
from retentionjax.decide import customer
from retentionjax.decide.decision import Decision as Reasoned
from retentionjax.decide.decision import decide_with
from retentionjax.decide.explain import action_chances
from retentionjax.env import record
from retentionjax.errors import DataError, RetentionJaxError
from serving.domain.decisions.schemas import (
    ConstraintOut,
    ExpectedOut,
    ExplanationOut,
    HistoryIn,
    OfferIn,
    OverridesIn,
    PacingOut,
    Simulated,
    SimulatedPoint,
    SimulationIn,
    SimulationOut,
)
from serving.engine.contract import Ask, Churn, Decision, FactValue, Message, WrongFacts
from serving.engine.messages import Blocked, Templates
from serving.engine.situations import Basis, encode
from serving.engine.slots import Choices, Served, settle
from serving.problems import Problem, allowed_by, field_error, invalid, problem_of
from serving.security.gate import Caller
from serving.side_work import Check

NOT_SERVING, NO_TIME = "bundle_not_serving", "no_time"
_WHY = {
    "campaign_budget": "the campaign's money does not cover them in full",
    "campaign_end": "they would be sent after the campaign's last day",
    "holdout": "the campaign never contacts this customer, so that its effect can be measured",
    "pilot": "the customer takes part in a pilot, which makes no other contact than the one she was drawn to",
    "consent": "the customer has not agreed to be contacted by this channel",
    "churned": "the customer has left",
    "contact_frequency": "the shield's rules allow no more contacts so soon",
    "one_contact_a_day": "there was a contact today",
    "paused": "the campaign is paused",
    "kill_switch": "an administrator has stopped all contacts",
    "no_shield": "the bundle has no rules to check a message by",
    "message": "no text for this customer passes the shield",
    "scoring_failed": "the models failed",
    "account_cap": "what is left of the customer's account does not cover them in full",
}


async def explained(state: Any, caller: Caller, decision: Decision, row: Any) -> ExplanationOut:
    """What `explain` says of a decision just made, whose `row` was recorded.

    Where there is no room or time for it, it says what the record tells: the decision is made and is not held back.
    """
    served = state.engine.served(row.bundle_id)
    try:
        return await state.side_work.run(caller, lambda _: explain(decision, row.propensities, row.basis, served))
    except Problem:
        return explain(decision, row.propensities, row.basis, served, in_time=False)


def explain(
    decision: Decision, propensities: bytes, basis: bytes, served: Served | None, *, in_time: bool = True
) -> ExplanationOut:
    """Explains a decision from `propensities` f32[actions] and `basis` as recorded, and from the bundle that decided.

    What was recorded stands. What each offer is worth and which facts matter is computed again by the same program,
    unless there is no time (`in_time`) or the bundle no longer serves (`served` is None).
    """
    made_from = msgspec.json.decode(basis, type=Basis)
    again = None if served is None or not in_time else of_simulated(_again(decision, made_from, served))
    why = {} if again is None else {each.rule: each.why for each in again.constraints}
    removed = {each.rule: each.actions for each in decision.rules}
    chances = action_chances(np.frombuffer(propensities, "<f4"), removed, None if served is None else served.bundle)
    by_policy = made_from.values and made_from.switch == "policy"
    return ExplanationOut(
        actions=msgspec.convert(chances, ExplanationOut.__annotations__["actions"], from_attributes=True),
        constraints=tuple(ConstraintOut(rule, gone, _words(rule, why)) for rule, gone in removed.items()),
        expected=ExpectedOut(**dict(zip(VALUES, made_from.values, strict=True))) if by_policy else None,
        offers=() if again is None else again.offers,
        never_contact_value=None if again is None else again.never_contact_value,
        multiplier=made_from.price if again is None else again.multiplier,
        reasons=() if again is None else again.reasons,
        pacing=PacingOut(made_from.throttle, made_from.price, made_from.exploration, made_from.switch),
        incomplete=(NOT_SERVING,) if served is None else () if in_time else (NO_TIME,),
    )


def of_simulated(reasoned: Reasoned) -> ExplanationOut:
    """Explanation of a decision that nobody made."""
    return msgspec.convert(reasoned.explanation, ExplanationOut, from_attributes=True)


def _again(decision: Decision, basis: Basis, served: Served) -> Reasoned:
    facts = {**basis.facts, str(served.bundle.schema.id): decision.customer_id}
    return decide_with(served.decider, facts, basis.customer, multiplier=basis.price, campaign_id=decision.campaign_id)


def _words(rule: str, why: Mapping[str, str]) -> str:
    return why.get(rule) or _WHY.get(rule) or f"by the rule {rule}"


_HISTORY = ("day", "account_used", "baseline_churn_probability")
_OVERRIDES = ("multiplier", "contact_cost", "account_cap", "cooldown_days", "fatigue_cap")
_OFFER = tuple(OfferIn.__struct_fields__)


def simulate(asked: SimulationIn, served: Served, check: Check = lambda: None) -> SimulationOut:
    """Raises Problem 422 naming the field, and what `check` raises, which is asked before each value."""
    points = () if asked.vary is None else tuple(_point(asked, value, served, check) for value in asked.vary.values)
    return SimulationOut(served.id, served.synthetic, _simulated(asked, served, ""), points)


def _point(asked: SimulationIn, value: float | str, served: Served, check: Check) -> SimulatedPoint:
    check()
    return SimulatedPoint(value, _simulated(_varied(asked, value, served), served, "vary.values: "))


def _varied(asked: SimulationIn, value: float | str, served: Served) -> SimulationIn:
    """`asked` with one thing moved. Raises Problem 422."""
    name = "" if asked.vary is None else asked.vary.name
    part, _, key = name.partition(".")
    offer, _, figure = key.removeprefix("offers.").rpartition(".")
    if part == "facts" and key:
        return msgspec.structs.replace(asked, facts={**asked.facts, key: value})
    if part == "history" and key in _HISTORY:
        return msgspec.structs.replace(asked, history=_with(asked.history, HistoryIn, key, value))
    if part == "overrides" and key in _OVERRIDES:
        return msgspec.structs.replace(asked, overrides=_with(asked.overrides, OverridesIn, key, value))
    if part == "overrides" and key.startswith("offers.") and offer in served.bundle.offers and figure in _OFFER:
        before = asked.overrides.offers or {}
        offers = {**before, offer: _with(before.get(offer, OfferIn()), OfferIn, figure, value)}
        return msgspec.structs.replace(asked, overrides=msgspec.structs.replace(asked.overrides, offers=offers))
    allowed = ["facts.NAME", *(f"history.{each}" for each in _HISTORY), *(f"overrides.{each}" for each in _OVERRIDES)]
    allowed += [f"overrides.offers.NAME.{each}" for each in _OFFER]
    raise invalid("Nothing of this name can be varied.", field_error("vary.name", name, ", ".join(allowed)))


def _with(plain: msgspec.Struct, kind: type, key: str, value: Any) -> Any:
    """A copy with one field changed, checked by its schema. Raises Problem 422."""
    try:
        return msgspec.convert({**msgspec.to_builtins(plain), key: value}, kind)
    except msgspec.ValidationError as error:
        allowed = allowed_by(str(error).partition(" - ")[0])
        raise invalid("A value does not fit.", field_error("vary.values", value, allowed)) from None


def _simulated(asked: SimulationIn, served: Served, where: str) -> Simulated:
    ask = Ask(asked.customer_id, asked.facts, channel=asked.channel, first_name=asked.first_name, tone=asked.tone)
    try:
        encode(served, ask)
    except WrongFacts as error:
        raise problem_of(error) from None
    bundle = _bundle(asked.overrides, served.bundle)
    try:
        known = customer.read(_history(asked.history), bundle.params, tuple(bundle.offers), where=HISTORY)
    except DataError as error:
        raise _history_problem(str(error), where, asked.history) from None
    facts = {**asked.facts, str(bundle.schema.id): asked.customer_id}
    found = decide_with(served.decider, facts, known, multiplier=asked.overrides.multiplier, bundle=bundle)
    return Simulated(
        decision="wait" if found.offer is None else "contact",
        action=found.action,
        offer=None if found.offer is None else Choices(bundle).offers[found.offer],
        delay_days=found.delay_days,
        churn=Churn(found.risk.today, found.risk.usual, "elevated" if found.risk.elevated else "calm"),
        monthly_charge=found.monthly_charge,
        explanation=of_simulated(found),
        message=None if found.offer is None else _message(ask, found.offer, bundle),
    )


def _bundle(overrides: OverridesIn, bundle: Bundle) -> Bundle:
    """The bundle with other constants. Raises Problem 422."""
    given = {name: value for name, value in msgspec.to_builtins(overrides).items() if value is not None}
    figures = given.pop("offers", {})
    given.pop("multiplier", None)
    if stray := [name for name in figures if name not in bundle.offers]:
        raise invalid(
            "There is no such offer.", field_error(f"overrides.offers.{stray[0]}", stray[0], ", ".join(bundle.offers))
        )
    try:
        offers = {name: dataclasses.replace(offer, **figures.get(name, {})) for name, offer in bundle.offers.items()}
        for name in _OFFER:
            given[name] = [float(getattr(offer, name)) for offer in offers.values()]
        params = record.from_dict(given, bundle.params)
    except RetentionJaxError as error:
        raise invalid("A constant is out of range.", field_error("overrides", allowed=str(error))) from None
    return dataclasses.replace(bundle, params=params, company=dataclasses.replace(bundle.company, offers=offers))


def _history(history: HistoryIn) -> Mapping[str, Any]:
    """History as a customer's file has it."""
    plain = {name: value for name, value in msgspec.to_builtins(history).items() if value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def _history_problem(text: str, where: str, history: HistoryIn) -> Problem:
    """`history, day: 99; allowed: …` names the key; what does not go together names what is wrong with it instead."""
    place, _, rest = text.removeprefix(f"{HISTORY}, ").partition(": ")
    said, _, allowed = rest.partition("; allowed: ")
    if place.split(".")[0] in customer.KEYS:
        field = field_error(f"{HISTORY}.{place}", _at(history, place), allowed or said)
    else:
        field = field_error(HISTORY, _history(history), text.removeprefix(f"{HISTORY}: "))
    return invalid(f"{where}The history could not have happened.", field)


def _at(history: HistoryIn, place: str) -> Any:
    """The value at `place`, as in `pending.days`; None where there is none."""
    value: Any = history
    for name in place.split("."):
        value = getattr(value, name, None)
    return value


def _message(ask: Ask, offer: int, bundle: Bundle) -> Message | None:
    """The checked template, where the bundle writes messages."""
    if bundle.message is None or bundle.rules is None:
        return None
    templates = Templates(bundle)
    try:
        return templates.write(templates.brief(ask, offer))
    except Blocked:
        return None


_log = structlog.get_logger("serving.decisions")


def warm(served: Served) -> None:
    """Simulates one made-up customer, so that what explains her is compiled."""
    schema, started = served.bundle.schema, time.perf_counter()
    names = dict.fromkeys((*schema.features, str(schema.charge)))
    facts: dict[str, FactValue] = {
        name: schema.categorical[name][0] if name in schema.categorical else 1 for name in names
    }
    simulate(SimulationIn(facts), served)
    settle()
    _log.info("explanations are compiled", seconds=round(time.perf_counter() - started, 1))
