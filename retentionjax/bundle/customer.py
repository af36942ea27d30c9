"""The facts of a customer that a bundle needs: those of the churn model and of the acceptance model, flat, by name.

In the manifest: `{"id": "customer_id", "charge": NAME, "fields": {NAME: {"type": "number" | "category" | "text",
"nullable": bool, "allowed": [categories only], "used_by": [models]}}}`.
"""

from collections.abc import Mapping
from typing import Any

from retentionjax.data.schema import Schema
from retentionjax.errors import BundleError, DataError

ID = "customer_id"
HISTORY = "history"
"""Key of a customer's file: what the ledger knows. No fact may have this name."""
RECIPIENT = "recipient"
"""Key of a customer's file: first name, channel and tone of a message, each optional. No fact may have this name."""


def describe(churn: Schema, acceptance: Schema) -> dict[str, Any]:
    """The manifest's `customer`: the union of both models' features, and the charge.

    Raises BundleError when the churn schema has no charge, when one name means two things, or is reserved.
    """
    if churn.charge is None:
        raise BundleError(f"the schema {churn.name!r} names no charge, and without it nothing has a value")
    fields: dict[str, Any] = {ID: {"type": "text", "nullable": False, "used_by": []}}
    for model, schema in (("churn", churn), ("acceptance", acceptance)):
        features = schema.features if schema is acceptance else tuple(dict.fromkeys((*schema.features, churn.charge)))
        for name in features:
            if name in (ID, HISTORY, RECIPIENT):
                raise BundleError(f"the schema {schema.name!r} has a feature {name!r}, a name that bundles reserve")
            fact = _fact(schema, name)
            known = fields.setdefault(name, {**fact, "used_by": []})
            if any(known.get(key) != value for key, value in fact.items()):
                raise BundleError(f"the feature {name!r} differs between the churn and the acceptance model")
            if name in schema.features:
                known["used_by"].append(model)
    return {"id": ID, "charge": churn.charge, "fields": fields}


def schema_of(customer: Mapping[str, Any], where: str) -> Schema:
    """The schema by which `decide.facts` checks a customer. Raises BundleError where `customer` is none."""
    try:
        fields, charge = customer["fields"], customer["charge"]
        features = {name: fact for name, fact in fields.items() if fact["used_by"]}
        numbers = [name for name, fact in features.items() if fact["type"] == "number"]
        categories = {name: tuple(fact["allowed"]) for name, fact in features.items() if fact["type"] == "category"}
        return Schema(
            name="customer",
            id=customer["id"],
            charge=charge,
            numeric=tuple(numbers),
            categorical=categories,
            nullable=tuple(name for name, fact in features.items() if fact["nullable"]),
        )
    except (KeyError, TypeError, AttributeError, DataError) as error:
        raise BundleError(f"{where}: customer is not the description of a customer: {error!r}") from None


def _fact(schema: Schema, name: str) -> dict[str, Any]:
    nullable = name in schema.nullable
    if name in schema.categorical:
        return {"type": "category", "nullable": nullable, "allowed": list(schema.categorical[name])}
    return {"type": "number", "nullable": nullable}
