"""Preset `mvp` of the language stages: the settings fit together and every step traces at OPT-350m's real shapes."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from experiments import config, ppo_text, reward, sft
from retentionjax.language import lora, packing
from retentionjax.language import ppo_epochs as ppo
from retentionjax.language import reward as rewards
from retentionjax.language import sft as tuning
from retentionjax.language.decoder import Decoder, formats
from retentionjax.language.decoder.model import shapes
from retentionjax.language.experience import Critic, Experience, Texts

# facebook/opt-350m's config.json; 331,196,416 is its published number of parameters.
OPT_350M = {
    "model_type": "opt",
    "architectures": ["OPTForCausalLM"],
    "vocab_size": 50272,
    "hidden_size": 1024,
    "word_embed_proj_dim": 512,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "ffn_dim": 4096,
    "max_position_embeddings": 2048,
    "do_layer_norm_before": False,
    "activation_function": "relu",
    "bos_token_id": 2,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
MVP = config.load_preset("mvp")


def shape(*sizes: int, dtype: Any = jnp.float32) -> Any:
    return jax.ShapeDtypeStruct(sizes, dtype)


@pytest.fixture(scope="module")
def decoder() -> Any:
    """OPT-350m in 8 bits, without its numbers."""
    assert MVP.config("sft", sft.SftStageConfig).int8
    settings = formats.from_hf(OPT_350M)
    weights = {name: shape(*sizes) for name, sizes in shapes(settings).items()}
    assert sum(math.prod(array.shape) for array in weights.values()) == 331_196_416
    for name, (inputs, outputs) in settings.projections.items():
        weights[f"layers.{name}.kernel"] = shape(24, inputs, outputs, dtype=jnp.int8)
        weights[f"layers.{name}.scale"] = shape(24, outputs)
    return jax.eval_shape(lambda parameters: Decoder(settings, parameters), weights)


def adapter_of(decoder: Any, settings: lora.LoraConfig) -> Any:
    return jax.eval_shape(lambda model, key: lora.init(settings, model, key), decoder, jax.random.key(0))


def gradient(loss: Any, *arguments: Any) -> Any:
    return jax.eval_shape(jax.grad(loss, has_aux=True), *arguments)


def rows_of(size: tuple[int, int], count: int) -> packing.Packed:
    """The shapes of packed rows with so many targets."""
    return packing.Packed(
        tokens=shape(*size, dtype=jnp.int32),
        mask=shape(*size, dtype=jnp.bool_),
        positions=shape(*size, dtype=jnp.int32),
        until=shape(*size, dtype=jnp.int32),
        index=shape(count, dtype=jnp.int32),
        targets=shape(count, dtype=jnp.int32),
        weights=shape(count),
    )


def test_fine_tuning_traces(decoder: Any) -> None:
    settings = MVP.config("sft", sft.SftStageConfig).training
    assert (settings.steps, settings.rows, settings.accumulation) == (2_000, 4, 4)
    assert (settings.optimiser.learning_rate, settings.optimiser.warmup_steps) == (2e-5, 100)
    assert (settings.lora.rank, settings.lora.alpha, settings.lora.dropout) == (16, 32.0, 0.05)
    adapter = adapter_of(decoder, settings.lora)
    size, count = (settings.rows, settings.length), 4096
    batch = rows_of(size, count)

    def loss(adapter: Any, decoder: Any, batch: Any, below: Any) -> Any:
        return tuning.completion_loss(decoder, adapter, batch, below, layers=0, remat=settings.remat)

    found, _ = gradient(loss, adapter, decoder, batch, shape(*size, 1024))
    assert found.a["q_proj"].shape == (24, 16, 1024)
    assert adapter.size == 2 * 24 * 16 * 2 * 1024


def test_the_reward_model_traces(decoder: Any) -> None:
    settings = MVP.config("reward", reward.RewardStageConfig).training
    assert (settings.steps, settings.optimiser.learning_rate, settings.optimiser.warmup_steps) == (1_000, 1e-5, 50)
    scorer = jax.eval_shape(lambda model, key: rewards.init(settings, model, key), decoder, jax.random.key(0))
    size = (settings.pairs, 1024)

    def loss(scorer: Any, decoder: Any, below: Any, rows: Any, ends: Any) -> Any:
        scores = rewards.pair_scores(decoder, scorer, below, rows, ends, remat=settings.remat)
        return scores.sum(), scores

    ends = shape(2, settings.pairs, dtype=jnp.int32)
    found, scores = gradient(loss, scorer, decoder, shape(*size, 1024), rows_of(size, 0), ends)
    assert found.weight.shape == (512,)  # the states that OPT-350m's head reads are projected to 512
    assert scores.shape == (2, settings.pairs)


def test_ppo_traces(decoder: Any) -> None:
    settings = MVP.config("ppo_text", ppo_text.PPOTextStageConfig).training
    assert (settings.iterations, settings.batch, settings.minibatch, settings.epochs) == (200, 16, 4, 4)
    assert (settings.optimiser.learning_rate, settings.optimiser.schedule) == (1.4e-5, "linear")
    assert (settings.kl.minimum, settings.kl.maximum, settings.brevity_weight) == (0.01, 1.0, 0.5)
    policy = adapter_of(decoder, MVP.config("sft", sft.SftStageConfig).training.lora)
    batch, length, prompt = settings.minibatch, settings.max_new_tokens, 64
    texts = Texts(
        tokens=shape(batch, length, dtype=jnp.int32),
        mask=shape(batch, length, dtype=jnp.bool_),
        seen=shape(batch, prompt + length, dtype=jnp.bool_),
        below=shape(batch, prompt + length, 1024),
        log_probs=shape(batch, length),
        finished=shape(batch, dtype=jnp.bool_),
    )
    learned = Experience(
        texts=texts,
        features=shape(batch, length, 512),
        values=shape(batch, length, 2),
        targets=shape(batch, length, 2),
        advantages=shape(batch, length),
        reference_log_probs=shape(batch, length),
        merit=shape(batch),
    )
    critic = Critic(weight=shape(512, 2), bias=shape(2))

    def loss(policy: Any, critic: Any, decoder: Any, learned: Any) -> Any:
        return ppo.minibatch_loss(decoder, settings.loss, policy, critic, learned)

    found, statistics = gradient(loss, policy, critic, decoder, learned)
    assert found.b["v_proj"].shape == (24, 1024, 16)
    assert statistics.ratio.shape == ()
