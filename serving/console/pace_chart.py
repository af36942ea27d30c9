"""The pace of a campaign as SVG: money used by each day against an even spend to the end."""

from dataclasses import dataclass

from serving.domain.campaigns.schemas import CampaignOut

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
    dollars: tuple[tuple[float, str], ...]
    """(y, label) of the horizontal lines."""
    days: tuple[tuple[float, str], ...]
    """(x, label) below."""
    summary: str
    """The same in words, for those who do not see it."""


def draw(campaign: CampaignOut) -> PaceChart:
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
        dollars=tuple((y(budget * share / 4), f"${budget * share / 4e6:,.0f}") for share in range(5)),
        days=tuple((x(horizon * share / 3), str(round(horizon * share / 3))) for share in range(4)),
        summary=(
            f"{100 * campaign.pace.share_used:.1f} % of the budget is spent or reserved after "
            f"{100 * campaign.pace.share_of_time:.1f} % of the campaign's time."
        ),
    )
