"""What the frontier stage says of its grid."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import frontier as stage
from retentionjax.evaluation.frontier import Point


def test_a_cell_that_never_contacts_is_counted_and_its_spend_shown():
    """At budget 1 one of two seeds gave up contact: its mean partner must not hide it."""
    exact = SimpleNamespace(gain_bound=lambda spend: 2.0 * spend)
    config = stage.FrontierConfig(budgets=(1.0, 3.0), seeds=2)
    trained = [Point(1.0, 0.0, 0.0), Point(1.0, 0.9, 1.8), Point(3.0, 3.0, 5.4), Point(3.0, 2.8, 5.6)]
    told = [Point(2.0, 0.5, 0.5), Point(0.5, 3.5, 3.5)]
    flat = stage.summary(config, exact, trained, told)
    assert flat["cells_without_contact"] == 1
    assert flat["spend_trained_1"] == pytest.approx(0.45)
    assert flat["share_trained_1"] == pytest.approx(0.5)  # of 0 % and 100 %
    assert flat["share_trained_3"] == pytest.approx((0.9 + 1.0) / 2)
    assert flat["share_any_budget_1"] == pytest.approx(0.5)


def test_all_cells_run_in_one_call_as_each_by_itself():
    scale, shift = jnp.arange(3.0), jnp.ones((3, 4))
    together = stage.over_cells(lambda scale, shift: {"y": scale * 2.0 + shift.sum()})(scale, shift)
    np.testing.assert_allclose(together["y"], [4.0, 6.0, 8.0])
