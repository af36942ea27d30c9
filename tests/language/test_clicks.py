"""The click head: it finds what readers preferred, whatever the lengths, and PPO is paid by it."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.data.texts import Preference, Turn
from retentionjax.errors import ConfigError, DataError
from retentionjax.language import clicks, experience, forward, hub, packing, ppo, reward, reward_files
from retentionjax.language.clicks import Clicks
from retentionjax.language.decoder.model import default_positions
from retentionjax.language.lora import LoraConfig
from retentionjax.language.ppo_config import TextPPOConfig
from retentionjax.language.reward import RewardConfig, RewardModel

MODEL = hub.load("tiny")


def made(pairs: int, seed: int, length_effect: float) -> Clicks:
    """Pairs whose first wording wins by a logistic model of ten states and of its length."""
    rng = np.random.default_rng(seed)
    difference, lengths = rng.normal(size=(pairs, 10)), rng.integers(5, 30, (pairs, 2)).astype(float)
    odds = 1.5 * difference[:, 0] + length_effect * np.log(lengths[:, 0] / lengths[:, 1])
    sign = np.where(rng.random(pairs) < 1 / (1 + np.exp(-odds)), 1, -1)
    ordered = np.where(sign[:, None] > 0, lengths, lengths[:, ::-1])
    return Clicks(sign[:, None] * difference, ordered, np.arange(pairs) // 2)


def test_it_finds_what_was_preferred_and_its_odds_are_calibrated() -> None:
    weights = clicks.fit(made(3000, 0, 0.0))
    np.testing.assert_allclose(weights, [1.5] + [0.0] * 9, atol=0.15)
    found = clicks.evaluate(weights, made(3000, 1, 0.0))
    possible = (1 / (1 + np.exp(-np.abs(1.5 * np.random.default_rng(2).normal(size=100_000))))).mean()
    assert found["accuracy_low"] < possible < found["accuracy_high"]
    assert found["ece"] < 0.03


def test_what_length_wins_is_not_put_down_to_the_words() -> None:
    """A state that tells the length has no merit of its own where it is the length that wins."""
    found = made(3000, 0, 2.0)
    longer = np.log(found.lengths[:, 0] / found.lengths[:, 1])
    telling = longer + 0.5 * np.random.default_rng(3).normal(size=len(longer))
    found = replace(found, difference=np.column_stack([found.difference, telling]))
    weights = clicks.fit(found)
    assert weights[0] > 1.0
    assert abs(weights[-1]) < 0.2 * weights[0]


def test_one_test_alone_is_learned_from_with_the_strongest_penalty() -> None:
    """It cannot be cross-validated: with the weakest, its own luck would be learned by heart."""
    one = replace(made(60, 0, 0.0), groups=np.zeros(60, int))
    strongest = clicks._weights(one, np.ones(60, bool), max(clicks.PENALTIES))
    np.testing.assert_array_equal(clicks.fit(one), strongest)


def test_the_interval_counts_tests_not_pairs() -> None:
    one = made(200, 0, 0.0)
    tenfold = Clicks(*(np.repeat(each, 10, axis=0) for each in (one.difference, one.lengths, one.groups)))
    weights = np.array([1.0] + [0.0] * 9)
    narrow, same = clicks.evaluate(weights, one), clicks.evaluate(weights, tenfold)
    assert same["accuracy_high"] - same["accuracy_low"] == pytest.approx(
        narrow["accuracy_high"] - narrow["accuracy_low"], abs=0.02
    )


@pytest.fixture(scope="module")
def head() -> clicks.ClickHead:
    reference = [packing.tokenise(MODEL.tokenizer, "SMS.", text, system="") for text in ("Hi", "Reply YES", "10% off")]
    return clicks.head(MODEL, np.linspace(-1.0, 1.0, 64), reference, layers=2)


def test_a_wording_scores_the_same_wherever_it_stands(head: clicks.ClickHead) -> None:
    """Packed beside others and read once, as a pair; and as PPO has it, at the end of a row padded on the left."""
    turn = (Turn("user", "x"),)
    pairs = [Preference(turn, "Hi", "Reply YES", "upworthy", "a"), Preference(turn, "10% off", "Hi", "upworthy", "b")]
    found = clicks.read(MODEL, pairs, layers=2)
    assert found.groups.tolist() == [0, 1]
    assert found.lengths[0, 0] == found.lengths[1, 1]
    scored = []
    for text in ("Hi", "Reply YES"):
        example = clicks.alone(MODEL.tokenizer, text)
        rows = packing.pad_left([example.tokens], 0, 64)
        mask = jnp.asarray(rows.mask)
        states = forward.trunk(MODEL.decoder, rows.tokens, mask, default_positions(mask), layers=2)
        own = states[:, -len(example.completion) :]
        scored.append(float(clicks.scores(head, own, jnp.ones(own.shape[:2], bool))[0]) * float(head.std))
    assert scored[0] - scored[1] == pytest.approx(float(found.difference[0] @ np.asarray(head.weight)), abs=1e-3)
    with pytest.raises(DataError, match="there are no click pairs"):
        clicks.read(MODEL, [], layers=2)


def test_a_reward_model_keeps_its_click_head_and_ppo_is_paid_by_it(head: clicks.ClickHead, tmp_path: Path) -> None:
    config = RewardConfig(lora=LoraConfig(rank=2, first_layer=2))
    model = RewardModel(reward.init(config, MODEL.decoder, jax.random.key(0)), jnp.zeros(()), jnp.ones(()), head)
    reward_files.save(tmp_path / "reward", model)
    kept = reward_files.load(tmp_path / "reward")
    np.testing.assert_array_equal(kept.clicks.weight, head.weight)
    assert (float(kept.clicks.mean), float(kept.clicks.std)) == (float(head.mean), float(head.std))
    numbers, ended = jnp.array([1.0, 2.0]), jnp.array([True, True])
    paid = [
        experience.total_scores(TextPPOConfig(click_weight=weight), numbers, jnp.array([3, 3]), ended, numbers)
        for weight in (0.0, 0.5)
    ]
    np.testing.assert_allclose(paid[1] - paid[0], 0.5 * numbers)
    policy = kept.scorer.adapter
    with pytest.raises(ConfigError, match="first_layer is 2; allowed: 1, the policy's, since its click head"):
        ppo._check(replace(policy, first_layer=1), kept)
