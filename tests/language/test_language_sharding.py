"""A decoder over a mesh: where its arrays lie changes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from retentionjax.errors import ConfigError
from retentionjax.language import hub, sharding


def test_eight_devices_and_one_give_the_same_numbers() -> None:
    worker = Path(__file__).with_name("sharding_worker.py")
    printed = subprocess.run([sys.executable, str(worker)], check=True, capture_output=True, text=True).stdout
    found = json.loads(printed)
    assert found["devices"] == 8
    for name in ("logits", "gradient", "decode", "int8", "indivisible"):
        assert found[name] < 1e-5, name
    assert found["share"] == 1 / 4  # over fsdp and tensor; copied along data
    assert found["lie"]["layers.q_proj.kernel"] == [None, "fsdp", "tensor"]
    assert found["lie"]["layers.o_proj.kernel"] == [None, "tensor", "fsdp"]
    assert found["lie"]["layers.mlp_norm.scale"] == []


def test_every_projection_of_every_family_has_a_rule() -> None:
    oracles = Path(__file__).parents[1] / "oracles" / "decoder"
    for name in ("llama", "opt_350m", "gpt2"):
        decoder = hub.load_decoder(oracles / name)
        for parameter in decoder.parameters():
            if parameter.endswith("kernel") or "embedding" in parameter:
                assert "fsdp" in sharding.axes(parameter), parameter


def test_a_mesh_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"allowed: 1 or more along each axis"):
        sharding.device_mesh(tensor=0)
    with pytest.raises(ConfigError, match=rf"at most the {jax.device_count()} devices"):
        sharding.device_mesh(data=1000)
