"""The decoder against what transformers computed in torch for the same weights (tests/oracles)."""

import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path

import compiled_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from retentionjax.errors import ModelError
from retentionjax.language import hub
from retentionjax.language.decoder import Decoder, default_positions, init

ORACLES = Path(__file__).parents[1] / "oracles" / "decoder"
MODELS = sorted(path.name for path in ORACLES.iterdir() if (path / "config.json").exists())
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def tiny() -> Decoder:
    return hub.random("tiny", jax.random.key(0)).decoder


def golden(name: str) -> tuple[Decoder, dict[str, np.ndarray]]:
    return hub.load_decoder(ORACLES / name), dict(np.load(ORACLES / name / "golden.npz"))


def decode(model: Decoder, tokens: np.ndarray, mask: np.ndarray, ends: Iterable[int]) -> np.ndarray:
    """Logits of the tokens up to each of the places `ends`, piece by piece, over a cache with room to spare."""
    batch, time = tokens.shape
    slots = jnp.asarray(np.pad(mask, ((0, 0), (0, 3))))
    positions = np.cumsum(mask, axis=1) - mask

    @jax.jit
    def run(model, tokens, positions, cache):
        x, cache = model.blocks(model.embed(tokens, positions), positions, slots, cache=cache)
        return model.logits(model.normed(x)), cache

    cache, found = model.init_cache(batch, time + 3), []
    for start, end in itertools.pairwise((0, *ends)):
        logits, cache = run(model, tokens[:, start:end], positions[:, start:end], cache)
        found.append(np.asarray(logits))
    assert cache.length == time
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_transformers(name: str) -> None:
    model, expected = golden(name)
    mask = expected["mask"]
    found = compiled_model.logits(model, jnp.asarray(expected["tokens"]), jnp.asarray(mask))
    assert np.abs(expected["logits"][mask]).max() > 0.5
    assert np.abs(np.asarray(found)[mask] - expected["logits"][mask]).max() <= TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_decoding_with_a_cache_gives_the_logits_of_the_full_forward_pass(name: str) -> None:
    model, expected = golden(name)
    mask = expected["mask"]
    one_by_one = name in (
        "llama",
        "mistral",
        "opt_350m",
    )  # after a prefill; the others in pieces of one size, a program
    for each in (model, model.unrolled()) if one_by_one else (model,):
        found = decode(each, expected["tokens"], mask, range(5, 13) if one_by_one else (4, 8, 12))
        assert np.abs(found[mask] - expected["logits"][mask]).max() <= TOLERANCE


@pytest.mark.parametrize("name", ["llama", "opt_350m", "gpt2"])
def test_padding_on_either_side_changes_nothing(name: str) -> None:
    model, expected = golden(name)
    tokens = expected["tokens"][:1]
    plain = np.asarray(compiled_model.logits(model, tokens, np.ones_like(tokens, bool)))
    for left, right in ((4, 0), (0, 4)):
        padding = ((0, 0), (left, right))
        mask = np.pad(np.ones_like(tokens, bool), padding)
        for token in (0, 9):
            padded = compiled_model.logits(model, np.pad(tokens, padding, constant_values=token), mask)
            np.testing.assert_allclose(np.asarray(padded)[:, left : left + tokens.shape[1]], plain, atol=1e-5)


def test_packed_texts_do_not_see_one_another(tiny: Decoder) -> None:
    tokens = jax.random.randint(jax.random.key(1), (1, 10), 0, 400)
    everything = jnp.ones((1, 10), bool)
    packed = compiled_model.logits(
        tiny,
        tokens,
        everything,
        positions=jnp.asarray([[*range(6), *range(4)]]),
        until=jnp.asarray([[6] * 6 + [10] * 4]),
    )
    alone = compiled_model.logits(tiny, tokens[:, 6:], everything[:, 6:])
    np.testing.assert_allclose(packed[:, 6:], alone, atol=1e-5)


def test_a_window_looks_back_over_a_text_s_own_tokens_whatever_lies_between_in_its_row() -> None:
    config = dataclasses.replace(hub.TINY, windows=(3,) * hub.TINY.num_layers)
    windowed = init(config, jax.random.key(0))
    tokens = jax.random.randint(jax.random.key(1), (1, 10), 0, 400)
    everything = jnp.ones((1, 10), bool)
    shared = compiled_model.logits(
        windowed,
        tokens,
        everything,
        positions=jnp.asarray([[0, 1, 2, *range(3, 7), *range(3, 6)]]),
        until=jnp.asarray([[10] * 3 + [7] * 4 + [10] * 3]),
    )
    alone = compiled_model.logits(windowed, jnp.concatenate([tokens[:, :3], tokens[:, 7:]], 1), everything[:, :6])
    np.testing.assert_allclose(shared[:, 7:], alone[:, 3:], atol=1e-5)


