"""Runs a decoder on one device and on a mesh of eight; prints the largest differences and how the arrays lie."""

import os

# Compiling is most of the time, and unoptimised code compiles in half of it.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import json

import jax
import jax.numpy as jnp
import numpy as np

from retentionjax.language import hub, lora, quantise, sharding
from retentionjax.language.decoder import Decoder


def difference(one: object, other: object) -> float:
    pairs = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), one, other)
    return max(jax.tree.leaves(pairs))


@jax.jit
def forward(model: Decoder, tokens: jax.Array, adapter: lora.Adapter) -> jax.Array:
    return model(tokens, tokens >= 0, adapter=adapter)


@jax.jit
def gradient(model: Decoder, tokens: jax.Array, adapter: lora.Adapter) -> lora.Adapter:
    return jax.grad(lambda adapter: jnp.square(forward(model, tokens, adapter)).mean())(adapter)


@jax.jit
def decode(model: Decoder, tokens: jax.Array, cache: object) -> jax.Array:
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    x, cache = model.blocks(model.embed(tokens, positions), positions, tokens >= 0, cache=cache)
    return model.logits(model.normed(x))


def main() -> None:
    mesh = sharding.device_mesh(data=2, fsdp=2, tensor=2)
    decoder = hub.random("tiny", jax.random.key(0)).decoder
    adapter = lora.init(lora.LoraConfig(rank=4, first_layer=1), decoder, jax.random.key(1))
    adapter = adapter.replace(b=jax.tree.map(lambda b: b + 0.1, adapter.b))
    tokens = jax.random.randint(jax.random.key(2), (8, 6), 0, 400)
    cache = decoder.init_cache(8, 6)

    spread = sharding.shard(decoder, mesh)
    given = (sharding.shard_batch(tokens, mesh), sharding.replicate(adapter, mesh))
    int8 = quantise.int8(decoder)
    found = {
        "devices": len(jax.devices()),
        "logits": difference(forward(spread, *given), forward(decoder, tokens, adapter)),
        "gradient": difference(gradient(spread, *given), gradient(decoder, tokens, adapter)),
        "decode": difference(
            decode(spread, given[0], sharding.shard_cache(cache, mesh)), decode(decoder, tokens, cache)
        ),
        "int8": difference(forward(sharding.shard(int8, mesh), *given), forward(int8, tokens, adapter)),
        "indivisible": difference(
            forward(sharding.shard(decoder, sharding.device_mesh(tensor=3)), tokens, adapter),
            forward(decoder, tokens, adapter),
        ),
        "share": spread.layers.projections["q_proj"].kernel[...].addressable_shards[0].data.size
        / decoder.layers.projections["q_proj"].kernel[...].size,
        "lie": {name: list(array.sharding.spec) for name, array in spread.parameters().items()},
    }
    print(json.dumps(found))


main()
