"""The reward model on the tiny model: what it reads, what it learns, when it gives up, and its figures by hand."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.checkpoint import Checkpoints
from retentionjax.errors import ConfigError, DataError, ModelError
from retentionjax.language import forward, hub, packing, reward, reward_evaluation, reward_files
from retentionjax.language.decoder.model import default_positions
from retentionjax.language.lora import LoraConfig
from retentionjax.language.optimiser import OptimiserConfig
from retentionjax.language.reward import PreferencePair, RewardConfig

MODEL = hub.random("tiny", jax.random.key(0))
PAD = MODEL.tokenizer.pad_token_id
CONFIG = RewardConfig(
    steps=16,
    pairs=4,
    lora=LoraConfig(rank=4, alpha=8, targets=("q_proj", "v_proj", "down_proj"), first_layer=2),
    optimiser=OptimiserConfig(learning_rate=0.01, schedule="constant"),
    checkpoint_every=8,
    reference=16,
)


def preferences(count: int) -> list[PreferencePair]:
    """The answer that ends politely is preferred."""
    names = ("Maria", "James", "Ana", "Li", "Omar", "Zoe", "Ivan", "Noor")
    return [
        reward.tokenise_preference(
            MODEL.tokenizer,
            f"Offer {number}",
            f"Hi {names[number % 8]}, {number}% off. Reply STOP to opt out.",
            f"Hi {names[number % 8]}, {number}% off. You will regret it!!!!!!",
            system="",
            source="even" if number % 2 == 0 else "odd",
        )
        for number in range(count)
    ]


PAIRS = preferences(12)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> reward.RewardModel:
    checkpoints = Checkpoints(tmp_path_factory.mktemp("run") / "checkpoints")
    model, metrics = reward.train(MODEL, PAIRS[:8], CONFIG, jax.random.key(1), checkpoints=checkpoints)
    assert metrics["loss"] < 0.3
    return model


def test_it_learns_and_its_scores_of_the_reference_are_normal(trained: reward.RewardModel) -> None:
    texts = [text for pair in PAIRS[:8] for text in pair.texts]
    scores = reward.score_texts(MODEL.decoder, trained, texts, pad=PAD)
    assert scores.mean() == pytest.approx(0, abs=1e-4)
    assert scores.std() == pytest.approx(1, abs=1e-4)
    found = reward_evaluation.evaluate(MODEL, trained, PAIRS[8:])
    assert found.figures["accuracy"] == 1.0
    assert set(found.sources) == {"even", "odd"}
    assert found.sources["odd"]["pairs"] == 2


def test_the_last_token_is_read_whatever_stands_beside_it(trained: reward.RewardModel) -> None:
    texts = [PAIRS[0].texts[0], PAIRS[1].texts[1][:-3]]
    scores = reward.score_texts(MODEL.decoder, trained, texts, pad=PAD)
    for rows in (packing.pad_right(texts, PAD, 8), packing.pad_left(texts, PAD, 32)):
        raw = np.asarray(read_together(trained.scorer, rows.tokens, rows.mask))
        np.testing.assert_allclose((raw - trained.mean) / trained.std, scores, atol=1e-4)
    for text, expected in zip(texts, scores, strict=True):
        alone = read_alone(trained, text[None], np.arange(len(text))[None])
        assert float(alone) == pytest.approx(float(expected), abs=1e-4)


@jax.jit
def read_alone(trained: reward.RewardModel, tokens: jax.Array, positions: jax.Array) -> jax.Array:
    """The score of a text without padding, by the whole decoder."""
    x, mask = MODEL.decoder.embed(tokens, positions), jnp.ones(tokens.shape, bool)
    states, _ = MODEL.decoder.blocks(x, positions, mask, adapter=trained.scorer.adapter)
    raw = MODEL.decoder.normed(states)[0, -1] @ trained.scorer.weight + trained.scorer.bias
    return (raw - trained.mean) / trained.std


@jax.jit
def read_together(scorer: reward.RewardParams, tokens: jax.Array, mask: jax.Array) -> jax.Array:
    """Raw scores of texts in rows with padding, by trunk and upper layers."""
    layers = scorer.adapter.first_layer
    below = forward.trunk(MODEL.decoder, tokens, mask, default_positions(mask), layers=layers)
    return reward.raw_scores(MODEL.decoder, scorer, below, mask)[0]


def test_a_pair_that_is_read_together_scores_as_its_texts_do_alone() -> None:
    key = jax.random.key(3)
    _, metrics = reward.train(MODEL, PAIRS[:4], replace(CONFIG, steps=1, give_up_loss=np.inf), key)
    scorer = reward.init(CONFIG, MODEL.decoder, jax.random.split(key)[0])
    rows = packing.pad_right([text for pair in PAIRS[:4] for text in pair.texts], PAD, 64)
    raw = np.asarray(read_together(scorer, rows.tokens, rows.mask))
    assert metrics["margin"] == pytest.approx(float((raw[0::2] - raw[1::2]).mean()), abs=1e-4)


def test_the_head_starts_as_published() -> None:
    scorer = reward.init(CONFIG, MODEL.decoder, jax.random.key(5))
    assert float(scorer.weight.std()) == pytest.approx(1 / np.sqrt(65), rel=0.25)
    assert float(scorer.bias) == 0


def test_a_run_cut_in_two_has_the_same_bits(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=6, checkpoint_every=3, give_up_loss=np.inf)
    key = jax.random.key(2)
    whole, _ = reward.train(MODEL, PAIRS[:7], config, key, checkpoints=Checkpoints(tmp_path / "c", keep=5))
    (tmp_path / "c" / "6").rename(tmp_path / "gone")
    again, _ = reward.train(MODEL, PAIRS[:7], config, key, checkpoints=Checkpoints(tmp_path / "c"), resume=True)
    jax.tree.map(np.testing.assert_array_equal, whole, again)


def test_a_loss_that_stays_at_log_two_ends_the_run_with_an_explanation() -> None:
    swapped = [PreferencePair(p.prompt, p.rejected, p.chosen) for p in PAIRS[:4]] + PAIRS[:4]
    config = replace(CONFIG, steps=4, optimiser=OptimiserConfig(learning_rate=1e-6))
    with pytest.raises(ModelError, match=r"log 2 = 0\.693.*check that chosen and rejected"):
        reward.train(MODEL, swapped, config, jax.random.key(0))


def test_saved_and_loaded_it_is_the_same(trained: reward.RewardModel, tmp_path: Path) -> None:
    reward_files.save(tmp_path / "reward", trained)
    loaded = reward_files.load(tmp_path / "reward")
    jax.tree.map(np.testing.assert_array_equal, trained, loaded)
    (tmp_path / "reward" / "reward.safetensors").write_bytes(b"no tensors")
    with pytest.raises(DataError, match=r"reward.safetensors: damaged"):
        reward_files.load(tmp_path / "reward")


def test_ties_are_wrong_and_figures_are_those_by_hand() -> None:
    chosen, rejected = np.float32([2, 0, 1, 3]), np.float32([1, 0, 2, 0])
    figures = reward_evaluation.measure(chosen, rejected, np.array([[4, 3], [2, 2], [3, 4], [5, 1]], float))
    assert figures["accuracy"] == 0.5
    assert figures["auc"] == pytest.approx(np.mean([[1, 1, 0.5, 1], [0, 0.5, 0, 0.5], [0.5, 1, 0, 1], [1, 1, 1, 1]]))
    assert figures["length_correlation"] == pytest.approx(
        np.corrcoef([2, 0, 1, 3, 1, 0, 2, 0], [4, 2, 3, 5, 3, 2, 4, 1])[0, 1]
    )
    assert reward_evaluation.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_calibrated_scores_have_no_calibration_error() -> None:
    random = np.random.default_rng(0)
    difference = random.normal(size=200_000) * 2
    right = random.random(200_000) < 1 / (1 + np.exp(-np.abs(difference)))
    oriented = np.where(right, np.abs(difference), -np.abs(difference))
    assert reward_evaluation.calibration_error(oriented) < 0.005
    assert reward_evaluation.calibration_error(oriented * 4) > 0.05


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="dropout"):
        RewardConfig(lora=LoraConfig(dropout=0.1))
    with pytest.raises(DataError, match="no pairs"):
        reward.train(MODEL, [], CONFIG, jax.random.key(0))
