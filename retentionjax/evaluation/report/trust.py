"""What questions the policy: other budgets, a real trial, other worlds, and what a served campaign brought."""

import json
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retentionjax import storage
from retentionjax.errors import DataError
from retentionjax.evaluation.report import pictures
from retentionjax.evaluation.report.content import (
    DASH,
    Block,
    FigureTable,
    Missing,
    Notice,
    Paragraph,
    Picture,
    Pictures,
    Section,
    bracketed,
    interval,
    money,
    number,
    percent,
    percent_interval,
)
from retentionjax.evaluation.report.run_folder import FinishedRun, FinishedStage
from retentionjax.evaluation.report.verdict import OURS, word

_RECORDS = ("data_source", "seconds")
_ANY_BUDGET = "one policy for any budget"
_EXACT = "exact optimum"
_SHOWN = 8
"""Rows of the table of budgets at most."""
_TARGETING = {
    "never": "write to nobody",
    "all_mens": "men’s e-mail to all",
    "all_womens": "women’s e-mail to all",
    "t_learner_top": "women’s e-mail to the top 30 %",
    "greedy": "best e-mail for each",
}
_CURVES = {"mens": "men’s e-mail", "womens": "women’s e-mail", "best": "best e-mail for each"}
Points = Sequence[Mapping[str, float]]


def frontier(run: FinishedRun) -> Section:
    """`frontier`: gain against spend for many budgets, and what the next unit of it returns."""
    lead = (
        "What other budgets would bring, on the same held-out customers, and what the next unit of it returns at each."
    )
    stage = run.get("frontier")
    if stage is None:
        missing = Missing("other budgets", "python -m experiments.frontier")
        return Section("frontier", "Other budgets", lead, (missing,))
    found = stage.json("frontier.json")
    blocks: tuple[Block, ...] = (Pictures((_frontier(found),), beside=_budgets(found["multipliers"])), summary(stage))
    return Section("frontier", "Other budgets", lead, blocks)


def _frontier(found: Mapping[str, Any]) -> Picture:
    curves = {_EXACT: found["exact"], **{_name(name): each for name, each in found["curves"].items()}}
    series = {name: _line(points) for name, points in curves.items()}
    dots = {
        f"trained for {money(each['hyperparameter'])}": (each["spend"], each["uplift"]) for each in found["trained"]
    }
    labels = ("spend [$ a customer]", "gain over nobody [$ a customer]")
    drawing = pictures.lines(series, name="frontier", labels=labels, ours=_ANY_BUDGET, bound=_EXACT, dots=dots)
    said = "; ".join(
        f"{name} up to {money(max(y))} at {money(x[int(np.argmax(y))])}" for name, (x, y) in series.items()
    )
    caption = (
        f"Gain against spend of {found['customers']} held-out customers. No policy can lie above the exact optimum; "
        "squares are policies trained for one budget each."
    )
    return Picture(drawing, f"Gain against spend. {said}.", caption)


def _budgets(multipliers: Mapping[str, Sequence[float]]) -> FigureTable:
    rows = list(zip(multipliers["spend"], multipliers["uplift"], multipliers["multiplier"], strict=True))
    chosen = sorted({round(place) for place in np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows)))}, reverse=True)
    cells = tuple((money(rows[place][0]), money(rows[place][1]), number(rows[place][2], 2)) for place in chosen)
    return FigureTable("What a budget brings (training customers)", ("budget", "gain", "the next unit returns"), cells)


def _name(policy: str) -> str:
    return _ANY_BUDGET if policy == "any_budget" else word(policy)


def _line(points: Points) -> tuple[list[float], list[float]]:
    """(spend, gain) by rising spend."""
    order = sorted(points, key=lambda each: each["spend"])
    return [each["spend"] for each in order], [each["uplift"] for each in order]


