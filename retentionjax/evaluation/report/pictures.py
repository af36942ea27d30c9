"""Charts as SVG that takes its colours from the page, so that one drawing serves light, dark and paper.

Drawn 340 points wide with text of 11: that is legible at the width of a phone and not coarse at that of a column.
Text stays text. Colours are drawn as stand-ins and then replaced by the page's variables.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retentionjax.evaluation.report.content import Figures

# Stand-ins: no chart draws these colours by chance.
INK, MUTED, GRID, OURS, OTHERS, WARM = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "line",
    OURS: "accent",
    OTHERS: "soft",
    WARM: "warm",
}
_WIDTH = 340 / 72  # inches
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.linewidth": 0.8,
}
Record = Mapping[str, float | None]


def canvas(height: float, rows: int = 1, **options: object) -> tuple[Figure, np.ndarray]:
    """A figure `height` points high and its axes, an array of so many `rows`."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height / 72), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, 1, **options))  # type: ignore[call-overload]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(color=GRID, linewidth=0.8)
        each.set_axisbelow(True)
        each.tick_params(length=0)
    return figure, axes


def svg(figure: Figure, name: str) -> Markup:
    """The figure as an element of the page; `name` keeps its ids apart from those of other figures."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)  # it would hold for the whole page
    text = re.sub(r' id="(?!p[0-9a-f]{10}|m[0-9a-f]{10})[^"]*"', "", text)  # only what is referred to keeps its id
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*" ', r"<svg \1", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    return Markup(re.sub(r"\n\s*", "\n", text))  # noqa: S704 - matplotlib escapes what it writes


def intervals(
    estimates: Mapping[str, Figures],
    *,
    name: str,
    label: str,
    ours: str = "",
    digits: int = 2,
    scale: float = 1.0,
    line: float | None = None,
) -> Markup:
    """A dot with its 95 % interval a row, in the order given; a vertical `line` at what is compared with."""
    figure, (axes,) = canvas(44 + 31 * len(estimates))
    for row, (each, estimate) in enumerate(estimates.items()):
        mean, low, high = (scale * float(estimate[part] or 0.0) for part in ("mean", "low", "high"))
        colour = OURS if each == ours else OTHERS
        axes.plot([low, high], [row, row], color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot(mean, row, "o", color=colour, markersize=7)
        text = f"{mean:,.{digits}f}".replace("-", "−")
        axes.annotate(text, (mean, row), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=10, color=INK)
    if line is not None:
        axes.axvline(line, color=MUTED, linewidth=1)
    axes.set_yticks(range(len(estimates)), list(estimates))
    axes.set_ylim(len(estimates) - 0.5, -0.8)
    axes.set_xlabel(_plain(label))
    axes.grid(axis="y", visible=False)
    for tick in axes.get_yticklabels():
        is_ours = tick.get_text() == ours
        tick.set(color=INK, fontweight="bold" if is_ours else "normal")
    axes.margins(x=0.08)
    return svg(figure, name)


def reliability(bins: Sequence[Mapping[str, float]], *, name: str) -> Markup:
    """Share that happened against what was predicted, a bin a dot with its interval; rows a bin below.

    `bins`: predicted, share, low, high, rows.
    """
    figure, (curve, histogram) = canvas(300, 2, sharex=True, height_ratios=(3.2, 1))
    predicted = [each["predicted"] for each in bins]
    curve.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
    for each in bins:
        curve.plot([each["predicted"]] * 2, [each["low"], each["high"]], color=OURS, linewidth=2.2)
    curve.plot(predicted, [each["share"] for each in bins], "o-", color=OURS, linewidth=1.2, markersize=5.5)
    curve.set(ylabel="happened", xlim=(0, 1), ylim=(0, 1))
    histogram.bar(predicted, [each["rows"] for each in bins], width=0.07, color=OTHERS)
    histogram.set(xlabel="predicted probability", ylabel="customers", yscale="log", ylim=(0.8, None))
    histogram.minorticks_off()
    _percent(curve, "both")
    _percent(histogram, "x")
    return svg(figure, name)


def curves(
    records: Sequence[Record],
    panels: Sequence[tuple[str, str]],
    *,
    name: str,
    bounds: Mapping[str, float] | None = None,
    steps: str = "iteration",
) -> Markup:
    """One panel above the other, each a metric (name, title) by step, with a dashed bound where it has one.

    The first fifth of the steps may leave the panel: it is wild, and would flatten the rest.
    """
    figure, axes = canvas(54 + 100 * len(panels), len(panels), sharex=True)
    at = [record["step"] for record in records]
    for number, (each, (metric, title)) in enumerate(zip(axes, panels, strict=True)):
        values = [np.nan if (value := record.get(metric)) is None else value for record in records]
        each.plot(at, values, color=OURS, linewidth=1.6)
        each.set_title(_plain(title), loc="left", color=INK)
        if bounds and metric in bounds:
            each.axhline(bounds[metric], color=WARM, linestyle="--", linewidth=1.4)
        _without_start(each, values)
        each.set_xlim(0, at[-1] or 1)
        if number == len(panels) - 1:
            each.set_xlabel(steps)
    return svg(figure, name)


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    name: str,
    labels: tuple[str, str],
    ours: str = "",
    bound: str = "",
    dots: Mapping[str, tuple[float, float]] | None = None,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    level: float | None = None,
) -> Markup:
    """Curves (x, y) by name, `ours` in colour and `bound` solid among dashed others, some with `bands` (low, high),
    single points with names, and a line at the `level` that is compared with."""
    figure, (axes,) = canvas(290)
    dashes = iter(("--", "-.", ":", (0, (1, 1))))
    for each, (x, y) in series.items():
        colour = OURS if each == ours else INK if each == bound else MUTED
        style = "-" if each in (ours, bound) else next(dashes, ":")
        width = 2.2 if each == ours else 1.4
        axes.plot(x, y, color=colour, linewidth=width, linestyle=style, label=_plain(each))
        if bands and each in bands:
            axes.fill_between(x, *bands[each], color=colour, alpha=0.12, linewidth=0)
    if level is not None:
        axes.axhline(level, color=MUTED, linewidth=1)
    for each, (x_dot, y_dot) in (dots or {}).items():
        axes.plot(x_dot, y_dot, "s", color=WARM, markersize=5, zorder=3)
        beside: dict[str, Any] = {"xytext": (6, -3), "textcoords": "offset points", "ha": "left", "va": "top"}
        axes.annotate(_plain(each), (x_dot, y_dot), fontsize=9.5, color=INK, **beside)
    axes.set(xlabel=_plain(labels[0]), ylabel=_plain(labels[1]))
    figure.legend(loc="outside upper left", frameon=False, fontsize=10, labelcolor=INK, ncols=1)
    return svg(figure, name)


def tornado(swings: Mapping[str, tuple[float, float]], centre: float, *, name: str, label: str) -> Markup:
    """A bar from the lowest to the highest outcome of each assumption's sweep, about the outcome as assumed."""
    figure, (axes,) = canvas(50 + 27 * len(swings))
    for row, (low, high) in enumerate(swings.values()):
        axes.barh(row, min(low, centre) - centre, left=centre, color=WARM, height=0.62)
        axes.barh(row, max(high, centre) - centre, left=centre, color=OURS, height=0.62)
    axes.axvline(centre, color=INK, linewidth=1)
    axes.set_yticks(range(len(swings)), list(swings))
    axes.set_ylim(len(swings) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(_plain(label))
    for tick in axes.get_yticklabels():
        tick.set_color(INK)
    return svg(figure, name)


def _without_start(axes: Axes, values: Sequence[float]) -> None:
    """Limits by the last four fifths of a curve, with 0 and the bound in sight."""
    later = np.asarray(values[len(values) // 5 :], np.float64)
    later = later[np.isfinite(later)]
    heights = [float(np.asarray(line.get_ydata())[0]) for line in axes.get_lines()[1:]]
    if later.size:
        low, high = min(later.min(), *heights, 0), max(later.max(), *heights, 0)
        room = 0.12 * (high - low or 1.0)
        axes.set_ylim(low - room * (low < 0), high + room)


def _plain(text: str) -> str:
    """Dollars that are no formula."""
    return text.replace("$", r"\$")


def _percent(axes: Axes, which: str) -> None:
    ticks = [0, 0.25, 0.5, 0.75, 1]
    words = [f"{100 * tick:.0f} %" for tick in ticks]
    if which in ("x", "both"):
        axes.set_xticks(ticks, words)
    if which in ("y", "both"):
        axes.set_yticks(ticks, words)
