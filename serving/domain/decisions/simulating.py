"""What if: a decision about facts, a history and constants that need not be true, once or along one of them."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from retentionjax.bundle.customer import HISTORY
from retentionjax.decide import decision as deciding
from retentionjax.decide import history as histories
from retentionjax.env import record
from retentionjax.errors import ConfigError, DataError
from serving.domain.decisions.explaining import of_simulated
from serving.domain.decisions.refusals import problem_of
from serving.domain.decisions.schemas import HistoryIn, OverridesIn, Point, Simulated, SimulationIn, SimulationOut
from serving.engine.contract import Ask, Churn, Message, Offer, WrongFacts
from serving.engine.messages import Blocked
from serving.engine.slots import Served
from serving.problems import FieldError, Problem, field_error, invalid
from serving.side_work import Check

_VARIED = re.compile(r"(facts|history|overrides)\.(.+?)(?:\[(\d{1,3})\])?")
_HISTORY = ("day", "account_used", "baseline_churn_probability")
_OVERRIDES = ("price", "contact_cost", "account_cap", "cooldown_days", "fatigue_cap")


def simulate(asked: SimulationIn, served: Served, check: Check = lambda: None) -> SimulationOut:
    """Raises Problem 422 naming the field, and what `check` raises, which is asked before each value."""
    points = () if asked.vary is None else tuple(_point(asked, value, served, check) for value in asked.vary.values)
    return SimulationOut(served.id, served.synthetic, _simulated(asked, served, ""), points)


def _point(asked: SimulationIn, value: float | str, served: Served, check: Check) -> Point:
    check()
    return Point(value, _simulated(_varied(asked, value, served), served, "vary.values: "))


def _varied(asked: SimulationIn, value: float | str, served: Served) -> SimulationIn:
    """`asked` with one thing moved. Raises Problem 422."""
    name = "" if asked.vary is None else asked.vary.name
    found = _VARIED.fullmatch(name)
    part, key, place = found.groups() if found else ("", "", None)
    if part == "facts":
        return msgspec.structs.replace(asked, facts={**asked.facts, name.removeprefix("facts."): value})
    if part == "history" and key in _HISTORY and place is None:
        return msgspec.structs.replace(asked, history=_with(asked.history, HistoryIn, key, value))
    if part == "overrides" and key in _OVERRIDES and place is None:
        return msgspec.structs.replace(asked, overrides=_with(asked.overrides, OverridesIn, key, value))
    if part == "overrides" and key == "offers" and place is not None:
        offers: list[Any] = list(asked.overrides.offers or served.bundle.params.discount.tolist())
        if int(place) >= len(offers):
            raise invalid(
                "Nothing of this name can be varied.",
                field_error("vary.name", name, f"overrides.offers[0] to [{len(offers) - 1}]"),
            )
        offers[int(place)] = value  # checked by `_with`
        return msgspec.structs.replace(asked, overrides=_with(asked.overrides, OverridesIn, key, offers))
    allowed = ", ".join(
        ["facts.NAME", *(f"history.{each}" for each in _HISTORY), *(f"overrides.{each}" for each in _OVERRIDES)]
    )
    raise invalid(
        "Nothing of this name can be varied.", field_error("vary.name", name, f"{allowed}, overrides.offers[0]")
    )


def _with(plain: msgspec.Struct, kind: type, key: str, value: Any) -> Any:
    """A copy with one field changed, checked by its schema. Raises Problem 422."""
    try:
        return msgspec.convert({**msgspec.to_builtins(plain), key: value}, kind)
    except msgspec.ValidationError as error:
        raise invalid(
            "A value does not fit.", field_error("vary.values", value, str(error).partition(" - ")[0])
        ) from None


def _simulated(asked: SimulationIn, served: Served, where: str) -> Simulated:
    ask = Ask(asked.customer_id, asked.facts, channel=asked.channel, first_name=asked.first_name, tone=asked.tone)
    try:
        served.encode(ask)
    except WrongFacts as error:
        raise problem_of(error) from None
    bundle = served.bundle
    bundle = dataclasses.replace(bundle, params=_params(asked.overrides, bundle.params))
    try:
        history = histories.read(_history(asked.history), bundle.params, where=HISTORY)
    except DataError as error:
        raise _history_problem(str(error), where) from None
    facts = {**asked.facts, str(bundle.schema.id): asked.customer_id}
    found = deciding.decide_with(bundle, facts, history, price=asked.overrides.price)
    contact = found.contact
    return Simulated(
        decision="wait" if contact is None else "contact",
        action=found.action,
        offer=None if contact is None else Offer(contact[0], served.offer_days),
        delay_days=None if contact is None else contact[1],
        churn=Churn(found.risk.today, found.risk.baseline, "elevated" if found.risk.elevated else "calm"),
        monthly_charge=found.monthly_charge,
        explanation=of_simulated(found, bundle.params),
        message=None if contact is None else _message(ask, contact[0], served),
    )


def _params(overrides: OverridesIn, params: Any) -> Any:
    if overrides.offers is not None and len(overrides.offers) != len(params.discount):
        allowed = f"{len(params.discount)} discounts, one for each of the bundle's offers"
        raise invalid("There are other offers.", field_error("overrides.offers", overrides.offers, allowed))
    given = {name: value for name, value in msgspec.to_builtins(overrides).items() if name != "price"}
    given = {
        "discount" if name == "offers" else name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None
    }
    try:
        return record.from_dict(given, params)
    except ConfigError as error:
        raise invalid("A constant is out of range.", field_error("overrides", allowed=str(error))) from None


def _history(history: HistoryIn) -> Mapping[str, Any]:
    """As a customer's file has it."""
    plain = {name: value for name, value in msgspec.to_builtins(history).items() if value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def _history_problem(text: str, where: str) -> Problem:
    """`history, day: 99; allowed: …` names the key."""
    place, _, rest = text.removeprefix(f"{HISTORY}, ").partition(": ")
    value, _, allowed = rest.partition("; ")
    if place.split(".")[0] not in histories.KEYS:
        return invalid(f"{where}The history could not have happened.", field_error(HISTORY, allowed=text))
    field = FieldError(f"{HISTORY}.{place}", value, allowed or value)
    return invalid(f"{where}The history could not have happened.", field)


def _message(ask: Ask, discount: float, served: Served) -> Message | None:
    """The checked template, where the bundle writes messages."""
    if served.templates is None:
        return None
    try:
        return served.templates.write(served.templates.brief(ask, discount))
    except Blocked:
        return None
