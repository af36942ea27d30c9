"""One decoder layer of any family, as the scan over layers runs it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from retentionjax.language.decoder import mixed
from retentionjax.language.decoder.config import DecoderConfig
from retentionjax.language.decoder.parts import ACTIVATIONS, Linear, Norm, attend, low_rank, rotate


class Layers(nnx.Module):
    """All layers' weights, stacked on a leading axis; inside the scan, one layer's."""

    def __init__(self, projections: dict[str, Linear], norms: dict[str, Norm]) -> None:
        self.projections = nnx.Dict(projections)
        """Projections by the names of `DecoderConfig.projections`."""
        self.norms = nnx.Dict(norms)
        """attention_norm and mlp_norm; with qk_norm also q_norm and k_norm."""


@struct.dataclass
class Delta:
    """One layer's low-rank updates: A [r, inputs] and B [outputs, r] by projection."""

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    scale: float = struct.field(pytree_node=False)
    dropout: float = struct.field(pytree_node=False)


@struct.dataclass
class LayerContext:
    """What all layers share."""

    seen: Any
    """bool[batch, time, slots]: which keys each query may see."""
    distance: Any
    """i32[…, time, slots] from key to query, where some layer looks back only over a window; else None."""
    rotation: Any
    """Cosines and sines, [batch, time, head_dim / 2]; None with learned positions."""
    start: Any
    """Slot of the first token."""
    dropout_key: Any


@struct.dataclass
class KVCache:
    """Keys and values of all layers, updated in place as the scan passes; None when nothing is kept."""

    k: Any
    """[layers, batch, kv_heads, head_dim, slots]"""
    v: Any
    """[layers, batch, kv_heads, slots, head_dim]"""


def run_layer(
    config: DecoderConfig,
    layer: Layers,
    delta: Delta | None,
    index: Int[Array, ""],
    x: Float[Array, "batch time hidden"],
    memory: KVCache,
    context: LayerContext,
    row: Int[Array, ""] | None = None,
) -> tuple[Float[Array, "batch time hidden"], KVCache]:
    """Attention and MLP, each added to the stream; norms before them, or after (OPT-350m).

    The layer's keys lie in the memory's row `row`, which is `index` unless it is given.
    """
    project = _projection(layer, delta, index, context.dropout_key)
    norms = layer.norms
    seen = context.seen
    if config.windows is not None:
        window = jnp.asarray(config.windows)[index]
        seen = seen & ((window == 0) | (context.distance < window))

    row = index if row is None else row
    h = norms["attention_norm"](x) if config.norm_first else x
    h, memory = _attention(config, layer, project, h, index, row, memory, seen, context)
    x = x + h if config.norm_first else norms["attention_norm"](x + h)
    h = _mlp(config, project, norms["mlp_norm"](x) if config.norm_first else x)
    return x + h if config.norm_first else norms["mlp_norm"](x + h), memory


Project = Callable[[str, Array], Array]


def _projection(layer: Layers, delta: Delta | None, index: Array, key: PRNGKeyArray | None) -> Project:
    """The layer's projections by name, each with its low-rank update: y = W x + scale · B A x (Hu et al. 2021)."""

    def project(name: str, x: Array) -> Array:
        y = layer.projections[name](x)
        if delta is None or name not in delta.a:
            return y
        if key is not None and delta.dropout > 0.0:
            own = jax.random.fold_in(jax.random.fold_in(key, index), sorted(delta.a).index(name))
            kept = jax.random.bernoulli(own, 1.0 - delta.dropout, x.shape)
            x = jnp.where(kept, x / (1.0 - delta.dropout), 0.0)
        if mixed.applies(x, layer.projections[name].kernel[...]):
            return y + mixed.learned(mixed.learned(x, delta.a[name]), delta.b[name]) * delta.scale
        return y + low_rank(x, delta.a[name].astype(x.dtype), delta.b[name].astype(x.dtype)) * delta.scale

    return project


def _attention(
    config: DecoderConfig,
    layer: Layers,
    project: Project,
    x: Array,
    index: Array,
    row: Array,
    memory: KVCache,
    seen: Array,
    context: LayerContext,
) -> tuple[Array, KVCache]:
    if config.family == "gpt2":
        q, k, v = jnp.split(project("c_attn", x), 3, axis=-1)
    else:
        q, k, v = project("q_proj", x), project("k_proj", x), project("v_proj", x)
    q, k, v = (y.reshape(*y.shape[:2], -1, config.head_dim) for y in (q, k, v))
    if config.qk_norm:
        q, k = layer.norms["q_norm"](q), layer.norms["k_norm"](k)
    if context.rotation is not None:
        cosines, sines = context.rotation
        if config.rotated is not None:
            turns = jnp.asarray(config.rotated)[index]
            cosines, sines = jnp.where(turns, cosines, 1.0), jnp.where(turns, sines, 0.0)
        q, k = rotate(q, cosines, sines), rotate(k, cosines, sines)
    k, v = k.transpose(0, 2, 3, 1), v.transpose(0, 2, 1, 3)
    if memory.k is not None:
        start = context.start
        memory = KVCache(
            k=jax.lax.dynamic_update_slice(memory.k, k[None].astype(memory.k.dtype), (row, 0, 0, 0, start)),
            v=jax.lax.dynamic_update_slice(memory.v, v[None].astype(memory.v.dtype), (row, 0, 0, start, 0)),
        )
        k = jax.lax.dynamic_index_in_dim(memory.k, row, keepdims=False)
        v = jax.lax.dynamic_index_in_dim(memory.v, row, keepdims=False)
    name = {"llama": "o_proj", "opt": "out_proj", "gpt2": "attn.c_proj"}[config.family]
    return project(name, attend(q, k, v, seen)), memory


def _mlp(config: DecoderConfig, project: Project, x: Array) -> Array:
    activation = ACTIVATIONS[config.activation]
    if config.family == "llama":
        return project("down_proj", activation(project("gate_proj", x)) * project("up_proj", x))
    inner, outer = ("fc1", "fc2") if config.family == "opt" else ("c_fc", "mlp.c_proj")
    return project(outer, activation(project(inner, x)))
