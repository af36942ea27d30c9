"""`/v1/campaigns` and `/v1/campaigns/{campaign_id}`."""

import asyncio
from collections.abc import Collection
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get, put
from litestar.params import JSONBody
from msgspec import Meta

from retentionjax.company.money import money
from retentionjax.company.offers import NONE
from retentionjax.decide.draws import HOLDOUT, MOST_HELD_OUT, Pilot
from retentionjax.errors import ConfigError
from serving.domain import guarded
from serving.engine.situations import pace
from serving.fields import NAME_PATTERN, CampaignId, CampaignInPath, Micros, Moment, MomentOut, iso, shown
from serving.ledger import Reader
from serving.ledger.types import DAY, MICROS, BudgetExceeded, Campaign, DesignFixed, LedgerError, LedgerUnavailable
from serving.ledger.views import CampaignView
from serving.lift.answer import LiftOut, look
from serving.moments import utc
from serving.observability.metrics import CampaignMetrics
from serving.problems import FieldError, Problem, epoch, field_error, invalid, not_found
from serving.security.gate import Caller
from serving.side_work import scanned

State = Literal["planned", "running", "over"]
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
Salt = Annotated[str, Meta(pattern=NAME_PATTERN, description="Salt of the draw; campaigns with one salt "
                           "hold out the same customers", examples=["9f2c51d07ab3e684"])]  # fmt: skip
Paused = Annotated[MomentOut | None, Meta(description="Since when it contacts nobody; null where it is not paused")]


class PilotIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A randomised trial within the campaign: each of its customers gets the one contact that she is drawn to."""

    share: Annotated[float, Meta(gt=0, le=1, description="Share of the customers that takes part", examples=[0.2])]
    arms: Annotated[
        dict[str, Annotated[float, Meta(gt=0, lt=1)]],
        Meta(
            min_length=2,
            max_length=100,
            description=f"Offers by name, or `{NONE}`, each with its share of the pilot; they add up to 1, and stay",
            examples=[{NONE: 0.4, "ten": 0.3, "twenty": 0.3}],
        ),
    ]
    ends_at: Annotated[Moment, Meta(description="Time from which on its customers are the policy's")]
    budget_share: Annotated[
        float, Meta(ge=0, le=1, description="Share of the budget that it may reserve and spend", examples=[0.2])
    ]


class CampaignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an administrator sets."""

    budget_micros: Annotated[
        Micros | None,
        Meta(description="All it may cost, at least what is spent and reserved already; as it was, if left out"),
    ] = None
    customers_expected: Annotated[Customers | None, Meta(description="Customers; as they were, if left out")] = None
    starts_at: Annotated[
        Moment | None, Meta(description="Its first day; as it was, or now for a new one, if left out")
    ] = None
    horizon_days: Annotated[HorizonDays | None, Meta(description="Days; as before, or the bundle's if left out")] = None
    holdout: Annotated[
        Holdout | None,
        Meta(description=f"Share held out; as it was, or {HOLDOUT}, if left out; who was drawn already keeps her arm"),
    ] = None
    pilot: Annotated[PilotIn | None, Meta(description="The pilot; as it was, or none, if left out")] = None
    salt: Annotated[Salt | None, Meta(description="The salt; as it was, or drawn, if left out; it stays")] = None
    paused: Annotated[
        bool | None, Meta(description="Whether it is paused, and contacts nobody; as it was, or false, if left out")
    ] = None


class DayOut(msgspec.Struct, frozen=True):
    """Money of the contacts that count on one campaign day: what is spent by now, what is still reserved."""

    day: int
    contacts: int
    spent_micros: Micros
    reserved_micros: Micros
    accepted: Annotated[int, Meta(ge=0, description="Contacts accepted by now")]
    declined: Annotated[int, Meta(ge=0, description="Contacts declined by now")]


class PaceOut(msgspec.Struct, frozen=True):
    """Whether the money lasts."""

    share_used: Annotated[float, Meta(description="Share of the budget, spent and reserved")]
    share_of_time: Annotated[float, Meta(description="Share of the days that are over")]
    by: Annotated[
        Literal["multiplier", "throttle"],
        Meta(
            description="What holds spending to the budget: multiplier, where the bundle has the policy for any budget"
        ),
    ]
    throttle: Annotated[float, Meta(ge=0, le=1, description="Factor on the chance of each contact now")]
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

    customers: Annotated[int, Meta(ge=0, description="Customers drawn to it by now")]
    acted: Annotated[int, Meta(ge=0, description="Those of them whose arm was carried out by now")]
    used_micros: Annotated[Micros, Meta(description="What its contacts have reserved and spent")]


