"""Texts from the cache against the full forward pass, which knows no cache."""

from dataclasses import replace

import compiled_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from retentionjax.errors import ConfigError, DataError
from retentionjax.language import hub, lora, packing, sampler, stepwise
from retentionjax.language.lora import Adapter, LoraConfig
from retentionjax.language.sampler import SamplingConfig

MODEL = hub.random("tiny", jax.random.key(0))
DECODER, EOS, PAD = MODEL.decoder, MODEL.tokenizer.eos_token_id, MODEL.tokenizer.pad_token_id
CONFIG = SamplingConfig(max_new_tokens=12, temperature=0.8, eos=EOS, pad=PAD)
PROMPTS = [np.arange(5, 5 + length, dtype=np.int32) for length in (3, 9, 6)]


def adapter() -> Adapter:
    """An adapter of the upper two layers that changes something: B is not zero."""
    made, random = (
        lora.init(LoraConfig(rank=4, alpha=8, first_layer=2), DECODER, jax.random.key(1)),
        np.random.default_rng(2),
    )
    filled = {name: jnp.asarray(random.normal(0, 0.3, b.shape), jnp.float32) for name, b in made.b.items()}
    return made.replace(b=filled)


ADAPTER = adapter()


def draw(config: SamplingConfig = CONFIG, *, apart: bool = False) -> sampler.Sample:
    rows = packing.pad_left(PROMPTS, PAD)
    keys = sampler.keys_of(np.arange(len(PROMPTS) * config.copies))
    model = stepwise.take_apart(DECODER, apart=apart)
    return sampler.sample(model, ADAPTER, rows.tokens, rows.mask, keys, config=config, keep_trunk=True)


def whole(drawn: sampler.Sample) -> tuple[np.ndarray, np.ndarray]:
    """Prompt and text side by side, and what of it is real."""
    rows = packing.pad_left(PROMPTS, PAD)
    return np.concatenate([rows.tokens, drawn.tokens], 1), np.concatenate([rows.mask, drawn.mask], 1)


def logits_of_texts(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Of each place of the text, by a pass through the whole model."""
    return np.asarray(compiled_model.logits(DECODER, tokens, mask, adapter=ADAPTER))[:, tokens.shape[1] - 13 : -1]


@pytest.mark.parametrize("apart", [True, False])
def test_log_probabilities_are_those_an_update_recomputes(apart: bool) -> None:
    drawn = jax.tree.map(np.asarray, draw(apart=apart))
    log_probs = scipy.special.log_softmax(logits_of_texts(*whole(drawn)) / CONFIG.temperature, axis=-1)
    recomputed = np.take_along_axis(log_probs, drawn.tokens[..., None], -1)[..., 0]
    assert np.abs(np.where(drawn.mask, recomputed - drawn.log_probs, 0)).max() <= 1e-4
    assert np.abs(np.where(drawn.mask, 0, drawn.log_probs)).max() == 0


def test_layers_apart_and_layers_scanned_write_the_same() -> None:
    for one, other in zip(*(jax.tree.leaves(draw(apart=apart)) for apart in (True, False)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_texts_are_bound_to_a_device_only_where_the_model_is() -> None:
    """Else an update's programs would be compiled twice: for an adapter just loaded and for one learnt from texts."""
    assert not draw(apart=True).log_probs.committed
    layers = stepwise.take_apart(jax.device_put(DECODER, jax.devices()[0]), apart=True).layers
    assert all(leaf.committed for leaf in jax.tree.leaves(layers))


def test_at_temperature_zero_every_token_is_the_likeliest() -> None:
    drawn = draw(replace(CONFIG, temperature=0.0, eos=None))
    np.testing.assert_array_equal(drawn.tokens, logits_of_texts(*whole(drawn)).argmax(-1))
    assert np.asarray(drawn.mask).all()
    assert not np.asarray(drawn.finished).any()


def ending() -> tuple[SamplingConfig, sampler.Sample]:
    """Texts that end: the end token is one the model likes."""
    likely = int(draw().tokens[1, 4])
    assert likely != PAD
    config = replace(CONFIG, eos=likely)
    return config, draw(config)


def test_a_text_stops_at_its_end_and_padding_follows() -> None:
    config, drawn = ending()
    columns = [np.asarray(each) for each in (drawn.tokens, drawn.mask, drawn.finished)]
    assert columns[2].any()
    for tokens, mask, finished in zip(*columns, strict=True):
        places = np.flatnonzero(tokens == config.eos)
        length = int(places[0]) + 1 if len(places) else config.max_new_tokens
        assert bool(finished) == bool(len(places))
        np.testing.assert_array_equal(mask, np.arange(config.max_new_tokens) < length)
        assert set(tokens[length:].tolist()) <= {PAD}


def test_the_states_below_the_adapter_are_kept_end_token_included() -> None:
    _, kept = ending()
    tokens, mask = whole(kept)
    positions = np.maximum(np.cumsum(mask, 1) - 1, 0)
    x = DECODER.embed(jnp.asarray(tokens), jnp.asarray(positions))
    below, _ = compiled_model.blocks(DECODER, x, positions, mask, last=ADAPTER.first_layer)
    np.testing.assert_allclose(np.asarray(kept.trunk)[mask], np.asarray(below)[mask], atol=1e-4)


def test_a_request_draws_the_same_whoever_shares_its_batch() -> None:
    answer = sampler.Sampler(DECODER, ADAPTER, multiple=4)
    together = answer(PROMPTS, CONFIG, seeds=[7, 8, 9])
    for number, prompt in enumerate(PROMPTS[:2]):  # padded to another width than together, and to the same
        alone = answer([prompt], CONFIG, seeds=[7 + number])
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[number])
        np.testing.assert_allclose(alone.log_probs[0], together.log_probs[number], atol=1e-4)
    assert not np.array_equal(answer([PROMPTS[0]], CONFIG, seeds=[99]).tokens[0], together.tokens[0])


