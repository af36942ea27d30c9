"""A GGUF file of a llama-like model as an ordinary Hugging Face folder: weights, config, tokenizer, chat template."""

from typing import Any

import numpy as np
from etils import epath

from retentionjax import storage
from retentionjax.errors import ModelError
from retentionjax.language import tokenizer as tokenizers

_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_DIGITS_APART = ("smollm",)
"""Pre-tokenizers, by llama.cpp's names, that split digits one by one and are GPT-2's otherwise."""
_CONTROL = 3
"""llama.cpp's type of tokens that are no text."""


def convert(file: epath.Path, folder: epath.Path) -> None:
    """Writes what `file` holds into the existing `folder`, dequantised to float32.

    Raises:
        ModelError: another architecture, tokenizer or tensor than this reads; it is named.
    """
    from gguf import GGUFReader
    from safetensors.numpy import save

    reader = GGUFReader(str(file))
    fields = {name: field.contents() for name, field in reader.fields.items() if not _is_list_of_tokens(name)}
    config = _config(fields)
    tensors = dict(_tensor(config, tensor) for tensor in reader.tensors)
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    storage.write_bytes(folder / "model.safetensors", save(tensors, {"format": "pt"}))
    storage.write_json(folder / "config.json", config)
    tokenizer(reader).save_pretrained(str(folder))


def tokenizer(reader: Any) -> Any:
    """The byte-level BPE tokenizer in a file's metadata, as a transformers tokenizer with the model's chat template.

    Raises:
        ModelError: a tokenizer of another kind.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    kind, split = _field(reader, "tokenizer.ggml.model"), _field(reader, "tokenizer.ggml.pre")
    if kind != "gpt2" or split not in _DIGITS_APART:
        raise ModelError(f"the tokenizer is {kind}, split by {split}; allowed: gpt2, split by {_DIGITS_APART[0]}")
    words: list[str] = _field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in _field(reader, "tokenizer.ggml.merges")]
    backend = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    types = _field(reader, "tokenizer.ggml.token_type")
    control = [word for word, each in zip(words, types, strict=True) if each == _CONTROL]
    backend.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in control])
    roles = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    tokens = {role: words[_field(reader, f"tokenizer.ggml.{name}_token_id")] for role, name in roles.items()}
    return tokenizers.fast(backend, tokens, _field(reader, "tokenizer.chat_template"))


def unpermute(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a q or k projection [heads · dim, inputs] in Hugging Face's order.

    llama.cpp rotates neighbouring pairs, Hugging Face the two halves of a head, so its converter interleaves the
    halves' rows; this is the inverse.
    """
    dim = weights.shape[0] // heads
    return weights.reshape(heads, dim // 2, 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def _tensor(config: dict[str, Any], tensor: Any) -> tuple[str, np.ndarray]:
    from gguf import dequantize

    parts = tensor.name.split(".")
    array = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _LAYER and parts[3] == "weight":
        if parts[2] in ("attn_q", "attn_k"):
            heads = config["num_attention_heads" if parts[2] == "attn_q" else "num_key_value_heads"]
            array = np.ascontiguousarray(unpermute(array, heads))
        return f"model.layers.{parts[1]}.{_LAYER[parts[2]]}.weight", array
    if len(parts) == 2 and parts[0] in _OUTER and parts[1] == "weight":
        return f"{_OUTER[parts[0]]}.weight", array
    raise ModelError(f"the tensor {tensor.name} has no place in a llama-like model")


def _config(fields: dict[str, Any]) -> dict[str, Any]:
    kind = fields.get("general.architecture")
    if kind != "llama":
        raise ModelError(f"general.architecture is {kind!r}; allowed: llama")
    if scaling := sorted(name for name in fields if name.startswith("llama.rope.scaling")):
        raise ModelError(f"{scaling[0]} is not supported in a GGUF file")

    def number(name: str) -> Any:
        if f"llama.{name}" not in fields:
            raise ModelError(f"llama.{name} is missing from the file")
        return fields[f"llama.{name}"]

    # Stored as float32, which has seven digits: 9.999999747378752e-06 was 1e-05.
    eps = float(np.format_float_positional(np.float32(number("attention.layer_norm_rms_epsilon")), unique=True))
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": number("vocab_size"),
        "hidden_size": number("embedding_length"),
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": number("attention.head_count"),
        "num_key_value_heads": number("attention.head_count_kv"),
        "head_dim": number("rope.dimension_count"),
        "hidden_act": "silu",
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": eps,
        "rope_theta": float(number("rope.freq_base")),
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": fields.get("tokenizer.ggml.padding_token_id"),
    }


def _is_list_of_tokens(name: str) -> bool:
    return name in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.token_type")


def _field(reader: Any, name: str) -> Any:
    field = reader.get_field(name)
    if field is None:
        raise ModelError(f"{name} is missing from the file")
    return field.contents()
