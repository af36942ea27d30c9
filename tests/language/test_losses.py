"""The trainers' arithmetic against TRL's, recorded by tests/oracles/make_ppo_trl.py, and against its definitions."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import scipy.special
from compiled import Compiled

from retentionjax.language import losses as uncompiled

losses: Any = Compiled(uncompiled)

TRL = json.loads((Path(__file__).parents[1] / "oracles" / "ppo_trl.json").read_text())
GIVEN = {name: np.asarray(value, np.float32) for name, value in TRL["given"].items()}
SETTINGS = TRL["settings"]
FULL = np.ones((3, 5), bool)
RAGGED = np.asarray(TRL["mask"])


def test_rewards_are_trls() -> None:
    distance = losses.k1(GIVEN["log_probs"], GIVEN["reference"])
    rewards = losses.token_rewards(GIVEN["scores"], distance, FULL, SETTINGS["kl_coef"])
    np.testing.assert_allclose(rewards, TRL["rewards"], atol=1e-6)


def test_advantages_are_trls_before_and_after_whitening() -> None:
    rewards = np.asarray(TRL["rewards"], np.float32)
    advantages = losses.text_advantages(rewards, GIVEN["values"], FULL, SETTINGS["gamma"], SETTINGS["lam"])
    np.testing.assert_allclose(advantages, TRL["advantages"], atol=1e-6)
    np.testing.assert_allclose(advantages + GIVEN["values"], TRL["returns"], atol=1e-6)
    np.testing.assert_allclose(losses.whiten(advantages, FULL), TRL["whitened"], atol=1e-6)


def test_losses_are_trls() -> None:
    whitened, returns = np.asarray(TRL["whitened"], np.float32), np.asarray(TRL["returns"], np.float32)
    policy = losses.policy_loss(GIVEN["new_log_probs"], GIVEN["log_probs"], whitened, FULL, SETTINGS["cliprange"])
    assert float(losses.masked_mean(policy, FULL)) == pytest.approx(TRL["policy_loss"], abs=1e-6)
    heads = [x[..., None] for x in (GIVEN["new_values"], GIVEN["values"], returns)]
    value = losses.critic_loss(*heads, FULL, SETTINGS["cliprange_value"])
    assert float(value[0]) == pytest.approx(TRL["value_loss"], abs=1e-6)


def test_whitening_counts_only_what_the_mask_holds() -> None:
    np.testing.assert_allclose(losses.whiten(GIVEN["values"], RAGGED), TRL["masked_whitened"], atol=1e-6)


def test_whitening_published_numbers() -> None:
    """TRL's, whose mean of 1.6 is put back."""
    values = np.float32([[1.2, 1.3, 1.4], [1.5, 1.6, 1.7], [1.8, 1.9, 2.0]])
    whitened = losses.whiten(values, np.ones((3, 3), bool))
    np.testing.assert_allclose(whitened[0] + 1.6, [0.1394, 0.5046, 0.8697], atol=6e-5)


def test_generalised_advantages_published_numbers() -> None:
    rewards, values = np.float32([[0.1, -0.2, 0.3, 1.0]]), np.float32([[0.2, 0.1, 0.0, -0.1]])
    advantages = losses.text_advantages(rewards, values, np.ones((1, 4), bool), gamma=1.0, gae_lambda=0.95)
    np.testing.assert_allclose(advantages[0], [0.838612, 0.88275, 1.245, 1.1], atol=1e-6)


def test_padding_changes_no_advantage_and_heads_are_independent() -> None:
    random = np.random.default_rng(1)
    rewards, values = random.normal(size=(2, 3, 5, 2)).astype(np.float32)
    rewards = np.asarray(np.where(np.asarray(RAGGED)[..., None], rewards, 0))
    both = losses.text_advantages(rewards, np.asarray(values), RAGGED)
    for head in range(2):
        for row, length in enumerate(np.asarray(RAGGED).sum(1)):
            alone = losses.text_advantages(
                rewards[row : row + 1, :length, head],
                np.asarray(values[row : row + 1, :length, head]),
                np.ones((1, int(length)), bool),
            )
            np.testing.assert_allclose(both[row, :length, head], alone[0], atol=1e-6)
    assert float(np.abs(np.where(RAGGED[..., None], 0.0, both)).max()) == 0


def test_the_score_comes_with_the_last_token_that_counts() -> None:
    rewards = losses.token_rewards(np.float32([1.0, 2.0, 3.0]), np.ones((3, 5)), RAGGED, 0.5)
    expected = [[-0.5, -0.5, 0.5, 0, 0], [-0.5, -0.5, -0.5, 1.5, 0], [-0.5, -0.5, -0.5, -0.5, 2.5]]
    np.testing.assert_allclose(rewards, expected)


def test_margin_and_centring() -> None:
    loss = losses.bradley_terry(np.float32([2.0]), np.float32([0.5]), margin=0.25, centring=0.01)
    expected = np.log1p(np.exp(-(2.0 - 0.5 - 0.25))) + 0.01 * 2.5**2
    assert float(loss[0]) == pytest.approx(expected, rel=1e-6)


def test_dpo_of_indifference_is_log_two_and_its_slope_is_the_chance_of_the_worse() -> None:
    """Rafailov et al. 2023, section 4: the gradient is weighted by β σ(β (rejected − chosen))."""
    chosen, rejected = np.float32([0.0, 3.0, -2.0]), np.float32([0.0, 1.0, 4.0])
    found = losses.dpo(chosen, rejected, 0.1)
    np.testing.assert_allclose(found, -np.log(1 / (1 + np.exp(-0.1 * np.array([0.0, 2.0, -6.0])))), rtol=1e-6)
    assert float(found[0]) == pytest.approx(np.log(2))
    slope = jax.jit(jax.grad(lambda each: losses.dpo(each, rejected, 0.1).sum()))(chosen)
    np.testing.assert_allclose(slope, -0.1 / (1 + np.exp(0.1 * np.array([0.0, 2.0, -6.0]))), rtol=1e-6)


def test_rloo_compares_each_text_with_its_prompts_others() -> None:
    """Equation 7 of Ahmadian et al. 2024, by hand: the baseline of a text is the mean of the others'."""
    np.testing.assert_allclose(
        losses.leave_one_out(np.float32([1.0, 2.0, 6.0, 0.0, 0.0, 3.0]), 3), [-3, -1.5, 4.5, -1.5, -1.5, 3]
    )
    np.testing.assert_allclose(losses.leave_one_out(np.float32([1.0, 4.0]), 2), [-3, 3])


def test_log_probabilities_are_of_the_tempered_distribution() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    tokens = np.array([0, 3, 6, 2])
    expected = scipy.special.log_softmax(logits / 0.7, axis=-1)[np.arange(4), tokens]
    np.testing.assert_allclose(losses.token_log_probs(logits, tokens, 0.7), expected, atol=1e-6)
