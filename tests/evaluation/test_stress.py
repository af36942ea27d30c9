"""Stress: worlds that really change, a policy that is not told, and the point where it should have kept still."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.env.value import expected_never_value
from retentionjax.evaluation import baselines, rollout, stress
from retentionjax.evaluation.rollout import play_chunk
from retentionjax.evaluation.stress import AXES, ENV, Axis, StressScene

KEY = jax.random.key(5)
AXIS = {axis.name: axis for axis in AXES}
RULE = baselines.threshold(0.3)


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_an_axis_changes_nothing_at_its_base_and_something_at_its_ends(axis: Axis, cohort) -> None:
    same = axis.change(cohort, axis.base)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), same, cohort)
    for value in (axis.down, axis.up):
        moved = jax.tree.leaves(axis.change(cohort, value))
        assert any(not np.allclose(one, other) for one, other in zip(moved, jax.tree.leaves(cohort), strict=True))
    assert axis.least <= axis.down < axis.base < axis.up <= axis.most


def test_the_offers_effect_at_nothing_protects_nobody(cohort) -> None:
    np.testing.assert_allclose(AXIS["offer_effect"].change(cohort, 0.0).hazard_multiplier, 1.0)
    np.testing.assert_allclose(
        AXIS["offer_effect"].change(cohort, 1.5).hazard_multiplier, [0.85, 0.625, 0.4, 0.175], rtol=1e-6
    )
    strong = cohort.replace(hazard_multiplier=jnp.array([1.2, 0.5, 0.3, 0.1]))  # a tenth of the hazard is all there is
    np.testing.assert_allclose(AXIS["offer_effect"].change(strong, 1.5).hazard_multiplier, [1.3, 0.25, 0, 0], atol=1e-6)
    odds = np.asarray(AXIS["churn"].change(cohort, 0.5).population.churn_probability, np.float64)
    before = np.asarray(cohort.population.churn_probability, np.float64)
    np.testing.assert_allclose(odds / (1 - odds), np.exp(0.5) * before / (1 - before), rtol=1e-4)


def test_shapes_keep_the_strength_and_move_it_among_the_offers(cohort) -> None:
    flat, globe, inverted = (change(cohort).hazard_multiplier for _, change in stress.SHAPES.values())
    np.testing.assert_allclose(flat, 0.675, rtol=1e-6)
    np.testing.assert_allclose(globe, [0.88, 0.72, 0.72, 0.74], rtol=1e-6)
    np.testing.assert_allclose(inverted, [0.45, 0.60, 0.75, 0.90], rtol=1e-6)


def test_protection_that_lasts_longer_gains_more_and_costs_no_more(cohort) -> None:
    quarter = cohort.replace(horizon_days=90)  # what protects for longer than an offer's month shows after it
    scenes = [stress.at(quarter, AXIS["effect_days"], value, {}) for value in (0.5, 1.0, 2.0)]
    short, base, long = stress.play(quarter, scenes, [baselines.never(), RULE], KEY, replicates=4)
    gains = [each["threshold"].uplift.mean for each in (short, base, long)]
    assert gains[0] + 1 < gains[1] < gains[2] - 1
    spends = [each["threshold"].spend for each in (short, base, long)]
    assert max(spends) < 1.1 * min(spends)  # who stays longer takes more of the discount; the offer runs no longer


def _first_day(world, believed, cohort) -> np.ndarray:
    customers = jnp.tile(jnp.arange(64, dtype=jnp.int32), 30)
    episodes, _ = play_chunk(ENV, world, RULE, KEY, customers, 1, believed)
    return np.asarray(episodes.contacts)


def test_the_policy_sees_what_its_models_say_and_not_the_world(cohort) -> None:
    """Told the truth, the rule contacts more of those who are likelier to leave; not told, the same as ever."""
    world = AXIS["churn"].change(cohort, 1.0)
    np.testing.assert_array_equal(_first_day(world, cohort, cohort), _first_day(cohort, cohort, cohort))
    assert _first_day(world, None, cohort).sum() > 1.2 * _first_day(cohort, cohort, cohort).sum()


def test_the_world_itself_changes(cohort) -> None:
    """Never contacting is worth the closed form of each world, and the rule's gain is that of playing in it."""
    scenes = [StressScene("churn", value, AXIS["churn"].change(cohort, value), {}) for value in (-0.5, 0.5)]
    customers = jnp.tile(jnp.arange(64, dtype=jnp.int32), 400)
    for scene in scenes:
        episodes, _ = play_chunk(ENV, scene.world, baselines.never(), KEY, customers, 30, cohort)
        expected = float(np.mean(expected_never_value(scene.world)))
        assert float(np.mean(episodes.value)) == pytest.approx(expected, rel=0.005)


def test_worlds_played_together_are_those_played_one_by_one(cohort) -> None:
    scenes = [StressScene("base", 1.0, cohort, {}), stress.at(cohort, AXIS["acceptance"], 1.2, {"threshold": 0.5})]
    policies = [baselines.never(), RULE]
    together = stress.play(cohort, scenes, policies, KEY, replicates=4)
    alone = rollout.play(ENV, cohort, RULE, KEY, replicates=4)
    never = rollout.play(ENV, cohort, baselines.never(), KEY, replicates=4)
    base = together[0]["threshold"]
    assert base.uplift.mean == pytest.approx(float((alone.value - never.value).mean()), abs=1e-3)
    assert base.spend == pytest.approx(float(alone.spend.mean()), rel=1e-4)
    assert together[1]["threshold"].spend < 0.8 * base.spend  # its own hyperparameter
    assert set(together[1]) == {"threshold"}


def test_more_scenes_than_fit_at_once_come_back_in_order(cohort, monkeypatch) -> None:
    values = np.linspace(0.0, 1.5, stress.AT_ONCE + 2)
    scenes = [stress.at(cohort, AXIS["offer_effect"], float(value), {}) for value in values]
    found = [
        each["threshold"].uplift.mean
        for each in stress.play(cohort, scenes, [baselines.never(), RULE], KEY, replicates=4)
    ]
    assert len(found) == len(scenes)
    assert (np.diff(found) > 0).all()


def test_the_point_where_never_wins_is_bracketed_tenfold_a_round() -> None:
    assert stress.break_even(lambda values: [value - 0.3337 for value in values], 1.0, 0.0) == pytest.approx(0.33)
    assert stress.break_even(lambda values: [value - 0.3337 for value in values], 1.0, 0.0, rounds=4) == pytest.approx(
        0.3336, abs=1.1e-4
    )
    assert stress.break_even(lambda values: [1.0 for _ in values], 1.0, 20.0) is None
