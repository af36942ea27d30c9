"""How easily the base model reads a text: a judge that no fine-tuning has taught a taste."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from retentionjax.language import forward, packing
from retentionjax.language.decoder import Decoder
from retentionjax.language.hub import Model


def fluency(
    model: Model, prompts: Sequence[str], texts: Sequence[str], system: str | None
) -> Float[np.ndarray, " texts"]:
    """Mean log-probability [nats a token] of each text under the frozen base model, after its own instruction."""
    examples = [
        packing.tokenise(model.tokenizer, prompt, text, system=system)
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    found = np.zeros(len(examples))
    for rows, placed in packing.read_together(examples, int(model.tokenizer.pad_token_id)):
        log_probs = np.asarray(_log_probs(model.decoder, rows))
        ends = np.cumsum([len(examples[number].completion) for number, _, _ in placed])
        for (number, _, _), own in zip(placed, np.split(log_probs, ends), strict=False):  # the rest is padding
            found[number] = own.mean()
    return found


@jax.jit
def _log_probs(decoder: Decoder, rows: packing.Packed) -> Float[Array, " targets"]:
    states = decoder.normed(forward.packed_trunk(decoder, rows, layers=decoder.config.num_layers))
    return forward.log_probs(decoder, states.reshape(-1, states.shape[-1])[rows.index], rows.targets, 1.0)[0]
