"""What a policy is worth: small cases worked by hand."""

import numpy as np
import pytest

from retentionjax.evaluation import business
from retentionjax.evaluation.rollout import Episodes
from retentionjax.evaluation.statistics import Bootstrap


def episodes(**columns):
    """Two customers with two episodes each; what is not given is 0."""
    zeros = {name: np.zeros((2, 2)) for name in Episodes._fields}
    return Episodes(**zeros | {name: np.asarray(value, float) for name, value in columns.items()})


@pytest.fixture
def metrics():
    never = episodes(value=[[100, 0], [50, 50]], retained=[[1, 0], [1, 1]], end_charge=[[80, 0], [40, 40]])
    ours = episodes(
        value=[[104, 60], [48, 50]],
        spend=[[4, 10], [2, 0]],
        contacts=[[1, 2], [1, 0]],
        cooldown_violations=[[0, 1], [0, 0]],
        retained=[[1, 1], [1, 1]],
        end_charge=[[72, 80], [40, 40]],
    )
    return business.metrics(ours, never, [80.0, 40.0], Bootstrap(2))


def test_uplift_is_the_paired_gain_over_never(metrics):
    assert metrics["uplift"].mean == pytest.approx((4 + 60 - 2 + 0) / 4)


def test_return_is_net_gain_per_dollar_spent(metrics):
    assert metrics["roi"].mean == pytest.approx(62 / 16)


def test_net_revenue_retention_counts_running_discounts_and_the_lost(metrics):
    assert metrics["nrr"].mean == pytest.approx((72 + 80 + 40 + 40) / (2 * 80 + 2 * 40))


def test_violations_are_per_contact(metrics):
    assert metrics["cooldown_violations"].mean == pytest.approx(1 / 4)
    assert metrics["fatigue_violations"].mean == 0


def test_segments_are_thirds_by_risk():
    risk = np.array([0.9, 0.1, 0.5, 0.2, 0.8, 0.4])
    np.testing.assert_array_equal(business.segments(risk), [2, 0, 1, 0, 2, 1])


def test_every_segment_reports_every_policy():
    risk = np.linspace(0.01, 0.9, 9)
    played = {
        name: Episodes(*(np.full((9, 2), value) for _ in Episodes._fields))
        for name, value in (("never", 1.0), ("ppo", 2.0))
    }
    result = business.by_segment(played, risk, np.full(9, 50.0), seed=0)
    assert list(result) == list(business.SEGMENTS)
    assert result["high risk"]["ppo"]["uplift"].mean == pytest.approx(1.0)
