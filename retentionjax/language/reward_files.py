"""A reward model as a folder: `reward.safetensors` with its arrays, `reward.json` with everything else."""

import os
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from retentionjax import storage
from retentionjax.errors import DataError
from retentionjax.language.clicks import ClickHead
from retentionjax.language.lora import Adapter
from retentionjax.language.reward import RewardModel, RewardParams

FORMAT = 1
_CLICKS = ("weight", "mean", "std")


def save(folder: str | os.PathLike[str], model: RewardModel) -> None:
    """Writes the model to `folder`, whole or not at all; one that is there is replaced."""
    from safetensors.numpy import save as to_bytes  # only those who train or read models need the package

    adapter = model.scorer.adapter
    arrays = {f"adapter.{side}.{name}": getattr(adapter, side)[name] for side in ("a", "b") for name in adapter.a}
    arrays |= {"head.weight": model.scorer.weight, "head.bias": model.scorer.bias, "mean": model.mean, "std": model.std}
    if model.clicks is not None:
        arrays |= {f"clicks.{name}": getattr(model.clicks, name) for name in _CLICKS}
    settings = {
        "format": FORMAT,
        "scale": adapter.scale,
        "first_layer": adapter.first_layer,
        "targets": sorted(adapter.a),
    }
    with storage.new_folder(folder, replace=True) as partial:
        storage.write_bytes(partial / "reward.safetensors", to_bytes({k: np.asarray(v) for k, v in arrays.items()}))
        storage.write_json(partial / "reward.json", settings)


def load(folder: str | os.PathLike[str]) -> RewardModel:
    """The model in `folder`.

    Raises:
        DataError: a file is missing or damaged, or the format is unknown.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    place = storage.as_path(folder)
    settings = storage.read_json(place / "reward.json")
    if settings.get("format") != FORMAT:
        raise DataError(f"{place}/reward.json: format is {settings.get('format')!r}; allowed: {FORMAT}")
    try:
        arrays = from_bytes((place / "reward.safetensors").read_bytes())
        return _assemble(settings, arrays)
    except FileNotFoundError:
        raise DataError(f"{place}/reward.safetensors: no such file") from None
    except SafetensorError as error:
        raise DataError(f"{place}/reward.safetensors: damaged: {error}") from error
    except KeyError as error:
        raise DataError(f"{place}: holds no {error}") from None


def _assemble(settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> RewardModel:
    a, b = (
        {name: jnp.asarray(arrays[f"adapter.{side}.{name}"]) for name in settings["targets"]} for side in ("a", "b")
    )
    adapter = Adapter(a=a, b=b, scale=float(settings["scale"]), first_layer=int(settings["first_layer"]))
    scorer = RewardParams(adapter, jnp.asarray(arrays["head.weight"]), jnp.asarray(arrays["head.bias"]))
    clicks = (
        ClickHead(*(jnp.asarray(arrays[f"clicks.{name}"]) for name in _CLICKS)) if "clicks.weight" in arrays else None
    )
    return RewardModel(scorer, jnp.asarray(arrays["mean"]), jnp.asarray(arrays["std"]), clicks)
