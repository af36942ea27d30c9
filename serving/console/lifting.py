"""What a campaign changed, as a page of the console and as one that stands alone."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Response, get

from retentionjax.company.money import money
from serving.console.frame import STATIC, Http, campaigns_of, full_page, page, remember_campaign, signed_in
from serving.domain.campaigns import lift_now
from serving.lift.answer import IntervalOut, LiftOut, WeekOut

WIDTH, HEIGHT = 1040, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 14, 34


@dataclass(frozen=True)
class LiftChart:
    """An estimate over the weeks, in the coordinates of the picture."""

    title: str
    line: str
    """Points of the estimate."""
    area: str
    """Points around the interval; empty before there is one."""
    zero: float
    """y of no effect."""
    levels: tuple[tuple[float, str], ...]
    """(y, label) of the horizontal lines."""
    days: tuple[tuple[float, str], ...]
    """(x, label) below."""


@get("/effect", guards=[signed_in("report")])
async def show_effect(request: Http) -> Response[str]:
    """One campaign, see `campaigns_of`."""
    state = request.app.state
    names, name = await asyncio.to_thread(state.ledger.ask, lambda reader: campaigns_of(request, reader))
    found = await lift_now(state, request.auth.caller, name) if name else None
    currency = state.engine.active.bundle.company.currency
    values: dict[str, Any] = {"names": names, **_values(found, currency)}
    shown = await full_page(request, "effect.html", title="Effect", **values)
    remember_campaign(request, shown, name)
    return shown


def page_of(found: LiftOut, currency: str = "USD") -> str:
    """The same as a page that needs nothing beside it."""
    style = (STATIC / "console.css").read_text(encoding="utf-8")
    response = page("effect_alone.html", style=style, names=(), **_values(found, currency))
    return str(response.content)


def _values(found: LiftOut | None, currency: str) -> dict[str, Any]:
    def cash(value: float) -> str:
        return money(round(value, 2), currency)

    def share(value: float) -> str:
        return f"{'−' if value < 0 else ''}{abs(value) * 100:.2f}"

    charts = []
    if found is not None and len(found.weeks) > 1:
        charts = [
            draw("Customers kept by the campaign, of every 100", found.weeks, lambda week: week.kept, share),
            draw("Money it brought per customer", found.weeks, lambda week: week.dollars, cash),
        ]
    return {
        "found": found,
        "charts": charts,
        "width": WIDTH,
        "height": HEIGHT,
        "cash": cash,
        "share": share,
        "count": lambda value: f"{'−' if value < 0 else ''}{abs(round(value)):,}",
        "between": between,
    }


def between(each: IntervalOut, words: Callable[[float], str]) -> str:
    """An interval, for people."""
    if each.low is None or each.high is None:
        return "not yet bounded by an interval"
    return f"between {words(each.low)} and {words(each.high)}"


def draw(
    title: str,
    weeks: Sequence[WeekOut],
    of: Callable[[WeekOut], IntervalOut],
    words: Callable[[float], str],
) -> LiftChart:
    """The chart of one estimate. The scale is that of the later half, where intervals are narrow enough to read."""
    values = [of(week) for week in weeks]
    later = values[len(values) // 2 :]
    ends = [0.0, *(end for each in later for end in (each.low, each.mean, each.high) if end is not None)]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0
    last = weeks[-1].day

    def x(day: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * day / last, 1)

    def y(value: float) -> float:
        inside = min(max(value, low), high)
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (inside - low) / span, 1)

    known = [(week.day, each.low, each.high) for week, each in zip(weeks, values, strict=True)]
    upper = [(x(day), y(top)) for day, _, top in known if top is not None]
    lower = [(x(day), y(bottom)) for day, bottom, _ in reversed(known) if bottom is not None]
    return LiftChart(
        title=title,
        line=_points([(x(week.day), y(each.mean)) for week, each in zip(weeks, values, strict=True)]),
        area=_points([*upper, *lower]),
        zero=y(0.0),
        levels=tuple((y(value), words(value)) for value in sorted({low, 0.0, high})),
        days=tuple((x(week.day), f"day {week.day:g}") for week in weeks[:: max(1, len(weeks) // 6)]),
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{left},{top}" for left, top in places)
