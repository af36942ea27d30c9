"""The precision in which a frozen decoder's products are made: `float32`, or `bfloat16` with float32 sums.

`auto` takes bfloat16 where the device multiplies it natively. Training, sampling and serving of one adapter use one
precision, the one that its writer records, so that what is served is what was evaluated.
"""

from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int8

from retentionjax.errors import ModelError
from retentionjax.language.decoder import Decoder
from retentionjax.language.decoder.mixed import HALF, to_bits

Matmul = Literal["auto", "float32", "bfloat16"]
Resolved = Literal["float32", "bfloat16"]
_CPU_FEATURES = Path("/proc/cpuinfo")
_NATIVE_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
_TENSOR_CORES_FOR_BFLOAT16 = 8.0
"""Compute capability of the first NVIDIA GPUs that have them."""


def resolve(asked: Matmul) -> Resolved:
    """What `asked` is on the device that JAX computes on."""
    if asked != "auto":
        return asked
    return "bfloat16" if is_native(jax.devices()[0]) else "float32"


def is_native(device: Any, cpu_features: Path = _CPU_FEATURES) -> bool:
    """Whether `device` has products of bfloat16 twice as fast as float32: AMX, AVX-512 BF16, tensor cores, any TPU.

    A CPU tells by Linux's list of its features; where there is none, the answer is no.
    """
    if device.platform == "cpu":
        return cpu_features.exists() and not _NATIVE_FLAGS.isdisjoint(cpu_features.read_text(encoding="utf-8").split())
    if device.platform == "gpu":
        return float(getattr(device, "compute_capability", 0.0)) >= _TENSOR_CORES_FOR_BFLOAT16
    return bool(device.platform == "tpu")


def of(decoder: Decoder) -> Resolved:
    """The precision that the decoder's weights are kept for."""
    return "bfloat16" if decoder.embedding[...].dtype == HALF else "float32"


def keep_for(decoder: Decoder, matmul: Resolved) -> Decoder:
    """The decoder with its matrices in the type that products of `matmul` read; norms and biases stay as they are.

    Matrices in bfloat16 are half the memory, and under a float32 stream make `decoder.mixed`'s products. int8 kernels
    stay int8.
    """
    if matmul == "float32":
        return decoder
    parameters = {
        name: array.astype(HALF) if _is_matrix(name) and array.dtype == jnp.float32 else array
        for name, array in decoder.parameters().items()
    }
    made = Decoder(decoder.config, parameters)
    made.layers = jax.tree.map(to_bits, made.layers)
    return made


def _is_matrix(name: str) -> bool:
    return name in ("embedding", "head") or name.endswith(".kernel")


# --- 8 bits ----------------------------------------------------------------------------------------------------------


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
