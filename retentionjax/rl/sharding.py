"""Data parallelism: a run in `shards` groups of environments that share their parameters.

Each group acts and shuffles by itself; gradients, advantage statistics and episode sums are taken over all groups. The
arithmetic does not depend on where the groups run: mapped on one device, or one a device of a mesh.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, PRNGKeyArray

from retentionjax.errors import ConfigError

AXIS = "shards"


def device_mesh(shards: int) -> Mesh:
    """The first `shards` devices, one a group.

    Raises:
        ConfigError: there are fewer.
    """
    devices = jax.devices()
    if len(devices) < shards:
        raise ConfigError(f"shards is {shards}; allowed: at most the {len(devices)} devices there are, to use a mesh")
    return Mesh(np.array(devices[:shards]), (AXIS,))


def mean(x: Any, shards: int) -> Any:
    """Mean over the groups, leaf by leaf."""
    return jax.lax.pmean(x, AXIS) if shards > 1 else x


def total(x: Any, shards: int) -> Any:
    """Sum over the groups, leaf by leaf."""
    return jax.lax.psum(x, AXIS) if shards > 1 else x


def largest(x: Array, shards: int) -> Array:
    """Maximum over the groups."""
    return jax.lax.pmax(x, AXIS) if shards > 1 else x


def moments(
    x: Float[Array, "*batch entries"], shards: int
) -> tuple[Float[Array, " entries"], Float[Array, " entries"]]:
    """Mean and variance of every entry over the batch and the groups."""
    batch = tuple(range(x.ndim - 1))
    centre = mean(x.mean(batch), shards)
    return centre, mean(jnp.square(x - centre).mean(batch), shards)


def own_key(key: PRNGKeyArray, shards: int) -> PRNGKeyArray:
    """A key of this group's own."""
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS)) if shards > 1 else key


def over_shards(
    function: Callable[[Any, Any], tuple[Any, Any]], shared: Any, local: Any, shards: int, mesh: Mesh | None
) -> tuple[Any, Any]:
    """Call `function(shared, local) -> (shared, local)` for every group.

    Args:
        shared: the same for all groups, and must be so when it is returned.
        local: leading axis `shards` on every leaf where there is more than one.
        mesh: by `device_mesh`; None maps all groups on one device.

    Raises:
        ConfigError: the mesh has not one device a group along an axis named "shards".
    """
    if mesh is not None and mesh.shape != {AXIS: shards}:
        raise ConfigError(f"the mesh is {dict(mesh.shape)}; allowed: {{'{AXIS}': {shards}}}, the config's shards")
    if shards == 1:
        return function(shared, local)
    if mesh is None:
        return jax.vmap(function, in_axes=(None, 0), out_axes=(None, 0), axis_name=AXIS)(shared, local)

    def on_device(shared: Any, local: Any) -> tuple[Any, Any]:
        shared, local = function(shared, jax.tree.map(lambda x: x[0], local))
        return shared, jax.tree.map(lambda x: x[None], local)

    everywhere, divided = PartitionSpec(), PartitionSpec(AXIS)
    # check_vma=False: with it, differentiating by shared parameters would sum the gradients over the groups unasked.
    mapped = jax.shard_map(
        on_device, mesh=mesh, in_specs=(everywhere, divided), out_specs=(everywhere, divided), check_vma=False
    )
    return mapped(shared, local)
