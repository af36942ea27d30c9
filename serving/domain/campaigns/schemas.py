"""A campaign as it is set, and as it goes."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serving.fields import CampaignId, Micros, Moment, MomentOut

HorizonDays = Annotated[int, Meta(ge=1, le=366, description="How long it runs", examples=[90])]
Customers = Annotated[int, Meta(ge=1, le=10**9, description="Whom it may concern", examples=[10_000])]


class CampaignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an administrator sets."""

    budget_micros: Annotated[Micros, Meta(description="All it may cost; at least what is spent and reserved already")]
    customers_expected: Customers
    starts_at: Annotated[
        Moment | None, Meta(description="Its first day; as it was, or now for a new one, if left out")
    ] = None
    horizon_days: Annotated[HorizonDays | None, Meta(description="As it was, or the bundle's, if left out")] = None


class DayOut(msgspec.Struct, frozen=True):
    """Of the contacts that count on one campaign day: what is spent by now, what is still reserved."""

    day: int
    contacts: int
    spent_micros: Micros
    reserved_micros: Micros
    accepted: Annotated[int, Meta(ge=0, description="Of the contacts, by now")]
    declined: Annotated[int, Meta(ge=0, description="Of the contacts, by now")]


class PaceOut(msgspec.Struct, frozen=True):
    """Whether the money lasts."""

    share_used: Annotated[float, Meta(description="Of the budget, spent and reserved")]
    share_of_time: Annotated[float, Meta(description="Of the days, that are over")]
    by: Annotated[
        Literal["price", "throttle"],
        Meta(description="What holds spending to the budget: price, where the bundle has the policy for any budget"),
    ]
    throttle: Annotated[float, Meta(ge=0, le=1, description="By which the chance of each contact is multiplied now")]
    price: Annotated[
        float,
        Meta(
            ge=0,
            description="$ of value that the policy charges for a $ of spend now. By price: it rises when money goes "
            "faster than days, and falls when slower. By throttle: fixed, as the policy was trained to",
            examples=[0.8],
        ),
    ]


class CampaignOut(msgspec.Struct, frozen=True):
    """A campaign now. spent + reserved never pass the budget."""

    campaign_id: CampaignId
    state: Literal["planned", "running", "over"]
    budget_micros: Micros
    spent_micros: Micros
    reserved_micros: Annotated[Micros, Meta(description="Full costs of contacts that are planned or unanswered")]
    left_micros: Micros
    starts_at: MomentOut
    ends_at: MomentOut
    day: Annotated[int, Meta(description="From 0; negative before the start")]
    horizon_days: HorizonDays
    customers_expected: Customers
    pace: PaceOut
    days: tuple[DayOut, ...]
