"""The parts of a layer: projections, norms, and attention over a cache of keys and values."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from retentionjax.language.decoder import mixed
from retentionjax.language.decoder.config import Rope

NEVER = -1e30
"""Score of a key that may not be seen. Finite, so that a padding row, which sees nothing, has no NaN in its softmax."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
}


class Linear(nnx.Module):
    """y = x · kernel (+ bias). Stacked over layers outside the scan, one layer's inside."""

    def __init__(self, kernel: Array, bias: Array | None = None, scale: Array | None = None) -> None:
        self.kernel = nnx.Param(kernel)
        """[…, inputs, outputs], the order in which the product reads it; int8 where `scale` is given. bfloat16 under a
        float32 stream makes mixed products (`decoder.mixed`); a stack of it is kept as `mixed.to_bits`."""
        self.bias = None if bias is None else nnx.Param(bias)
        """[…, outputs]"""
        self.scale = None if scale is None else nnx.Param(scale)
        """[…, outputs]: what one step of an int8 weight is worth."""

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        kernel = self.kernel[...]
        y = mixed.frozen(x, kernel, 0) if mixed.applies(x, kernel) else x @ kernel.astype(x.dtype)
        if self.scale is not None:
            y = y * self.scale[...].astype(x.dtype)
        return y if self.bias is None else y + self.bias[...].astype(x.dtype)


class Norm(nnx.Module):
    """RMS norm, or layer norm where there is a bias; computed in float32."""

    def __init__(self, scale: Array, bias: Array | None, eps: float) -> None:
        self.scale = nnx.Param(scale)
        self.bias = None if bias is None else nnx.Param(bias)
        self.eps = eps

    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        wide = x.astype(jnp.float32)
        if self.bias is not None:
            wide = wide - wide.mean(-1, keepdims=True)
        wide = wide * jax.lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + self.eps)
        y = wide.astype(x.dtype) * self.scale[...].astype(x.dtype)
        return y if self.bias is None else y + self.bias[...].astype(x.dtype)


@jax.custom_vjp
def low_rank(
    x: Float[Array, "*batch inputs"], a: Float[Array, "rank inputs"], b: Float[Array, "outputs rank"]
) -> Float[Array, "*batch outputs"]:
    """B A x. Its gradient, reverse mode alone, is written out in matrices: JAX's own takes XLA's CPU a third of a step
    longer."""
    return (_flat(x) @ a.T @ b.T).reshape(*x.shape[:-1], b.shape[0])