def off_policy(run: FinishedRun) -> Section:
    """`off_policy`: value of targeting rules from a real randomised trial, and whom to write first."""
    lead = (
        "No simulator here: customers of a real randomised e-mail trial (Hillstrom), and what targeting rules would "
        "have brought, estimated from the trial’s own log. It tests the methods on people; shop and offer are others."
    )
    stage = run.get("hillstrom")
    if stage is None:
        missing = Missing("the estimate from logged decisions", "python -m experiments.hillstrom")
        return Section("off_policy", "On a real trial", lead, (missing,))
    figures = stage.summary
    blocks: list[Block] = [Pictures((_visits(figures), _qini(stage)))]
    rows = [
        (words, percent_interval(_estimate(figures, f"value_visit_{name}"), 1), _spend(figures, name))
        for name, words in _TARGETING.items()
        if f"value_visit_{name}" in figures
    ]
    blocks.append(FigureTable("Value a customer, doubly robust", ("rule", "visits", "spend"), tuple(rows)))
    auc = number(figures.get("propensity_auc"))
    blocks.append(
        Paragraph(f"Who was written to cannot be predicted (AUC {auc}, chance is 0.5): the trial was randomised.")
    )
    return Section("off_policy", "On a real trial", lead, tuple(blocks))


def _visits(figures: Mapping[str, Any]) -> Picture:
    rows = {
        words: _estimate(figures, f"value_visit_{name}")
        for name, words in _TARGETING.items()
        if f"value_visit_{name}" in figures
    }
    drawing = pictures.intervals(rows, name="visits", label="% of customers who visit", digits=1, scale=100.0)
    said = "; ".join(f"{words} {percent(each['mean'], 1)}" for words, each in rows.items())
    caption = f"Share of customers who visit under each rule, with 95 % intervals; {figures['rows']:,.0f} customers."
    return Picture(drawing, f"Visits by rule: {said}.", caption)


def _qini(stage: FinishedStage) -> Picture:
    curves = stage.json("curves.json")
    series = {
        _CURVES.get(name, name): ([100 * x for x in each["spend"]], [100 * y for y in each["gain"]])
        for name, each in curves.items()
    }
    bands = {
        _CURVES.get(name, name): ([100 * y for y in each["low"]], [100 * y for y in each["high"]])
        for name, each in curves.items()
    }
    labels = ("% of customers written to", "more visits per 100 customers")
    drawing = pictures.lines(series, name="qini", labels=labels, ours=_CURVES["best"], bands=bands)
    said = "; ".join(f"{name} {number(y[-1], 1)} at {number(x[-1], 0)} percent" for name, (x, y) in series.items())
    caption = "Visits gained when those are written first whose visits a model expects to rise most; 95 % bands."
    return Picture(drawing, f"Visits gained by share written to: {said}.", caption)


def _spend(figures: Mapping[str, Any], name: str) -> str:
    mean, low, high = (figures[f"value_spend_{name}{end}"] for end in ("", "_low", "_high"))
    return f"{mean:.2f} USD [{low:.2f},\N{NO-BREAK SPACE}{high:.2f}]"  # whatever the company's: the trial's own


def _estimate(figures: Mapping[str, Any], key: str) -> dict[str, float | None]:
    return {"mean": figures[key], "low": figures[f"{key}_low"], "high": figures[f"{key}_high"]}


def summary(stage: FinishedStage) -> FigureTable:
    """Every figure of the stage, with its interval where it has one."""
    figures = stage.summary
    ends = ("_low", "_high")
    rows = [
        (key.replace("_", " "), bracketed(figures, key))
        for key, value in figures.items()
        if isinstance(value, int | float) and key not in _RECORDS and not key.endswith(ends)
    ]
    return FigureTable(f"Figures of the stage {stage.name}", ("figure", "value"), tuple(rows))


# --- other worlds ----------------------------------------------------------------------------------------------------


_BASE = "base"
_SIZES = re.compile(r" [×±].*$")
"""How far an axis is moved, which its rows say one by one."""
World = Mapping[str, Any]


def stress(run: FinishedRun) -> Section:
    """`stress`: tornado, the worst world, where never contacting wins, and every world with intervals."""
    lead = (
        "The world will not be as assumed. Here one assumption after the other is changed, the policy is not told, and "
        "the gain over contacting nobody is measured again."
    )
    stage = run.get("stress")
    if stage is None:
        missing = Missing("the stress test", "python -m experiments.stress")
        return Section("stress", "If the assumptions are wrong", lead, (missing,))
    found = stage.json("stress.json")
    blocks: tuple[Block, ...] = (
        _worst(found["worst"]),
        Pictures((_tornado(found["worlds"]), _way_down(found["break_even"]))),
        _table(found["worlds"]),
        Paragraph(f"{_break_even(found['break_even'])} {found['assumed_known']}"),
    )
    return Section("stress", "If the assumptions are wrong", lead, blocks)


