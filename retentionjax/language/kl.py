"""Distance from the reference model: its estimators a token, and the controller that prices it.

Ziegler et al. 2019, "Fine-tuning language models from human preferences", section 2.2; estimators named as in
Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html).
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from retentionjax.errors import ConfigError

LOG_RATIO_LIMIT = 10.0  # nats a token: e^10 is far beyond any ratio worth telling apart, e^90 is no float32


@dataclass(frozen=True)
class KLConfig:
    """How far the policy may move from the reference model, and how the price of moving follows."""

    initial: float = 0.15
    """β at the start, reward a nat."""
    target: float = 6.0
    """Nats a sequence."""
    horizon: float = 10_000.0
    """Sequences over which the controller moves β by a factor e at a steady error of 1; scale it to the run."""
    error_clip: float = 0.2
    """Largest |KL/target − 1| that one update answers to."""
    minimum: float = 0.0
    """β never falls below."""
    maximum: float = math.inf
    """β never rises above."""
    adaptive: bool = True
    """Off: β stays at `initial`."""

    def __post_init__(self) -> None:
        """Refuses what no controller can use."""
        for name in ("target", "horizon", "error_clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"kl.{name} is {getattr(self, name)}; allowed: more than 0")
        if not 0 <= self.minimum <= self.initial <= self.maximum:
            allowed = f"0 ≤ minimum ({self.minimum}) ≤ initial ≤ maximum ({self.maximum})"
            raise ConfigError(f"kl.initial is {self.initial}; allowed: {allowed}")


def k1(log_probs: Float[Array, "*batch"], reference_log_probs: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """log π − log π_ref of the tokens drawn, clamped to ±10: unbiased, so it is what the reward is charged with."""
    return jnp.clip(log_probs - reference_log_probs, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def k3(log_probs: Float[Array, "*batch"], reference_log_probs: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """e^{−k1} − 1 + k1: unbiased too, never negative, of less variance; what is logged."""
    difference = k1(log_probs, reference_log_probs)
    return jnp.expm1(-difference) + difference


def update_coefficient(
    config: KLConfig, coefficient: Float[Array, ""], kl: Float[Array, ""], sequences: int
) -> Float[Array, ""]:
    """β ← β(1 + e·n/horizon), e = clip(KL/target − 1, ±error_clip); within [minimum, maximum].

    Args:
        kl: mean nats a sequence, of the `sequences` (n) drawn since the last update.
    """
    if not config.adaptive:
        return coefficient
    error = jnp.clip(kl / config.target - 1.0, -config.error_clip, config.error_clip)
    return jnp.clip(coefficient * (1.0 + error * sequences / config.horizon), config.minimum, config.maximum)
