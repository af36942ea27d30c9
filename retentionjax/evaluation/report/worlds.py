"""If the assumptions are wrong: the policy in worlds that differ from the one it was trained in."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

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
    interval,
    money,
)
from retentionjax.evaluation.report.run_folder import FinishedRun
from retentionjax.evaluation.report.verdict import OURS, word

_BASE = "base"
_SIZES = re.compile(r" [×±].*$")
"""How far an axis is moved, which its rows say one by one."""
World = Mapping[str, Any]


def section(run: FinishedRun) -> Section:
    """`stress`: tornado, the worst world, where never contacting wins, and every world with intervals."""
    lead = (
        "The world will not be as assumed. Here one assumption after the other is changed, the policy is not told, and "
        "the gain over contacting nobody is measured again."
    )
    stage = run.get("stress")
    if stage is None:
        missing = Missing("the stress test", "python -m experiments.stress demo")
        return Section("stress", "If the assumptions are wrong", lead, (missing,))
    found = stage.json("stress.json")
    blocks: tuple[Block, ...] = (
        _worst(found["worst"]),
        Pictures((_tornado(found["worlds"]),)),
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