class HoldoutOut(msgspec.Struct, frozen=True):
    """Whom the campaign never contacts."""

    share: Holdout
    customers: Annotated[int, Meta(ge=0, description="Customers held out by now")]
    of_customers: Annotated[int, Meta(ge=0, description="Customers drawn by now")]
    salt: Salt


class CampaignOut(msgspec.Struct, frozen=True):
    """A campaign now. spent + reserved never pass the budget."""

    campaign_id: CampaignId
    state: State
    budget_micros: Micros
    spent_micros: Micros
    reserved_micros: Annotated[Micros, Meta(description="Full costs of contacts that are planned or unanswered")]
    left_micros: Micros
    starts_at: MomentOut
    ends_at: MomentOut
    day: Annotated[int, Meta(description="Day of the campaign, from 0; negative before the start")]
    horizon_days: HorizonDays
    paused_at: Paused
    customers_expected: Customers
    pace: PaceOut
    days: tuple[DayOut, ...]
    holdout: HoldoutOut
    pilot: PilotOut | None


class CampaignInShort(msgspec.Struct, frozen=True):
    """A campaign in the list."""

    campaign_id: CampaignId
    state: State
    budget_micros: Micros
    spent_micros: Micros
    reserved_micros: Micros
    starts_at: MomentOut
    ends_at: MomentOut
    paused_at: Paused


class CampaignsOut(msgspec.Struct, frozen=True):
    """The campaigns, the latest start first."""

    campaigns: tuple[CampaignInShort, ...]


CAMPAIGN = "/v1/campaigns/{campaign_id:str}"
_MOST = 1000


@get(
    "/v1/campaigns",
    sync_to_thread=True,
    **guarded("campaigns", "listCampaigns", "Which campaigns there are", "report"),
)
def list_campaigns(request: Request[Any, Any, Any]) -> CampaignsOut:
    """The 1,000 that began last, with their money; each by itself tells more."""
    now: float = request.app.state.clock()
    with request.app.state.ledger.read() as view:
        names = view.campaign_ids(_MOST)
        found = view.campaigns(names)
    of_each = [found[each] for each in names]
    return CampaignsOut(
        tuple(shown(CampaignInShort, each, state=_state(each, now), ends_at=_end(each)) for each in of_each)
    )


@get(
    CAMPAIGN,
    **guarded("campaigns", "readCampaign", "A campaign's money and pace", "report", also=(404,)),
)
async def read_campaign(request: Request[Any, Any, Any], campaign_id: CampaignInPath) -> CampaignOut:
    """Budget, spend, reservations, days, pace and multiplier."""
    return await scanned(request.app.state, campaign_now, request.app.state, campaign_id)


@get(
    f"{CAMPAIGN}/lift",
    **guarded("campaigns", "readLift", "What would have happened without the campaign", "report", also=(404,)),
)
async def read_lift(request: Request[Any, Any, Any], campaign_id: CampaignInPath) -> LiftOut:
    """Its customers against those it held out, with intervals that may be looked at daily."""
    return await lift_now(request.app.state, request.auth, campaign_id)


@put(
    CAMPAIGN,
    sync_to_thread=True,
    **guarded("campaigns", "putCampaign", "Make a campaign, or change it", also=(409, 413, 415)),
)
def put_campaign(
    request: Request[Any, Any, Any], campaign_id: CampaignInPath, data: JSONBody[CampaignIn]
) -> CampaignOut:
    """A budget never goes below what is spent and reserved, nor a start away from under decisions."""
    return save_campaign(request.app.state, campaign_id, data, request.auth)


