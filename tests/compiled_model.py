"""The decoder compiled once for each structure and shape: called as it is, it compiles its scan anew in every call."""

from functools import partial
from typing import Any

import jax

from retentionjax.language.decoder import Cache, Decoder


@jax.jit
def logits(model: Decoder, tokens: jax.Array, mask: jax.Array, **given: Any) -> jax.Array:
    """`model(tokens, mask, …)`; `given`: positions, until, adapter, dropout_key."""
    return model(tokens, mask, **given)


@partial(jax.jit, static_argnames=("first", "last"))
def blocks(
    model: Decoder,
    x: jax.Array,
    positions: jax.Array,
    mask: jax.Array,
    *,
    first: int = 0,
    last: int | None = None,
    **given: Any,
) -> tuple[jax.Array, Cache | None]:
    """`model.blocks(x, positions, mask, …)`; `given`: until, adapter, cache."""
    return model.blocks(x, positions, mask, first=first, last=last, **given)
