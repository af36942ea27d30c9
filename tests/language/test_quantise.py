"""Weights in 8 bits."""

import compiled_model
import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.errors import ModelError
from retentionjax.language import hub, lora, precision


@hypothesis.given(arrays.arrays(np.float32, (6, 3), elements=st.floats(-10, 10, width=32)))
def test_no_weight_is_off_by_more_than_half_a_step(kernel: np.ndarray) -> None:
    steps, scale = precision.quantise(kernel)
    restored = np.asarray(steps, np.float32) * np.asarray(scale)
    assert np.isfinite(restored).all()
    assert (np.abs(restored - kernel) <= np.asarray(scale) * 0.5 + 1e-6).all()


def test_a_column_of_zeros_stays_zero() -> None:
    kernel = np.asarray([[[1.0, 0.0, -2.0], [0.5, 0.0, 1.0]]], np.float32)
    steps, scale = precision.quantise(kernel)
    np.testing.assert_array_equal(steps[0, :, 1], 0)
    assert float(scale[0, 1]) == 1.0
    assert float(steps[0, 0, 2]) == -127


def test_an_int8_model_is_smaller_and_nearly_the_same() -> None:
    full = hub.random("tiny", jax.random.key(0)).decoder
    small = precision.int8(full)
    tokens = jax.random.randint(jax.random.key(1), (2, 8), 0, 400)
    plain = compiled_model.logits(full, tokens, tokens >= 0)
    ours = compiled_model.logits(small, tokens, tokens >= 0)
    np.testing.assert_allclose(ours, plain, atol=0.02 * float(jnp.abs(plain).max()))
    kernels = sum(array.nbytes for name, array in full.parameters().items() if name.endswith("kernel"))
    scales = sum(array.nbytes for name, array in small.parameters().items() if name.endswith("_proj.scale"))
    held, before = (sum(leaf.nbytes for leaf in jax.tree.leaves(each)) for each in (small, full))
    assert held == before - kernels * 3 // 4 + scales
    np.testing.assert_allclose(compiled_model.logits(small.unrolled(), tokens, tokens >= 0), ours, atol=1e-5)


def test_an_adapter_learns_over_int8_weights_but_does_not_merge_into_them() -> None:
    small = precision.int8(hub.random("tiny", jax.random.key(0)).decoder)
    adapter = lora.init(lora.LoraConfig(rank=2), small, jax.random.key(1))
    tokens = jax.random.randint(jax.random.key(1), (1, 6), 0, 400)

    def loss(adapter: lora.Adapter) -> jax.Array:
        return small(tokens, tokens >= 0, adapter=adapter)[..., 3].sum()

    gradient = jax.jit(jax.grad(loss))(adapter)
    assert all(float(jnp.abs(b).max()) > 0.0 for b in gradient.b.values())
    with pytest.raises(ModelError, match=r"q_proj is int8; allowed: merging into floating-point weights"):
        lora.merge(small, adapter)


def test_what_int8_cannot_is_refused(tmp_path: object) -> None:
    small = precision.int8(hub.random("tiny", jax.random.key(0)).decoder)
    with pytest.raises(ModelError, match=r"q_proj is int8 already"):
        precision.int8(small)
    with pytest.raises(ModelError, match=r"is int8; allowed: saving the floating-point weights"):
        hub.save(f"{tmp_path}/saved", small)
