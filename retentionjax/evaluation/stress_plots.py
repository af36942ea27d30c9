"""Pictures of a stress test: a tornado of the assumptions, and the way to where never-contact wins."""

from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from retentionjax.evaluation.plots import BLUE, GREEN, GREY, ORANGE, plain, write
from retentionjax.evaluation.statistics import IntervalEstimate


def tornado(
    ends: Mapping[str, tuple[IntervalEstimate, IntervalEstimate]],
    others: Mapping[str, tuple[float, float]],
    base: float,
    folder: epath.Path,
) -> None:
    """`tornado.png`: PPO's uplift with each assumption moved down and up, widest first; `others`: the best rule's."""
    order = sorted(ends, key=lambda name: abs(ends[name][1].mean - ends[name][0].mean))
    figure = Figure(figsize=(8.5, 0.48 * len(order) + 1.6), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(order):
        for end, colour in zip(ends[name], (ORANGE, BLUE), strict=True):
            axes.barh(row, end.mean - base, left=base, height=0.55, color=colour, alpha=0.85)
            axes.plot([end.low, end.high], [row, row], color="black", linewidth=1)
        axes.plot(others[name], [row, row], linestyle="", marker="|", markersize=14, color="black")
    axes.axvline(base, color=GREY, linewidth=1)
    axes.axvline(0, color=GREEN, linestyle="--", linewidth=1.2)
    axes.set_yticks(range(len(order)), order)
    axes.set_xlabel(
        "PPO's uplift over never contacting [\\$ a customer]; left of green: never wins\n"
        "orange: moved down, blue: up; line: 95 % interval; |: greedy_fatigue",
        fontsize=9,
    )
    axes.set_title("If an assumption is wrong and the policy is not told")
    plain(axes)
    write(figure, folder / "tornado.png")


def way_down(
    title: str,
    values: Sequence[float],
    uplift: Mapping[str, Sequence[float]],
    crossing: float | None,
    folder: epath.Path,
) -> None:
    """`break_even.png`: uplift of each policy along the most harmful axis, and where PPO's turns negative."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for (name, heights), colour in zip(uplift.items(), (BLUE, ORANGE, GREEN, GREY), strict=False):
        axes.plot(values, heights, color=colour, marker="o", markersize=3, label=name)
    axes.axhline(0, color=GREY, linewidth=1)
    if crossing is not None:
        axes.axvline(crossing, color=GREY, linestyle="--", linewidth=1)
        axes.annotate(
            f"never wins from {crossing:.2f}", (crossing, float(np.max(uplift["ppo"]))), ha="left", fontsize=9
        )
    axes.set_xlabel(title)
    axes.set_ylabel("uplift over never [$ a customer]")
    axes.set_title("Where never contacting wins")
    axes.legend(frameon=False)
    plain(axes)
    write(figure, folder / "break_even.png")
