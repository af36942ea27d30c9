"""config.json to DecoderConfig and back. Whatever is in a config and not supported is an error that names the key."""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from retentionjax.errors import ModelError
from retentionjax.language.decoder.config import DecoderConfig, Rope, RopeKind
from retentionjax.language.decoder.parts import ACTIVATIONS

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "opt": "OPTForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}

# What changes neither weights nor logits: dropout and initialisation of their training, generation, bookkeeping.
# fmt: off
_WITHOUT_EFFECT = frozenset(
    {
        "_name_or_path", "_attn_implementation", "activation_dropout", "architectures", "attention_dropout",
        "attn_pdrop", "auto_map", "bos_token_id", "chunk_size_feed_forward", "dropout", "dtype", "embd_pdrop",
        "eos_token_id", "finetuning_task", "gradient_checkpointing", "id2label", "init_std",
        "initializer_range", "is_decoder", "is_llama_config", "label2id", "layerdrop", "n_ctx",
        "output_attentions", "output_hidden_states", "pad_token_id", "prefix", "pretraining_tp",
        "problem_type", "resid_pdrop", "return_dict", "sep_token_id", "summary_activation",
        "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
        "task_specific_params", "tokenizer_class", "torch_dtype", "transformers.js_config",
        "transformers_version", "unsloth_version", "unsloth_fixed", "use_cache",
    }
)
# fmt: on
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "layer_norm_elementwise_affine": (True,),
    "partial_rotary_factor": (None, 1.0),
    "reorder_and_upcast_attn": (False,),
    "rope_interleaved": (False,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
    "use_mrope": (False,),
    "quantization_config": (None,),
}


