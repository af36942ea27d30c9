"""config.json to DecoderConfig and back. A key that matters and is not supported is an error that names it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from retentionjax.language.decoder.config import DecoderConfig, Rope, RopeKind
from retentionjax.language.decoder.keys import Keys
from retentionjax.language.decoder.parts import ACTIVATIONS

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "opt": "OPTForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}


def from_hf(entries: Mapping[str, Any], where: str = "config.json") -> DecoderConfig:
    """The configuration in a parsed config.json; `where` is for messages.

    Raises:
        ModelError: a key is missing, has a value that is not supported, or is unknown; it is named.
    """
    keys = Keys(entries, where)
    kind = keys.text("model_type")
    if kind not in ARCHITECTURES:
        keys.refuse("model_type", kind, ", ".join(ARCHITECTURES))
    readers: dict[str, Callable[[Keys], DecoderConfig]] = {"opt": _opt, "gpt2": _gpt2}
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


@dataclass(frozen=True)
class _Defaults:
    """What transformers takes where a llama-like config.json is silent."""

    max_positions: int = 32_768
    kv_heads: int | None = 32
    """None: as many as heads."""
    head_dim: int | None = None
    """None: hidden size over heads."""
    window: int | None = None
    theta: float = 10_000.0
    tied: bool = False


_DEFAULTS: Mapping[str, _Defaults] = {
    "llama": _Defaults(max_positions=2048, kv_heads=None),
    "mistral": _Defaults(max_positions=131_072, kv_heads=8, window=4096),
    "qwen2": _Defaults(window=4096),
    "qwen3": _Defaults(head_dim=128, window=4096),
    "smollm3": _Defaults(kv_heads=4, theta=2_000_000.0, tied=True),
}


def _llama(keys: Keys, kind: str) -> DecoderConfig:
    defaults = _DEFAULTS[kind]
    hidden, heads, layers = (
        keys.whole(key, least=1) for key in ("hidden_size", "num_attention_heads", "num_hidden_layers")
    )
    kv_heads = keys.whole_or_null("num_key_value_heads", defaults.kv_heads)
    head_dim = keys.whole_or_null("head_dim", defaults.head_dim)
    max_positions = keys.whole("max_position_embeddings", defaults.max_positions)
    attention_bias = keys.flag("attention_bias", default=kind == "qwen2")
    rotated = _rotated(keys, layers) if kind == "smollm3" else None
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
        norm_eps=keys.number("rms_norm_eps", 1e-6),
        activation=keys.text("hidden_act", "silu"),
        tied=keys.flag("tie_word_embeddings", default=defaults.tied),
        qkv_bias=attention_bias,
        output_bias=attention_bias and kind != "qwen2",
        mlp_bias=kind in ("llama", "smollm3") and keys.flag("mlp_bias", default=False),
        qk_norm=kind == "qwen3",
        rope=_rope(keys, max_positions, defaults.theta),
        windows=_windows(keys, kind, layers, rotated),
        rotated=rotated,
    )


def _rotated(keys: Keys, layers: int) -> tuple[bool, ...] | None:
    """SmolLM3's `no_rope_layers`, whose ones, against its name, are the layers that rotate."""
    interval = keys.whole("no_rope_layer_interval", 4, least=1)
    entries = keys.take("no_rope_layers", None)
    if entries is None:
        entries = [int((index + 1) % interval != 0) for index in range(layers)]
    if not isinstance(entries, list) or any(entry not in (0, 1) for entry in entries):
        keys.refuse("no_rope_layers", entries, "a list of 0 and 1, one for each layer")
    return None if all(entries) else tuple(map(bool, entries))


_ROPE: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "linear": {"factor": ...},
    "llama3": {"factor": ..., "low_freq_factor": ..., "high_freq_factor": ...},
    "yarn": {"factor": ..., "beta_fast": 32.0, "beta_slow": 1.0},
}
"""The numbers of each kind of rotation: … where there must be one, or what transformers takes where there is none."""