def save_campaign(state: Any, campaign_id: str, data: CampaignIn, caller: Caller) -> CampaignOut:
    """Makes or changes the campaign and returns it. Raises Problem 409 for what cannot change, 422 for a hold-out or a
    pilot that cannot be, and for a new campaign without a size."""
    params = state.engine.params
    wanted = None if data.starts_at is None else epoch(data.starts_at, "starts_at")
    pilot = None if data.pilot is None else _pilot(data.pilot, state.engine.active.bundle.offers)
    with state.ledger.transaction() as tx:
        before: CampaignView | None = tx.campaigns([campaign_id]).get(campaign_id)
        starts_at = wanted or (before.starts_at if before else state.clock())
        horizon = data.horizon_days or (before.horizon_days if before else int(params.horizon_days))
        budget, customers = _sizes(data, before)
        more = customers, data.holdout, pilot, data.salt, data.paused
        campaign = Campaign(campaign_id, budget, starts_at, horizon, *more)
        _refuse_over(campaign, before, state.clock())
        _refuse_ended(campaign, before, state.clock())
        try:
            tx.put_campaign(campaign)
            currency = state.engine.active.bundle.company.currency
            words, was = (_in_words(each, currency) for each in (tx.campaigns([campaign_id])[campaign_id], before))
            tx.changed(str(caller), f"campaign {campaign_id}", words, was)
        except LedgerUnavailable:
            raise
        except BudgetExceeded:
            used = before.spent_micros + before.reserved_micros if before else 0
            error = field_error("budget_micros", budget, f"{used} or more: so much is spent and reserved")
            raise Problem(409, "budget-too-small", "The budget is used already", "It is too small.", [error]) from None
        except ConfigError as wrong:
            named, _, allowed = str(wrong).partition("; allowed: ")
            field, _, given = named.partition(" ")
            fault = FieldError(field, given.removeprefix("is "), allowed)
            raise invalid("The hold-out or the pilot cannot be.", fault) from None
        except DesignFixed as fixed_by:
            fault = field_error(fixed_by.field, attrgetter(fixed_by.field)(data), fixed_by.allowed)
            raise Problem(409, "design-fixed", "Customers are drawn already", "It stays.", [fault]) from None
        except LedgerError:
            fixed = iso(before.starts_at) if before else ""
            error = field_error("starts_at", data.starts_at, f"{fixed}: decisions count their days from it")
            raise Problem(409, "campaign-has-begun", "The campaign has begun", "Its start is fixed.", [error]) from None
    return campaign_now(state, campaign_id)


def _refuse_over(wanted: Campaign, before: CampaignView | None, now: float) -> None:
    """Raises Problem 409 for a campaign that is to be paused or resumed, is over, and is given no more days."""
    over = wanted.starts_at + wanted.horizon_days * DAY
    if before is None or wanted.paused in (None, before.paused_at is not None) or now < over:
        return
    allowed = f"as it is: it ended on {iso(over)}; with more days (horizon_days) it goes on"
    fault = field_error("paused", wanted.paused, allowed)
    raise Problem(409, "campaign-over", "The campaign is over", "It is neither paused nor resumed.", [fault])


def _refuse_ended(wanted: Campaign, before: CampaignView | None, now: float) -> None:
    """Raises Problem 422 for a new pilot that would be over before anybody can be drawn to it, and stay so."""
    if wanted.pilot is None or (before is not None and before.pilot is not None):
        return
    if wanted.pilot.ends_at <= max(now, wanted.starts_at):
        allowed = f"after {iso(max(now, wanted.starts_at))}, when it begins"
        raise invalid("The pilot is over.", field_error("pilot.ends_at", utc(wanted.pilot.ends_at), allowed))


def _sizes(data: CampaignIn, before: CampaignView | None) -> tuple[int, int]:
    """Budget and expected customers; raises Problem 422 where a new campaign lacks one."""
    given = {"budget_micros": data.budget_micros, "customers_expected": data.customers_expected}
    if before is None and (missing := [name for name, value in given.items() if value is None]):
        faults = (FieldError(name, allowed="required of a new campaign: a whole number") for name in missing)
        raise invalid("A new campaign needs a budget and how many customers it expects.", *faults)
    budget, customers = (getattr(before, name) if value is None else value for name, value in given.items())
    return budget, customers


