"""The parts of a layer: projections, norms, and attention over a cache of keys and values."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from retentionjax.language.decoder import mixed

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
    segments: Int[Array, "batch slots"] | None = None,
) -> Bool[Array, "batch time slots"]:
    """Which slots each of `time` tokens, the first in slot `start`, may see: real ones, not later ones, own segment."""
    rows, columns = start + jnp.arange(time), jnp.arange(mask.shape[1])
    seen = (columns <= rows[:, None]) & mask[:, None, :]
    return seen if segments is None else seen & (segments[:, :, None] == segments[:, None, :])


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
