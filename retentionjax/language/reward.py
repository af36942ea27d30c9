"""The reward model: one number for a whole text, learned from which of two texts was preferred.

Bradley and Terry 1952; Christiano et al. 2017. It is an adapter and a linear head on the shared, frozen decoder.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from retentionjax.checked import Checked, Count, NotNegative, Share, Within
from retentionjax.checkpoint import Checkpoints
from retentionjax.errors import ConfigError, DataError, ModelError
from retentionjax.language import forward, loop, lora, losses, packing
from retentionjax.language.decoder import Decoder
from retentionjax.language.decoder.model import default_positions
from retentionjax.language.hub import Model
from retentionjax.language.lora import Adapter, LoraConfig
from retentionjax.language.optimiser import LearnerState, OptimiserConfig, apply_gradient, init_learner, learning_rate
from retentionjax.rl.leaves import HostLeaf, Leaf
from retentionjax.tracking import Tracker

if TYPE_CHECKING:
    from retentionjax.language.clicks import ClickHead  # which judges by this module's measures


@dataclass(frozen=True)
class RewardConfig(Checked):
    """Settings of the reward model's training."""

    steps: Count | None = None
    """Optimiser steps; None: one epoch, after which reward models overfit (Stiennon et al. 2020)."""
    pairs: Count = 8
    """Pairs at once, one a row; what both texts of a pair begin with, the prompt above all, is read once."""
    accumulation: Count = 1
    """Batches of `pairs` whose gradients make one step."""
    multiple: Count = 32
    """Lengths are rounded up to one."""
    centring: NotNegative = 0.01
    """Weight of (r_c + r_r)²."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(learning_rate=1e-4))
    remat: bool = False
    reference: Count = 256
    """Texts on which the scores are given mean 0 and standard deviation 1 after training."""
    give_up_after: Share = 0.5
    """Share of the run after which a loss that has not left log 2 ends it."""
    give_up_loss: Annotated[float, Within(infinite=True)] = 0.685
    """Mean loss a pair above which nothing was learned: indifference is log 2 = 0.693. `inf`: never give up."""
    checkpoint_every: Annotated[int, Within()] = 50

    def wrong(self) -> list[tuple[str, str]]:
        """A fault if there is dropout: dropped inputs would give one text different scores, and so change the order."""
        wrong = f"{self.lora.dropout:g}; allowed: 0, scores must not be random"
        return [("lora.dropout", wrong)] if self.lora.dropout else []


@dataclass(frozen=True, eq=False)
class PreferencePair:
    """One comparison. Texts end with the token that ends the turn."""

    prompt: np.ndarray  # i32[P]
    chosen: np.ndarray  # i32[C]
    rejected: np.ndarray  # i32[R]
    margin: float = 0.0  # by how much more the chosen one should score
    source: str = ""  # where it comes from, for the table of accuracies

    @property
    def texts(self) -> tuple[np.ndarray, np.ndarray]:
        """Prompt and answer of each, chosen first."""
        return np.concatenate([self.prompt, self.chosen]), np.concatenate([self.prompt, self.rejected])


@struct.dataclass
class RewardParams:
    """What is trained."""

    adapter: Adapter
    weight: Leaf  # f32[D]
    bias: Leaf  # f32[]


@struct.dataclass
class RewardModel:
    """A trained scorer, and what makes its scores of the reference texts have mean 0 and standard deviation 1."""

    scorer: RewardParams
    mean: Leaf  # f32[]
    std: Leaf  # f32[]
    clicks: "ClickHead | None" = None  # on the states below the scorer's adapter


@struct.dataclass
class RewardState:
    """All that a run goes on from."""

    learner: LearnerState  # its parameters are the Scorer
    average: Leaf  # f32[], loss a pair without centring and margin, smoothed over about 20 steps
    weight: Leaf  # f32[], how much of that average is data yet


# --- scores ---------------------------------------------------------------------------------------------------


def tokenise_preference(
    tokenizer: Any,
    prompt: packing.Prompt,
    chosen: str,
    rejected: str,
    *,
    system: str | None = None,
    margin: float = 0.0,
    source: str = "",
    max_length: int | None = None,
) -> PreferencePair:
    """See `packing.tokenise`. Raises DataError where prompt and answer exceed `max_length` tokens."""
    good, bad = (
        packing.tokenise(tokenizer, prompt, answer, system=system, max_length=max_length)
        for answer in (chosen, rejected)
    )
    return PreferencePair(good.prompt, good.completion, bad.completion, margin, source)


def init(config: RewardConfig, decoder: Decoder, key: PRNGKeyArray, start: Adapter | None = None) -> RewardParams:
    """A new scorer: head N(0, 1/√(d + 1)), bias 0 (Stiennon et al. 2020), on a new adapter or on a copy of `start`.

    Raises:
        ConfigError: `start` has another shape than `config.lora` says.
    """
    adapter_key, head_key = jax.random.split(key)
    adapter = lora.init(config.lora, decoder, adapter_key)
    if start is not None:
        if jax.tree.map(jnp.shape, start) != jax.tree.map(jnp.shape, adapter):
            raise ConfigError("reward.lora does not describe the adapter to start from; allowed: the same settings")
        adapter = start
    width = decoder.config.embedding_size
    weight = jax.random.normal(head_key, (width,)) / math.sqrt(width + 1)
    return RewardParams(adapter, weight, jnp.zeros(()))


def raw_scores(
    decoder: Decoder,
    scorer: RewardParams,
    below: Float[Array, "batch time hidden"],
    mask: Bool[Array, "batch time"],
    *,
    layers: int | None = None,
) -> tuple[Float[Array, " batch"], Float[Array, "batch time width"]]:
    """The head's reading of the last token that is no padding, and all states it could have read.

    Args:
        below: the trunk's states after `layers` layers; None: after all that lie under the scorer's adapter.
    """
    layers = scorer.adapter.first_layer if layers is None else layers
    positions = default_positions(mask)
    states = forward.upper(decoder, below, mask, positions, layers=layers, adapter=scorer.adapter)
    time = mask.shape[1]
    last = time - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    read = jnp.take_along_axis(states, last[:, None, None], axis=1)[:, 0].astype(jnp.float32)
    return read @ scorer.weight + scorer.bias, states


def score_texts(decoder: Decoder, model: RewardModel, texts: Sequence[np.ndarray], *, pad: int) -> np.ndarray:
    """(r − μ)/σ of token sequences of any lengths, prompts included, f32[N]."""
    scores = np.zeros(len(texts), np.float32)
    for rows, placed in packing.read_together([packing.Tokenised(text[:1], text[1:]) for text in texts], pad):
        below = forward.packed_trunk(decoder, rows, layers=model.scorer.adapter.first_layer)
        # Without the targets, of which there are not always as many: that would be another program.
        readings = np.asarray(_readings(decoder, model, below, rows.mask, rows.positions, rows.until))
        for number, row, columns in placed:
            scores[number] = readings[row, columns][-1]
    return scores


@jax.jit
def _readings(
    decoder: Decoder, model: RewardModel, below: Array, mask: Array, positions: Array, until: Array
) -> Float[Array, "rows time"]:
    """What the head makes of each token of packed rows."""
    adapter = model.scorer.adapter
    states = forward.upper(decoder, below, mask, positions, until, layers=adapter.first_layer, adapter=adapter)
    return (states.astype(jnp.float32) @ model.scorer.weight + model.scorer.bias - model.mean) / model.std


def normalise(decoder: Decoder, scorer: RewardParams, texts: Sequence[np.ndarray], *, pad: int) -> RewardModel:
    """The scorer with the mean and standard deviation of its scores of the reference `texts`.

    Raises:
        ModelError: it gives all of them the same score.
    """
    plain = RewardModel(scorer, jnp.zeros(()), jnp.ones(()))
    raw = score_texts(decoder, plain, texts, pad=pad)
    if not raw.std() > 0:
        raise ModelError(f"all {len(texts)} reference texts have the score {raw[0]}; allowed: scores that differ")
    return RewardModel(scorer, jnp.float32(raw.mean()), jnp.float32(raw.std()))


# --- training -------------------------------------------------------------------------------------------------


def train(
    model: Model,
    pairs: Sequence[PreferencePair],
    config: RewardConfig,
    key: PRNGKeyArray,
    *,
    start: Adapter | None = None,
    tracker: Tracker | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> tuple[RewardModel, dict[str, float]]:
    """A reward model of the pairs, its scores normalised on the first of them, and the last metrics: loss, accuracy, ….

    Args:
        start: adapter to go on from, the fine-tuned policy's say, which knows already what fits a prompt.

    Raises:
        DataError: no pairs.
        ModelError: the loss stayed at log 2.
    """
    if not pairs:
        raise DataError("there are no pairs; allowed: at least one")
    scorer_key, order_key = jax.random.split(key)
    seed = int(jax.random.bits(order_key, (), jnp.uint32))
    pad = int(model.tokenizer.pad_token_id)
    lengths = [_width(pair) for pair in pairs]
    per_epoch = max(1, len(packing.by_length(lengths, config.pairs, seed)) // config.accumulation)
    steps = per_epoch if config.steps is None else config.steps

    def step(state: RewardState, number: int) -> tuple[RewardState, dict[str, float]]:
        started = time.monotonic()
        epoch, within = divmod(number, per_epoch)
        order = packing.by_length(lengths, config.pairs, seed + epoch)
        batches = order[within * config.accumulation : (within + 1) * config.accumulation]
        groups = [[pairs[index] for index in batch] for batch in batches]
        state, metrics, tokens = _step(model.decoder, config, state, groups, pad, steps)
        _give_up(config, state, number + 1, steps)
        return state, metrics | {
            "epoch": number / per_epoch,
            "tokens_per_second": tokens / (time.monotonic() - started),
        }

    scorer = init(config, model.decoder, scorer_key, start)
    state, metrics = loop.run(
        "Reward model",
        RewardState(init_learner(config.optimiser, scorer), jnp.zeros(()), jnp.zeros(())),
        steps,
        step,
        shown=("loss", "accuracy"),
        tracker=tracker,
        checkpoints=checkpoints,
        checkpoint_every=config.checkpoint_every,
        resume=resume,
    )
    texts = [text for pair in pairs for text in pair.texts]
    return normalise(model.decoder, state.learner.params, texts[: config.reference], pad=pad), metrics


def _step(
    decoder: Decoder, config: RewardConfig, state: RewardState, groups: list[list[PreferencePair]], pad: int, steps: int
) -> tuple[RewardState, dict[str, float], int]:
    gradient: Any = None
    sums, tokens = np.zeros(5), 0
    for group in groups:
        batch = _batch(group, config, pad)
        below = forward.packed_trunk(decoder, batch.rows, layers=config.lora.first_layer)
        found, measured = _gradient(decoder, state.learner.params, below, batch, config)
        gradient = found if gradient is None else jax.tree.map(jnp.add, gradient, found)
        sums, tokens = sums + np.asarray(measured), tokens + int(batch.rows.mask.sum())
    count = sums[0]
    learner, norm = apply_gradient(config.optimiser, steps, state.learner, jax.tree.map(lambda g: g / count, gradient))
    rate = learning_rate(config.optimiser, steps, state.learner.step)
    average, weight = 0.95 * state.average + 0.05 * sums[1] / count, 0.95 * state.weight + 0.05
    names = ("loss", "accuracy", "margin", "mean_reward")
    metrics = {name: float(value / count) for name, value in zip(names, sums[1:], strict=True)}
    metrics |= {"lr": float(rate), "grad_norm": float(norm)}
    return RewardState(learner, jnp.float32(average), jnp.float32(weight)), metrics, tokens


@struct.dataclass
class _Batch:
    """Pairs side by side, one a row: what both texts begin with stands there once."""

    rows: packing.Packed
    ends: HostLeaf  # i32[2, pairs], columns of the last tokens, chosen ones first
    margins: HostLeaf  # f32[pairs]
    weights: HostLeaf  # f32[pairs], 0 where a short batch is filled up


def _batch(group: list[PreferencePair], config: RewardConfig, pad: int) -> _Batch:
    filled = [group[index % len(group)] for index in range(config.pairs)]
    texts = [text for pair in filled for text in pair.texts]
    columns = [packing.lay_out(texts[start : start + 2]) for start in range(0, len(texts), 2)]
    return _Batch(
        rows=packing.pack(
            [packing.Tokenised(text, text[:0]) for text in texts],
            [[start, start + 1] for start in range(0, len(texts), 2)],
            packing.round_up(max(_width(pair) for pair in filled), config.multiple),
            pad,
            capacity=0,
        ),
        ends=np.array([[each[side][-1] for each in columns] for side in range(2)], np.int32),
        margins=np.array([pair.margin for pair in filled], np.float32),
        weights=(np.arange(config.pairs) < len(group)).astype("f4"),
    )


def _width(pair: PreferencePair) -> int:
    """Tokens of both texts, what they begin with counted once."""
    return 1 + max(int(columns.max()) for columns in packing.lay_out(pair.texts))


def pair_scores(
    decoder: Decoder,
    scorer: RewardParams,
    below: Float[Array, "pairs time hidden"],
    rows: packing.Packed,
    ends: Int[Array, "sides pairs"],
    *,
    remat: bool = False,
) -> Float[Array, "sides pairs"]:
    """The head's reading of the tokens in the columns `ends` of rows that hold a pair each."""
    adapter, mask, positions, until = scorer.adapter, *map(jnp.asarray, (rows.mask, rows.positions, rows.until))
    layers = adapter.first_layer
    states = forward.upper(decoder, below, mask, positions, until, layers=layers, adapter=adapter, remat=remat)
    return states[jnp.arange(ends.shape[1]), ends].astype(jnp.float32) @ scorer.weight + scorer.bias