def _in_words(campaign: CampaignView | None, currency: str) -> str:
    """What is set of a campaign; empty where there is none."""
    if campaign is None:
        return ""
    budget, pilot = money(campaign.budget_micros / 1e6, currency), campaign.pilot
    words = (
        f"{budget}, {campaign.customers_expected:,} customers, {campaign.horizon_days} days, "
        f"{campaign.holdout:.1%} held out" + ", paused" * (campaign.paused_at is not None)
    )
    return words if pilot is None else f"{words}, {pilot.share:.1%} in a pilot until {iso(pilot.ends_at)}"


async def lift_now(state: Any, caller: Caller, campaign_id: str) -> LiftOut:
    """The campaign's lift as it is known. Raises Problem 404, 429 and 503, see `SideWork.run`."""
    bundle = state.engine.active.bundle
    believed = bundle.params, bundle.offers, bundle.company.currency
    await asyncio.to_thread(state.ledger.ask, lambda view: _kept(view, campaign_id))  # a 404 waits for nobody's lift
    measured: LiftOut = await state.lifts.run(
        caller, lambda check: state.ledger.ask(lambda view: look(view, _kept(view, campaign_id), *believed, check))
    )
    return measured


def _kept(view: Reader, campaign_id: str) -> CampaignView:
    if (found := view.campaign(campaign_id)) is None:
        raise not_found("campaign", "campaign_id", campaign_id)
    return found


def campaign_now(state: Any, campaign_id: str) -> CampaignOut:
    """The campaign as it is. Raises Problem 404."""
    now: float = state.clock()
    with state.ledger.read() as view:
        found = _kept(view, campaign_id)
        days, drawn = view.daily_spend(campaign_id), view.assignments(campaign_id)
        pilot_micros = view.pilot_micros(campaign_id)
    served = state.engine.active
    theta, multiplier = pace(found, served.prices, now)
    day, used = found.day(now), found.spent_micros + found.reserved_micros
    pilot = None
    if found.pilot is not None:
        plan, counts = found.pilot, (drawn.in_pilot, drawn.acted)
        pilot = PilotOut(plan.share, dict(plan.arms), utc(plan.ends_at), plan.budget_share, *counts, pilot_micros)
    return shown(
        CampaignOut,
        found,
        state=_state(found, now),
        ends_at=_end(found),
        day=day,
        pace=PaceOut(
            share_used=used / found.budget_micros if found.budget_micros else 1.0,
            share_of_time=min(1.0, max(0.0, (now - found.starts_at) / (found.horizon_days * DAY))),
            by="throttle" if multiplier is None else "multiplier",
            throttle=theta,
            multiplier=served.price if multiplier is None else multiplier,
        ),
        days=tuple(shown(DayOut, each) for each in days),
        holdout=HoldoutOut(found.holdout, drawn.held_out, drawn.customers, found.salt),
        pilot=pilot,
    )


def measured(state: Any) -> dict[str, CampaignMetrics]:
    """Money and pace now of the campaigns that are not over, by their names."""
    now: float = state.clock()
    with state.ledger.read() as view:
        found = view.campaigns(view.campaign_ids(_MOST))
    served = state.engine.active
    measures: dict[str, CampaignMetrics] = {}
    for each in found.values():
        if _state(each, now) != "over":
            theta, multiplier = pace(each, served.prices, now)
            micros = {name: getattr(each, f"{name}_micros") for name in ("budget", "spent", "reserved", "left")}
            dollars = {name: amount / MICROS for name, amount in micros.items()}
            measures[each.campaign_id] = CampaignMetrics(
                dollars, served.price if multiplier is None else multiplier, theta
            )
    return measures


def _state(campaign: CampaignView, now: float) -> State:
    day = campaign.day(now)
    return "planned" if day < 0 else "running" if day < campaign.horizon_days else "over"


def _end(campaign: CampaignView) -> str:
    return iso(campaign.starts_at + campaign.horizon_days * DAY)


def _pilot(data: PilotIn, offers: Collection[str]) -> Pilot:
    """Raises Problem 422 for an arm that is no offer of the active bundle."""
    for name in data.arms:
        if name != NONE and name not in offers:
            fault = field_error(f"pilot.arms.{name}", name, ", ".join((*offers, NONE)))
            raise invalid("There is no such offer.", fault)
    return Pilot(data.share, tuple(data.arms.items()), epoch(data.ends_at, "pilot.ends_at"), data.budget_share)
