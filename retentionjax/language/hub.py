"""Models by name: decoder, tokenizer, and where they come from."""

import os
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from retentionjax import storage
from retentionjax.errors import ModelError
from retentionjax.language import precision
from retentionjax.language import tokenizer as tokenizers
from retentionjax.language.decoder import Decoder, DecoderConfig, Rope, formats, init, weights
from retentionjax.language.hub_fetch import BASES, fetch
from retentionjax.language.precision import Matmul

__all__ = ["BASES", "Model", "fetch", "load", "random", "save"]

SHARD_BYTES = 5_000_000_000
"""Weights beyond it are saved in several files, as on the hub."""

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


def load(
    name: str | os.PathLike[str], *, dtype: Any = jnp.float32, matmul: Matmul = "float32", int8: bool = False
) -> Model:
    """The base model called `name` (fetched if need be), or the one in the Hugging Face folder `name`.

    `tiny` has random weights. `matmul` is the precision of its products, see `precision`; with `int8` its projections
    are kept in 8 bits, see `quantise`. Raises ModelError: no such model, or a config, tensor or tokenizer that is
    missing, damaged or not supported.
    """
    model = _load(name, dtype)
    decoder = precision.int8(model.decoder) if int8 else model.decoder
    return replace(model, decoder=precision.keep_for(decoder, precision.resolve(matmul)))


def _load(name: str | os.PathLike[str], dtype: Any) -> Model:
    if name == "tiny":
        return random("tiny", jax.random.key(0), dtype=dtype)
    folder = fetch(os.fspath(name)) if name in BASES else storage.as_path(name)
    if not (folder / "config.json").exists():
        raise ModelError(
            f"{os.fspath(name)!r} is no folder with a config.json; allowed: such a folder, tiny, {', '.join(BASES)}"
        )
    model = Model(load_decoder(folder, dtype=dtype), tokenizers.load(folder), os.fspath(name))
    highest, rows = max(model.tokenizer.get_vocab().values()), model.decoder.config.vocab_size
    if highest >= rows:  # JAX would read the last row for every token beyond it
        raise ModelError(f"{folder}: the tokenizer has a token {highest}; allowed: below the {rows} embeddings")
    return model


def load_decoder(folder: str | os.PathLike[str], *, dtype: Any = jnp.float32) -> Decoder:
    """The weights of a Hugging Face folder, without its tokenizer. Raises as `load` does."""
    where = storage.as_path(folder)
    entries = storage.read_json(where / "config.json")
    if not isinstance(entries, dict):
        raise ModelError(f"{where / 'config.json'}: holds {entries!r:.60}; allowed: an object with model_type")
    config = formats.from_hf(entries, str(where / "config.json"))
    return Decoder(config, weights.read(where, config, dtype))


def save(
    folder: str | os.PathLike[str], decoder: Decoder, tokenizer: Any = None, *, shard_bytes: int = SHARD_BYTES
) -> None:
    """Writes config.json, safetensors and, if given, the tokenizer: a folder that transformers and vLLM read.

    A folder that is there is replaced. Raises ModelError for int8 weights.
    """
    parameters = decoder.parameters()
    config = formats.to_hf(decoder.config, str(parameters["embedding"].dtype))
    if tokenizer is not None:
        config |= {
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
    with storage.new_folder(folder, replace=True) as partial:
        storage.write_json(partial / "config.json", config)
        weights.write(partial, decoder.config, parameters, shard_bytes)
        if tokenizer is not None:
            tokenizer.save_pretrained(str(partial))
