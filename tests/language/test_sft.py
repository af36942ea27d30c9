"""Fine-tuning on the tiny model: what is learned, what is left alone, and that a run cut in two is the same run."""

from dataclasses import replace
from pathlib import Path

import compiled_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from compiled import Compiled

from retentionjax.checkpoint import Checkpoints
from retentionjax.errors import ConfigError, DataError
from retentionjax.language import forward, hub, packing, sft
from retentionjax.language.lora import LoraConfig
from retentionjax.language.optimiser import OptimiserConfig
from retentionjax.language.sft import SFTConfig
from retentionjax.tracking import Tracker, read_metrics

MODEL = hub.random("tiny", jax.random.key(0))
CONFIG = SFTConfig(
    steps=12,
    rows=2,
    length=64,
    lora=LoraConfig(rank=4, alpha=8, targets=("q_proj", "v_proj", "up_proj", "down_proj"), first_layer=2, dropout=0.1),
    optimiser=OptimiserConfig(learning_rate=0.02, warmup_steps=2),
    evaluate_every=6,
    checkpoint_every=6,
)
EXAMPLES = [
    packing.tokenise(MODEL.tokenizer, f"Offer {number} to Maria.", f"Hi Maria, {number}% off.", system="")
    for number in (5, 10, 20, 30)
]


def train(config: SFTConfig = CONFIG, **extra: object) -> tuple[sft.Adapter, dict[str, float]]:
    return sft.train(MODEL, EXAMPLES, EXAMPLES[:2], config, jax.random.key(3), **extra)


def test_the_loss_falls_and_the_base_stays(tmp_path: Path) -> None:
    before = jax.tree.map(np.asarray, MODEL.decoder.parameters())
    start = sft.evaluate(MODEL, None, EXAMPLES[:2], CONFIG)
    assert start == pytest.approx(np.log(448), rel=0.05)  # a random model of 448 tokens knows nothing
    with Tracker(tmp_path) as tracker:
        adapter, metrics = train(tracker=tracker)
    assert metrics["eval_loss"] < start - 0.5
    assert metrics["eval_loss"] == pytest.approx(sft.evaluate(MODEL, adapter, EXAMPLES[:2], CONFIG), rel=1e-6)
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in records] == list(range(1, 13))
    assert [record["step"] for record in records if "eval_loss" in record] == [6, 12]
    after = MODEL.decoder.parameters()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_run_cut_in_two_has_the_same_bits(tmp_path: Path, keeps: bool) -> None:
    config = replace(CONFIG, trunk_memory=1 << 30 if keeps else 0)
    whole, _ = train(config)
    half = Checkpoints(tmp_path / "checkpoints", keep=5)
    train(config, checkpoints=half)
    (tmp_path / "checkpoints" / "12").rename(tmp_path / "gone")  # as if it had been killed after step 6
    resumed, _ = train(config, checkpoints=Checkpoints(tmp_path / "checkpoints"), resume=True)
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


def test_only_completions_are_learned_and_packing_changes_nothing() -> None:
    """The packed loss against each example on its own, through the whole decoder and plain indexing."""
    rows = packing.arrange(EXAMPLES, 96)
    packed = packing.pack(EXAMPLES, rows, 96, MODEL.tokenizer.pad_token_id, 128)
    batch = jax.tree.map(jnp.asarray, packed)
    below = forward.trunk(MODEL.decoder, batch.tokens, batch.mask, batch.positions, batch.until, layers=2)
    total, count = Compiled(sft).completion_loss(MODEL.decoder, None, batch, below, layers=2)
    expected = 0.0
    for example in EXAMPLES:
        tokens = example.tokens[None]
        logits = compiled_model.logits(MODEL.decoder, tokens, np.ones_like(tokens, bool))
        spread = scipy.special.log_softmax(logits, axis=-1)[0]
        places = np.arange(len(example.prompt) - 1, len(example) - 1)
        expected -= float(spread[places, example.completion].sum())
    assert len(rows) < len(EXAMPLES)
    assert float(count) == sum(len(example.completion) for example in EXAMPLES)
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_accumulated_gradients_are_those_of_the_batch_at_once() -> None:
    plain = replace(CONFIG, steps=1, packed=False, lora=replace(CONFIG.lora, dropout=0.0))
    at_once, _ = train(replace(plain, rows=4))
    in_parts, _ = train(replace(plain, rows=2, accumulation=2))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-4), at_once, in_parts)


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(DataError, match="no examples"):
        sft.train(MODEL, [], EXAMPLES, CONFIG, jax.random.key(0))
    with pytest.raises(ConfigError, match=r"rows: 0 .*allowed: 1 or more"):
        SFTConfig(rows=0)
