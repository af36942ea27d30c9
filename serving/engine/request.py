"""What the engine is asked, and how it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from retentionjax.errors import RetentionJaxError
from serving.ledger.types import DecisionRow

Channel = Literal["sms", "email", "push"]
Tone = Literal["warm", "formal", "brief"]
FactValue = int | float | str | None


class Ask(msgspec.Struct, frozen=True):  # as a frozen dataclass it would cost four times as much to make
    """One decision that is wanted."""

    customer_id: str
    facts: Mapping[str, FactValue]
    """Under the names of the bundle's schema, the id left out."""
    campaign_id: str = "default"
    channel: Channel | None = None
    """None: the bundle's."""
    time_zone: str | None = None
    """IANA name; None: the one in the ledger, else unknown."""
    first_name: str | None = None
    tone: Tone | None = None
    """None: the bundle's."""
    dry_run: bool = False
    idempotency: tuple[str, str, str] | None = None
    """(API key id, Idempotency-Key, digest of the request)."""


class Given(msgspec.Struct, frozen=True):
    """An answer."""

    body: bytes
    """A `Decision` as JSON."""
    decision_id: str
    row: DecisionRow | None = None
    """As it was recorded, or would have been but for `dry_run`; None if replayed."""
    replayed: bool = False
    """Whether it is the answer that this Idempotency-Key was given before."""


class EngineError(RetentionJaxError):
    """Root of the engine's refusals; nothing was written for any of them but `EngineLost`."""


class Overloaded(EngineError):  # noqa: N818 - a state, not a mistake
    """The queue is full."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"the queue is full; try again in {retry_after:.1f} s")
        self.retry_after = retry_after  # seconds


class DeadlineExceeded(EngineError):  # noqa: N818
    """It was not that decision's turn in time."""


class NotRunning(EngineError):  # noqa: N818
    """The engine has no bundle yet, or is shutting down."""


class EngineLost(EngineError):  # noqa: N818
    """The engine's process ended before it answered; whether the decision was written is not known."""


class NoCampaign(EngineError):  # noqa: N818
    """The campaign does not exist."""


class CampaignNotRunning(EngineError):  # noqa: N818
    """The campaign has not begun, or is over."""


class KeyReused(EngineError):  # noqa: N818
    """The Idempotency-Key was used with another request."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A fact that does not fit the bundle's schema."""

    name: str
    value: FactValue | None
    allowed: str
    missing: bool = field(default=False)


class WrongFacts(EngineError):  # noqa: N818
    """Facts that do not fit the bundle's schema."""

    def __init__(self, wrong: tuple[Wrong, ...]) -> None:
        super().__init__(f"facts do not fit: {', '.join(each.name for each in wrong)}")
        self.wrong = wrong
