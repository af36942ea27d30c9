"""The two halves of a forward pass: the frozen trunk below the adapter, run once a text, and the layers above it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from retentionjax.language.decoder import Decoder
from retentionjax.language.lora import Adapter
from retentionjax.language.packing import Packed

CHUNK = 512  # tokens whose logits exist at once: 100 MB of float32 with SmolLM2's vocabulary


@partial(jax.jit, static_argnames="layers")
def trunk(
    decoder: Decoder,
    tokens: Int[Array, "batch time"],
    mask: Bool[Array, "batch time"],
    positions: Int[Array, "batch time"],
    until: Int[Array, "batch time"] | None = None,
    *,
    layers: int,
) -> Float[Array, "batch time hidden"]:
    """States after the first `layers` layers. No adapter reaches them, so all roles share them, and all epochs."""
    x = decoder.embed(tokens, positions)
    return decoder.blocks(x, positions, mask, until=until, first=0, last=layers)[0]


def packed_trunk(decoder: Decoder, rows: Packed, *, layers: int) -> Float[Array, "rows time hidden"]:
    """`trunk` of packed rows."""
    return trunk(decoder, rows.tokens, rows.mask, rows.positions, rows.until, layers=layers)


def upper(
    decoder: Decoder,
    below: Float[Array, "batch time hidden"],
    mask: Bool[Array, "batch time"],
    positions: Int[Array, "batch time"],
    until: Int[Array, "batch time"] | None = None,
    *,
    layers: int,
    adapter: Adapter | None,
    dropout_key: PRNGKeyArray | None = None,
    remat: bool = False,
) -> Float[Array, "batch time width"]:
    """What heads read, from the trunk's states after `layers` layers; `adapter` None is the reference model."""
    x, _ = decoder.blocks(
        below,
        positions,
        mask,
        until=until,
        first=layers,
        adapter=adapter,
        dropout_key=dropout_key,
        remat=remat,
    )
    return decoder.normed(x)


# --- log-probabilities without the logits of a whole batch ----------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def log_probs(
    decoder: Decoder,
    states: Float[Array, "tokens width"],
    targets: Int[Array, " tokens"],
    temperature: float,
) -> tuple[Float[Array, " tokens"], Float[Array, " tokens"]]:
    """log softmax(logits / T)[target] after each state, and the distribution's entropy (which has no gradient).

    The head of a small model is a fifth of its work, its logits most of the memory. So logits exist for `CHUNK` states
    at a time; and since ∂ log p/∂state = (1_target − p)·W/T needs no more than p, it is kept from the forward pass, one
    vector a token, and the backward pass only scales it: two products with the head, none repeated.
    """

    def chunk(inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        scaled = decoder.logits(inputs[0]) / temperature
        return _chosen(scaled, inputs[1])

    return _in_chunks(chunk, states, targets)


def _with_slopes(
    decoder: Decoder, states: Array, targets: Array, temperature: float
) -> tuple[tuple[Array, Array], Array]:
    def chunk(inputs: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        logits, pull = jax.vjp(decoder.logits, inputs[0])
        scaled = logits / temperature
        slope = jax.nn.one_hot(inputs[1], logits.shape[-1]) - jax.nn.softmax(scaled)
        return *_chosen(scaled, inputs[1]), pull(slope / temperature)[0]

    log_prob, entropy, slopes = _in_chunks(chunk, states, targets)
    return (log_prob, entropy), slopes


def _scaled_slopes(_: float, slopes: Array, cotangents: tuple[Array, Array]) -> tuple[None, Array, None]:
    return None, cotangents[0][:, None].astype(slopes.dtype) * slopes, None


log_probs.defvjp(_with_slopes, _scaled_slopes)


def _chosen(scaled: Array, targets: Array) -> tuple[Array, Array]:
    total = jax.nn.logsumexp(scaled, -1)
    chosen = jnp.take_along_axis(scaled, targets[:, None], -1)[:, 0]
    entropy = total - jnp.sum(jnp.exp(scaled - total[:, None]) * scaled, -1)
    return chosen - total, entropy


def _in_chunks(chunk: Callable[[tuple[Array, Array]], Any], states: Array, targets: Array) -> Any:
    """`chunk` over the rows of both, CHUNK at a time."""
    count = states.shape[0]
    if count <= CHUNK:
        return chunk((states, targets))
    parts = -(-count // CHUNK)
    spare = parts * CHUNK - count
    padded = jnp.pad(states, ((0, spare), (0, 0))), jnp.pad(targets, (0, spare))
    mapped = jax.lax.map(chunk, jax.tree.map(lambda x: x.reshape(parts, CHUNK, *x.shape[1:]), padded))
    return jax.tree.map(lambda x: x.reshape(parts * CHUNK, *x.shape[2:])[:count], mapped)
