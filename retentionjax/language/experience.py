"""A rollout on text: prompts → texts → what the reference, the reward model, the critics and the shield say of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from retentionjax.errors import DataError
from retentionjax.language import clicks, forward, losses, packing, sampler
from retentionjax.language.decoder import Decoder
from retentionjax.language.decoder.model import default_positions
from retentionjax.language.lora import Adapter
from retentionjax.language.ppo_config import TextPPOConfig
from retentionjax.language.reward import RewardModel, raw_scores
from retentionjax.language.sampler import Sample, SamplingConfig
from retentionjax.language.stepwise import Stepwise
from retentionjax.rl import ops
from retentionjax.rl.leaves import Leaf

Costs = Callable[[list[str], np.ndarray], np.ndarray]


@struct.dataclass
class Critic:
    """Two linear heads on the reward model's states: what the score will be, and separately what the cost will be."""

    weight: Leaf  # f32[D, 2]
    bias: Leaf  # f32[2]


@struct.dataclass
class Texts:
    """What one rollout drew. B texts of up to N tokens after prompts of P."""

    tokens: Leaf  # i32[B, N]
    mask: Leaf  # bool[B, N]
    seen: Leaf  # bool[B, P + N], prompt and text
    below: Leaf  # f32[B, P + N, D], the trunk's states
    log_probs: Leaf  # f32[B, N], when they were drawn
    finished: Leaf  # bool[B]


@struct.dataclass
class Judgement:
    """What was said of the texts."""

    reference_log_probs: Leaf  # f32[B, N]
    scores: Leaf  # f32[B], the reward model's, normalised
    clicks: Leaf  # f32[B], the click head's, normalised; 0 without one
    features: Leaf  # f32[B, N, D], the reward model's states before each token: what the critics read
    values: Leaf  # f32[B, N, 2], of reward and cost, before each token


@struct.dataclass
class Experience:
    """What is learned from."""

    texts: Texts
    features: Leaf  # f32[B, N, D]
    values: Leaf  # f32[B, N, 2]
    targets: Leaf  # f32[B, N, 2]
    advantages: Leaf  # f32[B, N], of the Lagrangian, whitened
    reference_log_probs: Leaf  # f32[B, N]
    merit: Leaf  # f32[B], score of the text less the price of its cost: what DPO ranks by


