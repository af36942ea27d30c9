"""Settings of messages: on whose behalf they are written, and what of a customer's facts they may say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from retentionjax.checked import Checked
from retentionjax.errors import ConfigError
from retentionjax.shield.brief import ANGLES, CHANNELS, FACTS, Channel, Sender, Tone
from retentionjax.shield.contact import HOME, is_region
from retentionjax.shield.lexicon import Language
from retentionjax.shield.rules import load_rules

_LONGEST = 600


@dataclass(frozen=True)
class FactRule(Checked):
    """What one fact of a message is, for the customers it fits; of several rules the first that fits wins."""

    fact: str
    """One of `shield.brief.FACTS`."""
    say: str | None = None
    """The fact in words; or"""
    months: str | None = None
    """the numeric feature that counts months; or"""
    column: str | None = None
    """the categorical feature whose value is said as it is."""
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Feature → values, one of which it must have."""

    @staticmethod
    def shorthand(value: Any) -> dict[str, Any]:
        """A fact whose feature has the same name."""
        return {"fact": value, "months" if value == "tenure" else "column": value}

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: an unknown fact, and none or several of `say`, `months` and `column`."""
        found = []
        if self.fact not in FACTS:
            found.append(("fact", f"{self.fact!r} is not a fact of messages; allowed: {', '.join(FACTS)}"))
        if sum(each is not None for each in (self.say, self.months, self.column)) != 1:
            found.append(("", f"{self.fact!r} needs exactly one of say, months and column"))
        return found


class _SenderMark:
    """A mark: the shield's Sender, whose own errors name what is wrong."""

    def structure(self, value: Any, structure: Any) -> Sender | None:
        """The sender, or None."""
        if value is None or isinstance(value, Sender):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError("must be keys and values: name, postal_address, domains, unsubscribe_url")
        record: Sender = structure(value, Sender)
        return record


@dataclass(frozen=True)
class Messages(Checked):
    """Messages of the company; without a sender none are written, and decisions come without."""

    sender: Annotated[Sender | None, _SenderMark()] = None
    channels: tuple[Channel, ...] = ("sms",)
    """Channels that may be used, the usual one first."""
    tone: Tone = "warm"
    language: Language = "en"
    """Language of all that customers are sent."""
    country: str = HOME
    """ISO 3166-1 alpha-2: where customers are of whom neither region nor time zone is known, for quiet hours."""
    facts: tuple[FactRule, ...] = ()
    angles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """A reason to leave that wordings may speak to (`shield.brief.ANGLES`) → the features that tell of it."""
    brand: str = ""
    """Some sentences on how the company sounds, told to the language model."""
    model: bool = False
    """Whether a language model is trained to write them; without one they are the shield's templates and wordings that
    people approved."""

    @property
    def channel(self) -> Channel:
        """The usual channel."""
        return self.channels[0]

    @property
    def signed(self) -> Sender:
        """The sender. Raises ConfigError where there is none."""
        if self.sender is None:
            raise ConfigError("messages.sender is missing: without one no messages are written")
        return self.sender

    def wrong(self) -> list[tuple[str, str]]:
        """Faults in angles, channels and country, a model without a sender or in Spanish, a brand text too long."""
        found = []
        if unknown := [angle for angle in self.angles if angle not in ANGLES]:
            found.append(("angles", f"{unknown[0]!r} is no reason to leave; allowed: {', '.join(ANGLES)}"))
        named = [name for names in self.angles.values() for name in names]
        if twice := [name for name in named if named.count(name) > 1]:
            found.append(("angles", f"{twice[0]!r} is named twice; allowed: one reason for each feature"))
        if not self.channels or len(set(self.channels)) < len(self.channels):
            found.append(("channels", f"is {list(self.channels)}; allowed: one or more of {', '.join(CHANNELS)}"))
        if self.country != HOME and ("-" in self.country or not is_region(self.country)):
            found.append(("country", f"is {self.country!r}; allowed: {', '.join(load_rules().contact.countries)}"))
        if self.model and self.sender is None:
            found.append(("model", "is true, and no sender is named; allowed: true where there is one"))
        if self.model and self.language != "en":
            found.append(
                ("model", f"is true, and language {self.language}; allowed: false, for the models write English")
            )
        if len(self.brand) > _LONGEST:
            found.append(("brand", f"has {len(self.brand)} characters; allowed: {_LONGEST} at most"))
        return found
