"""A campaign as it is set, and as it goes."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from retentionjax.company.offers import NONE
from retentionjax.decide.draws import HOLDOUT, MOST_HELD_OUT
from serving.fields import NAME_PATTERN, CampaignId, Micros, Moment, MomentOut

HorizonDays = Annotated[int, Meta(ge=1, le=366, description="How long it runs", examples=[90])]
Customers = Annotated[int, Meta(ge=1, le=10**9, description="Whom it may concern", examples=[10_000])]


Holdout = Annotated[
    float,
    Meta(
        ge=0,
        le=MOST_HELD_OUT,
        description="Share of its customers that it never contacts, drawn once, so that its effect can be measured",
        examples=[HOLDOUT],
    ),
]
Salt = Annotated[str, Meta(pattern=NAME_PATTERN, description="By which customers are drawn; campaigns with one salt "
                           "hold out the same customers", examples=["9f2c51d07ab3e684"])]  # fmt: skip


class PilotIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A randomised trial within the campaign: each of its customers gets the one contact that she is drawn to."""

    share: Annotated[float, Meta(gt=0, le=1, description="Of the customers", examples=[0.2])]
    arms: Annotated[
        dict[str, Annotated[float, Meta(gt=0, lt=1)]],
        Meta(
            min_length=2,
            max_length=100,
            description=f"Offers by name, or `{NONE}`, each with its share of the pilot; they add up to 1, and stay",
            examples=[{NONE: 0.4, "ten": 0.3, "twenty": 0.3}],
        ),
    ]
    ends_at: Annotated[Moment, Meta(description="From then on its customers are the policy's")]
    budget_share: Annotated[
        float, Meta(ge=0, le=1, description="Of the budget, that it may reserve and spend", examples=[0.2])
    ]


class CampaignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an administrator sets."""

    budget_micros: Annotated[Micros, Meta(description="All it may cost; at least what is spent and reserved already")]
    customers_expected: Customers
    starts_at: Annotated[
        Moment | None, Meta(description="Its first day; as it was, or now for a new one, if left out")
    ] = None
    horizon_days: Annotated[HorizonDays | None, Meta(description="As it was, or the bundle's, if left out")] = None
    holdout: Annotated[
        Holdout | None,
        Meta(description=f"As it was, or {HOLDOUT}, if left out; who was drawn already keeps her arm"),
    ] = None
    pilot: Annotated[PilotIn | None, Meta(description="As it was, or none, if left out")] = None
    salt: Annotated[Salt | None, Meta(description="As it was, or drawn, if left out; it stays")] = None


class DayOut(msgspec.Struct, frozen=True):
    """Money of the contacts that count on one campaign day: what is spent by now, what is still reserved."""

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
        Literal["multiplier", "throttle"],
        Meta(
            description="What holds spending to the budget: multiplier, where the bundle has the policy for any budget"
        ),
    ]
    throttle: Annotated[float, Meta(ge=0, le=1, description="By which the chance of each contact is multiplied now")]
    multiplier: Annotated[
        float,
        Meta(
            ge=0,
            description="Value that the policy charges for a unit of spend now. By multiplier: it rises when money "
            "goes faster than days, and falls when slower. By throttle: fixed, as the policy was trained to",
            examples=[0.8],
        ),
    ]


class PilotOut(PilotIn, frozen=True):
    """A pilot, and how far it is."""

    customers: Annotated[int, Meta(ge=0, description="Drawn to it by now")]
    acted: Annotated[int, Meta(ge=0, description="Of them, whose arm was carried out by now")]
    used_micros: Annotated[Micros, Meta(description="What its contacts have reserved and spent")]


class HoldoutOut(msgspec.Struct, frozen=True):
    """Whom the campaign never contacts."""

    share: Holdout
    customers: Annotated[int, Meta(ge=0, description="Held out by now")]
    of_customers: Annotated[int, Meta(ge=0, description="Of so many drawn by now")]
    salt: Salt


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
    holdout: HoldoutOut
    pilot: PilotOut | None
