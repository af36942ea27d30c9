"""Models by name: decoder, tokenizer, and where they come from."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from retentionjax.errors import ModelError
from retentionjax.language import tokenizer as tokenizers
from retentionjax.language.decoder import Decoder, DecoderConfig, Rope, init

TINY = DecoderConfig(
    family="llama",
    model_type="llama",
    vocab_size=tokenizers.TINY_VOCABULARY,
    hidden_size=64,
    embedding_size=64,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=128,
    max_positions=1024,
    tied=True,
    rope=Rope(),
)
"""The random model of the tests."""


@dataclass(frozen=True)
class Model:
    """A base model."""

    decoder: Decoder
    tokenizer: Any
    """A transformers tokenizer: encode, decode, apply_chat_template, eos_token_id, pad_token_id (another than eos)."""
    name: str


def random(name: str, key: PRNGKeyArray, *, dtype: Any = jnp.float32) -> Model:
    """A model with random weights and a real tokenizer. `tiny` is the only one: 64 wide, 4 layers, 448 tokens.

    Raises:
        ModelError: another name.
    """
    if name != "tiny":
        raise ModelError(f"no random model is called {name!r}; allowed: tiny")
    return Model(init(TINY, key, dtype), tokenizers.tiny(), name)
