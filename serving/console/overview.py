"""Campaigns, bundles and the kill switch."""

import asyncio
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, get_args
from urllib.parse import quote
from zipfile import ZIP_DEFLATED, ZipFile

from litestar import Response, get, post
from litestar.response import Redirect, Stream

from retentionjax.company.money import money
from retentionjax.decide.draws import MOST_HELD_OUT
from serving.console.frame import (
    Http,
    campaigns_of,
    currency_of,
    done_at,
    full_page,
    number,
    read_form,
    remember_campaign,
    signed_in,
)
from serving.domain.bundles import ActivateIn, activate, describe, set_switch
from serving.domain.campaigns import CampaignIn, CampaignOut, campaign_now, save_campaign
from serving.fields import IN_WORDS, NAME_PATTERN
from serving.ledger import Ledger
from serving.ledger.company_files import WHAT
from serving.ledger.types import KillSwitch
from serving.problems import field_error, invalid, not_found
from serving.side_work import Check, scanned

WIDTH, HEIGHT = 1040, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 14, 34


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


@get("/", guards=[signed_in("decide", "report")])
async def show_campaign(request: Http) -> Response[Any]:
    """The first page: one campaign, see `campaigns_of`. Who may not look at it begins with a decision."""
    state = request.app.state
    if not request.auth.may_report:
        return Redirect("/console/decide", status_code=303)
    names, name = await asyncio.to_thread(state.ledger.ask, lambda reader: campaigns_of(request, reader))
    campaign = await scanned(state, campaign_now, state, name) if name else None
    chart = draw(campaign, currency_of(request)) if campaign else None
    filled = filled_in(campaign) if campaign else {}
    values: dict[str, Any] = {"campaign": campaign, "chart": chart, "names": names, "filled": filled}
    size = {"width": WIDTH, "height": HEIGHT, "left": _LEFT}
    shown = await full_page(request, "campaign.html", title="Campaign", **values, **size)
    remember_campaign(request, shown, name)
    return shown


@post("/campaigns", guards=[signed_in()], status_code=200)
async def change_campaign(request: Http) -> Response[Any]:
    """Makes a campaign, changes its budget, size, days and hold-out, pauses, resumes or ends it; asks again where the
    budget of a customer becomes many times what it was."""
    state, fields = request.app.state, await read_form(request)
    name, currency = fields.get("campaign_id", ""), currency_of(request)
    if not re.search(NAME_PATTERN, name):
        raise invalid("A campaign cannot have this name.", field_error("Name", name, IN_WORDS[NAME_PATTERN]))
    before = await scanned(state, _existing, state, name)
    if fields.get("make") and before is not None:
        raise invalid(
            "There is a campaign of this name already.", field_error("Name", name, "a name that is not taken")
        )
    here = f"/console?id={quote(name)}"
    if fields.get("end") and before is not None and before.state != "running":  # the page that asked for it is old
        return done_at(here, "not-running")
    wanted = _wanted(fields, before, currency)
    if not fields.get("sure") and (question := _question(fields, wanted, before, currency)):
        values: dict[str, Any] = {"name": name, "fields": fields, "question": question}
        return await full_page(request, "sure.html", title="Are you sure?", **values)
    await asyncio.to_thread(save_campaign, state, name, wanted, request.auth.caller)
    drawn_anew = before is not None and wanted.holdout not in (None, before.holdout.share)
    done = "ended" if fields.get("end") else _PAUSES.get(wanted.paused, "drawn-anew" if drawn_anew else "saved")
    return done_at(here, done)


@get("/export", guards=[signed_in("report")])
async def export_campaign(request: Http) -> Stream:
    """A campaign, `?id=`, as the files that `retentionjax ledger export` writes, in one archive."""
    state, name = request.app.state, request.query_params.get("id", "")
    if await asyncio.to_thread(state.ledger.ask, lambda view: view.campaign(name)) is None:
        raise not_found("campaign", "id", name)
    archive: IO[bytes] = await state.exports.run(request.auth.caller, partial(_archive, state.ledger, name))
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return Stream(iter(partial(archive.read, _CHUNK), b""), media_type="application/zip", headers=headers)


_CHUNK = 256 * 1024  # bytes


def _archive(ledger: Ledger, name: str, check: Check) -> IO[bytes]:
    """The archive in a file without a name, which goes with whoever reads it; raises what `check` does between files
    and at the end, when nobody waits for it any more."""
    archive = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the answer
    try:
        with tempfile.TemporaryDirectory(prefix="retentionjax-") as folder:
            ledger.export_company(folder, name, WHAT)
            with ZipFile(archive, "w", ZIP_DEFLATED) as zipped:
                for each in sorted(Path(folder).iterdir()):
                    check()
                    zipped.write(each, each.name)
        check()
    except BaseException:
        archive.close()
        raise
    archive.seek(0)
    return archive


def _existing(state: Any, name: str) -> CampaignOut | None:
    with state.ledger.read() as view:
        found = view.campaign(name)
    return None if found is None else campaign_now(state, name)


