"""Frozen weights in 8 bits: a quarter of float32's memory, for models that only an adapter trains."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8

from retentionjax.errors import ModelError
from retentionjax.language.decoder import Decoder

LARGEST = 127
"""Symmetric: −128 is not used, so that a weight and its negative round alike."""


def int8(decoder: Decoder) -> Decoder:
    """The decoder with its layers' projections in int8, one scale an output channel; the rest as it was.

    Activations stay in floating point: the weights are widened as they are read. Embedding, norms and biases stay
    as they are, since they are a small part and errors there touch every token.

    Raises:
        ModelError: the projections are int8 already.
    """
    parameters = decoder.parameters()
    for name in decoder.config.projections:
        kernel = parameters[f"layers.{name}.kernel"]
        if kernel.dtype == jnp.int8:
            raise ModelError(f"{name} is int8 already; allowed: floating-point weights")
        steps, scale = quantise(kernel)
        parameters[f"layers.{name}.kernel"], parameters[f"layers.{name}.scale"] = steps, scale
    return Decoder(decoder.config, parameters)


@jax.jit
def quantise(
    kernel: Float[Array, "*layers inputs outputs"],
) -> tuple[Int8[Array, "*layers inputs outputs"], Float[Array, "*layers outputs"]]:
    """Whole steps and what one is worth: kernel ≈ steps · scale, the error at most half a step.

    A column of zeros gets the scale 1: its largest weight over 127 would be 0, and 0 / 0 is no number.
    """
    wide = kernel.astype(jnp.float32)
    largest = jnp.abs(wide).max(-2)
    scale = jnp.where(largest > 0.0, largest / LARGEST, 1.0)
    steps = jnp.clip(jnp.round(wide / scale[..., None, :]), -LARGEST, LARGEST)
    return steps.astype(jnp.int8), scale


def memory(decoder: Decoder) -> int:
    """Bytes of the decoder's arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(decoder))
