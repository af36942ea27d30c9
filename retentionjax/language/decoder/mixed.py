"""Products with bfloat16 operands and float32 sums, between a float32 stream and weights that are kept in bfloat16.

Matrix units (AMX on a CPU, tensor cores, TPUs) multiply bfloat16 several times as fast as float32 and add up in
float32; all else stays in float32: norms, rotation, softmax, the residual stream, logits, losses and what is learned
(Micikevicius et al. 2018). JAX's own gradient of such a product would multiply a float32 cotangent by the bfloat16
weights, which is the slow product again; here cotangents are rounded to bfloat16 too.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

HALF = jnp.bfloat16


def applies(x: Array, weights: Array) -> bool:
    """Whether a product of the two is one of these."""
    return bool(x.dtype == jnp.float32 and weights.dtype == HALF)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def frozen(x: Float[Array, "*batch inputs"], weights: Array, axis: int) -> Float[Array, "*batch outputs"]:
    """x · weights over `axis` of the matrix `weights`, float32. No gradient reaches the weights: they are frozen."""
    return _dot(x, weights, axis)


def _frozen_forward(x: Array, weights: Array, axis: int) -> tuple[Array, Array]:
    return _dot(x, weights, axis), weights


def _frozen_backward(axis: int, weights: Array, cotangent: Array) -> tuple[Array, None]:
    return _dot(cotangent, weights, 1 - axis), None


frozen.defvjp(_frozen_forward, _frozen_backward)


@jax.custom_vjp
def learned(
    x: Float[Array, "*batch inputs"], weights: Float[Array, "outputs inputs"]
) -> Float[Array, "*batch outputs"]:
    """x · weightsᵀ for float32 weights that are learned: they are rounded for the product only."""
    return _dot(x, weights, 1)


def _learned_forward(x: Array, weights: Array) -> tuple[Array, tuple[Array, Array]]:
    return _dot(x, weights, 1), (x.astype(HALF), weights.astype(HALF))


def _learned_backward(kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, weights = kept
    flat = cotangent.astype(HALF).reshape(-1, cotangent.shape[-1])
    slope = jnp.matmul(flat.T, x.reshape(-1, x.shape[-1]), preferred_element_type=jnp.float32)
    return _dot(cotangent, weights, 0), slope


learned.defvjp(_learned_forward, _learned_backward)


def to_bits(weights: Array) -> Array:
    """bfloat16 as whole numbers of 16 bits, other types as they are. So a scanned stack is kept: XLA's CPU widens
    bfloat16 for every operation that is no product, and would make a float32 copy of all of it to cut layers from."""
    return jax.lax.bitcast_convert_type(weights, jnp.uint16) if weights.dtype == HALF else weights


def from_bits(bits: Array) -> Array:
    """What `to_bits` was given."""
    return jax.lax.bitcast_convert_type(bits, HALF) if bits.dtype == jnp.uint16 else bits


def _dot(x: Array, weights: Array, axis: int) -> Array:
    contracted = (((x.ndim - 1,), (axis,)), ((), ()))
    return jax.lax.dot_general(x.astype(HALF), weights.astype(HALF), contracted, preferred_element_type=jnp.float32)