def _low_rank_forward(x: Array, a: Array, b: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    return low_rank(x, a, b), (x, a, b)


def _low_rank_backward(kept: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array, Array, Array]:
    x, a, b = kept
    flat, above = _flat(x), _flat(cotangent)
    inner = above @ b
    return (inner @ a).reshape(x.shape), inner.T @ flat, above.T @ (flat @ a.T)


low_rank.defvjp(_low_rank_forward, _low_rank_backward)


def _flat(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@struct.dataclass
class Cache:
    """Keys and values of the tokens read so far, all layers of them."""

    k: Any
    """[layers, batch, kv_heads, head_dim, slots]: both as the products with a query read them, for one that has to
    transpose the whole cache first takes a CPU eight times as long."""
    v: Any
    """[layers, batch, kv_heads, slots, head_dim]"""
    length: Any
    """i32[]: slots in use, the same for every row, since prompts are padded on the left."""


def visible(
    mask: Bool[Array, "batch slots"],
    time: int,
    start: Int[Array, ""] | int = 0,
    until: Int[Array, "batch slots"] | None = None,
) -> Bool[Array, "batch time slots"]:
    """Which slots each of `time` tokens, the first in slot `start`, may see: real ones, not later ones, and from
    slot `until` of each on not that one."""
    rows, columns = start + jnp.arange(time), jnp.arange(mask.shape[1])
    seen = (columns <= rows[:, None]) & mask[:, None, :]
    return seen if until is None else seen & (rows[:, None] < until[:, None, :])


def attend(
    q: Float[Array, "batch time heads dim"],
    k: Float[Array, "batch kv_heads dim slots"],
    v: Float[Array, "batch kv_heads slots dim"],
    seen: Bool[Array, "batch time slots"],
) -> Float[Array, "batch time width"]:
    """softmax(q k / √dim) v, the heads side by side; each key head serves heads / kv_heads query heads.

    Source: Vaswani et al. 2017, equation 1; Ainslie et al. 2023 (grouped queries). Softmax in float32.
    """
    batch, time, heads, dim = q.shape
    kv_heads, group = k.shape[1], heads // k.shape[1]
    # One product for the queries of all heads that share a key head: twice as fast on a CPU as one for each.
    rows = q.reshape(batch, time, kv_heads, group, dim).transpose(0, 2, 3, 1, 4)
    rows = rows.reshape(batch, kv_heads, group * time, dim)
    scores = jnp.matmul(rows, k.astype(q.dtype), preferred_element_type=jnp.float32) * dim**-0.5
    weights = _softmax(scores.reshape(batch, kv_heads, group, time, -1), seen[:, None, None]).astype(q.dtype)
    found = jnp.matmul(weights.reshape(scores.shape), v.astype(q.dtype)).reshape(batch, kv_heads, group, time, dim)
    return found.transpose(0, 3, 1, 2, 4).reshape(batch, time, heads * dim)


@jax.custom_vjp
def _softmax(scores: Array, seen: Array) -> Array:
    """Softmax over the last axis, where `seen`. The backward pass needs the result only: w (g - w·g)."""
    return jax.nn.softmax(jnp.where(seen, scores, NEVER), axis=-1)


def _softmax_forward(scores: Array, seen: Array) -> tuple[Array, Array]:
    weights = checkpoint_name(_softmax(scores, seen), "attention")
    return weights, weights


def _softmax_backward(weights: Array, cotangent: Array) -> tuple[Array, None]:
    return weights * (cotangent - jnp.sum(weights * cotangent, -1, keepdims=True)), None


_softmax.defvjp(_softmax_forward, _softmax_backward)


# --- rotary positions ------------------------------------------------------------------------------------------------


def rotation(
    rope: Rope, head_dim: int, positions: Int[Array, "batch time"]
) -> tuple[Float[Array, "batch time half"], Float[Array, "batch time half"]]:
    """Cosines and sines of the angles position · frequency, in float32.

    Source: Su et al. 2021, "RoFormer", equation 34; yarn's factor scales both (Peng et al. 2023).
    """
    angles = positions[..., None].astype(jnp.float32) * jnp.asarray(frequencies(rope, head_dim))
    return jnp.cos(angles) * rope.attention_factor, jnp.sin(angles) * rope.attention_factor


def rotate(
    x: Float[Array, "batch time heads dim"],
    cosines: Float[Array, "batch time half"],
    sines: Float[Array, "batch time half"],
) -> Float[Array, "batch time heads dim"]:
    """Turn the pairs (xᵢ, xᵢ₊ₕ), h = dim / 2, by their angles: Hugging Face's order of the dimensions."""
    cosines, sines = cosines[:, :, None].astype(x.dtype), sines[:, :, None].astype(x.dtype)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cosines - second * sines, second * cosines + first * sines], axis=-1)


def frequencies(rope: Rope, head_dim: int) -> np.ndarray:
    """Radians a position for each pair of dimensions, f32[head_dim / 2]."""
    plain = 1.0 / rope.theta ** (np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim))
    if rope.kind == "linear":
        plain = plain / rope.factor
    elif rope.kind == "llama3":
        plain = _llama3(rope, plain)
    elif rope.kind == "yarn":
        plain = _yarn(rope, plain, head_dim)
    return plain.astype(np.float32)


def _llama3(rope: Rope, plain: np.ndarray) -> np.ndarray:
    """Long wavelengths stretched, short ones kept, a linear blend between (Llama 3.1's published code)."""
    wavelengths = 2.0 * math.pi / plain
    kept = (rope.original_positions / wavelengths - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    kept = np.clip(kept, 0.0, 1.0)
    return (1.0 - kept) * plain / rope.factor + kept * plain


def _yarn(rope: Rope, plain: np.ndarray, head_dim: int) -> np.ndarray:
    """Blend by the number of rotations within the trained context (Peng et al. 2023, "YaRN", section 3.2)."""

    def dimension(rotations: float) -> float:
        return head_dim * math.log(rope.original_positions / (rotations * 2.0 * math.pi)) / (2.0 * math.log(rope.theta))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    ramp = np.clip((np.arange(head_dim // 2, dtype=np.float32) - low) / max(high - low, 0.001), 0.0, 1.0)
    return plain / rope.factor * ramp + plain * (1.0 - ramp)
