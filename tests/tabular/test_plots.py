"""Plots show what they say: the right points, named axes, the same bytes for the same figure."""

import numpy as np

from retentionjax.tabular import plots


def test_reliability_shows_each_bins_share_inside_its_interval() -> None:
    probability = np.repeat([0.05, 0.55, 0.95], 40)
    label = np.concatenate([np.arange(40) < count for count in (0, 30, 40)]).astype(np.int64)
    figure = plots.reliability(label, probability, title="telco", note="AUC 0.9")
    curve, histogram = figure.axes
    bars = curve.containers[0]
    np.testing.assert_allclose(bars.lines[0].get_xydata(), [[0.05, 0], [0.55, 0.75], [0.95, 1]], atol=1e-9)
    low, high = bars.lines[1][0].get_ydata(), bars.lines[1][1].get_ydata()
    np.testing.assert_allclose([low[1], high[1]], [0.5981, 0.8581], atol=1e-4)  # Wilson, 30 of 40
    assert (low[0], high[2]) == (0.0, 1.0)
    assert [patch.get_height() for patch in histogram.patches] == [40, 0, 0, 0, 0, 40, 0, 0, 0, 40]
    assert curve.get_title() == "telco"
    assert histogram.get_xlabel() == "predicted probability"


def test_importance_shows_the_fifteen_largest_the_largest_on_top() -> None:
    weight = {f"feature {number}": number / 10 for number in range(20)}
    axes = plots.importance(weight, title="what matters").axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"feature {number}" for number in range(5, 20)]
    assert axes.patches[-1].get_width() == 1.9


def test_the_same_figure_gives_the_same_bytes() -> None:
    pictures = [plots.png(plots.importance({"age": 1.0}, title="same")) for _ in range(2)]
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(b"\x89PNG")
