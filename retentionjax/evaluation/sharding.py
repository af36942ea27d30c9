"""Policies played on several devices at once: chunks of episodes side by side, and the very episodes of one device.

A chunk is drawn from a key of its own (`rollout.play`), so which device plays it changes nothing.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Int

from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation import rollout
from retentionjax.evaluation.rollout import Episodes, Policy, play_chunk
from retentionjax.rl.sharding import AXIS, device_mesh


def play(
    env: RetentionEnv,
    params: EnvParams,
    policy: Policy,
    key: jax.Array,
    *,
    replicates: int,
    advance: Callable[[int], object] = lambda episodes: None,
    mesh: Mesh | None = None,
) -> Episodes:
    """`rollout.play`, its chunks divided over the devices of `mesh` (all there are by default).

    One chunk or one device leaves nothing to divide. Episodes, policy and population must fit on each device.
    """
    chunk, episodes = rollout.CHUNK, params.population.size * replicates
    chunks = -(-episodes // chunk)
    mesh = device_mesh(jax.device_count()) if mesh is None else mesh
    devices = mesh.devices.size
    if devices == 1 or chunks == 1:
        return rollout.play(env, params, policy, key, replicates=replicates, advance=advance)
    customers = np.repeat(np.arange(params.population.size, dtype=np.int32), replicates)
    starts = np.resize(np.arange(chunks) * chunk, -(-chunks // devices) * devices)  # the last round is filled up
    parts: list[Episodes] = []
    for first in range(0, len(starts), devices):
        begin = starts[first : first + devices]
        rows = np.stack([np.resize(customers[start : start + chunk], chunk) for start in begin])
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(begin))
        days = int(params.horizon_days)
        played = _play_chunks(env, params, policy, keys, jnp.asarray(rows), jnp.asarray(begin), days, mesh)
        parts.append(Episodes(*(np.asarray(column).reshape(-1, *column.shape[2:]) for column in played)))
        advance(min(devices * chunk, episodes - first * chunk))
    joined = Episodes(*(np.concatenate(columns)[:episodes] for columns in zip(*parts, strict=True)))
    return Episodes(*(column.reshape(-1, replicates, *column.shape[1:]) for column in joined))


@partial(jax.jit, static_argnames=("env", "days", "mesh"))
def _play_chunks(
    env: RetentionEnv,
    params: EnvParams,
    policy: Policy,
    keys: jax.Array,
    customers: Int[jax.Array, "devices chunk"],
    first: Int[jax.Array, " devices"],
    days: int,
    mesh: Mesh,
) -> Episodes:
    """A chunk a device; columns of shape (devices, chunk, …)."""

    def on_device(
        params: EnvParams, policy: Policy, keys: jax.Array, customers: jax.Array, first: jax.Array
    ) -> Episodes:
        episodes, _ = play_chunk(env, params, policy, keys[0], customers[0], days, first=first[0])
        one: Episodes = jax.tree.map(lambda column: column[None], episodes)
        return one

    everywhere, divided = PartitionSpec(), PartitionSpec(AXIS)
    mapped: Callable[..., Episodes] = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(everywhere, everywhere, divided, divided, divided),
        out_specs=divided,
        check_vma=False,
    )
    return mapped(params, policy, keys, customers, first)