def _worst(world: World) -> Notice:
    uplift = world["policies"][OURS]["uplift"]
    text = f"{_place(world)}: {interval(uplift, sign=True)} a customer over contacting nobody."
    if uplift["low"] > 0:
        return Notice("good", "It pays even in the worst of these worlds", text.capitalize())
    return Notice("warning", "In the worst of these worlds it is not shown to pay", text.capitalize())


def _tornado(worlds: Sequence[World]) -> Picture:
    base = next(world for world in worlds if world["axis"] == _BASE)
    centre = float(base["policies"][OURS]["uplift"]["mean"])
    ends: dict[str, list[float]] = {}
    for world in worlds:
        if world["axis"] != _BASE:
            ends.setdefault(_title(world), [centre] if _is_shape(world) else []).append(
                float(world["policies"][OURS]["uplift"]["mean"])
            )
    order = sorted(ends, key=lambda title: min(ends[title]) - max(ends[title]))
    swings = {textwrap.fill(title, 20): (min(ends[title]), max(ends[title])) for title in order}
    drawing = pictures.tornado(swings, centre, name="tornado", label="$ gained a customer")
    said = "; ".join(f"{title} {money(min(ends[title]))} to {money(max(ends[title]))}" for title in order)
    caption = f"The gain as each assumption moves; as assumed it is {money(centre)}. The longest bar matters most."
    return Picture(drawing, f"Gain by assumption: {said}.", caption)


def _table(worlds: Sequence[World]) -> FigureTable:
    rules = [name for name in worlds[0]["policies"] if name != OURS]
    rows = [
        (
            _place(world),
            *(_gain(world, name) for name in (OURS, *rules)),
        )
        for world in worlds
    ]
    header = ("world", *(word(name) for name in (OURS, *rules)))
    return FigureTable("Gain over nobody in each world, $ a customer", header, tuple(rows))


def _way_down(found: Mapping[str, Any]) -> Picture:
    """The gain of each policy along the most harmful axis."""
    title = _SIZES.sub("", found["title"])
    series = {word(name): (found["values"], uplift) for name, uplift in found["uplift"].items()}
    labels = (title, "gain over nobody [$ a customer]")
    drawing = pictures.lines(series, name="way_down", labels=labels, ours=word(OURS), level=0.0)
    said = "; ".join(f"{name} {money(y[0])} to {money(y[-1])}" for name, (_, y) in series.items())
    return Picture(drawing, f"Gain along “{title}”: {said}.", "The assumption that hurts most, followed to its end.")


def _break_even(found: Mapping[str, Any]) -> str:
    title = _SIZES.sub("", found["title"])
    if found["never_wins_from"] is None:
        return f"Along “{title}” contacting nobody never wins, up to {found['searched_to']:g}."
    return f"Contacting nobody wins once “{title}” reaches {found['never_wins_from']:.3g}."


def _gain(world: World, policy: str) -> str:
    each = world["policies"].get(policy)
    return DASH if each is None else interval(each["uplift"], sign=True)


def _place(world: World) -> str:
    """Which world: the assumption, and what it is multiplied by, or by how much it is moved."""
    if world["axis"] == _BASE:
        return "as assumed"
    if _is_shape(world):
        return _title(world)
    moved = "±" in world["title"]
    value = f"{world['value']:+g}" if moved else f"× {world['value']:g}"
    return f"{_title(world)} {value}".replace("-0", "−0")


def _is_shape(world: World) -> bool:
    """Whether it is a world of its own, and no end of an axis."""
    return str(world["axis"]).startswith("shape_")


def _title(world: World) -> str:
    return _SIZES.sub("", str(world["title"]))


# --- what a served campaign brought ----------------------------------------------------------------------------------


Campaign = Mapping[str, Any]
"""One campaign's lift (`LiftOut` of the service's description)."""
_NEEDED = ("campaign_id", "answer", "is_measured", "rests_on", "kept", "dollars", "spend", "customers", "weeks")
_WEEKS = 8
"""Weeks in the picture at most, the last ones."""