def test_a_trunk_and_the_layers_above_it_make_the_whole(tiny: Decoder) -> None:
    tokens = jax.random.randint(jax.random.key(1), (2, 6), 0, 400)
    mask = jnp.ones((2, 9), bool)
    positions = default_positions(mask[:, :6])
    x = tiny.embed(tokens, positions)
    whole, cache = compiled_model.blocks(tiny, x, positions, mask, cache=tiny.init_cache(2, 9))
    trunk, parts = compiled_model.blocks(tiny, x, positions, mask, last=3, cache=tiny.init_cache(2, 9))
    assert parts is not None
    assert parts.length == 0
    upper, parts = compiled_model.blocks(tiny, trunk, positions, mask, first=3, cache=parts)
    np.testing.assert_allclose(upper, whole, atol=1e-6)
    assert cache is not None
    assert parts is not None
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6), cache, parts)


def test_a_row_of_nothing_but_padding_is_finite(tiny: Decoder) -> None:
    found = compiled_model.logits(tiny, jnp.zeros((2, 4), jnp.int32), jnp.asarray([[True] * 4, [False] * 4]))
    assert bool(jnp.isfinite(found).all())


def test_recomputing_layers_changes_no_gradient(tiny: Decoder) -> None:
    tokens = jax.random.randint(jax.random.key(1), (2, 6), 0, 400)

    def loss(model: Decoder, *, remat: bool) -> jax.Array:
        return jax.nn.logsumexp(model(tokens, tokens >= 0, remat=remat)).mean()

    gradient = jax.jit(jax.grad(loss), static_argnames="remat")
    kept, recomputed = gradient(tiny, remat=False), gradient(tiny, remat=True)
    assert isinstance(kept, nnx.Module)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6), kept, recomputed)


def test_bfloat16_is_near_float32() -> None:
    full = hub.random("tiny", jax.random.key(0)).decoder
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), full)
    tokens = jax.random.randint(jax.random.key(1), (2, 6), 0, 400)
    found = compiled_model.logits(half, tokens, tokens >= 0)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, compiled_model.logits(full, tokens, tokens >= 0), atol=0.02)


def test_layers_one_by_one_share_the_memory_of_the_stack(tiny: Decoder) -> None:
    stack = tiny.layers.projections["q_proj"].kernel[...]
    layer = tiny.unrolled().layers[2].projections["q_proj"].kernel[...]
    assert layer.unsafe_buffer_pointer() == stack.unsafe_buffer_pointer() + 2 * layer.nbytes
    for name, array in tiny.unrolled().parameters().items():
        np.testing.assert_array_equal(array, tiny.parameters()[name])


def test_what_cannot_be_asked_is_refused(tiny: Decoder) -> None:
    x, positions = jnp.zeros((1, 2, 64)), jnp.zeros((1, 2), jnp.int32)
    with pytest.raises(ModelError, match=r"layers 3 to 5; allowed: 0 to 4"):
        tiny.blocks(x, positions, jnp.ones((1, 2), bool), first=3, last=5)
    with pytest.raises(ModelError, match=r"the mask covers 2 places; allowed: 8, the slots of the cache"):
        tiny.blocks(x, positions, jnp.ones((1, 2), bool), cache=tiny.init_cache(1, 8))
    with pytest.raises(ModelError, match="until with a cache"):
        tiny.blocks(x, positions, jnp.ones((1, 8), bool), until=positions, cache=tiny.init_cache(1, 8))
    with pytest.raises(ModelError, match="inside a jitted function"):
        jax.jit(lambda model: model.unrolled()(positions, positions >= 0))(tiny)


def test_more_tokens_than_learned_positions_are_refused() -> None:
    model = hub.load_decoder(ORACLES / "gpt2")
    tokens = jnp.zeros((1, 33), jnp.int32)
    with pytest.raises(ModelError, match=r"33 tokens; allowed: 32, the positions the model learned"):
        model(tokens, tokens == 0)
    with pytest.raises(ModelError, match=r"33 tokens; allowed: 32"):
        model.init_cache(1, 33)
