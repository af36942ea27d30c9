"""The action codec: 0 is *wait*; 1 + offer · D + delay is a contact with that offer after that delay.

One discrete action, so one propensity per decision. Offers and delays are indices into the vectors of `EnvParams`,
whose shapes say how many there are of each.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from retentionjax.env.types import EnvParams

WAIT = 0


class Decoded(NamedTuple):
    """Meaning of an action; `offer` and `delay` are 0 when there is no contact."""

    contact: Bool[Array, "..."]
    offer: Int[Array, "..."]  # index into EnvParams.discount and its like
    delay: Int[Array, "..."]  # index into EnvParams.delays


def offers(params: EnvParams) -> int:
    """Number of offers, O."""
    return int(params.discount.shape[-1])


def delays(params: EnvParams) -> int:
    """Number of delays, D."""
    return int(params.delays.shape[-1])


def count(params: EnvParams) -> int:
    """Number of actions, 1 + O·D."""
    return 1 + offers(params) * delays(params)


def encode(offer: int | jax.Array, delay: int | jax.Array, params: EnvParams) -> jax.Array:
    """Action of a contact with offer index `offer` (0 … O − 1) after delay index `delay` (0 … D − 1)."""
    return jnp.asarray(1 + offer * delays(params) + delay)


def decode(action: int | jax.Array, params: EnvParams) -> Decoded:
    """Inverse of `encode`; any shape."""
    action = jnp.asarray(action)
    index = jnp.maximum(action - 1, 0)
    return Decoded(contact=action > WAIT, offer=index // delays(params), delay=index % delays(params))
