"""Supervised fine-tuning: the adapter learns to write the completions, and nothing of the prompts."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from retentionjax.checked import Checked, Count, Within
from retentionjax.checkpoint import Checkpoints
from retentionjax.errors import DataError
from retentionjax.language import forward, loop, lora, packing
from retentionjax.language.decoder import Decoder
from retentionjax.language.hub import Model
from retentionjax.language.lora import Adapter, LoraConfig
from retentionjax.language.optimiser import LearnerState, OptimiserConfig, apply_gradient, init_learner, learning_rate
from retentionjax.language.packing import Packed, Tokenised
from retentionjax.rl.leaves import Leaf
from retentionjax.tracking import Tracker


@dataclass(frozen=True)
class SFTConfig(Checked):
    """Settings of supervised fine-tuning."""

    steps: Count = 200
    """Optimiser steps."""
    rows: Count = 4
    """Rows of tokens at once."""
    length: Count = 256
    """Tokens a row."""
    accumulation: Count = 1
    """Batches of `rows` whose gradients make one step."""
    packed: bool = True
    """Several examples share a row; off, each has its own."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    remat: bool = False
    """Recompute activations in the backward pass: less memory, a third more work."""
    trunk_memory: Annotated[int, Within()] = 1 << 30
    """Bytes in which the trunk's states of rows are kept for further epochs; what does not fit is computed anew."""
    evaluate_every: Annotated[int, Within()] = 50
    checkpoint_every: Annotated[int, Within()] = 50


@struct.dataclass
class SFTState:
    """All that a run goes on from."""

    learner: LearnerState  # its parameters are the adapter
    key: Leaf  # of dropout; a step's own is folded from it


