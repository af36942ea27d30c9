"""Learning from a rollout on text: some passes in random minibatches, ended early when the policy has moved enough."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, PRNGKeyArray

from retentionjax.language import losses, optimiser
from retentionjax.language.decoder import Decoder
from retentionjax.language.experience import Critic, Experience, text_log_probs, values
from retentionjax.language.lora import Adapter
from retentionjax.language.optimiser import LearnerState
from retentionjax.language.ppo_config import LossConfig, TextPPOConfig
from retentionjax.rl.leaves import Leaf

STOP_AT = 1.5  # times the target of approx-KL


@struct.dataclass
class Statistics:
    """Statistics of one minibatch; means over its tokens."""

    policy_loss: Leaf  # f32[]
    value_loss: Leaf  # f32[2], of reward and cost
    approx_kl: Leaf  # f32[], ½ mean (log ρ)², nats a token
    clip_fraction: Leaf  # f32[], share of tokens where the clip bound
    value_clip_fraction: Leaf  # f32[]
    entropy: Leaf  # f32[], nats a token
    ratio: Leaf  # f32[], mean ρ
    ratio_error: Leaf  # f32[], max |ρ − 1|


def run_epochs(
    decoder: Decoder,
    config: TextPPOConfig,
    policy: LearnerState,
    critic: LearnerState,
    experience: Experience,
    iteration: int,
    key: PRNGKeyArray,
) -> tuple[LearnerState, LearnerState, dict[str, float]]:
    """`epochs` passes; the whole rollout's remaining ones are skipped once approx-KL exceeds 1.5 times its target."""
    rate = optimiser.learning_rate(config.optimiser, config.iterations, iteration)
    value_rate = rate * (config.value_learning_rate / config.optimiser.learning_rate)
    seen: list[Statistics] = []
    norms: list[Array] = []
    stopped = False
    for epoch in range(config.epochs):
        together = config.copies if config.objective == "dpo" else 1  # a pair is not parted
        dealt = np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), config.batch // together))
        order = (dealt[:, None] * together + np.arange(together)).reshape(-1)
        for chosen in order.reshape(-1, config.minibatch):
            batch = jax.tree.map(lambda x, chosen=chosen: x[chosen], experience)
            gradients, statistics = _gradients(decoder, config.loss, policy.params, critic.params, batch)
            seen.append(statistics)
            stopped = _moved_enough(config, statistics)
            if stopped:
                break
            policy, norm = optimiser.apply_gradient(config.optimiser, config.iterations, policy, gradients[0], rate)
            critic, _ = optimiser.apply_gradient(config.optimiser, config.iterations, critic, gradients[1], value_rate)
            norms.append(norm)
        if stopped:
            break
    return policy, critic, _summary(seen, norms, float(rate), stopped)


def _moved_enough(config: TextPPOConfig, statistics: Statistics) -> bool:
    target = config.approx_kl_target
    return target is not None and float(statistics.approx_kl) > STOP_AT * target


@partial(jax.jit, static_argnames="config")
def _gradients(
    decoder: Decoder, config: LossConfig, policy: Adapter, critic: Critic, batch: Experience
) -> tuple[tuple[Adapter, Critic], Statistics]:
    def loss(learned: tuple[Adapter, Critic]) -> tuple[Array, Statistics]:
        return minibatch_loss(decoder, config, *learned, batch)

    return jax.grad(loss, has_aux=True)((policy, critic))


