"""Effects in words and pictures that need no mathematics: everything as a change in per cent."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from retentionjax.company import Company
from retentionjax.effects.chain import CONVERGED
from retentionjax.effects.itt import TrialArm
from retentionjax.effects.posterior import Estimate, Posterior

_COMMON = {
    "contact_effect": "leaving, in the weeks after any contact",
    "fatigue_hazard": "leaving, with every further contact in a month",
    "accept_fatigue": "accepting, with every earlier contact in a month",
    "accept_risk": "accepting, while a customer is in trouble",
    "churn_shift": "leaving, against what the model of risk says",
    "churn_drift": "leaving, with every month since the first assignment",
    "accept_shift": "accepting, against what the model of acceptance says",
}
_KINDS = {
    "hazard_multiplier": "leaving, after accepting {}",
    "appeal": "accepting {}, against a contact without an offer",
}
_WRONG_BEYOND = 3.0
_TENFOLD = 900.0
"""Change in per cent from which on it is said as a factor."""
_FACTORS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 21.0, 101.0)


def words(name: str, company: Company) -> str | None:
    """What an effect changes, as a person says it; None for what is declared and has no change in per cent."""
    kind, _, offer = name.partition(".")
    if kind in _KINDS:
        return _KINDS[kind].format(f"“{offer}” ({company.offers[offer].words(company.currency)})")
    return _COMMON.get(name)


def change(name: str, value: float) -> float:
    """The effect as a change in per cent: of the daily risk of leaving, or of the odds of acceptance."""
    if name.startswith("hazard_multiplier"):
        return 100 * (value - 1)
    return 100 * math.expm1(-value if name == "accept_fatigue" else value)


def sentences(posterior: Posterior, arms: tuple[TrialArm, ...], company: Company) -> list[str]:
    """What was believed beside what the log says, a line each; then the arms, then what is in doubt."""
    rows = [("change of …", "believed", "the log says")]
    for name, each in _told(posterior, company).items():
        after = _interval(name, each.median, each.low, each.high) if each.is_estimated else "assumed"
        after += ", perhaps nothing" if each.is_estimated and not posterior.is_shown(name) else ""
        rows.append((str(words(name, company)), _interval(name, each.prior.median, *each.prior.interval), after))
    width, middle = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"{what:<{width}}  {before:>{middle}}  {after}" for what, before, after in rows]
    lines += [f"assumed: {', '.join(each.effects)}: {each.reason}" for each in posterior.refused]
    lines += [line for arm in arms if (line := _arm(arm, company.currency))]
    lines += _shadow(arms)
    if not posterior.is_reliable:
        lines.append(
            f"NOT TO BE TRUSTED: the check of the intervals failed (R̂ {posterior.r_hat:.2f}, at most {CONVERGED}); "
            "more rows, or fewer offers, help"
        )
    return lines


def _shadow(arms: tuple[TrialArm, ...]) -> list[str]:
    """Sentences on where the model and what was plainly counted disagree beyond noise, or one that they do not."""
    judged = [
        (arm.name, verb, found)
        for arm in arms
        for verb, found in (("leave", arm.leaving), ("accept", arm.accepting))
        if found is not None
    ]
    wrong = [
        f"The model is wrong about {name}, do not act on its effect: it expects {found.expected:,.0f} to {verb}, and "
        f"{found.seen:,} did, {abs(found.deviations):.1f} standard deviations from that"
        for name, verb, found in judged
        if abs(found.deviations) > _WRONG_BEYOND
    ]
    if judged and not wrong:
        verbs = " and ".join(dict.fromkeys(verb for _, verb, _ in judged))
        return [f"In every arm as many {verbs} as the model expects, within chance"]
    return wrong


def picture(posterior: Posterior, company: Company) -> Figure:
    """One row an effect, as a factor on a scale of its logarithm, since nothing shrinks by more than all of it and odds
    may grow tenfold: grey what was believed, blue what the log says; without blue it is assumed."""
    told = _told(posterior, company)
    figure = Figure(figsize=(9, 0.45 * len(told) + 1.4), layout="constrained")
    axes = figure.subplots()
    for place, (name, each) in enumerate(told.items()):
        before = (each.prior.interval[0], each.prior.median, each.prior.interval[1])
        _bar(axes, place - 0.15, name, before, "0.6")
        if each.is_estimated:
            _bar(axes, place + 0.15, name, (each.low, each.median, each.high), "tab:blue")
    axes.axvline(1, color="0.8", zorder=0)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks([factor for factor in _FACTORS if low <= factor <= high])
    axes.xaxis.set_major_formatter(lambda factor, _: f"{100 * (factor - 1):+,.0f} %")
    axes.minorticks_off()
    axes.grid(axis="x", color="0.93")
    axes.set_axisbelow(True)
    axes.set_yticks(range(len(told)), [textwrap.fill(str(words(name, company)), 46) for name in told])
    axes.invert_yaxis()
    axes.set_xlabel("change, 90 % intervals")
    figure.suptitle(f"{company.name}: grey what we believed, blue what the log says")
    return figure


def _told(posterior: Posterior, company: Company) -> Mapping[str, Estimate]:
    """Effects with words, those on leaving first, without those that are nothing by definition."""
    kept = {
        name: each
        for name, each in posterior.estimates.items()
        if words(name, company) and each.prior.interval[0] < each.prior.interval[1]
    }
    return dict(sorted(kept.items(), key=lambda item: not str(words(item[0], company)).startswith("leaving")))


def _interval(name: str, median: float, low: float, high: float) -> str:
    middle, *ends = (change(name, median), *sorted((change(name, low), change(name, high))))
    if ends[1] >= _TENFOLD:  # +1,370 % is more than people can picture
        middle, *ends = (1 + each / 100 for each in (middle, *ends))
        return f"× {middle:.1f} [{ends[0]:.1f}, {ends[1]:.1f}]"
    return f"{middle:+.0f} % [{ends[0]:+.0f}, {ends[1]:+.0f}]"


def _bar(axes: Any, place: float, name: str, quantiles: tuple[float, ...], colour: str) -> None:
    low, median, high = (1 + change(name, each) / 100 for each in quantiles)
    axes.plot([low, high], [place, place], color=colour, linewidth=3, solid_capstyle="round")
    axes.plot([median], [place], "o", color=colour)


def _arm(arm: TrialArm, currency: str) -> str:
    if arm.left is None or arm.dollars is None:
        return ""
    left, money = arm.left, arm.dollars
    return (
        f"{arm.name}, assigned {arm.assignments:,} times, without any model: {100 * left.mean:+.2f} points of them "
        f"leave {left.ends(100)}, {currency} {money.mean:+.2f} a customer {money.ends()} within a month"
    )
