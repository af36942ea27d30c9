"""Campaigns, bundles and the kill switch."""

import asyncio
import itertools
import re
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
from litestar import Response, get, post
from litestar.response import Redirect

from retentionjax.company.money import money
from retentionjax.shield.brief import CHANNELS
from serving.console.frame import Http, campaign_names, currency_of, full_page, number, read_form, signed_in
from serving.domain.bundles import ActivateIn, activate, describe, set_switch
from serving.domain.campaigns import CampaignIn, CampaignOut, campaign_now, save_campaign
from serving.domain.variants import VariantDecisionIn, VariantIn, decide, propose, variants_now
from serving.express import decode
from serving.fields import IN_WORDS, NAME_PATTERN
from serving.ledger.types import KillSwitch
from serving.problems import field_error, invalid

WIDTH, HEIGHT = 1040, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 14, 34


@dataclass(frozen=True)
class PaceChart:
    """All that the template draws, in the coordinates of the picture."""

    used: str
    """Points of the line: spent and reserved, by day."""
    area: str
    """Points of the surface below it."""
    even: tuple[float, float, float, float]
    """x1, y1, x2, y2 of the even spend."""
    today: float | None
    """x of the current day."""
    money: tuple[tuple[float, str], ...]
    """(y, label) of the horizontal lines."""
    days: tuple[tuple[float, str], ...]
    """(x, label) below."""
    summary: str
    """The same in words, for those who do not see it."""


def draw(campaign: CampaignOut, currency: str) -> PaceChart:
    """The chart of a campaign as it is now."""
    horizon = campaign.horizon_days
    budget = max(1, campaign.budget_micros)

    def x(day: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * day / horizon, 1)

    def y(micros: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * micros / budget, 1)

    now = min(max(campaign.day + 1, 0), horizon)
    points, total = [(x(0), y(0))], 0
    by_day = {each.day: each.spent_micros + each.reserved_micros for each in campaign.days}
    last = max([now, *(day + 1 for day in by_day)], default=now)
    for day in range(min(last, horizon)):
        total += by_day.get(day, 0)
        points.append((x(day + 1), y(total)))
    line = " ".join(f"{left},{top}" for left, top in points)
    base = y(0)
    return PaceChart(
        used=line,
        area=f"{points[0][0]},{base} {line} {points[-1][0]},{base}",
        even=(x(0), y(0), x(horizon), y(budget)),
        today=x(now) if campaign.state == "running" else None,
        money=tuple((y(budget * share / 4), money(round(budget * share / 4e6), currency)) for share in range(5)),
        days=tuple((x(horizon * share / 3), str(round(horizon * share / 3))) for share in range(4)),
        summary=(
            f"{100 * campaign.pace.share_used:.1f} % of the budget is spent or reserved after "
            f"{100 * campaign.pace.share_of_time:.1f} % of the campaign's time."
        ),
    )


_LISTED_CHANGES = 100
_MODES = (
    ("policy", "Policy", "The bundle's policy decides, within every limit."),
    ("baseline", "Baseline", "The simple greedy rule decides, within the same limits."),
    ("never", "Never", "Nobody is contacted. Decisions are still answered and recorded: wait."),
)


@get("/", guards=[signed_in("decide", "report")])
async def show_campaign(request: Http) -> Response[Any]:
    """The first page: one campaign, `?id=`, or the latest. Who may not look at it begins with a decision."""
    state = request.app.state
    if not request.auth.may_report:
        return Redirect("/console/decide", status_code=303)
    names = await asyncio.to_thread(campaign_names, state.ledger)
    name = request.query_params.get("id", names[0] if names else None)
    campaign = await asyncio.to_thread(campaign_now, state, name) if name else None
    chart = draw(campaign, currency_of(request)) if campaign else None
    values: dict[str, Any] = {"campaign": campaign, "chart": chart, "names": names}
    size = {"width": WIDTH, "height": HEIGHT}
    return await full_page(request, "campaign.html", title="Campaign", **values, **size)


@post("/campaigns", guards=[signed_in()], status_code=200)
async def change_campaign(request: Http) -> Response[Any]:
    """Sets budget, size and hold-out."""
    fields = await read_form(request)
    name = fields.get("campaign_id", "")
    if not re.search(NAME_PATTERN, name):
        raise invalid("The name has a wrong form.", field_error("campaign_id", name, IN_WORDS[NAME_PATTERN]))
    numbers = {
        "budget_micros": round(_amount(fields, "budget") * 1e6),
        "customers_expected": int(_amount(fields, "customers")),
        **({"holdout": _amount(fields, "holdout") / 100} if fields.get("holdout") else {}),
    }
    wanted = decode(msgspec.json.encode(numbers), CampaignIn)
    await asyncio.to_thread(save_campaign, request.app.state, name, wanted, request.auth.caller)
    return Redirect(f"/console?id={name}&done=Saved.", status_code=303)


@get("/bundles", guards=[signed_in("report")])
async def show_bundles(request: Http) -> Response[str]:
    """Which bundles serve."""
    bundles = describe(request.app.state.engine.lineup).bundles
    return await full_page(request, "bundles.html", title="Bundles", bundles=bundles)