def read(path: str | os.PathLike[str]) -> tuple[Campaign, ...]:
    """The campaigns in the file, a line each. Raises DataError naming file, line and what is missing."""
    wanted = "wanted: what `retentionjax lift --json` writes"
    try:
        lines = storage.in_memory(path).read().decode().splitlines()
    except FileNotFoundError:
        raise DataError(f"{os.fspath(path)}: no such file; {wanted}") from None
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{os.fspath(path)}: not a readable text file; {wanted}") from None
    found = []
    for line, text in enumerate(lines, start=1):
        try:
            campaign = json.loads(text)
        except ValueError:
            campaign = None
        missing = [key for key in _NEEDED if not isinstance(campaign, dict) or key not in campaign]
        if missing:
            raise DataError(f"{os.fspath(path)}: line {line}: {missing[0]!r} is missing; {wanted}")
        found.append(campaign)
    if not found:
        raise DataError(f"{os.fspath(path)}: is empty; {wanted}")
    return tuple(found)


def measured(campaigns: Sequence[Campaign]) -> Section:
    """`lift`: customers kept and money brought by each campaign, against those it held out."""
    lead = "What would have happened without it: customers of a campaign against those whom chance held out."
    blocks: list[Block] = []
    for campaign in campaigns:
        blocks += _of_campaign(campaign)
    if not campaigns:
        command = (
            "retentionjax lift --database URL --json > lift.jsonl; retentionjax report --run DIR --lift lift.jsonl"
        )
        blocks = [Missing("what a served campaign brought", command)]
    return Section("lift", "What it brought", lead, tuple(blocks))


def _of_campaign(campaign: Campaign) -> list[Block]:
    name, measured = campaign["campaign_id"], bool(campaign["is_measured"])
    blocks: list[Block] = [Notice("good" if measured else "plain", f"Campaign {name}", campaign["answer"])]
    if campaign["kept"] is not None:
        blocks.append(_figures(campaign))
        weeks = [week for week in campaign["weeks"] if week["kept"]["low"] is not None][-_WEEKS:]
        if weeks:
            blocks.append(Pictures((_over_time(name, weeks),)))
    return [*blocks, *map(Paragraph, campaign["rests_on"])]


def _figures(campaign: Campaign) -> FigureTable:
    sides, believed = campaign["customers"], campaign.get("believed_kept")
    rows = [
        ("customers; held out", f"{sides['campaign']:,}; {sides['held_out']:,}", "–"),
        ("kept by it, of 100 customers", _points(campaign["kept"]), number(_hundred(believed), 2)),
        ("money it brought, a customer", interval(campaign["dollars"], sign=True), "–"),
        ("spent, a customer", interval(campaign["spend"]), "–"),
    ]
    rows += [
        (f"pilot, {arm['arm']}: kept of 100", _points(arm["kept"]), number(_hundred(arm["believed_kept"]), 2))
        for arm in campaign.get("pilot", ())
    ]
    known = campaign["kept"]["low"] is not None
    heading = "measured" if known else "estimate so far"
    standing = "Measured [95 %, however often you look]" if known else "An estimate without an interval yet"
    caption = f"{standing}, beside what the bundle's effects predicted"
    return FigureTable(caption, ("figure", heading, "predicted"), tuple(rows))


def _over_time(name: str, weeks: Sequence[Mapping[str, Any]]) -> Picture:
    estimates = {f"by day {week['day']:g}": week["kept"] for week in weeks}
    label = "of 100 customers kept by the campaign"
    last = list(estimates)[-1]
    drawing = pictures.intervals(estimates, name=f"lift-{name}", label=label, ours=last, scale=100.0, line=0.0)
    said = "; ".join(f"{when} {_points(kept)}" for when, kept in estimates.items())
    return Picture(drawing, f"Customers kept, of 100: {said}.", f"{name}: everything from its start to each day.")


def _points(estimate: Mapping[str, float | None]) -> str:
    mean, low, high = (_hundred(estimate[part]) for part in ("mean", "low", "high"))
    within = "not known yet" if low is None else f"{number(low, 2)}, {number(high, 2)}"
    return f"{number(mean, 2)} [{within}]"


def _hundred(share: float | None) -> float | None:
    return None if share is None else 100 * share
