"""Mixed products: near float32, exact against themselves, recorded with what they were used for."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import compiled_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import Compiled
from etils import epath

from retentionjax import storage
from retentionjax.errors import ModelError
from retentionjax.language import forward, hub, lora, losses, precision, writer
from retentionjax.language.decoder import Decoder, default_positions, mixed
from retentionjax.language.lora import Adapter, LoraConfig
from retentionjax.language.sampler import SamplingConfig, keys_of, sample
from retentionjax.language.stepwise import take_apart
from retentionjax.language.writer import WriterConfig

BFLOAT16_STEP = 2.0**-8


@pytest.fixture(scope="module")
def full() -> Decoder:
    return hub.load("tiny").decoder


@pytest.fixture(scope="module")
def half(full: Decoder) -> Decoder:
    return precision.keep_for(full, "bfloat16")


@pytest.fixture(scope="module")
def adapter(full: Decoder) -> Adapter:
    made = lora.init(LoraConfig(rank=4, targets=("q_proj", "down_proj"), first_layer=2), full, jax.random.key(1))
    return replace(made, b=jax.tree.map(lambda b: b + 0.05, made.b))


def test_products_and_gradients_are_those_of_the_rounded_operands() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    x, w, pull = (jax.random.normal(k, s) for k, s in zip(keys, ((2, 5, 7), (3, 7), (2, 5, 3)), strict=True))

    def rounded(a: jax.Array) -> np.ndarray:
        return np.asarray(a.astype(jnp.bfloat16)).astype(np.float64)

    y, back = jax.vjp(mixed.learned, x, w)
    np.testing.assert_allclose(y, rounded(x) @ rounded(w).T, atol=1e-5)
    slope_x, slope_w = back(pull)
    np.testing.assert_allclose(slope_x, rounded(pull) @ rounded(w), atol=1e-5)
    np.testing.assert_allclose(slope_w, np.einsum("bto,bti->oi", rounded(pull), rounded(x)), atol=1e-5)
    frozen, back = jax.vjp(lambda x: mixed.frozen(x, w.T.astype(jnp.bfloat16), 0), x)
    np.testing.assert_array_equal(frozen, y)
    np.testing.assert_array_equal(back(pull)[0], slope_x)
    assert all(each.dtype == jnp.float32 for each in (y, slope_x, slope_w, frozen))


def test_logits_and_gradients_are_near_float32_and_the_stream_is_float32(
    full: Decoder, half: Decoder, adapter: Adapter
) -> None:
    tokens = jax.random.randint(jax.random.key(2), (2, 12), 0, 400)
    mask = jnp.ones((2, 12), bool)
    positions = default_positions(mask)

    def loss(adapter: Adapter, decoder: Decoder) -> jax.Array:
        below = forward.trunk(decoder, tokens, mask, positions, layers=2)
        assert below.dtype == jnp.float32
        states = forward.upper(decoder, below, mask, positions, layers=2, adapter=adapter)
        return -forward.log_probs(decoder, states.reshape(-1, 64), tokens.reshape(-1), 1.0)[0].mean()

    found, wanted = (jax.jit(jax.value_and_grad(loss))(adapter, decoder) for decoder in (half, full))
    assert found[0] != wanted[0]
    np.testing.assert_allclose(found[0], wanted[0], rtol=BFLOAT16_STEP)
    for name in adapter.a:
        for part in ("a", "b"):
            one, other = getattr(found[1], part)[name], getattr(wanted[1], part)[name]
            assert one.dtype == jnp.float32
            assert np.linalg.norm(one - other) < 4 * BFLOAT16_STEP * np.linalg.norm(other)


@pytest.mark.parametrize("apart", [True, False])
def test_sampled_log_probs_are_those_that_an_update_computes(half: Decoder, adapter: Adapter, apart: bool) -> None:
    prompts = np.random.default_rng(3).integers(0, 400, (4, 16), np.int32)
    mask = np.arange(16)[None] >= np.array([0, 3, 5, 9])[:, None]
    config = SamplingConfig(max_new_tokens=12, eos=None)
    drawn = sample(take_apart(half, apart=apart), adapter, prompts, mask, keys_of(np.arange(4)), config)
    tokens, real = np.concatenate([prompts, drawn.tokens], 1), np.pad(mask, ((0, 0), (0, 12)), constant_values=True)
    logits = np.asarray(compiled_model.logits(half, tokens, real, adapter=adapter))[:, 15:-1]
    again = Compiled(losses).token_log_probs(logits, drawn.tokens)
    np.testing.assert_allclose(drawn.log_probs, again, atol=2e-3)


def test_weights_take_half_the_memory_and_come_back_as_they_were_rounded(full: Decoder, half: Decoder) -> None:
    assert (precision.of(full), precision.of(half)) == ("float32", "bfloat16")
    assert precision.keep_for(full, "float32") is full
    for name, array in half.parameters().items():
        wanted = full.parameters()[name]
        assert array.dtype == (jnp.bfloat16 if "norm" not in name else jnp.float32)
        np.testing.assert_array_equal(array.astype(jnp.float32), wanted.astype(array.dtype).astype(jnp.float32))


@pytest.mark.parametrize(
    ("device", "native"),
    [
        (SimpleNamespace(platform="cpu"), True),
        (SimpleNamespace(platform="gpu", compute_capability="7.5"), False),
        (SimpleNamespace(platform="gpu", compute_capability="9.0"), True),
        (SimpleNamespace(platform="tpu"), True),
    ],
)
def test_auto_is_bfloat16_where_the_device_multiplies_it(tmp_path: Path, device: object, native: bool) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags : fpu avx512f amx_bf16 amx_tile\n")
    assert precision.is_native(device, tmp_path / "cpuinfo") is native


def test_a_cpu_without_such_products_multiplies_float32(tmp_path: Path) -> None:
    cpu = SimpleNamespace(platform="cpu")
    (tmp_path / "cpuinfo").write_text("flags : fpu avx2 avx512_bf16\n")
    assert precision.is_native(cpu, tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("flags : fpu avx2 avx512f\n")
    assert not precision.is_native(cpu, tmp_path / "cpuinfo")
    assert not precision.is_native(cpu, tmp_path / "missing")
    assert precision.resolve("bfloat16") == "bfloat16"


def test_a_writer_remembers_its_precision(tmp_path: Path, half: Decoder, adapter: Adapter) -> None:
    model = replace(hub.load("tiny"), decoder=half)
    folder = epath.Path(tmp_path)
    writer.save(folder, model, adapter, WriterConfig(max_new_tokens=4))
    assert precision.of(writer.load_parts(folder)[0].decoder) == "bfloat16"
    assert writer.load(folder)(["Hello."], [3]) == writer.MessageWriter(model, adapter, WriterConfig(max_new_tokens=4))(
        ["Hello."], [3]
    )
    plain = storage.read_json(folder / "writer.json")
    storage.write_json(folder / "writer.json", plain | {"matmul": "float16"})
    with pytest.raises(ModelError, match="matmul is 'float16'; allowed: float32, bfloat16"):
        writer.load(folder)
    writer.save(folder, hub.load("tiny"), adapter, WriterConfig())
    old = storage.read_json(folder / "writer.json")
    assert old.pop("matmul") == "float32"
    storage.write_json(folder / "writer.json", old)
    assert precision.of(writer.load_parts(folder)[0].decoder) == "float32"
