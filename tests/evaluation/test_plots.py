"""Pictures: written whole, and nothing on top of anything else."""

import numpy as np
import pytest
from etils import epath

from retentionjax.evaluation import plots
from retentionjax.evaluation.statistics import IntervalEstimate


def test_labels_are_kept_apart_and_in_order():
    placed = plots._apart({"a": 1.0, "b": 1.01, "c": 0.99, "d": 2.0}, 0.1)
    assert sorted(placed, key=lambda name: placed[name]) == ["c", "a", "b", "d"]
    assert np.diff(sorted(placed.values())).min() >= 0.1 - 1e-12
    assert placed["d"] == pytest.approx(2.0)


@pytest.mark.parametrize("budget", [2.5, np.inf])
def test_pictures_are_written(tmp_path, budget):
    """Of a campaign without a budget too."""
    folder = epath.Path(tmp_path)
    line = {"uplift": 1.0, "cost_campaign_budget": 2.0, "multiplier_campaign_budget": None}
    plots.learning_curve([{"step": 1} | line, {"step": 2} | line], budget, "EUR", folder)
    plots.pacing({"ppo": np.ones(90) / 40, "never": np.zeros(90)}, budget, "EUR", folder)
    estimates = {"ppo": IntervalEstimate(2.0, 1.0, 3.0), "never": IntervalEstimate(0.5, 0.4, 0.6)}
    plots.comparison({"ppo": IntervalEstimate(2.0, 1.0, 3.0)}, estimates, "EUR", folder)
    for name in ("learning_curve", "pacing", "comparison"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
