"""What the service measured: the lines that `retentionjax lift --json` wrote, as a section of the report."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from retentionjax import storage
from retentionjax.errors import DataError
from retentionjax.evaluation.report import pictures
from retentionjax.evaluation.report.content import (
    Block,
    FigureTable,
    Missing,
    Notice,
    Paragraph,
    Picture,
    Pictures,
    Section,
    interval,
    number,
)

Campaign = Mapping[str, Any]
"""One campaign's lift (`LiftOut` of the service's description)."""
_NEEDED = ("campaign_id", "answer", "is_measured", "rests_on", "kept", "dollars", "spend", "customers", "weeks")
_SHOWN = 8
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


def section(campaigns: Sequence[Campaign]) -> Section:
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
    return Section("lift", "What it brought, measured", lead, tuple(blocks))


def _of_campaign(campaign: Campaign) -> list[Block]:
    name, measured = campaign["campaign_id"], bool(campaign["is_measured"])
    blocks: list[Block] = [Notice("good" if measured else "plain", f"Campaign {name}", campaign["answer"])]
    if campaign["kept"] is not None:
        blocks.append(_figures(campaign))
        weeks = [week for week in campaign["weeks"] if week["kept"]["low"] is not None][-_SHOWN:]
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
    caption = "Measured [95 %, however often one looks], beside what the bundle's effects promised"
    return FigureTable(caption, ("figure", "measured", "promised"), tuple(rows))


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
