"""Running mean and variance of observations.

Source: Chan, Golub, LeVeque 1979 (merging two samples' moments), the form stable in float32.
"""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from retentionjax.rl import sharding
from retentionjax.rl.leaves import Leaf

CLIP = 10.0  # standard deviations; an unseen magnitude must not blow up the policy's input
EPSILON = 1e-6  # added to the variance: a feature that never moves stays 0, instead of 0/0


@struct.dataclass
class Normaliser:
    """Moments of the observations seen so far."""

    count: Leaf  # f32[]
    mean: Leaf  # f32[features]
    variance: Leaf  # f32[features]


def init_normaliser(features: int) -> Normaliser:
    """Statistics of nothing: the first update overwrites them, and until then `normalise` is the identity."""
    return Normaliser(count=jnp.zeros(()), mean=jnp.zeros(features), variance=jnp.ones(features))


def normalise(
    normaliser: Normaliser | None, observation: Float[Array, "*batch features"]
) -> Float[Array, "*batch features"]:
    """Observation in standard deviations from the mean, clipped to ±10; unchanged when there is no normaliser."""
    if normaliser is None:
        return observation
    scaled = (observation - normaliser.mean) / jnp.sqrt(normaliser.variance + EPSILON)
    return jnp.clip(scaled, -CLIP, CLIP)


def update_normaliser(
    normaliser: Normaliser | None, observations: Float[Array, "*batch features"], shards: int = 1
) -> Normaliser | None:
    """Merge a batch of raw observations, and those of the other shards, into the running moments."""
    if normaliser is None:
        return None
    mean, variance = sharding.moments(observations, shards)
    count = jnp.float32(shards * observations.size // observations.shape[-1])
    total = normaliser.count + count
    delta = mean - normaliser.mean
    squares = normaliser.variance * normaliser.count + variance * count + delta**2 * normaliser.count * count / total
    return Normaliser(count=total, mean=normaliser.mean + delta * count / total, variance=squares / total)
