"""Texts from a decoder: prompts are read once, then a token a step from the cache until every text has ended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key

from retentionjax.checked import Checked, Count, NotNegative
from retentionjax.errors import DataError
from retentionjax.language import losses, packing, stepwise
from retentionjax.language.decoder import Cache, Decoder
from retentionjax.language.decoder.model import default_positions
from retentionjax.language.lora import Adapter
from retentionjax.language.stepwise import Deltas, Stepwise
from retentionjax.rl.leaves import Leaf

RUN = 256
"""Tokens that are drawn from together."""


@dataclass(frozen=True)
class SamplingConfig(Checked):
    """How texts are drawn."""

    max_new_tokens: Count = 64
    temperature: NotNegative = 1.0
    """Logits are divided by it; 0 takes the likeliest token (and reports log-probs at temperature 1)."""
    eos: int | None = None
    """Token that ends a text; None: every text has `max_new_tokens`."""
    pad: int = 0
    """What stands after the end."""
    copies: Count = 1
    """Texts a prompt; the prompt is read once for all of them."""

    @property
    def scoring_temperature(self) -> float:
        """The temperature of the log-probabilities reported."""
        return self.temperature or 1.0


@struct.dataclass
class Sample:
    """Texts drawn, `copies` in a row for each prompt."""

    tokens: Leaf  # i32[B, N], padding after the end
    log_probs: Leaf  # f32[B, N] at the config's temperature, 0 on padding
    mask: Leaf  # bool[B, N], True up to the end token, that one included
    finished: Leaf  # bool[B], whether the end token was drawn
    trunk: Leaf | None  # f32[B, P + N, D] states below the adapter, of prompt and text, if asked for; else None


@struct.dataclass
class _Progress:
    """What one step hands to the next."""

    step: Leaf  # i32[], tokens drawn a row
    token: Leaf  # i32[B], the last one
    tokens: Leaf  # i32[B, N + 1]; the last column takes what is drawn beyond the end
    log_probs: Leaf  # f32[B, N + 1]
    mask: Leaf  # bool[B, N + 1]
    finished: Leaf  # bool[B]
    settled: Leaf  # bool[B], finished, and the end token too has passed the trunk
    cache: Cache
    trunk: Leaf | None  # f32[B, P + N, D] or None


@partial(jax.jit, static_argnames=("config", "keep_trunk"))
def sample(
    model: Stepwise,
    adapter: Adapter | None,
    tokens: Int[Array, "prompts length"],
    mask: Bool[Array, "prompts length"],
    keys: Key[Array, " texts"],
    config: SamplingConfig,
    *,
    keep_trunk: bool = False,
) -> Sample:
    """Draws `copies` texts a prompt. Stops as soon as all have ended.

    Args:
        model: by `stepwise.take_apart`; made once, it serves every adapter.
        tokens: prompts padded on the left, `mask` False on padding.
        keys: key[prompts · copies], one a text.
        keep_trunk: keep the states that leave the layers below the adapter, so that an update need not run them again.
    """
    deltas = stepwise.cut(model, adapter)
    turn = 0 if adapter is None else adapter.first_layer
    logits, cache, below = _read(model, deltas, turn, tokens, mask, config)
    repeat = partial(jnp.repeat, repeats=config.copies, axis=0)
    slots = repeat(jnp.pad(mask, ((0, 0), (0, config.max_new_tokens)), constant_values=True))
    first_position = repeat(mask.sum(1, dtype=jnp.int32))
    trunk = None
    if keep_trunk:
        trunk = repeat(jnp.pad(below, ((0, 0), (0, config.max_new_tokens), (0, 0))))
    start = _drawn(
        config, keys, repeat(logits), _empty(config, keys.shape[0], stepwise.repeat_rows(cache, config.copies), trunk)
    )

    def unfinished(progress: _Progress) -> Array:
        over = progress.settled if keep_trunk else progress.finished
        return (progress.step < config.max_new_tokens + int(keep_trunk)) & ~jnp.all(over)

    def step(progress: _Progress) -> _Progress:
        positions = (first_position + progress.step - 1)[:, None]
        logits, progress = _advance(model, deltas, turn, positions, slots, progress)
        return _drawn(config, keys, logits, progress)

    done = jax.lax.while_loop(unfinished, step, start)
    length = config.max_new_tokens
    return Sample(done.tokens[:, :length], done.log_probs[:, :length], done.mask[:, :length], done.finished, done.trunk)


def _read(
    model: Stepwise, deltas: Deltas, turn: int, tokens: Array, mask: Array, config: SamplingConfig
) -> tuple[Array, Cache, Array]:
    """The prompts into the cache: logits after each, f32[prompts, V], and the states below the adapter."""
    decoder, positions = model.decoder, default_positions(mask)
    cache = stepwise.init_cache(model, tokens.shape[0], tokens.shape[1] + config.max_new_tokens)
    slots = jnp.pad(mask, ((0, 0), (0, config.max_new_tokens)))
    x = decoder.embed(tokens, positions)
    below, cache = stepwise.blocks(model, x, positions, slots, deltas, cache, 0, turn)
    x, cache = stepwise.blocks(model, below, positions, slots, deltas, cache, turn, decoder.config.num_layers)
    return decoder.logits(decoder.normed(x[:, -1:])[:, 0]), cache, below


def _advance(
    model: Stepwise, deltas: Deltas, turn: int, positions: Array, slots: Array, progress: _Progress
) -> tuple[Array, _Progress]:
    """The last token into the cache: logits after it, f32[B, V]."""
    decoder = model.decoder
    x = decoder.embed(progress.token[:, None], positions)
    place = progress.cache.length
    below, cache = stepwise.blocks(model, x, positions, slots, deltas, progress.cache, 0, turn)
    x, cache = stepwise.blocks(model, below, positions, slots, deltas, cache, turn, decoder.config.num_layers)
    trunk = progress.trunk
    if trunk is not None:
        trunk = jax.lax.dynamic_update_slice(trunk, below, (0, place, 0))
    progress = replace(progress, cache=cache, trunk=trunk, settled=progress.finished)
    return decoder.logits(decoder.normed(x)[:, 0]), progress


def _empty(config: SamplingConfig, batch: int, cache: Cache, trunk: Array | None) -> _Progress:
    shape = (batch, config.max_new_tokens + 1)
    never = jnp.zeros(batch, bool)
    return _Progress(
        step=jnp.int32(0),
        token=jnp.zeros(batch, jnp.int32),
        tokens=jnp.full(shape, config.pad, jnp.int32),
        log_probs=jnp.zeros(shape),
        mask=jnp.zeros(shape, bool),
        finished=never,
        settled=never,
        cache=cache,
        trunk=trunk,
    )


def _drawn(config: SamplingConfig, keys: Key[Array, " texts"], logits: Array, progress: _Progress) -> _Progress:
    """The next token of every text that goes on; padding for the others."""
    step, over = progress.step, progress.finished
    token, log_prob = draw(config, keys, logits, step)
    token, log_prob = jnp.where(over, config.pad, token), jnp.where(over, 0.0, log_prob)
    return replace(
        progress,
        step=step + 1,
        token=token,
        tokens=progress.tokens.at[:, step].set(token),
        log_probs=progress.log_probs.at[:, step].set(log_prob),
        mask=progress.mask.at[:, step].set(~over),
        finished=over | (~over & ends(config, token)),
    )


# --- the next token -------------------------------------------------------------------------------------------


def draw(
    config: SamplingConfig,
    keys: Key[Array, " batch"],
    logits: Float[Array, "batch vocabulary"],
    step: Int[Array, ""],
) -> tuple[Int[Array, " batch"], Float[Array, " batch"]]:
    """A token a row, and its log-probability under softmax(logits / T).

    Args:
        keys: one a row (`key[batch]`): a request draws the same tokens whoever shares its batch.
        step: number of the token in its text, from 0.
    """
    scores = logits / config.scoring_temperature
    if config.temperature == 0:
        token = jnp.argmax(scores, -1)
    else:
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, step)
        token = jax.vmap(categorical)(own, scores)
    token = token.astype(jnp.int32)
    return token, losses.token_log_probs(scores, token)


def categorical(key: Key[Array, ""], logits: Float[Array, " vocabulary"]) -> Int[Array, ""]:
    """A draw from softmax(logits): first a run of `RUN` tokens, by what each holds together, then a token of it.

    A random number for every token of the vocabulary takes a CPU longer than a sixth of the model.
    """
    spare = -logits.shape[0] % RUN
    runs = jnp.pad(logits, (0, spare), constant_values=-jnp.inf).reshape(-1, RUN)
    first, second = jax.random.split(key)
    run = jax.random.categorical(first, jax.nn.logsumexp(runs, -1))
    return run * RUN + jax.random.categorical(second, runs[run])


def ends(config: SamplingConfig, token: Int[Array, " batch"]) -> Bool[Array, " batch"]:
    """Whether a text is over with this token."""
    return jnp.zeros(token.shape, bool) if config.eos is None else token == config.eos


# --- requests -------------------------------------------------------------------------------------------------


class Sampler:
    """Answers requests of any number and length with few compiled programs: lengths and batches are rounded up."""

    def __init__(self, decoder: Decoder, adapter: Adapter | None = None, *, multiple: int = 16) -> None:
        """`multiple`: prompt lengths are rounded up to one; batches are rounded up to a power of two."""
        self._few, self._many = (stepwise.take_apart(decoder, rows) for rows in (1, stepwise.FEW))
        self.adapter = adapter
        self._multiple = multiple

    def __call__(
        self, prompts: Sequence[np.ndarray], config: SamplingConfig, seeds: Sequence[int] | np.ndarray, width: int = 1
    ) -> Sample:
        """Texts for `prompts` (i32[P] each), as NumPy arrays; text j of prompt i draws from seeds[i · copies + j].

        Args:
            width: prompts are padded to so many tokens at least, so that calls of different lengths share a program.

        Raises:
            DataError: no prompt, an empty one, or as many seeds as there are not texts.
        """
        texts = len(prompts) * config.copies
        if len(seeds) != texts:
            raise DataError(f"there are {len(seeds)} seeds; allowed: {texts}, one a text")
        rows = packing.pad_left(prompts, config.pad, packing.round_up(width, self._multiple))
        batch = 1 << (len(prompts) - 1).bit_length()
        numbers = np.resize(np.arange(len(prompts)), batch)  # spare rows repeat real ones: they end when those do
        spare = (batch - len(prompts)) * config.copies
        padded = np.concatenate([np.asarray(seeds, np.uint32), np.resize(np.asarray(seeds, np.uint32), spare)])
        model = self._few if len(padded) < stepwise.FEW else self._many
        drawn = sample(model, self.adapter, rows.tokens[numbers], rows.mask[numbers], keys_of(padded), config=config)
        return jax.tree.map(lambda x: np.asarray(x)[:texts], drawn)


def keys_of(seeds: np.ndarray) -> Key[Array, " texts"]:
    """One key a request from its seed: key[B]."""
    return jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))


def texts(tokenizer: Any, drawn: Sample) -> list[str]:
    """What was written, without the end token and other special ones."""
    rows = zip(np.asarray(drawn.tokens), np.asarray(drawn.mask), strict=True)
    return [tokenizer.decode(tokens[mask].tolist(), skip_special_tokens=True).strip() for tokens, mask in rows]
