"""Records what transformers and PEFT compute in torch for tiny models: python record_decoder_goldens.py [NAME …].

Needs torch, transformers and peft, which the package and its tests do not; what it writes is committed beside it, as
ordinary Hugging Face folders with a golden.npz in each.
"""

import json
import os
import shutil
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers

FOLDER = Path(__file__).parent / "decoder"
TIME = 12
SMALL = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
GROUPED = SMALL | {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
OPT = {"vocab_size": 64, "hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 3, "num_attention_heads": 4}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
YARN = {"original_max_position_embeddings": 8, "beta_fast": 4.0, "beta_slow": 0.5}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", GROUPED),
    "llama_biases": ("llama", GROUPED | {"attention_bias": True, "mlp_bias": True}),
    "llama_linear": ("llama", GROUPED | {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}}),
    "llama_llama3": (
        "llama",
        GROUPED | {"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "rope_theta": 100.0} | LLAMA3},
    ),
    "llama_yarn": (
        "llama",
        GROUPED | {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 100.0} | YARN},
    ),
    "smollm2": (
        "llama",
        GROUPED
        | {"num_attention_heads": 3, "num_key_value_heads": 1, "hidden_size": 24, "tie_word_embeddings": True}
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e5}, "rms_norm_eps": 1e-5}
        | {"is_llama_config": True, "rope_interleaved": False, "pretraining_tp": 1},
    ),
    "mistral": ("mistral", GROUPED | {"sliding_window": 5, "head_dim": 8}),
    "qwen2": (
        "qwen2",
        GROUPED
        | {"tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", GROUPED | {"head_dim": 8}),
    "qwen3_tied": (
        "qwen3",
        GROUPED
        | {"head_dim": 8, "tie_word_embeddings": True, "attention_bias": True, "rms_norm_eps": 1e-5}
        | {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2},
    ),
    "smollm3": (
        "smollm3",
        GROUPED | {"num_hidden_layers": 5, "no_rope_layer_interval": 2, "tie_word_embeddings": True},
    ),
    "smollm3_windows": (
        "smollm3",
        GROUPED
        | {"no_rope_layers": [0, 1, 1], "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}
        | {"use_sliding_window": True, "sliding_window": 4},
    ),
    "opt": ("opt", OPT | {"max_position_embeddings": 32, "word_embed_proj_dim": 16}),
    "opt_350m": (
        "opt",
        OPT | {"max_position_embeddings": 32, "word_embed_proj_dim": 8, "do_layer_norm_before": False},
    ),
    "gpt2": ("gpt2", {"vocab_size": 64, "n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 32}),
}
ADAPTERS = {
    "lora": {"r": 3, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj", "down_proj"]},
    "lora_upper_rslora": {
        "r": 4,
        "lora_alpha": 8,
        "use_rslora": True,
        "target_modules": ["k_proj", "o_proj", "gate_proj"],
        "layers_to_transform": [1, 2],
    },
}


def build(kind: str, entries: dict[str, Any]) -> Any:
    """A model whose every weight is random and large enough to matter, norms and biases too."""
    config = transformers.AutoConfig.for_model(kind, bos_token_id=1, eos_token_id=2, pad_token_id=0, **entries)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for name, weight in model.named_parameters():
        noise = torch.randn_like(weight) * 0.25
        weight.data = noise + 1.0 if "norm" in name and name.endswith("weight") else noise
    return model


def inputs() -> dict[str, torch.Tensor]:
    """Two rows, the second with three tokens of padding on the left."""
    tokens = torch.randint(3, 64, (2, TIME))
    mask = torch.ones(2, TIME, dtype=torch.long)
    mask[1, :3] = 0
    positions = (mask.cumsum(1) - mask).clamp(min=0)
    return {"input_ids": tokens, "attention_mask": mask, "position_ids": positions}


def record(folder: Path, model: Any) -> None:
    given = inputs()
    with torch.no_grad():
        logits = model(**given).logits
    np.savez_compressed(
        folder / "golden.npz",
        tokens=given["input_ids"].numpy().astype(np.int32),
        mask=given["attention_mask"].numpy().astype(bool),
        logits=logits.numpy(),
    )


def record_model(name: str, kind: str, entries: dict[str, Any]) -> None:
    folder = FOLDER / name
    model = build(kind, entries)
    # One family in shards, so that an index written by transformers is read too.
    model.save_pretrained(folder, max_shard_size="8KB" if name == "opt" else "5GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    record(folder, model)


def record_adapter(name: str, entries: dict[str, Any]) -> None:
    """An adapter with random A and B saved by PEFT, its logits, and one weight after PEFT's own merge."""
    base = transformers.AutoModelForCausalLM.from_pretrained(FOLDER / "llama", attn_implementation="eager")
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **entries)).eval()
    for key, weight in model.named_parameters():
        if "lora_" in key:
            weight.data = torch.randn_like(weight) * 0.3
    folder = FOLDER / name
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "llama"}, indent=2))
    given = inputs()
    with torch.no_grad():
        logits = model(**given).logits.numpy()
    merged = {key: value.numpy() for key, value in model.merge_and_unload().state_dict().items() if "layers" in key}
    np.savez_compressed(
        folder / "golden.npz",
        tokens=given["input_ids"].numpy().astype(np.int32),
        mask=given["attention_mask"].numpy().astype(bool),
        logits=logits,
        **merged,
    )


def main(wanted: list[str]) -> None:
    """Records all models and adapters anew, or those named."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    for name in wanted or [*MODELS, *ADAPTERS]:
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        torch.manual_seed(zlib.crc32(name.encode()))
        if name in MODELS:
            record_model(name, *MODELS[name])
        else:
            record_adapter(name, ADAPTERS[name])


if __name__ == "__main__":
    main(sys.argv[1:])