def minibatch_loss(
    decoder: Decoder, config: LossConfig, policy: Adapter, critic: Critic, batch: Experience
) -> tuple[Array, Statistics]:
    """Clipped surrogate, or DPO's loss over pairs, + value_coef · Σ_heads ½ max(·, ·), means over the texts' tokens."""
    texts, mask = batch.texts, batch.texts.mask
    log_probs, entropies = text_log_probs(
        decoder, policy, texts, policy.first_layer, config.temperature, remat=config.remat
    )
    terms = losses.policy_loss(log_probs, texts.log_probs, batch.advantages, mask, config.clip)
    read = values(critic, batch.features)
    value_loss = losses.critic_loss(read, batch.values, batch.targets, mask, config.value_clip)
    policy_loss = losses.masked_mean(terms, mask) if config.objective != "dpo" else _dpo_loss(config, log_probs, batch)
    log_ratio = jnp.where(mask, log_probs - texts.log_probs, 0.0)
    ratio = jnp.exp(log_ratio)
    unclipped = -ratio * batch.advantages
    far = (
        jnp.zeros(mask.shape) if config.value_clip is None else jnp.abs(read - batch.values)[..., 0] > config.value_clip
    )
    statistics = Statistics(
        policy_loss=policy_loss,
        value_loss=value_loss,
        approx_kl=0.5 * losses.masked_mean(jnp.square(log_ratio), mask),
        clip_fraction=losses.masked_mean((terms > unclipped).astype(jnp.float32), mask),
        value_clip_fraction=losses.masked_mean(far.astype(jnp.float32), mask),
        entropy=losses.masked_mean(entropies, mask),
        ratio=losses.masked_mean(ratio, mask),
        ratio_error=jnp.max(jnp.abs(ratio - 1.0)),
    )
    return policy_loss + config.value_coef * value_loss.sum(), statistics


def _dpo_loss(config: LossConfig, log_probs: Array, batch: Experience) -> Array:
    """DPO's, mean over pairs of neighbours; two texts of equal merit teach nothing."""
    distance = (log_probs - batch.reference_log_probs).sum(1).reshape(-1, 2)  # both are 0 on padding
    better = jnp.sign(batch.merit[0::2] - batch.merit[1::2])
    terms = losses.dpo(better * distance[:, 0], better * distance[:, 1], config.dpo_beta)
    return jnp.mean(jnp.abs(better) * terms)


def _summary(seen: list[Statistics], norms: list[Array], rate: float, stopped: bool) -> dict[str, float]:
    stacked = jax.tree.map(lambda *each: np.stack([np.asarray(x) for x in each]), *seen)
    return {
        "policy/approxkl_avg": float(stacked.approx_kl.mean()),
        "policy/clipfrac_avg": float(stacked.clip_fraction.mean()),
        "policy/entropy_avg": float(stacked.entropy.mean()),
        "loss/policy_avg": float(stacked.policy_loss.mean()),
        "loss/value_avg": float(stacked.value_loss[:, 0].mean()),
        "loss/cost_value_avg": float(stacked.value_loss[:, 1].mean()),
        "val/clipfrac_avg": float(stacked.value_clip_fraction.mean()),
        "val/ratio": float(stacked.ratio.mean()),
        "val/ratio_var": float(stacked.ratio.var(ddof=1)) if len(seen) > 1 else 0.0,
        "val/first_ratio_error": float(stacked.ratio_error[0]),
        "policy/grad_norm": float(np.mean([float(norm) for norm in norms])) if norms else 0.0,
        "policy/updates": float(len(norms)),
        "policy/stopped_early": float(stopped),
        "lr": rate,
    }


def init_critic(config: TextPPOConfig, weight: Array, bias: Array, mean: Array, std: Array) -> Critic:
    """The value head as the reward model's, in its normalised unit, or zero; the cost head at zero.

    With the reward model's score a text of half the length earns half of what brevity can, so the value begins there.
    """
    weight = config.reward_weight * weight[:, None] / std
    bias = config.reward_weight * (bias[None] - mean) / std + config.brevity_weight / 2
    start = Critic(jnp.concatenate([weight, jnp.zeros_like(weight)], 1), jnp.concatenate([bias, jnp.zeros(1)]))
    return start if config.value_head == "reward" else jax.tree.map(jnp.zeros_like, start)


def critic_optimiser(config: TextPPOConfig) -> optimiser.OptimiserConfig:
    """The policy's without weight decay."""
    return replace(config.optimiser, weight_decay=0.0)
