"""The precision in which a frozen decoder's products are made: `float32`, or `bfloat16` with float32 sums.

`auto` takes bfloat16 where the device multiplies it natively. Training, sampling and serving of one adapter use one
precision, the one that its writer records, so that what is served is what was evaluated.
"""

from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp

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
