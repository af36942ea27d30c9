"""The action codec: 0 is *wait*; 1 + offer · D + delay is a contact with that offer after that delay.

One discrete action, so one propensity per decision. Offers and delays are indices into the vectors of `EnvParams`,
whose shapes say how many there are of each.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from retentionjax.env.types import EnvParams
from retentionjax.errors import ConfigError

WAIT = 0
OF_OFFERS = ("discount", "amount", "cost", "offer_days", "effect_days", "hazard_multiplier", "appeal")
"""The constants of `EnvParams` that have one entry an offer."""


class Decoded(NamedTuple):
    """Meaning of an action; `offer` and `delay` are 0 when there is no contact."""

    contact: Bool[Array, "..."]
    offer: Int[Array, "..."]  # index into EnvParams.discount and its like
    delay: Int[Array, "..."]  # index into EnvParams.delays


def offers(params: EnvParams) -> int:
    """Number of offers, O.

    Raises:
        ConfigError: the offers' constants are not arrays of one size. Broadcast or read beyond the end, as JAX does in
            silence, one offer would have another's.
    """
    sizes = {name: _size(name, params) for name in OF_OFFERS}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ConfigError(f"env: the offers' constants differ in number: {found}; allowed: one of each an offer")
    return sizes["discount"]


def delays(params: EnvParams) -> int:
    """Number of delays, D. Raises ConfigError where they are no array."""
    return _size("delays", params)


def _size(name: str, params: EnvParams) -> int:
    vector = getattr(params, name)
    if not getattr(vector, "shape", ()):
        raise ConfigError(f"env.{name} is {vector!r}; allowed: an array of rank 1")
    return int(vector.shape[-1])


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
