"""Frozen weights in 8 bits: a quarter of float32's memory, for models that only an adapter trains."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int8

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
        steps, scale = quantise(np.asarray(kernel, np.float32))
        parameters[f"layers.{name}.kernel"], parameters[f"layers.{name}.scale"] = jnp.asarray(steps), jnp.asarray(scale)
    return Decoder(decoder.config, parameters)


def quantise(
    kernel: Float[np.ndarray, "*layers inputs outputs"],
) -> tuple[Int8[np.ndarray, "*layers inputs outputs"], Float[np.ndarray, "*layers outputs"]]:
    """Whole steps and what one is worth: kernel ≈ steps · scale, the error at most half a step.

    A column of zeros gets the scale 1: its largest weight over 127 would be 0, and 0 / 0 is no number. Done by NumPy,
    so that every device trains and serves the same steps, and a writer's digest of its base holds on all of them.
    """
    largest = np.abs(kernel).max(-2)
    # The smallest floats over 127 would be 0 as well.
    scale = np.where(largest > 0.0, np.maximum(largest / np.float32(LARGEST), np.finfo(np.float32).tiny), 1.0)
    steps = np.clip(np.round(kernel / scale[..., None, :]), -LARGEST, LARGEST)
    return steps.astype(np.int8), scale.astype(np.float32)


def is_int8(decoder: Decoder) -> bool:
    """Whether the decoder's projections are in int8."""
    name = next(iter(decoder.config.projections))
    return bool(decoder.parameters()[f"layers.{name}.kernel"].dtype == jnp.int8)


def memory(decoder: Decoder) -> int:
    """Bytes of the decoder's arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(decoder))
