"""`shield/message.json`: on whose behalf messages are written, and what of a customer's facts they may say.

    {"sender": {"name", "postal_address", "domains": [...], "unsubscribe_url"}, "channel": "sms", "tone": "warm",
     "facts": [{"fact": "plan", "when": {"InternetService": ["DSL"]}, "say": "DSL internet"},
               {"fact": "tenure", "months": "tenure"}]}

A rule of `facts` gives a fact that a message may use (`shield.brief.FACTS`): the words `say` where every field of
`when` has one of the values named, or the number of months in a field, in words. The first that fits wins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from etils import epath

from retentionjax import storage
from retentionjax.bundle.customer import RECIPIENT
from retentionjax.company.messages import FactRule
from retentionjax.data.messages.customers import tenure
from retentionjax.data.schema import Schema
from retentionjax.errors import BundleError, ConfigError, DataError
from retentionjax.shield import OfferTerms
from retentionjax.shield.brief import CHANNELS, TONES, Brief, Channel, Sender, Tone

NAME = "shield/message.json"
_RECIPIENT_KEYS = ("first_name", "channel", "tone")


@dataclass(frozen=True)
class MessageSettings:
    """All of `message.json`."""

    sender: Sender
    channel: Channel = "sms"
    tone: Tone = "warm"
    facts: tuple[FactRule, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError for an unknown channel or tone."""
        for name, value, allowed in (("channel", self.channel, CHANNELS), ("tone", self.tone, TONES)):
            if value not in allowed:
                raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")

    def brief(
        self, facts: Mapping[str, object], recipient: object, offer: OfferTerms, *, where: str = "customer"
    ) -> Brief:
        """What a message to this customer is to say: `facts` under the bundle's names, `recipient` as in the file.

        Raises DataError naming `where`, key, value and what is allowed.
        """
        given = _recipient(recipient, f"{where}, {RECIPIENT}")
        found: dict[str, str] = {}
        for rule in self.facts:
            if rule.fact not in found and (words := _words(rule, facts)) is not None:
                found[rule.fact] = words
        return Brief(
            channel=given.get("channel", self.channel),
            offer=offer,
            sender=self.sender,
            tone=given.get("tone", self.tone),
            first_name=given.get("first_name"),
            facts=found,
        )


def write(folder: epath.Path, settings: MessageSettings, schema: Schema) -> None:
    """Writes `message.json` into a bundle. Raises BundleError where a rule names a field that `schema` lacks."""
    _check_fields(settings, schema, NAME)
    storage.write_json(folder / NAME, asdict(settings))


def read(folder: epath.Path, schema: Schema) -> MessageSettings:
    """The settings in a bundle. Raises BundleError for whatever is not as `write` leaves it."""
    where = str(folder / NAME)
    try:
        plain = storage.read_json(folder / NAME)
        settings = _settings(plain)
    except (ConfigError, DataError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{where}: not the settings of messages: {error}") from None
    _check_fields(settings, schema, where)
    return settings


def _settings(plain: Mapping[str, Any]) -> MessageSettings:
    sender = Sender(**{**plain["sender"], "domains": tuple(plain["sender"]["domains"])})
    facts = tuple(FactRule(**each) for each in plain["facts"])
    return MessageSettings(**{**plain, "sender": sender, "facts": facts})


def _check_fields(settings: MessageSettings, schema: Schema, where: str) -> None:
    for rule in settings.facts:
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


def _words(rule: FactRule, facts: Mapping[str, object]) -> str | None:
    """The fact of the customer with `facts`, None where the rule does not fit."""
    if any(facts.get(name) not in values for name, values in rule.when.items()):
        return None
    if rule.column is not None:
        said = facts.get(rule.column)
        return said if isinstance(said, str) else None
    if rule.months is None:
        return rule.say
    value = facts.get(rule.months)
    return tenure(float(value)) if isinstance(value, int | float) else None


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