def test_copies_are_texts_of_the_same_prompt_read_once() -> None:
    copies = draw(replace(CONFIG, copies=2))
    rows = packing.pad_left(PROMPTS, PAD)
    doubled = [np.repeat(each, 2, 0) for each in (rows.tokens, rows.mask)]
    model = stepwise.take_apart(DECODER, apart=False)
    apart = sampler.sample(model, ADAPTER, *doubled, sampler.keys_of(np.arange(6)), config=CONFIG)
    np.testing.assert_array_equal(copies.tokens, apart.tokens)
    np.testing.assert_allclose(copies.log_probs, apart.log_probs, atol=1e-4)
    assert not np.array_equal(copies.tokens[0], copies.tokens[1])


def test_as_many_seeds_as_texts() -> None:
    with pytest.raises(DataError, match="there are 2 seeds; allowed: 3"):
        sampler.Sampler(DECODER)(PROMPTS, CONFIG, seeds=[1, 2])


def test_texts_are_read_without_special_tokens() -> None:
    tokens = MODEL.tokenizer.encode("Hi Maria", add_special_tokens=False)
    row = np.array([[*tokens, EOS, PAD]], np.int32)
    drawn = sampler.Sample(row, np.zeros(row.shape, "f4"), row != PAD, np.array([True]), None)
    assert sampler.texts(MODEL.tokenizer, drawn) == ["Hi Maria"]


def test_draws_follow_the_tempered_distribution() -> None:
    logits = np.float32([2.0, 1.0, 0.0, -1.0])
    config = SamplingConfig(temperature=0.7)
    count = 20_000
    keys = jax.random.split(jax.random.key(0), count)
    tokens, log_probs = jax.jit(sampler.draw, static_argnums=0)(config, keys, np.tile(logits, (count, 1)), np.int32(3))
    expected = scipy.special.softmax(logits / 0.7)
    shares = np.bincount(np.asarray(tokens), minlength=4) / count
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / np.sqrt(count))
    np.testing.assert_allclose(log_probs, np.log(expected)[np.asarray(tokens)], atol=1e-5)


@pytest.mark.parametrize("fields", [{"temperature": -1.0}, {"max_new_tokens": 0}])
def test_settings_that_cannot_be_sampled_are_refused_by_name(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        SamplingConfig(**fields)
