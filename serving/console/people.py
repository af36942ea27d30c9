"""Customers to decide about: those of late, those of the examples folder, and whatever the form says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from retentionjax.bundle.customer import HISTORY, RECIPIENT
from retentionjax.data.schema import Schema
from serving.engine.situations import Basis
from serving.ledger import Reader
from serving.ledger.records import DecisionRecord
from serving.problems import Problem, field_error, invalid

FACT = "fact."
_RECENT = 40  # decisions looked through for the customers of late
_SHOWN = 8
_PLAIN = ("customer_id", "campaign_id", "channel", "time_zone", "region", "first_name", "tone")


@dataclass(frozen=True)
class Person:
    """What the form shows."""

    customer_id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    campaign_id: str = "default"
    channel: str = ""
    time_zone: str = ""
    region: str = ""
    first_name: str = ""
    tone: str = ""


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
    try:
        plain = json.loads(text)
        recipient = plain.pop(RECIPIENT, {})
        plain.pop(HISTORY, None)
        identity = str(plain.pop("customer_id", ""))
        about = {name: str(recipient.get(name) or "") for name in ("channel", "first_name", "tone")}
    except (ValueError, AttributeError, RecursionError):
        raise invalid("The customer is no JSON object.", field_error("paste", text, "a customer as JSON")) from None
    return Person(identity, plain, **about)


def of_form(form: Mapping[str, str], schema: Schema) -> Person:
    """What was filled in, empty fields as unknown; a pasted customer goes before the fields of the facts."""
    if form.get("paste", "").strip():
        pasted = of_file(form["paste"])
        plain = {name: form.get(name, "").strip() or getattr(pasted, name) for name in _PLAIN if name != "customer_id"}
        return Person(pasted.customer_id or form.get("customer_id", "").strip(), pasted.facts, **plain)
    facts = {name[len(FACT) :]: value.strip() for name, value in form.items() if name.startswith(FACT)}
    return Person(
        facts={name: _value(schema, name, text) for name, text in facts.items()},
        **{name: form.get(name, "").strip() for name in _PLAIN},
    )


def request_of(person: Person, **more: Any) -> bytes:
    """The body that the API would be sent for the person."""
    plain = {name: getattr(person, name) for name in _PLAIN}
    given = {name: value for name, value in plain.items() if value or name == "customer_id"}
    return msgspec.json.encode({**given, "facts": person.facts, **more})


def _value(schema: Schema, name: str, text: str) -> Any:
    if not text:
        return None
    if name in schema.categorical:
        return text
    try:
        return float(text)
    except ValueError:
        return text  # refused with the others, by name


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