def choose(prompts: packing.Rows, config: TextPPOConfig, iteration: int, seed: int) -> np.ndarray:
    """Numbers of the prompts of an iteration, each `copies` times: every epoch deals all of them anew. i64[B]."""
    count, size = config.batch // config.copies, len(prompts.tokens)
    places = range(iteration * count, (iteration + 1) * count)
    numbers = [np.random.default_rng([seed, place // size]).permutation(size)[place % size] for place in places]
    return np.repeat(np.asarray(numbers), config.copies)


def draw(
    model: Stepwise,
    policy: Adapter,
    prompts: packing.Rows,
    numbers: np.ndarray,
    config: TextPPOConfig,
    key: PRNGKeyArray,
    *,
    eos: int,
    pad: int,
) -> Texts:
    """Texts of the policy, its prompts all padded alike; columns that no text reached are cut off."""
    chosen = numbers[:: config.copies]
    settings = SamplingConfig(
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        eos=eos,
        pad=pad,
        copies=config.copies,
    )
    rows = prompts.tokens[chosen], prompts.mask[chosen]
    keys = jax.random.split(key, config.batch)
    drawn: Sample = sampler.sample(model, policy, *rows, keys, config=settings, keep_trunk=True)
    used = int(np.asarray(drawn.mask).any(0).sum())
    length = min(config.max_new_tokens, packing.round_up(used, config.multiple))
    mask = drawn.mask[:, :length]
    assert drawn.trunk is not None  # asked for above
    seen = jnp.concatenate([jnp.asarray(prompts.mask[numbers]), mask], 1)
    return Texts(
        tokens=drawn.tokens[:, :length],
        mask=mask,
        seen=seen,
        below=drawn.trunk[:, : seen.shape[1]],
        log_probs=drawn.log_probs[:, :length],
        finished=drawn.finished,
    )


def written(tokenizer: Any, texts: Texts) -> list[str]:
    """What the texts say."""
    return sampler.texts(tokenizer, Sample(texts.tokens, texts.log_probs, texts.mask, texts.finished, None))


def costs_of(costs: Costs, said: list[str], numbers: np.ndarray) -> np.ndarray:
    """Cost of each text, f32[B].

    Raises:
        DataError: the callable gave other than one finite number a text.
    """
    found = np.asarray(costs(said, numbers), np.float32)
    if found.shape != (len(said),) or not np.isfinite(found).all():
        raise DataError(f"costs has the shape {found.shape}, or a value that is not finite; allowed: ({len(said)},)")
    return found


@partial(jax.jit, static_argnames=("layers", "temperature", "recompute"))
def judge(
    decoder: Decoder,
    policy: Adapter,
    reference: Adapter | None,
    reward_model: RewardModel,
    critic: Critic,
    texts: Texts,
    *,
    layers: int,
    temperature: float,
    recompute: bool = False,
) -> tuple[Judgement, Float[Array, "batch length"]]:
    """Reference, reward and values from the same trunk's states; and the policy's own log-probabilities.

    Args:
        layers: of the trunk.
        recompute: take the policy's log-probabilities from this pass instead of the sampler's.
    """
    raw, states = raw_scores(decoder, reward_model.scorer, texts.below, texts.seen, layers=layers)
    features = before_tokens(states, texts.mask).astype(jnp.float32)
    judgement = Judgement(
        reference_log_probs=text_log_probs(decoder, reference, texts, layers, temperature)[0],
        scores=(raw - reward_model.mean) / reward_model.std,
        clicks=_click_scores(reward_model, texts),
        features=features,
        values=values(critic, features),
    )
    own = text_log_probs(decoder, policy, texts, layers, temperature)[0] if recompute else texts.log_probs
    return judgement, own


def _click_scores(reward_model: RewardModel, texts: Texts) -> Float[Array, " batch"]:
    if reward_model.clicks is None:
        return jnp.zeros(texts.mask.shape[0])
    length = texts.mask.shape[1]
    return clicks.scores(reward_model.clicks, texts.below[:, -length:], texts.mask)


def text_log_probs(
    decoder: Decoder, adapter: Adapter | None, texts: Texts, layers: int, temperature: float, *, remat: bool = False
) -> tuple[Float[Array, "batch length"], Float[Array, "batch length"]]:
    """log p of every token drawn, at the temperature it was drawn with, and the entropies; 0 on padding."""
    positions = default_positions(texts.seen)
    states = forward.upper(decoder, texts.below, texts.seen, positions, layers=layers, adapter=adapter, remat=remat)
    flat = before_tokens(states, texts.mask).reshape(-1, states.shape[-1])
    found = forward.log_probs(decoder, flat, texts.tokens.reshape(-1), temperature)
    log_probs, entropies = (jnp.where(texts.mask, x.reshape(texts.mask.shape), 0.0) for x in found)
    return log_probs, entropies


def before_tokens(states: Float[Array, "batch time width"], mask: Bool[Array, "batch length"]) -> Array:
    """The state that each token of the text was drawn from: f32[B, N, width]."""
    length = mask.shape[1]
    return states[:, states.shape[1] - length - 1 : -1]


def values(critic: Critic, features: Float[Array, "batch length width"]) -> Float[Array, "batch length heads"]:
    """Both heads' readings."""
    return features @ critic.weight + critic.bias


# --- from judgement to advantages -----------------------------------------------------------------------------


def total_scores(
    config: TextPPOConfig,
    scores: Float[Array, " batch"],
    lengths: Int[Array, " batch"],
    finished: Bool[Array, " batch"],
    clicked: Float[Array, " batch"] | float = 0.0,
) -> Float[Array, " batch"]:
    """Reward model + click head + brevity, with the penalty of a text that did not end."""
    weighted = config.reward_weight * scores + config.click_weight * clicked
    weighted = weighted + config.brevity_weight * (1.0 - lengths / config.max_new_tokens)
    return jnp.where(finished, weighted, weighted - config.missing_eos_penalty)


@partial(jax.jit, static_argnames="config")
def learn_from(
    config: TextPPOConfig,
    texts: Texts,
    judgement: Judgement,
    costs: Float[Array, " batch"],
    coefficient: Float[Array, ""],
    multiplier: Float[Array, ""],
) -> tuple[Experience, dict[str, Array]]:
    """Rewards a token, advantages of both heads, joined at the price λ; and what people want to see of it.

    A = whiten((A_R − λ A_C)/(1 + λ)). Neither head is scaled on its own, so λ is in units of reward a cost. By `rloo` a
    text's advantage, the same at every token, is that of its reward less KL and costs over its prompt's other texts'.
    """
    mask = texts.mask
    distance = jnp.where(mask, losses.k1(texts.log_probs, judgement.reference_log_probs), 0.0)
    lengths = mask.sum(1)
    scores = total_scores(config, judgement.scores, lengths, texts.finished, judgement.clicks)
    rewards = losses.token_rewards(scores, distance, mask, coefficient)
    both = jnp.stack([rewards, losses.last_token(mask) * costs[:, None]], -1)
    advantages = losses.text_advantages(both, judgement.values, mask, config.gamma, config.gae_lambda)
    merit = scores - multiplier * costs
    if config.objective == "rloo":
        joined = losses.leave_one_out(merit - coefficient * distance.sum(1), config.copies)[:, None] * mask
    else:
        joined = ops.combine_advantages(advantages, multiplier[None])
    experience = Experience(
        texts=texts,
        features=judgement.features,
        values=judgement.values,
        targets=advantages + judgement.values,
        advantages=losses.whiten(joined, mask),
        reference_log_probs=judgement.reference_log_probs,
        merit=merit,
    )
    charged = -coefficient * distance.sum(1)
    third = jnp.where(mask, losses.k3(texts.log_probs, judgement.reference_log_probs), 0.0)
    return experience, {
        "objective/kl": distance.sum(1).mean(),
        "objective/kl_k3": third.sum(1).mean(),
        "objective/entropy": -jnp.where(mask, texts.log_probs, 0.0).sum(1).mean(),
        "objective/non_score_reward": charged.mean(),
        "objective/scores": scores.mean(),
        "objective/reward_model": judgement.scores.mean(),
        "objective/clicks": judgement.clicks.mean(),
        "objective/rlhf_reward": (charged + scores).mean(),
        "objective/cost": costs.mean(),
        "objective/length": lengths.mean(),
        "val/num_eos_tokens": texts.finished.sum(),
    }
