"""`/v1/campaigns/{campaign_id}`."""

import datetime as dt
from collections.abc import Container
from typing import Any

from litestar import Request, get, put
from litestar.params import JSONBody

from retentionjax.company.money import money
from retentionjax.company.offers import NONE
from retentionjax.decide.draws import Pilot
from retentionjax.errors import ConfigError
from serving.domain.campaigns.schemas import (
    CampaignIn,
    CampaignOut,
    DayOut,
    HoldoutOut,
    PaceOut,
    PilotIn,
    PilotOut,
)
from serving.engine.money import pace
from serving.fields import CampaignInPath, iso
from serving.ledger.errors import BudgetExceeded, DesignFixed, LedgerError, LedgerUnavailable
from serving.ledger.types import DAY, Campaign, CampaignView
from serving.lift.answer import LiftOut
from serving.lift.looking import look
from serving.problems import Problem, field_error, invalid, not_found, responses
from serving.security.gate import Caller, requires

CAMPAIGN = "/v1/campaigns/{campaign_id:str}"


@get(
    CAMPAIGN,
    operation_id="readCampaign",
    summary="A campaign's money and pace",
    tags=["campaigns"],
    guards=[requires("report")],
    responses=responses(404),
    sync_to_thread=True,
)
def read_campaign(request: Request[Any, Any, Any], campaign_id: CampaignInPath) -> CampaignOut:
    """Budget, spend, reservations, days, pace and multiplier."""
    return campaign_now(request.app.state, campaign_id)


@get(
    f"{CAMPAIGN}/lift",
    operation_id="readLift",
    summary="What would have happened without the campaign",
    tags=["campaigns"],
    guards=[requires("report")],
    responses=responses(404),
    sync_to_thread=True,
)
def read_lift(request: Request[Any, Any, Any], campaign_id: CampaignInPath) -> LiftOut:
    """Its customers against those it held out, with intervals that may be looked at daily."""
    return lift_now(request.app.state, campaign_id)


@put(
    CAMPAIGN,
    operation_id="putCampaign",
    summary="Make a campaign, or change it",
    tags=["campaigns"],
    guards=[requires()],
    responses=responses(409, 413, 415),
    sync_to_thread=True,
)
def put_campaign(
    request: Request[Any, Any, Any], campaign_id: CampaignInPath, data: JSONBody[CampaignIn]
) -> CampaignOut:
    """A budget never goes below what is spent and reserved, nor a start away from under decisions."""
    return save_campaign(request.app.state, campaign_id, data, request.auth)


def save_campaign(state: Any, campaign_id: str, data: CampaignIn, caller: Caller) -> CampaignOut:
    """Makes or changes the campaign and returns it. Raises Problem 409 for what cannot change, 422 for a hold-out or a
    pilot that cannot be."""
    params = state.engine.params
    pilot = None if data.pilot is None else _pilot(data.pilot, state.engine.lineup.active.served.bundle.offers)
    with state.ledger.transaction() as tx:
        before: CampaignView | None = tx.campaigns([campaign_id]).get(campaign_id)
        starts_at = data.starts_at.timestamp() if data.starts_at else before.starts_at if before else state.clock()
        horizon = data.horizon_days or (before.horizon_days if before else int(params.horizon_days))
        campaign = Campaign(
            campaign_id, data.budget_micros, starts_at, horizon, data.customers_expected, data.holdout, pilot, data.salt
        )
        try:
            tx.put_campaign(campaign)
            budget = money(campaign.budget_micros / 1e6, state.engine.lineup.active.served.bundle.company.currency)
            made = tx.campaigns([campaign_id])[campaign_id]
            words = f"{budget}, {campaign.customers_expected:,} customers, {horizon} days, {made.holdout:.1%} held out"
            if made.pilot is not None:
                words += f", {made.pilot.share:.1%} in a pilot until {iso(made.pilot.ends_at)}"
            tx.changed(str(caller), f"campaign {campaign_id}", words)
        except LedgerUnavailable:
            raise
        except BudgetExceeded:
            used = before.spent_micros + before.reserved_micros if before else 0
            error = field_error("budget_micros", data.budget_micros, f"{used} or more: so much is spent and reserved")
            raise Problem(409, "budget-too-small", "The budget is used already", "It is too small.", [error]) from None
        except ConfigError as wrong:
            named, _, allowed = str(wrong).partition("; allowed: ")
            fault = field_error(named.partition(" ")[0], allowed=allowed)
            raise invalid("The hold-out or the pilot cannot be.", fault) from None
        except DesignFixed as fixed_by:
            fault = field_error(fixed_by.field, allowed=fixed_by.allowed)
            raise Problem(409, "design-fixed", "Customers are drawn already", "It stays.", [fault]) from None
        except LedgerError:
            fixed = iso(before.starts_at) if before else ""
            error = field_error("starts_at", data.starts_at, f"{fixed}: decisions count their days from it")
            raise Problem(409, "campaign-has-begun", "The campaign has begun", "Its start is fixed.", [error]) from None
    return campaign_now(state, campaign_id)


