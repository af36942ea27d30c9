"""Pictures of a run: the learning curve with multiplier and cost, budget pacing, policies.

Colours are Okabe and Ito's, told apart by colour-blind readers; pictures are PNG at 150 dots an inch.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from etils import epath
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retentionjax import storage
from retentionjax.evaluation.statistics import IntervalEstimate

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
Record = Mapping[str, float | None]


def learning_curve(metrics: Sequence[Record], budget: float, currency: str, folder: epath.Path) -> None:
    """`learning_curve.png`: uplift, spend against the budget (∞: none), and its multiplier, by iteration."""
    steps = [record["step"] for record in metrics]

    def series(name: str) -> list[float]:
        return [np.nan if (value := record.get(name)) is None else value for record in metrics]

    figure = Figure(figsize=(8, 6.4), layout="constrained")
    uplift, spend, multiplier = figure.subplots(3, sharex=True)
    uplift.plot(steps, series("uplift"), color=BLUE)
    uplift.axhline(0, color=GREY, linewidth=0.8)
    uplift.set(ylabel=f"uplift over never [{currency}]")
    spend.plot(steps, series("cost_campaign_budget"), color=ORANGE)
    spend.set(ylabel=f"spend [{currency}]", ylim=(0, max(2.5 * budget, 1e-9) if np.isfinite(budget) else None))
    if np.isfinite(budget):
        spend.axhline(budget, color=GREY, linestyle="--", linewidth=1)
        spend.annotate("budget", (steps[-1] or 0, budget), ha="right", va="top", color=GREY)
    multiplier.plot(steps, series("multiplier_campaign_budget"), color=GREEN)
    multiplier.set(xlabel="iteration", ylabel="multiplier λ [value per unit]", ylim=(0, None))
    figure.suptitle("Learning a policy under a budget (means a customer and campaign)")
    write(figure, folder / "learning_curve.png")


def pacing(daily_spend: Mapping[str, npt.ArrayLike], budget: float, currency: str, folder: epath.Path) -> None:
    """`pacing.png`: mean spend a customer up to each day, one line a policy, and the budget (∞: none)."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in daily_spend.items():
        total = np.cumsum(np.asarray(values, np.float64))
        is_ours = name == "ppo"
        colour, width = (BLUE, 2.4) if is_ours else (GREY, 1.0)
        axes.plot(np.arange(1, len(total) + 1), total, color=colour, linewidth=width, zorder=3 if is_ours else 2)
    ends = {name: float(np.sum(np.asarray(values, np.float64))) for name, values in daily_spend.items()}
    days = max(len(np.asarray(values)) for values in daily_spend.values())
    highest = max(budget if np.isfinite(budget) else 0.0, *ends.values())
    for name, height in _apart(ends, 0.05 * highest).items():
        axes.annotate(name, (days + 1, height), va="center", fontsize=8)
    if np.isfinite(budget):
        axes.axhline(budget, color=ORANGE, linestyle="--", linewidth=1)
        axes.annotate("budget", (1, budget), va="bottom", color=ORANGE)
    axes.set(xlabel="day of the campaign", ylabel=f"spend so far [{currency} a customer]")
    axes.set(title="Budget pacing on held-out customers")
    write(figure, folder / "pacing.png")


def _apart(heights: Mapping[str, float], gap: float) -> dict[str, float]:
    """Heights of labels, lowest first, each at least `gap` above the one below."""
    placed: dict[str, float] = {}
    floor = -np.inf
    for name in sorted(heights, key=lambda name: heights[name]):
        placed[name] = floor = max(heights[name], floor + gap)
    return placed


def comparison(
    uplift: Mapping[str, IntervalEstimate], nrr: Mapping[str, IntervalEstimate], currency: str, folder: epath.Path
) -> None:
    """`comparison.png`: uplift over never and net revenue retention, with 95 % intervals, best policy first.

    `nrr` may hold more policies than `uplift`; that of "never" is a line.
    """
    order = sorted(uplift, key=lambda name: -uplift[name].mean)
    figure = Figure(figsize=(8.5, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bars(left, {name: uplift[name] for name in order}, 1.0, f"{currency} over never, a customer")
    left.axvline(0, color=GREY, linewidth=0.8)
    _bars(right, {name: nrr[name] for name in order}, 100.0, "net revenue retention [%]; dashed: never")
    right.axvline(100 * nrr["never"].mean, color=GREY, linestyle="--", linewidth=1)
    lows = [100 * nrr[name].low for name in order]
    highs = [100 * nrr[name].high for name in order]
    margin = max(0.2, 0.3 * (max(highs) - min(lows)))
    right.set_xlim(min(lows) - margin, max(highs) + margin)
    right.set_yticklabels([])
    figure.suptitle("Held-out customers, same budget, same random numbers; bars are 95 % intervals")
    write(figure, folder / "comparison.png")


def _bars(axes: Axes, estimates: Mapping[str, IntervalEstimate], scale: float, label: str) -> None:
    names = list(estimates)
    for row, name in enumerate(names):
        mean, low, high = (scale * part for part in estimates[name])
        colour = BLUE if name == "ppo" else GREY
        axes.errorbar(mean, row, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3)
        axes.annotate(f"{mean:.2f}", (mean, row), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=label, ylim=(len(names) - 0.5, -0.7))


def plain(axes: Axes) -> None:
    """Two spines, a pale grid behind the lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#E5E5E5", linewidth=0.6)
    axes.set_axisbelow(True)


def write(figure: Figure, path: epath.Path) -> None:
    """The figure as PNG, `plain`, whole or not at all."""
    for axes in figure.axes:
        plain(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    storage.write_bytes(path, buffer.getvalue())
