"""Rotary position embeddings, with the ways of stretching them that checkpoints use."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from retentionjax.language.decoder.config import Rope


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
