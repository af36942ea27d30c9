"""Gains over customers and worlds: intervals that hold luck and ignorance, and the chance to gain at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.env import worlds
from retentionjax.evaluation import baselines, doubt, rollout
from retentionjax.evaluation.statistics import Bootstrap
from retentionjax.evaluation.stress import ENV

KEY = jax.random.key(5)
RULE = baselines.threshold(0.3)


def test_the_interval_holds_customers_and_worlds():
    """Variances add: of the customers' mean, and of the worlds."""
    random = np.random.default_rng(0)
    people, ways = 500, 200
    gain = 1.0 + random.normal(0, 3, (people, 1)) + random.normal(0, 0.2, (1, ways))
    found = doubt.spread(gain, Bootstrap(people))
    half = 1.96 * np.sqrt(9 / people + 0.04)
    assert found.mean == pytest.approx(gain.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_the_chance_is_that_of_the_normal_law():
    gain = np.tile(np.random.default_rng(1).normal(1.0, 1.0, (1, 2000)), (50, 1))
    assert doubt.chance(gain, Bootstrap(50)) == pytest.approx(0.841, abs=0.03)


def test_worlds_are_played_as_each_would_be_alone(cohort):
    """A rule that sees what is believed gains in world k what it gains in a simulator of that world alone."""
    good, bad = [[0.3] * 4, [1.4] * 4]
    doubted = cohort.replace(worlds={"hazard_multiplier": jnp.asarray([good, bad])})
    found = doubt.measure(doubted, [baselines.never(), RULE, baselines.random()], KEY, ours="threshold")
    alone = []
    for place, kept in enumerate((good, bad)):
        world = cohort.replace(hazard_multiplier=jnp.asarray(kept))
        mine, never = (rollout.play(ENV, world, each, KEY, replicates=32) for each in (RULE, baselines.never()))
        alone.append(float((mine.value - never.value)[:, place::2].mean()))  # the episodes that are this world's
    assert found.uplift["threshold"].mean == pytest.approx(np.mean(alone), abs=1e-3)
    assert found.uplift["threshold"].low < min(alone) + 0.5
    assert found.beats_never == pytest.approx(0.5, abs=0.1)
    assert found.worlds == 2


def test_without_doubt_what_is_left_is_luck(cohort):
    found = doubt.measure(cohort, [baselines.never(), RULE, baselines.random()], KEY, ours="threshold")
    assert found.worlds == worlds.count(cohort) == 1
    assert found.uplift["threshold"].low < found.uplift["threshold"].mean < found.uplift["threshold"].high
    assert set(found.paired) == {"never", "random"}