class _Keys:
    """The entries of a config.json, taken one by one, so that at the end it is known which nobody took."""

    def __init__(self, entries: Mapping[str, Any], where: str) -> None:
        self._left = {key: value for key, value in entries.items() if key not in _WITHOUT_EFFECT}
        self._where = where

    def take(self, key: str, default: Any = ...) -> Any:
        if key not in self._left:
            if default is ...:
                raise ModelError(f"{self._where}: {key} is missing")
            return default
        return self._left.pop(key)

    def whole(self, key: str, default: Any = ...) -> int:
        value = self.take(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ModelError(f"{self._where}: {key} is {value!r}; allowed: a whole number")
        return value

    def refuse(self, key: str, value: Any, allowed: str) -> None:
        raise ModelError(f"{self._where}: {key} is {value!r}; allowed: {allowed}")

    def finish(self) -> None:
        for key, value in self._left.items():
            if key not in _ONLY:
                raise ModelError(f"{self._where}: {key} (= {value!r}) is not supported")
            if value not in _ONLY[key]:
                self.refuse(key, value, " or ".join(repr(each) for each in _ONLY[key]))


def from_hf(entries: Mapping[str, Any], where: str = "config.json") -> DecoderConfig:
    """The configuration in a parsed config.json; `where` is for messages.

    Raises:
        ModelError: a key is missing, has a value that is not supported, or is unknown; it is named.
    """
    keys = _Keys(entries, where)
    kind = keys.take("model_type")
    if kind not in ARCHITECTURES:
        keys.refuse("model_type", kind, ", ".join(ARCHITECTURES))
    readers: dict[str, Callable[[_Keys], DecoderConfig]] = {"opt": _opt, "gpt2": _gpt2}
    config = readers[kind](keys) if kind in readers else _llama(keys, kind)
    keys.finish()
    if config.activation not in ACTIVATIONS:
        keys.refuse("activation", config.activation, ", ".join(ACTIVATIONS))
    return config


def to_hf(config: DecoderConfig, dtype: str = "float32") -> dict[str, Any]:
    """What config.json says of a model, readable by transformers (old and new names of rope's entries) and vLLM."""
    writers: dict[str, Callable[[DecoderConfig], dict[str, Any]]] = {"opt": _opt_hf, "gpt2": _gpt2_hf}
    shared = {
        "architectures": [ARCHITECTURES[config.model_type]],
        "model_type": config.model_type,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tied,
        "dtype": dtype,
    }
    return shared | writers.get(config.model_type, _llama_hf)(config)


def _llama(keys: _Keys, kind: str) -> DecoderConfig:
    hidden, heads, layers = (keys.whole(key) for key in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
    kv_heads = keys.take("num_key_value_heads", {"mistral": 8, "llama": None}.get(kind, 32))
    head_dim = keys.take("head_dim", 128 if kind == "qwen3" else None)
    max_positions = keys.whole("max_position_embeddings", {"llama": 2048, "mistral": 131_072}.get(kind, 32_768))
    attention_bias = kind == "qwen2" or keys.take("attention_bias", False)  # noqa: FBT003 - a default
    return DecoderConfig(
        family="llama",
        model_type=kind,
        vocab_size=keys.whole("vocab_size"),
        hidden_size=hidden,
        embedding_size=hidden,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=heads if kv_heads is None else kv_heads,
        head_dim=hidden // heads if head_dim is None else head_dim,
        intermediate_size=keys.whole("intermediate_size"),
        max_positions=max_positions,
        norm_eps=float(keys.take("rms_norm_eps", 1e-6)),
        activation=keys.take("hidden_act", "silu"),
        tied=keys.take("tie_word_embeddings", False),  # noqa: FBT003 - a default
        qkv_bias=attention_bias,
        output_bias=attention_bias and kind != "qwen2",
        mlp_bias=kind == "llama" and keys.take("mlp_bias", False),  # noqa: FBT003 - a default
        qk_norm=kind == "qwen3",
        rope=_rope(keys, max_positions),
        windows=_windows(keys, kind, layers),
    )


def _rope(keys: _Keys, max_positions: int) -> Rope:
    """transformers 5 writes `rope_parameters`; before, it was `rope_theta` and `rope_scaling`, with `type` for kind."""
    theta = keys.take("rope_theta", None)
    found = dict(keys.take("rope_scaling", None) or {}) | dict(keys.take("rope_parameters", None) or {})
    theta = found.pop("rope_theta", None) or theta or 10_000.0
    legacy = found.pop("type", None)
    kind = found.pop("rope_type", None) or legacy or "default"
    partial = found.pop("partial_rotary_factor", None)
    if partial not in (None, 1.0):
        keys.refuse("partial_rotary_factor", partial, "1")
    takes: dict[str, dict[str, Any]] = {
        "default": {},
        "linear": {"factor": ...},
        "llama3": {
            "factor": ...,
            "low_freq_factor": ...,
            "high_freq_factor": ...,
            "original_max_position_embeddings": ...,
        },
        "yarn": {
            "factor": ...,
            "original_max_position_embeddings": max_positions,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "attention_factor": None,
            "truncate": True,
        },
    }
    if kind not in takes:
        keys.refuse("rope_type", kind, ", ".join(takes))
    inner = _Keys(found, "rope_parameters")
    values = {key: inner.take(key, default) for key, default in takes[kind].items()}
    inner.finish()
    if kind == "yarn" and values["attention_factor"] is None:
        values["attention_factor"] = 0.1 * math.log(values["factor"]) + 1.0 if values["factor"] > 1 else 1.0
    if "original_max_position_embeddings" in values:
        values["original_positions"] = values.pop("original_max_position_embeddings")
    values = {key: value if isinstance(value, bool | int) else float(value) for key, value in values.items()}
    return Rope(theta=float(theta), kind=cast("RopeKind", kind), **values)


def _windows(keys: _Keys, kind: str, layers: int) -> tuple[int, ...] | None:
    if kind == "llama":
        return None
    window = keys.take("sliding_window", 4096 if kind == "mistral" else None)
    used = keys.take("use_sliding_window", kind == "mistral")
    start = keys.take("max_window_layers", 28)
    types = keys.take("layer_types", None)
    if not window or not used:
        if types is not None and "sliding_attention" in types:
            keys.refuse("layer_types", types, "full_attention where sliding_window or use_sliding_window is off")
        return None
    if types is None:
        limited = [kind == "mistral" or index >= start for index in range(layers)]
    else:
        if unknown := set(types) - {"full_attention", "sliding_attention"}:
            keys.refuse("layer_types", sorted(unknown), "full_attention, sliding_attention")
        limited = [each == "sliding_attention" for each in types]
    return tuple(window if each else 0 for each in limited) if any(limited) else None


def _opt(keys: _Keys) -> DecoderConfig:
    hidden, heads = keys.whole("hidden_size"), keys.whole("num_attention_heads")
    norm_first = keys.take("do_layer_norm_before", True)  # noqa: FBT003 - a default
    removed = keys.take("_remove_final_layer_norm", False)  # noqa: FBT003 - a default
    bias = keys.take("enable_bias", True)  # noqa: FBT003 - a default
    return DecoderConfig(
        family="opt",
        model_type="opt",
        vocab_size=keys.whole("vocab_size"),
        hidden_size=hidden,
        embedding_size=keys.take("word_embed_proj_dim", None) or hidden,
        num_layers=keys.whole("num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=hidden // heads,
        intermediate_size=keys.whole("ffn_dim"),
        max_positions=keys.whole("max_position_embeddings"),
        activation=keys.take("activation_function", "relu"),
        tied=keys.take("tie_word_embeddings", True),  # noqa: FBT003 - a default
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=bias,
        norm_first=norm_first,
        final_norm=norm_first and not removed,
    )


def _gpt2(keys: _Keys) -> DecoderConfig:
    hidden, heads = keys.whole("n_embd"), keys.whole("n_head")
    return DecoderConfig(
        family="gpt2",
        model_type="gpt2",
        vocab_size=keys.whole("vocab_size"),
        hidden_size=hidden,
        embedding_size=hidden,
        num_layers=keys.whole("n_layer"),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=hidden // heads,
        intermediate_size=keys.take("n_inner", None) or 4 * hidden,
        max_positions=keys.whole("n_positions"),
        norm_eps=float(keys.take("layer_norm_epsilon", 1e-5)),
        activation=keys.take("activation_function", "gelu_new"),
        tied=keys.take("tie_word_embeddings", True),  # noqa: FBT003 - a default
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
    )


def _llama_hf(config: DecoderConfig) -> dict[str, Any]:
    entries = {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": config.activation,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.norm_eps,
    }
    if config.model_type in ("llama", "qwen3"):
        entries["attention_bias"] = config.qkv_bias
    if config.model_type == "llama":
        entries["mlp_bias"] = config.mlp_bias
        return entries | _rope_hf(config.rope)
    limited = [window for window in config.windows or () if window]
    entries["sliding_window"] = limited[0] if limited else None
    if config.model_type != "mistral":
        entries["use_sliding_window"] = bool(limited)
        entries["layer_types"] = [
            "sliding_attention" if window else "full_attention" for window in config.windows or (0,) * config.num_layers
        ]
    return entries | _rope_hf(config.rope)


def _rope_hf(rope: Rope | None) -> dict[str, Any]:
    if rope is None:
        return {}
    scaling: dict[str, Any] = {"rope_type": rope.kind}
    if rope.kind != "default":
        scaling["factor"] = rope.factor
    if rope.kind in ("llama3", "yarn"):
        scaling["original_max_position_embeddings"] = rope.original_positions
    own: dict[str, tuple[str, ...]] = {
        "llama3": ("low_freq_factor", "high_freq_factor"),
        "yarn": ("beta_fast", "beta_slow", "attention_factor", "truncate"),
    }
    scaling |= {key: getattr(rope, key) for key in own.get(rope.kind, ())}
    old = None if rope.kind == "default" else scaling
    return {"rope_theta": rope.theta, "rope_scaling": old, "rope_parameters": {"rope_theta": rope.theta} | scaling}


def _opt_hf(config: DecoderConfig) -> dict[str, Any]:
    return {
        "hidden_size": config.hidden_size,
        "word_embed_proj_dim": config.embedding_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "ffn_dim": config.intermediate_size,
        "max_position_embeddings": config.max_positions,
        "activation_function": config.activation,
        "do_layer_norm_before": config.norm_first,
        "_remove_final_layer_norm": config.norm_first and not config.final_norm,
        "enable_bias": config.qkv_bias,
        "layer_norm_elementwise_affine": True,
    }


def _gpt2_hf(config: DecoderConfig) -> dict[str, Any]:
    return {
        "n_embd": config.hidden_size,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_inner": config.intermediate_size,
        "n_positions": config.max_positions,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": config.activation,
    }
