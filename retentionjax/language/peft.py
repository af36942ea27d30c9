"""Adapters in PEFT's format, as PEFT and vLLM read and write them: adapter_config.json, adapter_model.safetensors."""

import math
import os
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from retentionjax import storage
from retentionjax.errors import ModelError
from retentionjax.language.decoder import DecoderConfig
from retentionjax.language.decoder.weights import module_path
from retentionjax.language.lora import Adapter

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."

# Settings of PEFT that change what an adapter computes and that ours does not have, with the values that are harmless.
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": (None, "none"),
    "lora_bias": (None, False),
    "modules_to_save": (None, []),
    "use_dora": (None, False),
    "use_qalora": (None, False),
    "use_bdlora": (None, False),
    "kasa_config": (None,),
    "monteclora_config": (None,),
    "velora_config": (None,),
    "alora_invocation_tokens": (None,),
    "arrow_config": (None,),
    "layer_replication": (None,),
    "megatron_config": (None,),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "target_parameters": (None, []),
    "trainable_token_indices": (None,),
}


def save(folder: str | os.PathLike[str], adapter: Adapter, config: DecoderConfig, *, base: str = "") -> None:
    """Writes the adapter of a decoder with `config`; `base` names its model. A folder that is there is replaced."""
    from safetensors.numpy import save as to_bytes

    tensors = {}
    for name, a in adapter.a.items():
        for row in range(a.shape[0]):
            path = _PREFIX + module_path(config, name, adapter.first_layer + row)
            tensors[f"{path}.lora_A.weight"] = np.ascontiguousarray(a[row])
            tensors[f"{path}.lora_B.weight"] = np.ascontiguousarray(adapter.b[name][row])
    with storage.new_folder(folder, replace=True) as partial:
        storage.write_json(partial / CONFIG, _config(adapter, config, base))
        storage.write_bytes(partial / WEIGHTS, to_bytes(tensors, {"format": "pt"}))


def load(folder: str | os.PathLike[str], config: DecoderConfig) -> Adapter:
    """The adapter in `folder`, for a decoder with `config`. Layers or projections that it leaves out get zeros.

    Raises:
        ModelError: no adapter, one that is damaged, belongs to another model, or has a setting that is not supported.
    """
    where = storage.as_path(folder)
    if not (where / CONFIG).exists() or not (where / WEIGHTS).exists():
        raise ModelError(f"{where}: no adapter; allowed: a folder with {CONFIG} and {WEIGHTS}")
    settings = storage.read_json(where / CONFIG)
    for key, allowed in _ONLY.items():
        if (value := settings.get(key, allowed[0])) not in allowed:
            words = " or ".join(repr(each) for each in allowed)
            raise ModelError(f"{where / CONFIG}: {key} is {value!r}; allowed: {words}")
    rank, alpha, rslora = (settings.get(key) for key in ("r", "lora_alpha", "use_rslora"))
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise ModelError(f"{where / CONFIG}: r is {rank!r}, lora_alpha {alpha!r}; allowed: a rank and a number")
    tensors = _tensors(str(where / WEIGHTS), config)
    first = min(layer for _, layer in tensors)
    a, b = _stacked(str(where / WEIGHTS), tensors, config, rank, first)
    return Adapter(
        a=a,
        b=b,
        scale=alpha / (math.sqrt(rank) if rslora else rank),
        first_layer=first,
        dropout=float(settings.get("lora_dropout") or 0.0),
        rslora=bool(rslora),
    )


Halves = dict[str, np.ndarray]
"""lora_A [r, inputs] and lora_B [outputs, r] of one module."""


def _tensors(file: str, config: DecoderConfig) -> dict[tuple[str, int], Halves]:
    """Each adapted projection's tensors, by projection and layer."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    places = {
        f"{_PREFIX}{module_path(config, name, layer)}.{half}.weight": (name, layer, half)
        for name in config.projections
        for layer in range(config.num_layers)
        for half in ("lora_A", "lora_B")
    }
    found: dict[tuple[str, int], Halves] = {}
    try:
        tensors = from_bytes(storage.as_path(file).read_bytes())
    except SafetensorError as error:
        raise ModelError(f"{file}: no safetensors file ({error})") from error
    for key, tensor in tensors.items():
        if key not in places:
            raise ModelError(f"{file}: {key} adapts no projection of this model")
        name, layer, half = places[key]
        found.setdefault((name, layer), {})[half] = np.asarray(tensor, np.float32)
    if not found:
        raise ModelError(f"{file}: holds no tensors")
    return found


def _stacked(
    file: str, tensors: Mapping[tuple[str, int], Halves], config: DecoderConfig, rank: int, first: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    present = {name for name, _ in tensors}
    a: dict[str, Any] = {}
    b: dict[str, Any] = {}
    for name in (each for each in config.projections if each in present):
        inputs, outputs = config.projections[name]
        shapes = {"lora_A": (rank, inputs), "lora_B": (outputs, rank)}
        stack = {half: np.zeros((config.num_layers - first, *shape), np.float32) for half, shape in shapes.items()}
        for layer in range(first, config.num_layers):
            for half, tensor in sorted(tensors.get((name, layer), {}).items()):  # a file keeps no order
                if tensor.shape != shapes[half]:
                    raise ModelError(
                        f"{file}: {half} of {name} in layer {layer} is {tensor.shape}; allowed: {shapes[half]}"
                    )
                stack[half][layer - first] = tensor
        a[name], b[name] = jnp.asarray(stack["lora_A"]), jnp.asarray(stack["lora_B"])
    return a, b


def _config(adapter: Adapter, config: DecoderConfig, base: str) -> dict[str, Any]:
    alpha = adapter.scale * (math.sqrt(adapter.rank) if adapter.rslora else adapter.rank)
    alpha = round(alpha) if math.isclose(alpha, round(alpha)) else alpha  # vLLM wants an int where there is one
    above = list(range(adapter.first_layer, config.num_layers)) if adapter.first_layer else None
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": adapter.rank,
        "lora_alpha": alpha,
        "lora_dropout": adapter.dropout,
        "use_rslora": adapter.rslora,
        "target_modules": list(adapter.a),
        "layers_to_transform": above,
        "layers_pattern": None,
        "fan_in_fan_out": config.family == "gpt2",
        "bias": "none",
        "init_lora_weights": True,
        "inference_mode": True,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "use_dora": False,
    }
