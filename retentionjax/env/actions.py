"""The action codec: 0 is *wait*; 1 + offer · 3 + delay is a contact with that offer after that delay.

One discrete action, so one propensity per decision. Offers and delays are indices; `EnvParams.offers` and
`EnvParams.delays` hold their sizes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

NUM_OFFERS = 4
NUM_DELAYS = 3
NUM_ACTIONS = 1 + NUM_OFFERS * NUM_DELAYS
WAIT = 0


class Decoded(NamedTuple):
    """Meaning of an action; `offer` and `delay` are 0 when there is no contact."""

    contact: Bool[Array, "..."]
    offer: Int[Array, "..."]  # index into EnvParams.offers
    delay: Int[Array, "..."]  # index into EnvParams.delays


def encode(offer: int | jax.Array, delay: int | jax.Array) -> jax.Array:
    """Action of a contact with offer index `offer` (0 … 3) after delay index `delay` (0 … 2)."""
    return jnp.asarray(1 + offer * NUM_DELAYS + delay)


def decode(action: int | jax.Array) -> Decoded:
    """Inverse of `encode`; any shape."""
    action = jnp.asarray(action)
    index = jnp.maximum(action - 1, 0)
    return Decoded(contact=action > WAIT, offer=index // NUM_DELAYS, delay=index % NUM_DELAYS)