def train(
    model: Model,
    train_examples: Sequence[Tokenised],
    validation_examples: Sequence[Tokenised],
    config: SFTConfig,
    key: PRNGKeyArray,
    *,
    tracker: Tracker | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> tuple[Adapter, dict[str, float]]:
    """An adapter fitted to the examples, and the last metrics: loss, eval_loss (nats a completion token), lr, ….

    Raises:
        DataError: no examples, or one longer than a row.
    """
    data = _Rows(model, train_examples, config, config.steps * config.accumulation * config.rows)
    validation = _Rows(model, validation_examples, config, None)
    adapter_key, dropout_key, order_key = jax.random.split(key, 3)
    adapter = lora.init(config.lora, model.decoder, adapter_key)
    seed = int(jax.random.bits(order_key, (), jnp.uint32))

    def step(state: SFTState, number: int) -> tuple[SFTState, dict[str, float]]:
        started = time.monotonic()
        batches = data.batches_of_step(number, seed)
        learner, metrics = _step(model.decoder, config, state, batches, number)
        tokens = sum(int(batch.mask.sum()) for batch, _ in batches)
        metrics |= {"epoch": data.epoch_of(number), "tokens_per_second": tokens / (time.monotonic() - started)}
        return SFTState(learner, state.key), metrics

    def evaluate(state: SFTState, _: int) -> dict[str, float]:
        return {"eval_loss": _mean_loss(model.decoder, state.learner.params, validation)}

    state = SFTState(init_learner(config.optimiser, adapter), dropout_key)
    state, metrics = loop.run(
        "Fine-tuning",
        state,
        config.steps,
        step,
        shown=("loss", "eval_loss"),
        evaluate=evaluate,
        evaluate_every=config.evaluate_every,
        tracker=tracker,
        checkpoints=checkpoints,
        checkpoint_every=config.checkpoint_every,
        resume=resume,
    )
    return state.learner.params, metrics


def evaluate(model: Model, adapter: Adapter | None, examples: Sequence[Tokenised], config: SFTConfig) -> float:
    """Mean nats a completion token; `adapter` None is the base model."""
    rows = _Rows(model, examples, config, None)
    return _mean_loss(model.decoder, adapter, rows)


def _mean_loss(decoder: Decoder, adapter: Adapter | None, data: "_Rows") -> float:
    total = count = 0.0
    for numbers in data.in_order():
        batch, below = data.batch(numbers)
        nats, tokens = _loss(decoder, adapter, batch, below, data.layers)
        total, count = total + float(nats), count + float(tokens)
    return total / count


def _step(
    decoder: Decoder, config: SFTConfig, state: SFTState, batches: list[tuple[Packed, Array]], number: int
) -> tuple[LearnerState, dict[str, float]]:
    """One optimiser step on the mean over all targets of all batches."""
    adapter = state.learner.params
    key = jax.random.fold_in(state.key, number) if config.lora.dropout > 0 else None
    gradient, nats, count = None, 0.0, 0.0
    for place, (batch, below) in enumerate(batches):
        own = None if key is None else jax.random.fold_in(key, place)
        (loss, tokens), found = _gradient(decoder, adapter, batch, below, own, config.lora.first_layer, config.remat)
        gradient = found if gradient is None else jax.tree.map(jnp.add, gradient, found)
        nats, count = nats + float(loss), count + float(tokens)
    mean = jax.tree.map(lambda g: g / count, gradient)
    learner, norm = apply_gradient(config.optimiser, config.steps, state.learner, mean)
    rate = learning_rate(config.optimiser, config.steps, number)
    loss = nats / count
    return learner, {
        "loss": loss,
        "perplexity": math.exp(min(loss, 50.0)),
        "lr": float(rate),
        "grad_norm": float(norm),
        "completion_tokens": count,
    }


@partial(jax.jit, static_argnames=("layers", "remat"))
def _gradient(
    decoder: Decoder,
    adapter: Adapter,
    batch: Packed,
    below: Array,
    key: PRNGKeyArray | None,
    layers: int,
    remat: bool,
) -> tuple[tuple[Array, Array], Adapter]:
    def loss(adapter: Adapter) -> tuple[Array, Array]:
        return completion_loss(decoder, adapter, batch, below, layers=layers, dropout_key=key, remat=remat)

    return jax.value_and_grad(loss, has_aux=True)(adapter)


@partial(jax.jit, static_argnames="layers")
def _loss(
    decoder: Decoder, adapter: Adapter | None, batch: Packed, below: Array, layers: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    return completion_loss(decoder, adapter, batch, below, layers=layers)


def completion_loss(
    decoder: Decoder,
    adapter: Adapter | None,
    batch: Packed,
    below: Float[Array, "rows time hidden"],
    *,
    layers: int,
    dropout_key: PRNGKeyArray | None = None,
    remat: bool = False,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Sum of −log p over the completions' tokens, and how many there are. Only their states reach the head.

    Args:
        below: the trunk's states after `layers` layers.
    """
    states = forward.upper(
        decoder,
        below,
        jnp.asarray(batch.mask),
        jnp.asarray(batch.positions),
        jnp.asarray(batch.until),
        layers=layers,
        adapter=adapter,
        dropout_key=dropout_key,
        remat=remat,
    )
    log_probs, _ = forward.log_probs(decoder, states.reshape(-1, states.shape[-1])[batch.index], batch.targets, 1.0)
    return -jnp.sum(log_probs * batch.weights), jnp.sum(batch.weights)


# --- rows, their order, and the trunk's states of them ---------------------------------------------------------


class _Rows:
    """Examples arranged in rows, once; which rows a step takes follows from its number and the seed alone."""

    def __init__(self, model: Model, examples: Sequence[Tokenised], config: SFTConfig, uses: int | None) -> None:
        """`uses`: rows that will be asked for in all, None for many times each."""
        if not examples:
            raise DataError("there are no examples; allowed: at least one to train on and one to validate with")
        self._examples, self._config = examples, config
        self._decoder, self._pad = model.decoder, int(model.tokenizer.pad_token_id)
        self._rows = packing.arrange(examples, config.length, packed=config.packed)
        self._batch = min(config.rows, len(self._rows)) if uses is None else config.rows
        self._capacity = packing.capacity(examples, self._rows, self._batch)
        self.layers = config.lora.first_layer
        size = len(self._rows) * config.length * model.decoder.config.hidden_size * 4
        self._keeps = size <= config.trunk_memory and (uses is None or uses > len(self._rows))
        self._kept: dict[int, np.ndarray] = {}

    def in_order(self) -> list[list[int]]:
        """All rows, a batch at a time; the last batch may be short."""
        numbers = list(range(len(self._rows)))
        return [numbers[start : start + self._batch] for start in range(0, len(numbers), self._batch)]

    def epoch_of(self, step: int) -> float:
        """Passes over all rows that were made before the step."""
        return step * self._batch * self._config.accumulation / len(self._rows)

    def batches_of_step(self, step: int, seed: int) -> list[tuple[Packed, Array]]:
        """The step's rows: every epoch deals all rows in an order of its own."""
        count = self._config.accumulation * self._batch
        numbers = [self._dealt(place, seed) for place in range(step * count, (step + 1) * count)]
        return [self.batch(numbers[start : start + self._batch]) for start in range(0, count, self._batch)]

    def batch(self, numbers: list[int]) -> tuple[Packed, Array]:
        """The rows' arrays, and the trunk's states of them; a short batch is filled up with empty rows."""
        packed = self._packed(numbers)
        if not self._keeps:
            return packed, self._run_trunk(packed)
        below = np.zeros((*packed.tokens.shape, self._decoder.config.hidden_size), np.float32)
        for place, number in enumerate(numbers):
            below[place] = self._states_of(number)
        return packed, jnp.asarray(below)

    def _packed(self, numbers: list[int]) -> Packed:
        rows = [self._rows[number] for number in numbers] + [[]] * (self._batch - len(numbers))
        return packing.pack(self._examples, rows, self._config.length, self._pad, self._capacity)

    def _run_trunk(self, packed: Packed) -> Array:
        return forward.packed_trunk(self._decoder, packed, layers=self.layers)

    def _states_of(self, number: int) -> np.ndarray:
        """One row's. Rows are always computed beside the same neighbours, so that a resumed run has the same bits."""
        if number not in self._kept:
            first = number // self._batch * self._batch
            group = list(range(first, min(first + self._batch, len(self._rows))))
            states = np.asarray(self._run_trunk(self._packed(group)))
            self._kept |= {each: states[place] for place, each in enumerate(group)}
        return self._kept[number]

    def _dealt(self, place: int, seed: int) -> int:
        epoch, within = divmod(place, len(self._rows))
        return int(np.random.default_rng([seed, epoch]).permutation(len(self._rows))[within])
