"""Arithmetic of policy gradients, against rlax, against plain Python and against its own definitions."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from compiled import Compiled
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.rl import ops as uncompiled

ops: Any = Compiled(uncompiled)

GOLDEN = json.loads((Path(__file__).parents[1] / "oracles" / "gae_rlax.json").read_text())


@pytest.mark.parametrize("trajectory", GOLDEN["trajectories"])
def test_advantages_are_those_of_rlax(trajectory: dict[str, list[float]]) -> None:
    """Random trajectories with terminations, truncations and survival discounts."""
    columns = {name: np.asarray(column, np.float32) for name, column in trajectory.items()}
    advantage = ops.generalised_advantages(
        columns["reward"],
        columns["discount"],
        columns["value"],
        columns["next_value"],
        columns["continues"],
        np.float32(GOLDEN["decay"]),
    )
    np.testing.assert_allclose(advantage, columns["advantage"], rtol=1e-5, atol=1e-6)


def test_advantages_of_each_head_and_environment_are_independent() -> None:
    random = np.random.default_rng(0)
    rewards, values, following = random.normal(size=(3, 7, 4, 3)).astype(np.float32)
    discounts, continues = random.random((7, 4, 3)).astype(np.float32), random.integers(0, 2, (7, 4, 3)).astype("f4")
    decay = np.float32([0.9, 0.5, 0.0])
    together = ops.generalised_advantages(rewards, discounts, values, following, continues, decay)
    for env in range(4):
        for head in range(3):
            column = [x[:, env, head] for x in (rewards, discounts, values, following, continues)]
            alone = ops.generalised_advantages(*column, decay[head : head + 1])
            np.testing.assert_allclose(together[:, env, head], alone, rtol=1e-5, atol=1e-6)


def test_a_masked_action_has_no_probability_no_gradient_and_no_entropy() -> None:
    mask = np.array([True, False, True])

    @jax.jit
    def figures(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_probabilities = jax.nn.log_softmax(ops.mask_logits(logits, mask))
        return ops.entropy(log_probabilities), log_probabilities[0]

    logits = np.float32([0.3, 50.0, -0.2])
    two = np.exp([0.3, -0.2]) / np.exp([0.3, -0.2]).sum()
    np.testing.assert_allclose(figures(logits)[0], -(two * np.log(two)).sum(), rtol=1e-5)
    np.testing.assert_allclose(np.exp(figures(logits)[1]), two[0], rtol=1e-5)
    for gradient in jax.jit(jax.jacobian(figures))(logits):
        assert gradient[1] == 0.0
        assert np.isfinite(gradient).all()


def test_a_masked_action_is_never_drawn() -> None:
    logits = ops.mask_logits(np.float32([0.0, 80.0, -30.0]), np.array([True, False, True]))
    drawn = ops.sample_action(jax.random.key(0), np.broadcast_to(logits, (10_000, 3)))
    assert set(np.unique(drawn)) == {0}


def test_log_probability_is_the_taken_action_s() -> None:
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(ops.log_probability(table, np.array([1, 0, 3])), [1.0, 4.0, 11.0])


def test_illegal_loss_is_minus_the_log_of_the_legal_share() -> None:
    logits = np.log(np.float32([[0.5, 0.2, 0.3]]))
    np.testing.assert_allclose(ops.illegal_loss(logits, np.array([[True, False, True]])), -np.log(0.8), rtol=1e-5)
    np.testing.assert_array_equal(ops.illegal_loss(logits, None), [0.0])


@given(unit=st.floats(1e-3, 1e3), price=st.floats(0.0, 10.0))
def test_multipliers_are_in_units_of_reward_per_cost(unit: float, price: float) -> None:
    """Costs counted in another unit, at the price per that unit, leave the direction of the gradient alone."""
    advantages = np.float32(np.random.default_rng(1).normal(size=(50, 2)))
    here = ops.combine_advantages(advantages, np.float32([price]))
    there = ops.combine_advantages(advantages * np.float32([1.0, unit]), np.float32([price / unit]))
    scale = (1.0 + price / unit) / (1.0 + price)
    np.testing.assert_allclose(there * scale, here, rtol=1e-3, atol=1e-4)


def test_a_cost_is_taken_off_at_its_price() -> None:
    """(3 − ½ · 2 − 2 · 0.25) / (1 + ½ + 2)."""
    found = ops.combine_advantages(np.float32([[3.0, 2.0, 0.25]]), np.float32([0.5, 2.0]))
    np.testing.assert_allclose(found, [1.5 / 3.5], rtol=1e-6)


def test_without_costs_the_advantage_is_the_reward_s() -> None:
    advantages = np.float32([[1.0], [-2.0]])
    np.testing.assert_array_equal(ops.combine_advantages(advantages, np.zeros(0, np.float32)), [1.0, -2.0])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"), [(1.5, 1.0, -1.2), (0.5, 1.0, -0.5), (1.5, -1.0, 1.5), (0.5, -1.0, 0.8)]
)
def test_the_surrogate_stops_rewarding_what_left_the_trust_region(ratio: float, advantage: float, loss: float) -> None:
    actual = ops.clipped_surrogate(np.float32([ratio]), np.float32([advantage]), 0.2)
    np.testing.assert_allclose(actual, [loss], rtol=1e-6)


@pytest.mark.parametrize(("clip", "loss"), [(None, 0.5), (0.1, 0.5 * 1.9**2), (10.0, 0.5)])
def test_clipped_value_loss_is_the_larger_one(clip: float | None, loss: float) -> None:
    old, new, target = np.float32([0.0]), np.float32([1.0]), np.float32([2.0])
    np.testing.assert_allclose(ops.value_loss(new, old, target, clip), [loss], rtol=1e-6)


def test_explained_variance_is_one_for_a_perfect_critic_and_zero_where_nothing_varies() -> None:
    np.testing.assert_allclose(
        ops.explained_variance(np.float32([0.0, 1.0, 0.5, 3.0]), np.float32([2.0, 2.0, 0.0, 2.0])),
        [1.0, 0.5, 0.0, -0.5],
    )


@pytest.mark.parametrize("size", [1, 2, 3, 64, 1000, 16_384])
def test_a_permutation_holds_every_number_once(size: int) -> None:
    shuffled = ops.permutation(jax.random.key(size), size)
    np.testing.assert_array_equal(np.sort(shuffled), np.arange(size))


def test_permutations_are_even() -> None:
    """Each of 8 numbers in each of 8 places about as often: chi-square of 49 degrees of freedom, 99.9 % at 85.4."""
    draws = 4000
    shuffled = jax.jit(jax.vmap(lambda key: ops.permutation(key, 8)))(jax.random.split(jax.random.key(3), draws))
    counts = np.stack([np.bincount(shuffled[:, place], minlength=8) for place in range(8)])
    assert ((counts - draws / 8) ** 2 / (draws / 8)).sum() < 85.4


def test_every_deal_holds_every_number_once_and_differs_from_the_others() -> None:
    deals = np.asarray(ops.deals(jax.random.key(0), 96, 8, 5))
    assert deals.shape == (5, 8, 12)
    for deal in deals:
        np.testing.assert_array_equal(np.sort(deal.reshape(-1)), np.arange(96))
    parts = [{frozenset(part) for part in deal.tolist()} for deal in deals]
    assert all(not one & other for i, one in enumerate(parts) for other in parts[:i])


def test_deals_bring_any_two_numbers_together_about_as_often() -> None:
    """The chance over many keys and in a later round is (12 − 1)/(96 − 1) for any pair, equal for near and far ones."""
    draws = 3000
    deals = jax.jit(jax.vmap(lambda key: ops.deals(key, 96, 8, 2)[1]))(jax.random.split(jax.random.key(1), draws))
    part = np.empty((draws, 96), int)
    np.put_along_axis(part, np.asarray(deals).reshape(draws, -1), np.repeat(np.arange(8), 12)[None], 1)
    chance = 11 / 95
    for one, other in [(0, 1), (0, 8), (0, 12), (40, 95)]:
        together = (part[:, one] == part[:, other]).mean()
        assert abs(together - chance) < 4 * np.sqrt(chance * (1 - chance) / draws)
