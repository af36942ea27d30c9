"""The decoder as the sampler runs it: one token after another, so that the weights' way to the processor is the cost.

A scan over stacked layers copies each layer's weights out of the stack before using them. A training step has hundreds
of tokens to make up for that; a step of decoding has one a row, and of a few rows on CPU the copies take more time
than the products. So there the layers stand apart, each with its own arrays, and are run one by one, at the price of
compiling twice as long; for more rows, and on an accelerator, they are scanned.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from retentionjax.language.decoder import Cache, Decoder
from retentionjax.language.decoder.layer import Delta, KVCache, Layers, run_layer
from retentionjax.language.decoder.model import _context
from retentionjax.language.lora import Adapter

FEW = 8
"""Rows from which on a scan is as fast on CPU."""


@struct.dataclass
class Stepwise:
    """A decoder and, where they are run one by one, its layers: views of the decoder's own arrays on a CPU."""

    decoder: Decoder
    layers: tuple[Layers, ...] | None


def take_apart(decoder: Decoder, rows: int = 1, *, apart: bool | None = None) -> Stepwise:
    """The decoder made ready for decoding `rows` texts. `apart` None: on CPU the layers of a few are run one by one."""
    if not (jax.default_backend() == "cpu" and rows < FEW if apart is None else apart):
        return Stepwise(decoder, None)
    layers = decoder.unrolled().layers
    assert not isinstance(layers, Layers)
    return Stepwise(decoder, tuple(layers))


def init_cache(model: Stepwise, batch: int, length: int) -> Cache:
    """An empty cache; where the layers stand apart its keys and values do too."""
    cache = model.decoder.init_cache(batch, length)
    if model.layers is None:
        return cache
    keys, values = (jnp.zeros_like(each[:1]) for each in (cache.k, cache.v))
    return Cache((keys,) * len(model.layers), (values,) * len(model.layers), cache.length)


def repeat_rows(cache: Cache, times: int) -> Cache:
    """Every row `times` times, one after the other."""

    def repeat(x: Array) -> Array:
        return jnp.repeat(x, times, axis=1)

    return Cache(jax.tree.map(repeat, cache.k), jax.tree.map(repeat, cache.v), cache.length)


@struct.dataclass
class Deltas:
    """An adapter; where the layers stand apart, also cut into layers (None below its first one)."""

    adapter: Adapter | None
    layers: tuple[Any, ...] = ()


def cut(model: Stepwise, adapter: Adapter | None) -> Deltas:
    """The adapter as `blocks` takes it. Cut once, not in every step."""
    if adapter is None or model.layers is None:
        return Deltas(adapter, (None,) * model.decoder.config.num_layers)
    below = (None,) * adapter.first_layer
    above = tuple(
        Delta(
            {name: a[index] for name, a in adapter.a.items()},
            {name: b[index] for name, b in adapter.b.items()},
            adapter.scale,
            adapter.dropout,
        )
        for index in range(model.decoder.config.num_layers - adapter.first_layer)
    )
    return Deltas(adapter, below + above)


def blocks(
    model: Stepwise,
    x: Float[Array, "batch time hidden"],
    positions: Int[Array, "batch time"],
    mask: Bool[Array, "batch slots"],
    deltas: Deltas,
    cache: Cache,
    first: int,
    last: int,
) -> tuple[Float[Array, "batch time hidden"], Cache]:
    """`Decoder.blocks` with a cache, layers first … last − 1: the same function, however the weights lie."""
    config = model.decoder.config
    if model.layers is None:
        y, moved = model.decoder.blocks(x, positions, mask, first=first, last=last, adapter=deltas.adapter, cache=cache)
        assert moved is not None
        return y, moved
    context = _context(config, positions, mask, None, Cache(cache.k[0], cache.v[0], cache.length), None)
    keys, values = list(cache.k), list(cache.v)
    for index in range(first, last):
        memory = KVCache(keys[index], values[index])
        x, memory = run_layer(
            config, model.layers[index], deltas.layers[index], jnp.int32(index), x, memory, context, row=jnp.int32(0)
        )
        keys[index], values[index] = memory.k, memory.v
    moved_by = x.shape[1] if last == config.num_layers else 0
    return x, Cache(tuple(keys), tuple(values), cache.length + moved_by)
