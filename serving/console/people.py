"""Customers: those to decide about, of late, of the examples folder or by the form; and one to look up."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from litestar import Response, get

from retentionjax.bundle.customer import HISTORY, RECIPIENT
from retentionjax.data.schema import Schema
from serving.console.frame import Http, full_page, number, parsed, signed_in
from serving.domain.decisions.schemas import DecisionIn
from serving.engine.situations import Basis
from serving.express import decode
from serving.ledger import Reader
from serving.ledger.records import DecisionRecord
from serving.problems import Problem, field_error, invalid

FACT = "fact."
_USUAL = "baseline_churn_probability"
_RECENT = 40  # decisions looked through for the customers of late
_SHOWN = 8
_LISTED = 200  # decisions about one customer
_ID = "customer_id"
_PLAIN = (_ID, "campaign_id", "channel", "time_zone", "region", "first_name", "tone")


@dataclass(frozen=True)
class Person:
    """What the form shows."""

    customer_id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    campaign_id: str = ""
    """Empty: not said."""
    channel: str = ""
    time_zone: str = ""
    region: str = ""
    first_name: str = ""
    tone: str = ""
    baseline_churn_probability: float | None = None
    """The usual risk, which counts only where the ledger has no score of hers."""
    left_out: tuple[str, ...] = ()
    """What a file said of her history that only the ledger is asked."""

    @property
    def request(self) -> str:
        """All of it in one field of a form; see `of_request`."""
        return request_of(self).decode()


@dataclass(frozen=True)
class Field:
    """One fact in the form."""

    name: str
    value: str
    allowed: tuple[str, ...]
    """Categories; empty for a number."""
    nullable: bool


def fields(schema: Schema, person: Person) -> list[Field]:
    """The facts that the bundle wants, in its order."""
    charge = [schema.charge] if schema.charge and schema.charge not in schema.features else []
    return [
        Field(name, _text(person.facts.get(name)), schema.categorical.get(name, ()), name in schema.nullable)
        for name in (*charge, *schema.features)
    ]


def recent(reader: Reader) -> list[tuple[str, str]]:
    """(customer, latest decision) of late, each customer once."""
    latest: dict[str, str] = {}
    for each in reader.recent(_RECENT):
        latest.setdefault(each.customer_id, each.decision_id)
    return list(latest.items())[:_SHOWN]


@get("/customers", guards=[signed_in("report")])
async def show_customers(request: Http) -> Response[str]:
    """What was decided about one customer, `?customer=`, and what came of it; a form to look for her."""
    wanted = request.query_params.get("customer", "").strip()

    def look(reader: Reader) -> dict[str, Any]:
        found = reader.customer_ledger(wanted) if wanted else None
        decisions = reader.decisions_of(wanted, _LISTED) if found else []
        return {"recent": recent(reader), "found": found, "decisions": decisions}

    values = await asyncio.to_thread(request.app.state.ledger.ask, look)
    status = 404 if wanted and values["found"] is None else 200
    return await full_page(request, "customers.html", title="Customers", status=status, wanted=wanted, **values)


def of_decision(reader: Reader, found: DecisionRecord) -> Person:
    """The person that a decision was about, as she was then; blank if that is gone."""
    if found.basis is None:
        return Person()
    ledger = reader.customer_ledger(found.customer_id)
    zone, region = (ledger.time_zone or "", ledger.region or "") if ledger else ("", "")
    facts = msgspec.json.decode(found.basis, type=Basis).facts
    return Person(found.customer_id, facts, found.campaign_id, found.channel, zone, region)


def examples(folder: str) -> list[str]:
    """Names of the example customers."""
    return sorted(path.stem for path in Path(folder).glob("*.json"))[:_SHOWN] if folder else []


def example(folder: str, name: str) -> Person:
    """One of them. Raises Problem 404."""
    if name not in examples(folder):
        raise Problem(404, "not-found", "Not found", "There is no such example.", [field_error("example", name)])
    return of_file((Path(folder) / f"{name}.json").read_text(encoding="utf-8"))


def of_file(text: str) -> Person:
    """A customer as `retentionjax decide` reads it; the ledger knows her history better. Raises Problem 422."""
    plain = _object("paste", decode(text.encode(errors="replace"), Any))
    recipient, history = (_object(name, plain.pop(name, None) or {}) for name in (RECIPIENT, HISTORY))
    about: dict[str, Any] = {name: str(recipient.get(name) or "") for name in ("channel", "first_name", "tone")}
    usual, identity = history.pop(_USUAL, None), str(plain.pop("customer_id", ""))
    if usual is not None and not isinstance(usual, int | float):
        raise invalid("The usual risk is no number.", field_error(f"{HISTORY}.{_USUAL}", usual, "a number from 0 to 1"))
    left_out = tuple(name for name, value in history.items() if value not in (0, [], None))
    return Person(identity, plain, **about, baseline_churn_probability=usual, left_out=left_out)


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid("This is no JSON object.", field_error(name, value, 'an object, as {"customer_id": "C-1", …}'))
    return value


def of_request(text: str) -> Person:
    """What `Person.request` was made from. Raises Problem for anything else."""
    given = decode(text.encode(errors="replace"), DecisionIn)
    usual = given.baseline_churn_probability
    plain: dict[str, Any] = {name: getattr(given, name) or "" for name in _PLAIN}
    return Person(facts=given.facts, **plain, baseline_churn_probability=usual)


def of_form(form: Mapping[str, str], schema: Schema) -> Person:
    """What was filled in, empty fields as unknown; a pasted customer goes before the fields of the facts."""
    percent = number(form, "usual_risk")
    usual = None if percent is None else round(percent / 100, 12)
    if usual is not None and not 0 < usual < 1:
        raise invalid("A risk is out of range.", field_error("Usual risk", percent, "above 0, below 100 %"))
    said: dict[str, Any] = {name: form.get(name, "").strip() for name in _PLAIN}
    if form.get("paste", "").strip():
        pasted = of_file(form["paste"])
        more = {name: value for name, value in said.items() if value and not (name == _ID and pasted.customer_id)}
        if usual is not None:
            more[_USUAL] = usual
        return replace(pasted, **more)
    facts = {name[len(FACT) :]: value.strip() for name, value in form.items() if name.startswith(FACT)}
    typed = {name: _value(schema, name, text) for name, text in facts.items()}
    return Person(facts=typed, **said, baseline_churn_probability=usual)


def request_of(person: Person, **more: Any) -> bytes:
    """The body that the API would be sent for the person."""
    plain = {name: getattr(person, name) for name in _PLAIN}
    given = {name: value for name, value in plain.items() if value or name == "customer_id"}
    if person.baseline_churn_probability is not None:
        given[_USUAL] = person.baseline_churn_probability
    return msgspec.json.encode({**given, "facts": person.facts, **more})


def _value(schema: Schema, name: str, text: str) -> Any:
    if not text:
        return None
    if name in schema.categorical:
        return text
    value = parsed(text)
    return text if value is None else value  # refused with the others, by name


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
