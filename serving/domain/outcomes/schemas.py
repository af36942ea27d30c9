"""What is reported, and what the ledger made of it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serving.fields import NAME_PATTERN, CustomerId, DecisionId, Micros, Moment

MOST = 1000
Kind = Annotated[
    Literal["accepted", "declined", "churned", "opted_out", "kept", "revenue"],
    Meta(
        description="Of a decision: accepted, declined: the offer; churned: the customer left; opted_out: no more on "
        "this channel. Of a customer: churned; kept: she is known to have stayed until then; revenue: she paid"
    ),
]


class OutcomeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One outcome, of a decision or of a customer."""

    decision_id: Annotated[DecisionId | None, Meta(description="Either this or customer_id")] = None
    customer_id: Annotated[CustomerId | None, Meta(description="Whether or not there was a decision about her")] = None
    kind: Kind
    at: Annotated[Moment | None, Meta(description="When it happened; now, if left out")] = None
    amount_micros: Annotated[
        Annotated[int, Meta(ge=-(10**15), le=10**15)] | None,
        Meta(description="Of revenue, in millionths of the company's currency; a refund is below 0"),
    ] = None
    reference: Annotated[
        Annotated[str, Meta(pattern=NAME_PATTERN)] | None,
        Meta(description="Of revenue: an invoice's or a payment's number; reported again, it counts once"),
    ] = None


class OutcomesIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outcomes in the order in which they are to be applied."""

    outcomes: Annotated[tuple[OutcomeIn, ...], Meta(min_length=1, max_length=MOST)]


class OutcomeOut(msgspec.Struct, frozen=True):
    """What became of one outcome."""

    decision_id: DecisionId | None
    customer_id: CustomerId | None
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