@partial(jax.jit, static_argnames="config")
def _gradient(
    decoder: Decoder, scorer: RewardParams, below: Array, batch: _Batch, config: RewardConfig
) -> tuple[RewardParams, Array]:
    """Gradient of the summed loss; and, summed over pairs: 1, loss, chosen above rejected, difference, mean reward."""
    ends = jnp.asarray(batch.ends)

    def loss(scorer: RewardParams) -> tuple[Array, Array]:
        chosen, rejected = pair_scores(decoder, scorer, below, batch.rows, ends, remat=config.remat)
        terms = losses.bradley_terry(chosen, rejected, jnp.asarray(batch.margins), config.centring)
        plain = losses.bradley_terry(chosen, rejected, 0.0, 0.0)
        measured = jnp.stack(
            [jnp.ones_like(plain), plain, chosen > rejected, chosen - rejected, 0.5 * (chosen + rejected)]
        )
        return jnp.sum(terms * batch.weights), measured @ batch.weights

    return jax.grad(loss, has_aux=True)(scorer)


def score_pairs(
    decoder: Decoder, model: RewardModel, pairs: Sequence[PreferencePair], *, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the chosen and of the rejected texts, f32[pairs] each."""
    texts = [text for pair in pairs for text in pair.texts]
    scores = score_texts(decoder, model, texts, pad=pad)
    return scores[0::2], scores[1::2]


def _give_up(config: RewardConfig, state: RewardState, done: int, steps: int) -> None:
    loss = float(state.average / state.weight)
    if done >= config.give_up_after * steps and loss > config.give_up_loss:
        raise ModelError(
            f"after {done} of {steps} steps the reward model's loss is {loss:.3f}; allowed: at most "
            f"{config.give_up_loss}. Indifference is log 2 = 0.693, so it has learned nothing: check that chosen and "
            "rejected differ and are not swapped, raise the learning rate, or train longer"
        )