def _rope(keys: Keys, max_positions: int, theta: float) -> Rope:
    """transformers 5 writes `rope_parameters`; before, it was `rope_theta` and `rope_scaling`, with `type` for kind."""
    theta = keys.number_or("rope_theta", theta)
    inner = Keys(keys.entries("rope_scaling") | keys.entries("rope_parameters"), "rope_parameters")
    theta = inner.number_or("rope_theta", theta)
    legacy = inner.take("type", None)
    kind = inner.take("rope_type", None) or legacy or "default"
    partial = inner.take("partial_rotary_factor", None)
    if partial not in (None, 1.0):
        keys.refuse("partial_rotary_factor", partial, "1")
    if not isinstance(kind, str) or kind not in _ROPE:
        keys.refuse("rope_type", kind, ", ".join(_ROPE))
    values: dict[str, Any] = {key: inner.number_or(key, default) for key, default in _ROPE[kind].items()}
    original = "original_max_position_embeddings"
    if kind == "llama3":
        values["original_positions"] = inner.whole(original)
    if kind == "yarn":
        values["original_positions"] = inner.whole_or_null(original, None) or max_positions
        values["truncate"] = inner.flag("truncate", default=True)
        stretched = 0.1 * math.log(values["factor"]) + 1.0 if values["factor"] > 1 else 1.0
        values["attention_factor"] = inner.number_or("attention_factor", stretched)
    if kind == "default":  # transformers looks at none of the numbers of other kinds
        for key in {key for other in _ROPE.values() for key in other} | {original}:
            inner.take(key, None)
    inner.finish()
    return Rope(theta=theta, kind=cast("RopeKind", kind), **values)


def _windows(keys: Keys, kind: str, layers: int, rotated: tuple[bool, ...] | None) -> tuple[int, ...] | None:
    types, known = keys.take("layer_types", None), ("full_attention", "sliding_attention")
    if types is not None and not (
        isinstance(types, list) and len(types) == layers and all(each in known for each in types)
    ):
        keys.refuse("layer_types", types, f"{' or '.join(known)} for each of {layers} layers")
    start = keys.whole("max_window_layers", 28)
    window = used = None
    if kind != "llama":
        window = keys.whole_or_null("sliding_window", _DEFAULTS[kind].window)
        used = keys.flag("use_sliding_window", default=kind == "mistral")
    if not window or not used:
        if "sliding_attention" in (types or ()):
            keys.refuse("layer_types", types, "full_attention where sliding_window or use_sliding_window is off")
        return None
    if types is not None:
        limited = [each == "sliding_attention" for each in types]
    elif kind == "smollm3":
        limited = [not turns for turns in rotated or (True,) * layers]
    else:
        limited = [kind == "mistral" or index >= start for index in range(layers)]
    return tuple(window if each else 0 for each in limited) if any(limited) else None


def _opt(keys: Keys) -> DecoderConfig:
    hidden, heads = keys.whole("hidden_size", least=1), keys.whole("num_attention_heads", least=1)
    norm_first = keys.flag("do_layer_norm_before", default=True)
    removed = keys.flag("_remove_final_layer_norm", default=False)
    bias = keys.flag("enable_bias", default=True)
    return DecoderConfig(
        family="opt",
        model_type="opt",
        vocab_size=keys.whole("vocab_size"),
        hidden_size=hidden,
        embedding_size=keys.whole_or_null("word_embed_proj_dim", None) or hidden,
        num_layers=keys.whole("num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=hidden // heads,
        intermediate_size=keys.whole("ffn_dim"),
        max_positions=keys.whole("max_position_embeddings"),
        activation=keys.text("activation_function", "relu"),
        tied=keys.flag("tie_word_embeddings", default=True),
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=bias,
        norm_first=norm_first,
        final_norm=norm_first and not removed,
    )


def _gpt2(keys: Keys) -> DecoderConfig:
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
        intermediate_size=keys.whole_or_null("n_inner", None) or 4 * hidden,
        max_positions=keys.whole("n_positions"),
        norm_eps=keys.number("layer_norm_epsilon", 1e-5),
        activation=keys.text("activation_function", "gelu_new"),
        tied=keys.flag("tie_word_embeddings", default=True),
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
    if config.model_type in ("llama", "qwen3", "smollm3"):
        entries["attention_bias"] = config.qkv_bias
    if config.model_type in ("llama", "smollm3"):
        entries["mlp_bias"] = config.mlp_bias
    if config.model_type == "llama":
        return entries | _rope_hf(config.rope)
    if config.model_type == "smollm3":
        entries["no_rope_layers"] = [int(turns) for turns in config.rotated or (True,) * config.num_layers]
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
