"""Safetensors to stacked parameters and back, under the names of Hugging Face's checkpoints."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Array

from retentionjax import storage
from retentionjax.errors import ModelError
from retentionjax.language.decoder.config import DecoderConfig
from retentionjax.language.decoder.model import shapes

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Naming:
    """How a family names its weights."""

    prefix: str
    """Prefix of all names but the head's; some checkpoints leave it, or its first part, away."""
    layers: str
    transposed: bool
    """torch's Linear keeps [outputs, inputs]; GPT-2's Conv1D keeps [inputs, outputs], as we do."""
    outer: Mapping[str, str]
    inner: Mapping[str, str]


NAMING = {
    "llama": Naming(
        "model.",
        "layers",
        transposed=True,
        outer={"embedding": "embed_tokens", "final_norm": "norm"},
        inner={
            **{name: f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")},
            **{name: f"mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")},
            "attention_norm": "input_layernorm",
            "mlp_norm": "post_attention_layernorm",
        },
    ),
    "opt": Naming(
        "model.decoder.",
        "layers",
        transposed=True,
        outer={
            "embedding": "embed_tokens",
            "position_embedding": "embed_positions",
            "project_in": "project_in",
            "project_out": "project_out",
            "final_norm": "final_layer_norm",
        },
        inner={
            **{name: f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")},
            "fc1": "fc1",
            "fc2": "fc2",
            "attention_norm": "self_attn_layer_norm",
            "mlp_norm": "final_layer_norm",
        },
    ),
    "gpt2": Naming(
        "transformer.",
        "h",
        transposed=False,
        outer={"embedding": "wte", "position_embedding": "wpe", "final_norm": "ln_f"},
        inner={
            "c_attn": "attn.c_attn",
            "attn.c_proj": "attn.c_proj",
            "c_fc": "mlp.c_fc",
            "mlp.c_proj": "mlp.c_proj",
            "attention_norm": "ln_1",
            "mlp_norm": "ln_2",
        },
    ),
}


def module_path(config: DecoderConfig, projection: str, layer: int) -> str:
    """A projection's place in the Hugging Face model: `model.layers.3.self_attn.q_proj`."""
    naming = NAMING[config.family]
    return f"{naming.prefix}{naming.layers}.{layer}.{naming.inner[projection]}"


def hf_names(config: DecoderConfig, parameter: str) -> list[str]:
    """The checkpoint's tensors behind one of our parameters: one, or one a layer."""
    if parameter == "head":
        return ["lm_head.weight"]
    naming = NAMING[config.family]
    name, _, field = parameter.rpartition(".") if "." in parameter else (parameter, "", "")
    kind = "bias" if field == "bias" else "weight"
    if name.startswith("layers."):
        inner = name.removeprefix("layers.")
        return [f"{module_path(config, inner, layer)}.{kind}" for layer in range(config.num_layers)]
    return [f"{naming.prefix}{naming.outer[name]}.{kind}"]


def read(folder: epath.Path, config: DecoderConfig, dtype: Any) -> dict[str, Array]:
    """The parameters in a folder's safetensors, one file or shards with an index, as `dtype`.

    Raises:
        ModelError: a file or tensor is missing, damaged, not finite, or of another shape or type than it can have;
            tensors that no part of the model wants.
    """
    tensors = Tensors(folder)
    found = {}
    for parameter, shape in shapes(config).items():
        names = [tensors.locate(config, name) for name in hf_names(config, parameter)]
        turn = NAMING[config.family].transposed and parameter.endswith(".kernel")
        stacked = parameter.startswith("layers.")
        each = shape[1:] if stacked else shape
        array = np.empty(shape, np.dtype(dtype))
        for layer, name in enumerate(names):
            tensor = tensors.read(name, np.dtype(dtype))
            tensor = tensor.T if turn else tensor
            if tensor.shape != each:
                raise ModelError(f"{folder}: {name} has the shape {tensor.shape}; config.json says {each}")
            if stacked:
                array[layer] = tensor
            else:
                array[...] = tensor
        found[parameter] = jnp.asarray(array)
    tensors.finish(config)
    return found


class Tensors:
    """The tensors of a checkpoint's folder by name, and which of them were asked for."""

    def __init__(self, folder: epath.Path) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}
        self._where = _index(folder)
        self._taken: set[str] = set()

    def locate(self, config: DecoderConfig, name: str) -> str:
        """The name under which the folder has `name`: some checkpoints were saved without the outer module."""
        prefix = NAMING[config.family].prefix
        bare = [name] if not name.startswith(prefix) else [name, name.removeprefix("model."), name.removeprefix(prefix)]
        for candidate in bare:
            if candidate in self._where:
                return candidate
        raise ModelError(f"{self._folder}: the tensor {name} is missing")

    def read(self, name: str, dtype: np.dtype = _FLOAT32) -> np.ndarray:
        """The tensor, as stored; numbers that are finite in `dtype`."""
        self._taken.add(name)
        file = self._where[name]
        opened = _open(self._folder, file, self._files)
        if name not in opened.keys():  # noqa: SIM118 - a safetensors file is no mapping
            raise ModelError(f"{self._folder / file}: the tensor {name}, which {INDEX} says is here, is missing")
        check_type(self._folder / file, name, opened.get_slice(name).get_dtype())
        array: np.ndarray = opened.get_tensor(name)
        check_finite(self._folder / file, name, array, dtype)
        return array

    def finish(self, config: DecoderConfig) -> None:
        """Raises ModelError if there are tensors nobody asked for, but buffers and the copy that a tied head is."""
        buffers = (".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq")
        left = {name for name in self._where.keys() - self._taken if not name.endswith(buffers)}
        if config.tied and "lm_head.weight" in left:
            self._refuse_other_head(self.locate(config, hf_names(config, "embedding")[0]))
            left.discard("lm_head.weight")
        if left:
            some = ", ".join(sorted(left)[:5])
            raise ModelError(f"{self._folder}: {len(left)} tensors that the model has no place for: {some}")

    def _refuse_other_head(self, embedding: str) -> None:
        """A head of its own under tie_word_embeddings: transformers 5 uses it, transformers 4 does not."""
        if not np.array_equal(self.read("lm_head.weight"), self.read(embedding)):
            wrong = f"lm_head.weight is no copy of {embedding}, and config.json says tie_word_embeddings"
            raise ModelError(f"{self._folder}: {wrong}; allowed: a copy, or tie_word_embeddings false")


TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16}
"""What weights may be stored as, under safetensors' names. Others (F8_E4M3, I8, U8) are steps of a scale that a
quantised checkpoint keeps beside them: read as numbers they would be wrong."""


def check_type(file: epath.Path, name: str, kind: str) -> None:
    """Raises ModelError for a tensor that is not stored as a plain floating-point number."""
    if kind not in TYPES:
        raise ModelError(f"{file}: {name} is stored as {kind}; allowed: {', '.join(TYPES)}")


def check_finite(file: epath.Path, name: str, array: np.ndarray, dtype: np.dtype = _FLOAT32) -> None:
    """Raises ModelError for a tensor with a NaN or an infinity in it, or beyond what `dtype` can hold."""
    with np.errstate(over="ignore"):
        wrong = int((~np.isfinite(array.astype(dtype, copy=False).astype(np.float32, copy=False))).sum())
    if wrong:
        raise ModelError(f"{file}: {name} has {wrong} of {array.size} numbers that are not finite in {dtype}")


def write(folder: epath.Path, config: DecoderConfig, parameters: Mapping[str, Array], max_shard_bytes: int) -> None:
    """Writes the parameters as safetensors into an existing folder, in shards with an index where they are many."""
    from safetensors.numpy import save

    shards = list(_shards(to_tensors(config, parameters), max_shard_bytes))
    metadata = {"format": "pt"}  # transformers refuses files that do not say so
    if len(shards) == 1:
        storage.write_bytes(folder / SINGLE, save(shards[0], metadata))
        return
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        storage.write_bytes(folder / file, save(shard, metadata))
        places |= dict.fromkeys(shard, file)
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    storage.write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})


def to_tensors(config: DecoderConfig, parameters: Mapping[str, Array]) -> Iterator[tuple[str, np.ndarray]]:
    """The checkpoint's tensors, name and array, one at a time.

    Raises:
        ModelError: int8 weights, for which the format has no word.
    """
    for parameter in shapes(config):
        array = np.asarray(parameters[parameter])
        if array.dtype == np.int8:
            raise ModelError(f"{parameter} is int8; allowed: saving the floating-point weights it was made from")
        turn = NAMING[config.family].transposed and parameter.endswith(".kernel")
        names = hf_names(config, parameter)
        layers = array if parameter.startswith("layers.") else array[None]
        for name, tensor in zip(names, layers, strict=True):
            yield name, np.ascontiguousarray(tensor.T if turn else tensor)


def _shards(tensors: Iterator[tuple[str, np.ndarray]], limit: int) -> Iterator[dict[str, np.ndarray]]:
    shard: dict[str, np.ndarray] = {}
    size = 0
    for name, tensor in tensors:
        if shard and size + tensor.nbytes > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += tensor.nbytes
    yield shard


def _index(folder: epath.Path) -> dict[str, str]:
    """File by tensor."""
    if (folder / SINGLE).exists():  # where there are both, transformers reads this one too
        return dict.fromkeys(_open(folder, SINGLE, {}).keys(), SINGLE)
    if (folder / INDEX).exists():
        index = storage.read_json(folder / INDEX)
        entries = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(entries, dict) or not all(isinstance(file, str) for file in entries.values()):
            raise ModelError(f"{folder / INDEX}: weight_map is missing; allowed: the file of each tensor by its name")
        if missing := sorted(file for file in set(entries.values()) if not (folder / file).exists()):
            raise ModelError(f"{folder}: {', '.join(missing)} of {INDEX} is missing")
        return entries
    raise ModelError(f"{folder}: holds neither {SINGLE} nor {INDEX}")


def _open(folder: epath.Path, file: str, opened: dict[str, Any]) -> Any:
    """A safetensors file, opened once. Its name must not lead out of the folder."""
    from safetensors import SafetensorError, safe_open

    if file not in opened:
        if "/" in file or "\\" in file:
            raise ModelError(f"{folder / INDEX}: the file name {file!r} leads elsewhere; allowed: files of the folder")
        try:
            opened[file] = safe_open(str(folder / file), framework="numpy")
        except (SafetensorError, json.JSONDecodeError, OSError) as error:
            raise ModelError(f"{folder / file}: no safetensors file ({error})") from error
    return opened[file]
