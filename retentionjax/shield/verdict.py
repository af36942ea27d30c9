"""What a check says of a message."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["block", "doubt", "models", "warn", "off"]
"""`models` blocks what a model wrote and warns of what a person wrote; `doubt` blocks, too, what a person wrote unless
the second reader lets it pass, or somebody else overrules it for this wording."""
Author = Literal["model", "person"]
"""Who wrote a text."""


ACCEPT = "offer.accept"
_OFFER = ("offer.", "facts.")
"""How the rules begin that say what is so of offer and facts."""


class Finding(NamedTuple):
    """A place in a message that breaks a rule; the rules say how grave that is."""

    rule: str
    start: int
    """First character of the place in the message as given."""
    end: int
    """One past its last; equal to `start` for something that is missing."""
    detail: str


@dataclass(frozen=True)
class Violation:
    """A finding under a rule that is in force."""

    rule: str
    severity: Literal["block", "doubt", "warn"]
    """`doubt` blocks a person's text as `block` does, but may be overruled."""
    start: int
    end: int
    detail: str


@dataclass(frozen=True)
class Verdict:
    """Whether a message may be sent, and every violation in the order of the text."""

    passed: bool
    """No violation blocks, for certain or in doubt."""
    violations: tuple[Violation, ...]
    rules_version: str

    @property
    def blocking(self) -> tuple[str, ...]:
        """The ids of the rules that block, once each, sorted."""
        return tuple(sorted({each.rule for each in self.violations if each.severity != "warn"}))

    @property
    def doubting(self) -> tuple[str, ...]:
        """The ids of the rules that alone keep it from being sent and may be overruled, once each, sorted."""
        certain = any(each.severity == "block" for each in self.violations)
        return () if certain else self.blocking

    @property
    def warning(self) -> tuple[str, ...]:
        """The ids of the rules that only warn, once each, sorted."""
        return tuple(sorted({each.rule for each in self.violations if each.severity == "warn"}))

    @property
    def grounded(self) -> bool:
        """Whether every percentage, price, duration, date and gift is the offer's, and the offer is stated."""
        return not any(rule.startswith(_OFFER) and rule != ACCEPT for rule in self.blocking)

    @property
    def takeable(self) -> bool:
        """Whether it says how to take what it offers, if it offers anything."""
        return all(each.rule != ACCEPT for each in self.violations)
