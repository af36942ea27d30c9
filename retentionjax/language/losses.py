"""What the trainers minimise: pure functions of arrays. A mask is True on the tokens that count."""

import math
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from retentionjax.checked import Checked, NotNegative, Positive, Within
from retentionjax.rl import ops

Masked = Float[Array, "batch time"]
Mask = Bool[Array, "batch time"]


def token_log_probs(
    logits: Float[Array, "*batch vocabulary"], targets: Int[Array, "*batch"], temperature: float = 1.0
) -> Float[Array, "*batch"]:
    """log softmax(logits / T)[target], in float32 whatever the model's type."""
    scaled = logits.astype(jnp.float32) / temperature
    chosen = jnp.take_along_axis(scaled, targets[..., None], -1)[..., 0]
    return chosen - jax.nn.logsumexp(scaled, -1)


def masked_mean(values: Float[Array, "*shape"], mask: Bool[Array, "*shape"]) -> Float[Array, ""]:
    """Mean over the tokens that count; 0 where none does."""
    return jnp.sum(jnp.where(mask, values, 0.0)) / jnp.maximum(jnp.sum(mask), 1)


def whiten(values: Masked, mask: Mask) -> Masked:
    """(x − mean)/std over the tokens that count, 0 elsewhere; the variance is divided by n − 1, as TRL does."""
    away = jnp.where(mask, values - masked_mean(values, mask), 0.0)
    return away * jax.lax.rsqrt(jnp.sum(jnp.square(away)) / jnp.maximum(jnp.sum(mask) - 1, 1) + 1e-8)


# --- preferences ----------------------------------------------------------------------------------------------


def bradley_terry(
    chosen: Float[Array, " pairs"],
    rejected: Float[Array, " pairs"],
    margin: Float[Array, " pairs"] | float,
    centring: float,
) -> Float[Array, " pairs"]:
    """−log σ(r_c − r_r − m) + centring · (r_c + r_r)², a term a pair.

    Bradley and Terry 1952; margin of Llama 2 (Touvron et al. 2023, eq. 2); centring of Eisenstein et al. 2023, without
    which the rewards' level drifts, since only differences are learned.
    """
    return -jax.nn.log_sigmoid(chosen - rejected - margin) + centring * jnp.square(chosen + rejected)


def dpo(chosen: Float[Array, " pairs"], rejected: Float[Array, " pairs"], beta: float) -> Float[Array, " pairs"]:
    """−log σ(β (chosen − rejected)) of each text's log π/π_ref, a term a pair (Rafailov et al. 2023, equation 7)."""
    return -jax.nn.log_sigmoid(beta * (chosen - rejected))


# --- PPO on text ----------------------------------------------------------------------------------------------


def token_rewards(
    scores: Float[Array, " batch"], kl: Masked, mask: Mask, coefficient: Float[Array, ""] | float
) -> Masked:
    """r_t = −β·k1_t, and the score of the whole text on top at its last token; 0 on padding."""
    charged = jnp.where(mask, -coefficient * kl, 0.0)
    return charged + last_token(mask) * scores[:, None]


def last_token(mask: Mask) -> Masked:
    """1 at the last token of every row that counts, 0 elsewhere; a row where none counts is all 0."""
    following = jnp.concatenate([mask[:, 1:], jnp.zeros_like(mask[:, :1])], 1)
    return (mask & ~following).astype(jnp.float32)


def leave_one_out(rewards: Float[Array, " texts"], copies: int) -> Float[Array, " texts"]:
    """Each text's reward less the mean of its prompt's other texts, `copies` (at least 2) in a row for each prompt.

    Ahmadian et al. 2024, "Back to basics" (RLOO), equation 7; Kool et al. 2019.
    """
    grouped = rewards.reshape(-1, copies)
    return ((copies * grouped - grouped.sum(1, keepdims=True)) / (copies - 1)).reshape(-1)


def text_advantages(
    rewards: Float[Array, "batch time *heads"],
    values: Float[Array, "batch time *heads"],
    mask: Mask,
    gamma: float = 1.0,
    gae_lambda: float = 0.95,
) -> Float[Array, "batch time *heads"]:
    """Generalised advantages of texts that begin at the first column; the last token ends the episode."""
    over_heads = mask.reshape(*mask.shape, *[1] * (rewards.ndim - 2))
    values = jnp.where(over_heads, values, 0.0)
    continues = jnp.where(over_heads, 1.0, 0.0) - last_token(mask).reshape(over_heads.shape)
    following = jnp.concatenate([values[:, 1:], jnp.zeros_like(values[:, :1])], 1)

    def over_time(x: Array) -> Array:
        return jnp.moveaxis(jnp.broadcast_to(x, rewards.shape), 1, 0)

    advantages = ops.generalised_advantages(
        over_time(rewards),
        over_time(gamma * continues),
        over_time(values),
        over_time(following),
        over_time(continues),
        jnp.full(rewards.shape[2:], gae_lambda),
    )
    return jnp.moveaxis(advantages, 0, 1)


def policy_loss(log_probs: Masked, old_log_probs: Masked, advantages: Masked, mask: Mask, clip: float) -> Masked:
    """PPO's clipped surrogate, a term a token (0 on padding)."""
    ratio = jnp.exp(jnp.where(mask, log_probs - old_log_probs, 0.0))
    return jnp.where(mask, ops.clipped_surrogate(ratio, advantages, clip), 0.0)


def critic_loss(
    values: Float[Array, "batch time heads"],
    old_values: Float[Array, "batch time heads"],
    targets: Float[Array, "batch time heads"],
    mask: Mask,
    clip: float | None,
) -> Float[Array, " heads"]:
    """Clipped ½(V − target)² of each head, averaged over the tokens that count."""
    terms = jnp.where(mask[..., None], ops.value_loss(values, old_values, targets, clip), 0.0)
    return terms.sum((0, 1)) / jnp.maximum(jnp.sum(mask), 1)


# --- the distance from the reference model ---------------------------------------------------------------------------
# Ziegler et al. 2019, "Fine-tuning language models from human preferences", section 2.2; estimators named as in
# Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html).


LOG_RATIO_LIMIT = 10.0  # nats a token: e^10 is far beyond any ratio worth telling apart, e^90 is no float32


@dataclass(frozen=True)
class KLConfig(Checked):
    """How far the policy may move from the reference model, and how the price of moving follows."""

    initial: NotNegative = 0.15
    """β at the start, reward a nat."""
    target: Positive = 6.0
    """Nats a sequence."""
    horizon: Positive = 10_000.0
    """Sequences over which the controller moves β by a factor e at a steady error of 1; scale it to the run."""
    error_clip: Positive = 0.2
    """Largest |KL/target − 1| that one update answers to."""
    minimum: NotNegative = 0.0
    """β never falls below."""
    maximum: Annotated[float, Within(infinite=True)] = math.inf
    """β never rises above; it stays where all three are the same."""

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: coefficients that are out of order."""
        if self.minimum <= self.initial <= self.maximum:
            return []
        return [("initial", f"{self.initial:g}; allowed: minimum ({self.minimum:g}) to maximum ({self.maximum:g})")]


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
    error = jnp.clip(kl / config.target - 1.0, -config.error_clip, config.error_clip)
    return jnp.clip(coefficient * (1.0 + error * sequences / config.horizon), config.minimum, config.maximum)
