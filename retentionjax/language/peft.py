"""Adapters in PEFT's format, as PEFT and vLLM read and write them: adapter_config.json, adapter_model.safetensors."""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from etils import epath

from retentionjax import storage
from retentionjax.errors import ModelError
from retentionjax.language.decoder import DecoderConfig
from retentionjax.language.decoder.weights import TYPES, check_finite, check_type, module_path
from retentionjax.language.lora import Adapter

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."

# Settings of PEFT that change what an adapter computes and that ours does not have, with the values that are harmless.
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "task_type": (None, "CAUSAL_LM"),
    "bias": (None, "none"),
    # PiSSA, OLoRA, CorDA, LoftQ and their kin change the base's weights, which the adapter's file does not hold.
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),
}
# Settings that say how an adapter was made, or that its tensors say again.
# fmt: off
_WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying", "eva_config",
        "exclude_modules", "fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform",
        "loftq_config", "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size", "revision",
        "runtime_config", "target_modules",
    }
)
# fmt: on


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
        ModelError: no adapter, one that is damaged or not finite, belongs to another model, or has a setting that is
            not supported.
    """
    where = storage.as_path(folder)
    if not (where / CONFIG).exists() or not (where / WEIGHTS).exists():
        raise ModelError(f"{where}: no adapter; allowed: a folder with {CONFIG} and {WEIGHTS}")
    settings = _settings(where / CONFIG)
    rank, alpha, rslora = settings["r"], settings["lora_alpha"], bool(settings.get("use_rslora"))
    tensors = _tensors(where / WEIGHTS, config)
    first = min(layer for _, layer in tensors)
    a, b = _stacked(str(where / WEIGHTS), tensors, config, rank, first)
    return Adapter(
        a=a,
        b=b,
        scale=alpha / (math.sqrt(rank) if rslora else rank),
        first_layer=first,
        dropout=float(settings.get("lora_dropout") or 0.0),
        rslora=rslora,
    )


_OURS: Mapping[str, tuple[tuple[type, ...], Callable[[Any], bool], str]] = {
    "r": ((int,), lambda rank: rank >= 1, "a whole number, 1 or more"),
    "lora_alpha": ((int, float), lambda alpha: abs(alpha) <= 1e30, "a number within ±1e30"),
    "lora_dropout": ((int, float), lambda share: 0.0 <= share < 1.0, "0 up to, not including, 1"),
    "use_rslora": ((bool,), lambda _: True, "true or false"),
}
"""Settings that ours has: their types, what fits, and what is allowed in words."""


def _settings(file: epath.Path) -> dict[str, Any]:
    """The entries of adapter_config.json; any that is on and that ours does not have is refused, known or not."""
    settings = storage.read_json(file)
    if not isinstance(settings, dict):
        raise ModelError(f"{file}: holds {settings!r}; allowed: an object with r, lora_alpha and other settings")
    for key, value in settings.items():
        if key in _ONLY and value not in _ONLY[key]:
            words = " or ".join(repr(each) for each in _ONLY[key])
            raise ModelError(f"{file}: {key} is {value!r}; allowed: {words}")
        if key not in _ONLY and key not in _OURS and key not in _WITHOUT_EFFECT and value:
            raise ModelError(f"{file}: {key} is {value!r}; allowed: None or {type(value)()!r}")
    for key, (kinds, fits, allowed) in _OURS.items():
        value = settings.get(key)
        left_out = value is None and key in ("lora_dropout", "use_rslora")
        if not left_out and not (type(value) in kinds and fits(value)):
            raise ModelError(f"{file}: {key} is {value!r}; allowed: {allowed}")
    return settings


Halves = dict[str, np.ndarray]
"""lora_A [r, inputs] and lora_B [outputs, r] of one module."""


def _tensors(file: epath.Path, config: DecoderConfig) -> dict[tuple[str, int], Halves]:
    """Each adapted projection's tensors, by projection and layer."""
    import safetensors

    read: Any = safetensors.deserialize
    places = {
        f"{_PREFIX}{module_path(config, name, layer)}.{half}.weight": (name, layer, half)
        for name in config.projections
        for layer in range(config.num_layers)
        for half in ("lora_A", "lora_B")
    }
    found: dict[tuple[str, int], Halves] = {}
    try:
        entries = read(file.read_bytes())
    except safetensors.SafetensorError as error:
        raise ModelError(f"{file}: no safetensors file ({error})") from error
    for key, entry in entries:
        if key not in places:
            raise ModelError(f"{file}: {key} adapts no projection of this model")
        check_type(file, key, entry["dtype"])
        tensor = np.frombuffer(entry["data"], TYPES[entry["dtype"]]).reshape(entry["shape"])
        check_finite(file, key, tensor)
        name, layer, half = places[key]
        found.setdefault((name, layer), {})[half] = tensor.astype(np.float32)
    if not found:
        raise ModelError(f"{file}: holds no tensors")
    for (name, layer), halves in found.items():
        if len(halves) == 1:
            raise ModelError(f"{file}: {name} in layer {layer} has {next(iter(halves))} only; allowed: both halves")
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
