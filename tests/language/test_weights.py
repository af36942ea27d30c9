"""Folders of weights that say one thing and hold another."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from retentionjax import storage
from retentionjax.errors import ModelError
from retentionjax.language import hub

ORACLES = Path(__file__).parents[1] / "oracles" / "decoder"


def test_an_index_that_its_shards_do_not_bear_out_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "opt"
    shutil.copytree(ORACLES / "opt", folder)
    file = folder / "model.safetensors.index.json"
    places = json.loads(file.read_text())["weight_map"]
    name, *others = places
    elsewhere = next(places[other] for other in others if places[other] != places[name])
    storage.write_json(file, {"weight_map": {**places, name: elsewhere}})
    with pytest.raises(ModelError, match=rf"{elsewhere}: the tensor {name}, which .*index.json says is here, is miss"):
        hub.load_decoder(folder)
    for index in ([], {}, {"weight_map": [name]}, {"weight_map": {**places, name: None}}):
        storage.write_json(file, index)
        with pytest.raises(ModelError, match=r"index.json: weight_map is missing; allowed: the file of each tensor"):
            hub.load_decoder(folder)


def test_of_a_whole_file_and_shards_the_whole_file_counts_as_in_transformers(tmp_path: Path) -> None:
    decoder = hub.load_decoder(ORACLES / "llama")
    hub.save(tmp_path / "saved", decoder, shard_bytes=8_000)
    tensors = load_file(ORACLES / "llama" / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in tensors.items()}, tmp_path / "saved" / "model.safetensors")
    found = hub.load_decoder(tmp_path / "saved").parameters()["embedding"]
    np.testing.assert_array_equal(found, 2 * decoder.parameters()["embedding"])


def test_weights_beyond_the_type_they_are_wanted_in_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    shutil.copytree(ORACLES / "llama", folder)
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"model.norm.weight": tensors["model.norm.weight"] * 1e6}, folder / "model.safetensors")
    hub.load_decoder(folder)
    with pytest.raises(ModelError, match=r"model.norm.weight has 16 of 16 numbers that are not finite in float16"):
        hub.load_decoder(folder, dtype=jnp.float16)


def test_a_config_that_is_no_object_is_refused(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "config.json", [])
    with pytest.raises(ModelError, match=r"config.json: holds \[\]; allowed: an object with model_type"):
        hub.load_decoder(tmp_path)