def lift_now(state: Any, campaign_id: str) -> LiftOut:
    """The campaign's lift as it is known. Raises Problem 404."""
    bundle = state.engine.lineup.active.served.bundle
    with state.ledger.read() as view:
        found: CampaignView | None = view.campaign(campaign_id)
        if found is None:
            raise not_found("campaign", "campaign_id", campaign_id)
        return look(view, found, bundle.params, bundle.offers, bundle.company.currency)


def campaign_now(state: Any, campaign_id: str) -> CampaignOut:
    """The campaign as it is. Raises Problem 404."""
    now: float = state.clock()
    with state.ledger.read() as view:
        found: CampaignView | None = view.campaign(campaign_id)
        if found is None:
            raise not_found("campaign", "campaign_id", campaign_id)
        days, answers = view.daily_spend(campaign_id), view.daily_answers(campaign_id)
        drawn, pilot_micros = view.assignments(campaign_id), view.pilot_micros(campaign_id)
    served = state.engine.lineup.active.served
    theta, multiplier = pace(found, served.prices, now)
    day, used = found.day(now), found.spent_micros + found.reserved_micros
    return CampaignOut(
        campaign_id=campaign_id,
        state="planned" if day < 0 else "running" if day < found.horizon_days else "over",
        budget_micros=found.budget_micros,
        spent_micros=found.spent_micros,
        reserved_micros=found.reserved_micros,
        left_micros=found.left_micros,
        starts_at=iso(found.starts_at),
        ends_at=iso(found.starts_at + found.horizon_days * DAY),
        day=day,
        horizon_days=found.horizon_days,
        customers_expected=found.customers_expected,
        pace=PaceOut(
            share_used=used / found.budget_micros if found.budget_micros else 1.0,
            share_of_time=min(1.0, max(0.0, (now - found.starts_at) / (found.horizon_days * DAY))),
            by="throttle" if multiplier is None else "multiplier",
            throttle=theta,
            multiplier=served.price if multiplier is None else multiplier,
        ),
        days=tuple(
            DayOut(each.day, each.contacts, each.spent_micros, each.reserved_micros, *answers.get(each.day, (0, 0)))
            for each in days
        ),
        holdout=HoldoutOut(found.holdout, drawn.held_out, drawn.customers, found.salt),
        pilot=None
        if found.pilot is None
        else PilotOut(
            found.pilot.share,
            dict(found.pilot.arms),
            dt.datetime.fromtimestamp(found.pilot.ends_at, dt.UTC),
            found.pilot.budget_share,
            drawn.in_pilot,
            drawn.acted,
            pilot_micros,
        ),
    )


def _pilot(data: PilotIn, offers: Container[str]) -> Pilot:
    """Raises Problem 422 for an arm that is no offer of the active bundle."""
    for name in data.arms:
        if name != NONE and name not in offers:
            raise invalid("There is no such offer.", field_error(f"pilot.arms.{name}", allowed="an offer, or none"))
    return Pilot(data.share, tuple(data.arms.items()), data.ends_at.timestamp(), data.budget_share)
