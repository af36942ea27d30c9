"""Pictures of a classifier: is it calibrated, and what does it look at?"""

import io
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from scipy import stats

from retentionjax.tabular.metrics import BINS, bin_of

# Okabe and Ito's palette, which colour-blind readers tell apart.
BLUE, GREY = "#0072B2", "#6E6E6E"
_SHOWN = 15


def reliability(
    label: Int[np.ndarray, " rows"], probability: Float[np.ndarray, " rows"], *, title: str, note: str = ""
) -> Figure:
    """Share of positives against mean predicted probability, ten bins with 95 % Wilson intervals; rows a bin below."""
    rows = np.bincount(bin_of(probability), minlength=BINS)
    mean, share, low, high, _ = filled_bins(label, probability)
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    curve, histogram = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    curve.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    curve.errorbar(
        mean,
        share,
        yerr=[share - low, high - share],
        color=BLUE,
        marker="o",
        capsize=3,
        label="observed, 95 % interval",
    )
    curve.set(ylabel="share that happened", xlim=(0, 1), ylim=(0, 1), title=title)
    curve.legend(loc="upper left", frameon=False)
    if note:
        curve.text(0.98, 0.03, note, transform=curve.transAxes, ha="right", va="bottom", color=GREY)
    histogram.bar((np.arange(BINS) + 0.5) / BINS, rows, width=0.92 / BINS, color=BLUE)
    histogram.set(xlabel="predicted probability", ylabel="rows (log)", yscale="log", ylim=(0.8, None))
    for axes in (curve, histogram):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def filled_bins(
    label: Int[np.ndarray, " rows"], probability: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, "5 bins"]:
    """The bins that have a row: mean probability, share of positives, its 95 % interval, and rows."""
    bins = bin_of(probability)
    rows, predicted, happened = (np.bincount(bins, weights, BINS) for weights in (None, probability, label))
    filled = rows > 0
    rows, share = rows[filled], happened[filled] / rows[filled]
    tests = (stats.binomtest(int(k), int(n)) for k, n in zip(happened[filled], rows, strict=True))
    low, high = np.array([each.proportion_ci(0.95, method="wilson") for each in tests]).T
    return np.stack([predicted[filled] / rows, share, low, high, rows])


def importance(weight: Mapping[str, float], *, title: str) -> Figure:
    """The features' mean absolute contributions to the log-odds, the fifteen largest, largest on top."""
    largest = sorted(weight.items(), key=lambda item: item[1])[-_SHOWN:]
    figure = Figure(figsize=(7.2, 0.34 * len(largest) + 1.2), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([name for name, _ in largest], [value for _, value in largest], color=BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3, color=GREY)
    axes.set(title=title, xlabel="mean |contribution| to the log-odds (SHAP)")
    axes.margins(x=0.12, y=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file, the same for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    return buffer.getvalue()
