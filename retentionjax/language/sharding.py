"""Where a decoder's arrays lie on a mesh of devices: rules by name, everything else is the compiler's.

Three axes: `data` divides the batch; `fsdp` divides the batch and the weights (each layer's are gathered as it runs);
`tensor` divides heads and hidden units, as in Megatron (Shoeybi et al. 2019): the projections into attention and MLP
by their outputs, those out of them by their inputs, so that a layer needs two sums over the axis.
"""

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from retentionjax.errors import ConfigError
from retentionjax.language.decoder import Cache, Decoder

AXES = ("data", "fsdp", "tensor")
BATCH = ("data", "fsdp")

_COLUMN = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "fc1", "c_attn", "c_fc")
_ROW = ("o_proj", "down_proj", "out_proj", "fc2", "attn.c_proj", "mlp.c_proj")
_OUTER = {
    "embedding": ("tensor", "fsdp"),
    "head": ("tensor", "fsdp"),
    "position_embedding": (None, "fsdp"),
    "project_in.kernel": ("fsdp", "tensor"),
    "project_out.kernel": ("tensor", "fsdp"),
}

Axis = str | tuple[str, ...] | None


def device_mesh(data: int = 1, fsdp: int = 1, tensor: int = 1) -> Mesh:
    """The first data · fsdp · tensor devices.

    Raises:
        ConfigError: an axis below 1, or fewer devices than that.
    """
    sizes = (data, fsdp, tensor)
    if min(sizes) < 1:
        raise ConfigError(f"the mesh is {dict(zip(AXES, sizes, strict=True))}; allowed: 1 or more along each axis")
    devices = jax.devices()
    if len(devices) < math.prod(sizes):
        raise ConfigError(f"the mesh has {math.prod(sizes)} places; allowed: at most the {len(devices)} devices")
    # The compiler decides how sums are spread; rules are given for what enters only.
    chosen = np.array(devices[: math.prod(sizes)]).reshape(sizes)
    return Mesh(chosen, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def axes(parameter: str) -> tuple[Axis, ...]:
    """The axis of the mesh along which each dimension of a parameter is divided, by the parameter's name."""
    if parameter in _OUTER:
        return _OUTER[parameter]
    name, _, field = parameter.removeprefix("layers.").rpartition(".")
    if name in _COLUMN:
        return (None, "fsdp", "tensor") if field == "kernel" else (None, "tensor")
    if name in _ROW and field == "kernel":
        return (None, "tensor", "fsdp")
    return ()


def shard(decoder: Decoder, mesh: Mesh) -> Decoder:
    """The decoder with its arrays laid out on the mesh; a dimension that an axis does not divide is left whole."""
    placed = {name: _place(array, axes(name), mesh) for name, array in decoder.parameters().items()}
    return Decoder(decoder.config, placed)


def shard_batch(batch: Any, mesh: Mesh) -> Any:
    """Arrays (a pytree of them) with the batch first, divided over data and fsdp."""
    return jax.tree.map(lambda x: _place(x, (BATCH,), mesh), batch)


def shard_cache(cache: Cache, mesh: Mesh) -> Cache:
    """The cache, rows divided as the batch is, heads as the projections that fill it are."""
    lie: tuple[Axis, ...] = (None, BATCH, None, "tensor", None)
    return Cache(_place(cache.k, lie, mesh), _place(cache.v, lie, mesh), _place(cache.length, (), mesh))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """A copy on every device, for what is small: adapters, heads, optimiser states."""
    return jax.tree.map(lambda x: _place(x, (), mesh), tree)


def _place(array: Array, wanted: tuple[Axis, ...], mesh: Mesh) -> Array:
    spec = [axis if _divides(axis, size, mesh) else None for axis, size in zip(wanted, array.shape, strict=False)]
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*spec)))


def _divides(axis: Axis, size: int, mesh: Mesh) -> bool:
    names = axis if isinstance(axis, tuple) else (axis,)
    return axis is not None and size % math.prod(mesh.shape[name] for name in names if name is not None) == 0