@post("/bundles", guards=[signed_in()], status_code=200)
async def change_bundles(request: Http) -> Response[Any]:
    """Puts a bundle to work, or ends one."""
    fields = await read_form(request)
    slot: Any = fields.get("slot")
    if slot not in ("active", "canary", "shadow"):
        raise invalid("The slot is unknown.", field_error("slot", slot, "active, canary, shadow"))
    weight = _amount(fields, "percent") / 100 if fields.get("percent") else 0.0
    await activate(request.app.state, request.auth.caller, ActivateIn(slot, fields.get("path") or None, weight))
    return Redirect("/console/bundles?done=Done.", status_code=303)


@get("/safety", guards=[signed_in("report")])
async def show_safety(request: Http) -> Response[str]:
    """The kill switch, the keys there are, and who set what."""
    ledger = request.app.state.ledger
    keys, changes = await asyncio.to_thread(ledger.ask, lambda view: (view.api_keys(), view.changes(_LISTED_CHANGES)))
    return await full_page(request, "safety.html", title="Safety", modes=_MODES, keys=keys, changes=changes)


@post("/safety", guards=[signed_in()], status_code=200)
async def change_safety(request: Http) -> Response[Any]:
    """Sets the kill switch."""
    mode: Any = (await read_form(request)).get("mode")
    if mode not in get_args(KillSwitch):
        raise invalid("The mode is unknown.", field_error("mode", mode, ", ".join(get_args(KillSwitch))))
    await asyncio.to_thread(set_switch, request.app.state.ledger, mode, request.auth.caller)
    return Redirect("/console/safety?done=Set.", status_code=303)


@post("/consent", guards=[signed_in("decide")], status_code=200)
async def record_consent(request: Http) -> Response[Any]:
    """Records that a customer agreed, as told by whoever is signed in."""
    fields = await read_form(request)
    customer, channel = fields.get("customer_id", ""), fields.get("channel", "")
    if not re.search(NAME_PATTERN, customer):
        raise invalid("The name has a wrong form.", field_error("customer_id", customer, IN_WORDS[NAME_PATTERN]))
    if channel not in CHANNELS:
        raise invalid("The channel is unknown.", field_error("channel", channel, ", ".join(CHANNELS)))
    source = f"console, by {request.auth.caller.name}"
    await asyncio.to_thread(_grant, request.app.state.ledger, customer, channel, source)
    return Redirect("/console/decide?done=Consent is recorded. Decide again.", status_code=303)


def _grant(ledger: Any, customer: str, channel: str, source: str) -> None:
    with ledger.transaction() as tx:
        tx.set_consent(customer, channel, "granted", source=source)


def _amount(fields: dict[str, str], name: str) -> float:
    value = number(fields, name)
    if value is None:
        raise invalid("A number is wanted.", field_error(name, "", "a number"))
    if not 0 <= value <= 1e9:
        raise invalid("A number is out of range.", field_error(name, fields[name], "0 to 1,000,000,000"))
    return value


# --- wordings --------------------------------------------------------------------------------------------------------


PAGE = "/console/wordings"


@get("/wordings", guards=[signed_in("report")])
async def show_wordings(request: Http) -> Response[str]:
    """All wordings by kind, and a form for one's own."""
    state = request.app.state
    found = await asyncio.to_thread(variants_now, state)
    kinds = [
        (kind, list(group))
        for kind, group in itertools.groupby(found, lambda each: (each.offer, each.channel, each.tone, each.angle))
    ]
    offers = list(state.engine.lineup.active.served.bundle.offers)
    return await full_page(request, "wordings.html", title="Wordings", kinds=kinds, offers=offers)


@post("/wordings", guards=[signed_in()], status_code=200)
async def propose_wording(request: Http) -> Response[Any]:
    """Keeps a wording; an edited one takes the place of that which it was."""
    fields = await read_form(request)
    former, who = fields.pop("former", ""), str(request.auth.caller)
    fields["text"] = fields.get("text", "").replace("\r\n", "\n").strip()
    wanted = decode(msgspec.json.encode(fields), VariantIn)
    (made,) = await asyncio.to_thread(propose, request.app.state, [wanted], "", who)
    if former and former != made.id:
        await asyncio.to_thread(decide, request.app.state, former, "refused", who)
    return Redirect(f"{PAGE}?done=Proposed. It is sent once it is approved.", status_code=303)


@post("/wordings/decide", guards=[signed_in()], status_code=200)
async def decide_wording(request: Http) -> Response[Any]:
    """Approves, refuses or retires a wording."""
    fields = await read_form(request)
    variant_id = fields.pop("variant_id", "")
    wanted = decode(msgspec.json.encode(fields), VariantDecisionIn)
    await asyncio.to_thread(decide, request.app.state, variant_id, wanted.state, str(request.auth.caller))
    return Redirect(f"{PAGE}?done={wanted.state.capitalize()}.", status_code=303)
