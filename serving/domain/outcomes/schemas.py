"""What is reported, and what the ledger made of it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serving.fields import DecisionId, Micros, Moment

MOST = 1000
Kind = Annotated[
    Literal["accepted", "declined", "churned", "opted_out"],
    Meta(description="accepted, declined: the offer; churned: the customer left; opted_out: no more on this channel"),
]


class OutcomeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One outcome."""

    decision_id: DecisionId
    kind: Kind
    at: Annotated[Moment | None, Meta(description="When it happened; now, if left out")] = None


class OutcomesIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outcomes in the order in which they are to be applied."""

    outcomes: Annotated[tuple[OutcomeIn, ...], Meta(min_length=1, max_length=MOST)]


class OutcomeOut(msgspec.Struct, frozen=True):
    """What became of one outcome."""

    decision_id: DecisionId
    kind: Kind
    status: Annotated[
        Literal["applied", "duplicate", "ignored", "refused", "unknown_decision"],
        Meta(description="duplicate: reported before; ignored: true, nothing follows; refused: it cannot be"),
    ]
    detail: Annotated[str, Meta(description="Why it was ignored or refused")]
    released_micros: Annotated[Micros, Meta(description="Reservation given back to the campaign")]
    committed_micros: Annotated[Micros, Meta(description="Spent by this outcome")]


class OutcomesOut(msgspec.Struct, frozen=True):
    """One result for each outcome, in the same order."""

    results: tuple[OutcomeOut, ...]