def _wanted(fields: Mapping[str, str], before: CampaignOut | None, currency: str) -> CampaignIn:
    """What the form says, every number checked under the name that the page has for it."""
    if fields.get("end") and before is not None:
        first = 1  # of which there is no less
        return CampaignIn(before.budget_micros, before.customers_expected, horizon_days=max(first, before.day))
    if fields.get("pause") in ("yes", "no") and before is not None:
        return CampaignIn(before.budget_micros, before.customers_expected, paused=fields["pause"] == "yes")
    kept = _untouched(fields, before)
    budget = before.budget_micros if before and "budget" in kept else round(_amount(fields, "budget", "Budget") * 1e6)
    used = before.spent_micros + before.reserved_micros if before else 0
    if budget < used:
        least = f"{money(used / 1e6, currency, cents=True)} or more, which is already spent or reserved"
        given = money(budget / 1e6, currency, cents=True)
        raise invalid("The budget is too small.", field_error("Budget", given, least))
    changed = {name: text for name, text in fields.items() if text and name not in kept}
    held = _amount(fields, "holdout", "Held out, %", most=100 * MOST_HELD_OUT) if "holdout" in changed else None
    days = _amount(fields, "days", "Days", least=1, most=366, whole=True) if "days" in changed else None
    if before and "customers" in kept:
        expected: float = before.customers_expected
    else:
        expected = _amount(fields, "customers", "Customers expected", least=1, whole=True)
    return CampaignIn(
        budget,
        int(expected),
        horizon_days=None if days is None else int(days),
        holdout=None if held is None else round(held / 100, _DIGITS),
    )


_DIGITS = 12  # of a share: all that was typed, without what dividing by 100 adds


def filled_in(campaign: CampaignOut) -> dict[str, str]:
    """What the form for changing a campaign shows of it, by the name of the field."""
    whole, millionths = divmod(campaign.budget_micros, 10**6)
    return {
        "budget": re.sub("0{1,4}$", "", f"{whole}.{millionths:06d}"),
        "customers": str(campaign.customers_expected),
        "holdout": f"{100 * campaign.holdout.share:.{_DIGITS}g}",
        "days": str(campaign.horizon_days),
    }


def _untouched(fields: Mapping[str, str], before: CampaignOut | None) -> set[str]:
    """The fields that say what the page showed when it was sent, be it old by now: nobody changed them, and what is
    stored is more exact, and later."""
    shown = filled_in(before) if before else {}
    return {name for name, text in shown.items() if fields.get(name) == fields.get(f"was.{name}", text)}


_PAUSES: Mapping[bool | None, str] = {True: "paused", False: "resumed"}


def _question(fields: Mapping[str, str], wanted: CampaignIn, before: CampaignOut | None, currency: str) -> str:
    """What to ask before a campaign ends, and before a budget is saved that is many times what it was for each
    customer; else empty."""
    if fields.get("end"):
        return "It ends. No more decisions are made for it, until it is given more days."
    if wanted.budget_micros is None or wanted.customers_expected is None:
        return ""
    each = wanted.budget_micros / wanted.customers_expected
    was = before.budget_micros / before.customers_expected if before else 0.0
    if not was or each <= _MANY_TIMES * was:
        return ""
    now, then = (money(micros / 1e6, currency, cents=True) for micros in (each, was))
    return f"That is {now} for each of {wanted.customers_expected:,} customers; it was {then}."


def _amount(
    fields: Mapping[str, str], name: str, label: str, *, least: float = 0, most: float = 1e9, whole: bool = False
) -> float:
    """A number of the form, which the page calls `label`."""
    value = number(fields, name, label, whole=whole)
    if value is None:
        raise invalid("A number is missing.", field_error(label, "", "a number"))
    if not least <= value <= most:
        raise invalid("A number is out of range.", field_error(label, value, f"{least:,g} to {most:,.0f}"))
    return value


_MANY_TIMES = 10
"""Growth of the budget of a customer above which the page asks whether it is meant."""


FIGURES: Mapping[str, str] = {
    "churn.cv_auc": "Churn model: AUC",
    "churn.cv_ece": "Churn model: calibration error",
    "acceptance.cv_auc": "Acceptance model: AUC",
    "acceptance.cv_ece": "Acceptance model: calibration error",
    "policy.spend_ratio": "Spend, as a share of the budget",
    "policy.violations_masked": "Contacts that broke a rule",
    "evaluate.uplift_ppo": "Gain per customer over contacting nobody",
    "evaluate.probability_beats_never": "Probability of such a gain",
    "evaluate.uplift_greedy": "Gain of the simple greedy rule",
    "evaluate.paired_ppo_minus_greedy": "Lead over that rule",
    "evaluate.share_of_attainable_gain": "Share of the attainable gain",
}
"""What the page calls the figures of a bundle (`serving.domain.bundles.SHOWN`)."""


@get("/bundles", guards=[signed_in("report")])
async def show_bundles(request: Http) -> Response[str]:
    """Which bundles serve."""
    bundles = describe(request.app.state.engine.lineup).bundles
    return await full_page(request, "bundles.html", title="Bundles", bundles=bundles, figures=FIGURES)


@post("/bundles", guards=[signed_in()], status_code=200)
async def change_bundles(request: Http) -> Response[Any]:
    """Puts a bundle to work, or ends one."""
    fields = await read_form(request)
    slot: Any = fields.get("slot")
    if slot not in ("active", "canary", "shadow"):
        raise invalid("The slot is unknown.", field_error("slot", slot, "active, canary, shadow"))
    is_share = slot == "canary" and fields.get("percent")  # the form has the field, and 10 in it, for all slots
    weight = _amount(fields, "percent", "Share of a canary, %", most=100) / 100 if is_share else 0.0
    await activate(request.app.state, request.auth.caller, ActivateIn(slot, fields.get("path") or None, weight))
    return done_at("/console/bundles", "loaded")


_LISTED_CHANGES = 100
_MODES = (
    ("policy", "Policy", "The bundle's policy decides, within every limit."),
    ("baseline", "Baseline", "The simple greedy rule decides, within the same limits."),
    ("never", "Never", "Nobody is contacted. Decisions are still answered and recorded: wait."),
)


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
    return done_at("/console/safety", "set")
