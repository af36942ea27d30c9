"""How easily the base model reads a text: a judge that no fine-tuning has taught a taste."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from retentionjax.language import forward, packing
from retentionjax.language.decoder import Decoder
from retentionjax.language.decoder.model import default_positions
from retentionjax.language.hub import Model

_BATCH = 8


def fluency(
    model: Model, prompts: Sequence[str], texts: Sequence[str], system: str | None
) -> Float[np.ndarray, " texts"]:
    """Mean log-probability [nats a token] of each text under the frozen base model, after its own instruction."""
    examples = [
        packing.tokenise(model.tokenizer, prompt, text, system=system)
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    found = np.zeros(len(examples))
    for numbers in packing.by_length([len(each) for each in examples], _BATCH, seed=0):
        chosen = [examples[number] for number in np.resize(np.asarray(numbers), _BATCH)]
        rows = packing.pad_right([each.tokens for each in chosen], int(model.tokenizer.pad_token_id), 32)
        starts = np.array([len(each.prompt) for each in chosen])
        means: Any = _mean_log_probs(model.decoder, rows.tokens, rows.mask, starts)
        found[numbers] = np.asarray(means)[: len(numbers)]
    return found


@jax.jit
def _mean_log_probs(
    decoder: Decoder,
    tokens: Int[Array, "batch time"],
    mask: Bool[Array, "batch time"],
    starts: Int[Array, " batch"],
) -> Float[Array, " batch"]:
    positions = default_positions(mask)
    below = forward.trunk(decoder, tokens, mask, positions, layers=0)
    states = forward.upper(decoder, below, mask, positions, layers=0, adapter=None)[:, :-1]
    flat, _ = forward.log_probs(decoder, states.reshape(-1, states.shape[-1]), tokens[:, 1:].reshape(-1), 1.0)
    counted = mask[:, 1:] & (jnp.arange(1, tokens.shape[1])[None] >= starts[:, None])
    return jnp.sum(flat.reshape(counted.shape) * counted, 1) / jnp.sum(counted, 1)
