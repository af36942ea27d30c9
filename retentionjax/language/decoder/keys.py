"""The keys of a config.json: taken one by one, so that at the end it is known which nobody took.

A key that changes what the model computes and that nobody took is an error. One that changes nothing is passed over:
in silence where it belongs to training or bookkeeping, with a warning where its owner may expect otherwise (settings
of generation; keys that nobody knows but that are private or null).
"""

import warnings
from collections.abc import Mapping
from typing import Any, NoReturn

from retentionjax.errors import ModelError

# What changes neither weights nor logits: dropout and initialisation of their training, bookkeeping.
# fmt: off
_WITHOUT_EFFECT = frozenset(
    {
        "_name_or_path", "_attn_implementation", "activation_dropout", "architectures", "attention_dropout",
        "attn_implementation", "attn_pdrop", "auto_map", "bos_token_id", "chunk_size_feed_forward",
        "cls_token_id", "dropout", "dtype", "embd_pdrop", "eos_token_id", "finetuning_task",
        "gradient_checkpointing", "id2label", "init_std", "initializer_range", "is_decoder", "is_llama_config",
        "label2id", "layerdrop", "mask_token_id", "max_sequence_length", "model_max_length", "n_ctx", "num_labels",
        "output_attentions", "output_hidden_states", "pad_token_id", "prefix", "pretraining_tp", "problem_type",
        "resid_pdrop", "return_dict", "sep_token_id", "summary_activation", "summary_first_dropout",
        "summary_proj_to_labels", "summary_type", "summary_use_proj", "task_specific_params", "tf_legacy_loss",
        "tie_encoder_decoder", "tokenizer_class", "torch_dtype", "torchscript", "transformers.js_config",
        "transformers_version", "unk_token_id", "unsloth_fixed", "unsloth_version", "use_bfloat16", "use_cache",
    }
)
# What transformers before 4.41 let a config say of generation; here a sampler's own settings hold.
_OF_GENERATION = frozenset(
    {
        "assistant_confidence_threshold", "bad_words_ids", "begin_suppress_tokens", "cache_implementation",
        "constraints", "decoder_start_token_id", "diversity_penalty", "do_sample", "dola_layers",
        "early_stopping", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "epsilon_cutoff",
        "eta_cutoff", "exponential_decay_length_penalty", "force_words_ids", "forced_bos_token_id",
        "forced_decoder_ids", "forced_eos_token_id", "generation_config", "guidance_scale", "length_penalty",
        "low_memory", "max_length", "max_new_tokens", "max_time", "min_length", "min_new_tokens", "min_p",
        "no_repeat_ngram_size", "num_assistant_tokens", "num_beam_groups", "num_beams", "num_return_sequences",
        "output_logits", "output_scores", "penalty_alpha", "prompt_lookup_num_tokens", "remove_invalid_values",
        "renormalize_logits", "repetition_penalty", "return_dict_in_generate", "sequence_bias", "stop_strings",
        "suppress_tokens", "temperature", "token_healing", "top_h", "top_k", "top_p", "typical_p",
        "watermarking_config",
    }
)
# fmt: on
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "layer_norm_elementwise_affine": (True,),
    "mlp_bias": (None, False),
    "partial_rotary_factor": (None, 1.0),
    "pruned_heads": (None, {}),
    "reorder_and_upcast_attn": (False,),
    "rope_interleaved": (False,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
    "sliding_window": (None,),
    "use_mrope": (False,),
    "use_sliding_window": (False,),
    "quantization_config": (None,),
}


_MOST = 1e300
"""Numbers lie below it: `1e400` is legal JSON, and infinite; a whole number may be more than a float can be."""


class Keys:
    """The entries of a config.json, taken one by one, so that at the end it is known which nobody took."""

    def __init__(self, entries: Mapping[str, Any], where: str) -> None:
        self._left = {key: value for key, value in entries.items() if key not in _WITHOUT_EFFECT}
        self._where = where

    def take(self, key: str, default: Any = ...) -> Any:
        """The value at `key`, which need not be there if a default is given."""
        if key not in self._left:
            if default is ...:
                raise ModelError(f"{self._where}: {key} is missing")
            return default
        return self._left.pop(key)

    def whole(self, key: str, default: Any = ..., *, least: int | None = None) -> int:
        """The whole number at `key`, `least` or more."""
        value = self.take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
            self.refuse(key, value, "a whole number" if least is None else f"a whole number from {least}")
        return int(value)

    def whole_or_null(self, key: str, default: int | None) -> int | None:
        """The whole number at `key`, or null."""
        value = self.take(key, default)
        return None if value is None else self.whole(key, value)

    def text(self, key: str, default: Any = ...) -> str:
        """The text at `key`."""
        value = self.take(key, default)
        if not isinstance(value, str):
            self.refuse(key, value, "text")
        return str(value)

    def entries(self, key: str) -> dict[str, Any]:
        """The entries of the object at `key`; none where it is null or left out."""
        value = self.take(key, None)
        if not isinstance(value, dict | None):
            self.refuse(key, value, "an object")
        return dict(value or {})

    def flag(self, key: str, *, default: bool) -> bool:
        """The true or false at `key`."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            self.refuse(key, value, "true or false")
        return bool(value)

    def number(self, key: str, default: Any = ...) -> float:
        """The number at `key`."""
        value = self.take(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < _MOST:
            self.refuse(key, value, "a number")
        return float(value)

    def number_or(self, key: str, default: Any) -> float:
        """The number at `key`, or `default` where it is null or left out; `...` allows neither."""
        if default is not ... and self._left.get(key) is None:
            self._left.pop(key, None)
            return float(default)
        return self.number(key)

    def refuse(self, key: str, value: Any, allowed: str) -> NoReturn:
        """Raises ModelError naming the key, its value and what is allowed."""
        raise ModelError(f"{self._where}: {key} is {value!r}; allowed: {allowed}")

    def finish(self) -> None:
        """Raises ModelError for a key that nobody took and that may matter; warns of those that cannot."""
        ignored = []
        for key, value in self._left.items():
            if key in _ONLY:
                if value not in _ONLY[key]:
                    self.refuse(key, value, " or ".join(repr(each) for each in _ONLY[key]))
            elif key in _OF_GENERATION or key.startswith("_") or value is None:
                ignored.append(key)
            else:
                raise ModelError(f"{self._where}: {key} (= {value!r}) is not supported")
        if ignored:
            warnings.warn(f"{self._where}: without effect here: {', '.join(sorted(ignored))}", stacklevel=2)
