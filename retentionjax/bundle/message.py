"""What a message to a customer is to say, by the `messages` of the bundle's company.

A rule of its `facts` gives a fact that a message may use (`shield.brief.FACTS`): the words `say` where every field of
`when` has one of the values named, the number of months in a field, in words, or a field's value as it is. The first
that fits wins.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from retentionjax.bundle.customer import RECIPIENT
from retentionjax.company.messages import FactRule, Messages
from retentionjax.data.messages.customers import tenure
from retentionjax.data.schema import Schema
from retentionjax.errors import BundleError, DataError
from retentionjax.shield import OfferTerms
from retentionjax.shield.brief import CHANNELS, TONES, Brief
from retentionjax.shield.lexicon import Language

_RECIPIENT_KEYS = ("first_name", "channel", "tone")


def brief(
    messages: Messages, facts: Mapping[str, object], recipient: object, offer: OfferTerms, *, where: str = "customer"
) -> Brief:
    """What a message to this customer is to say: `facts` under the bundle's names, `recipient` as in the file.

    Raises DataError naming `where`, key, value and what is allowed.
    """
    given = _recipient(recipient, f"{where}, {RECIPIENT}")
    return Brief(
        channel=given.get("channel", messages.channel),
        offer=offer,
        sender=messages.signed,
        tone=given.get("tone", messages.tone),
        language=messages.language,
        first_name=given.get("first_name"),
        facts=facts_of(messages, facts),
    )


def facts_of(messages: Messages, facts: Mapping[str, object]) -> dict[str, str]:
    """What messages may say of the customer with `facts`: fact → its words."""
    found: dict[str, str] = {}
    for rule in messages.facts:
        if rule.fact not in found and (words := _words(rule, facts, messages.language)) is not None:
            found[rule.fact] = words
    return found


def check_fields(messages: Messages, schema: Schema, where: str) -> None:
    """Raises BundleError without a sender, and where a rule names a field or a value that `schema` lacks."""
    if messages.sender is None:
        raise BundleError(f"{where}: sender is missing, and without one no messages are written")
    for angle, fields in messages.angles.items():
        if unknown_field := [name for name in fields if name not in (*schema.numeric, *schema.categorical)]:
            allowed = ", ".join((*schema.numeric, *schema.categorical))
            raise BundleError(f"{where}: angles, {angle}: {unknown_field[0]!r} is no feature; allowed: {allowed}")
    for rule in messages.facts:
        if rule.months is not None and rule.months not in schema.numeric:
            allowed = ", ".join(schema.numeric)
            raise BundleError(f"{where}: facts, {rule.fact}: months is {rule.months!r}; allowed: {allowed}")
        if rule.column is not None and rule.column not in schema.categorical:
            allowed = ", ".join(schema.categorical)
            raise BundleError(f"{where}: facts, {rule.fact}: column is {rule.column!r}; allowed: {allowed}")
        for name, values in rule.when.items():
            allowed_values = schema.categorical.get(name)
            if allowed_values is None:
                known = ", ".join(schema.categorical)
                raise BundleError(f"{where}: facts, {rule.fact}: when names {name!r}; allowed: {known}")
            if unknown := [value for value in values if value not in allowed_values]:
                known = ", ".join(allowed_values)
                raise BundleError(f"{where}: facts, {rule.fact}: {name} is never {unknown[0]!r}; allowed: {known}")


def _words(rule: FactRule, facts: Mapping[str, object], language: Language) -> str | None:
    """The fact of the customer with `facts`, None where the rule does not fit."""
    if any(facts.get(name) not in values for name, values in rule.when.items()):
        return None
    if rule.column is not None:
        said = facts.get(rule.column)
        return said if isinstance(said, str) else None
    if rule.months is None:
        return rule.say
    value = facts.get(rule.months)
    return tenure(float(value), language) if isinstance(value, int | float) else None


def _recipient(value: object, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: {value!r}; an object with some of {', '.join(_RECIPIENT_KEYS)} is wanted")
    allowed: Mapping[str, Sequence[str]] = {"channel": CHANNELS, "tone": TONES}
    for key, each in value.items():
        if key not in _RECIPIENT_KEYS:
            raise DataError(f"{where}: unknown key {key!r}; allowed: {', '.join(_RECIPIENT_KEYS)}")
        if key in allowed and each not in allowed[key]:
            raise DataError(f"{where}, {key}: {each!r}; allowed: {', '.join(allowed[key])}")
        if key == "first_name" and not (each is None or isinstance(each, str)):
            raise DataError(f"{where}, first_name: {each!r}; text is wanted")
    return dict(value)
