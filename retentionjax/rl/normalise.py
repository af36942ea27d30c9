"""Running mean and variance of observations.

Source: Chan, Golub, LeVeque 1979 (merging two samples' moments), the form stable in float32.
"""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

CLIP = 10.0  # standard deviations; an unseen magnitude must not blow up the policy's input
EPSILON = 1e-6  # added to the variance: a feature that never moves stays 0, instead of 0/0


@struct.dataclass
class Normaliser:
    """Moments of the observations seen so far."""

    count: Array  # f32[]
    mean: Array  # f32[features]
    variance: Array  # f32[features]


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


def update_normaliser(normaliser: Normaliser, observations: Float[Array, "*batch features"]) -> Normaliser:
    """Merge a batch of raw observations into the running moments."""
    flat = observations.reshape(-1, observations.shape[-1])
    count = jnp.float32(flat.shape[0])
    total = normaliser.count + count
    delta = flat.mean(0) - normaliser.mean
    squares = normaliser.variance * normaliser.count + flat.var(0) * count + delta**2 * normaliser.count * count / total
    return Normaliser(count=total, mean=normaliser.mean + delta * count / total, variance=squares / total)
