"""A restored state is the saved one bit for bit, or it is refused; a SIGKILL while saving costs one step at most."""

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from retentionjax.checkpoint import Checkpoints
from retentionjax.errors import CheckpointError


def train_state() -> dict[str, Any]:
    parameters = {"w": jnp.linspace(0, 1, 6, dtype=jnp.float32).reshape(2, 3), "b": jnp.ones(3, jnp.bfloat16)}
    return {
        "parameters": parameters,
        "optimiser": optax.adam(1e-3).init(parameters),
        "key": jax.random.key(3),
        "keys": jax.random.split(jax.random.key(4, impl="rbg"), 5),
        "old_key": jax.random.PRNGKey(5),
        "host": np.arange(4, dtype=np.int64),
        "step": 7,
        "rate": 0.1,
        "done": True,
        "nothing": None,
        "empty": {},
    }


def bits(tree: Any) -> list[Any]:
    def of(leaf: Any) -> Any:
        if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return str(jax.random.key_impl(leaf)), np.asarray(jax.random.key_data(leaf)).tobytes()
        return type(leaf), np.asarray(leaf).dtype, np.asarray(leaf).tobytes()

    return [of(leaf) for leaf in jax.tree.leaves(tree)]


def test_a_training_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    state = train_state()
    Checkpoints(tmp_path).save(3, state)
    restored = Checkpoints(tmp_path).restore(state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert bits(restored) == bits(state)
    assert jax.random.uniform(restored["key"]) == jax.random.uniform(state["key"])


def test_a_state_is_restored_from_its_shapes_alone(tmp_path: Path) -> None:
    state = {"w": jnp.arange(3.0), "key": jax.random.key(1)}
    Checkpoints(tmp_path).save(1, state)
    assert bits(Checkpoints(tmp_path).restore(jax.eval_shape(lambda: state))) == bits(state)


def test_an_array_is_bound_to_a_device_where_it_was_before_and_only_there(tmp_path: Path) -> None:
    state = {"bound": jax.device_put(jnp.ones(2), jax.devices()[0]), "free": jnp.ones(2)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state)
    restored = checkpoints.restore(state)
    assert (restored["bound"].committed, restored["free"].committed) == (True, False)


def test_the_last_two_steps_are_kept_and_either_can_be_had(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "missing" / "folder")
    assert checkpoints.latest_step() is None
    for step in (1, 2, 10):
        checkpoints.save(step, {"value": jnp.int32(step)})
    assert checkpoints.latest_step() == 10
    assert checkpoints.restore({"value": jnp.int32(0)})["value"] == 10
    assert checkpoints.restore({"value": jnp.int32(0)}, step=2)["value"] == 2
    with pytest.raises(CheckpointError, match=r"holds no step 1; there are 2, 10"):
        checkpoints.restore({"value": jnp.int32(0)}, step=1)


def test_a_relative_folder_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Checkpoints("here").save(0, jnp.ones(2))
    np.testing.assert_array_equal(Checkpoints("here").restore(jnp.zeros(2)), np.ones(2))


def test_an_empty_folder_has_nothing_to_restore(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        Checkpoints(tmp_path).restore(jnp.zeros(2))


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"w": jnp.zeros(4)}, r"\['w'\] is float32\[3\] there and float32\[4\] here"),
        ({"w": jnp.zeros(3, jnp.bfloat16)}, r"\['w'\] is float32\[3\] there and bfloat16\[3\] here"),
        ({"w": jax.random.key(0)}, r"\['w'\] is float32\[3\] there and key<fry>\[\] here"),
        ({"w": jnp.zeros(3), "v": jnp.zeros(1)}, r"it holds no \['v'\]"),
        ({}, r"it holds \['w'\] \(float32\[3\]\), unknown here"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name(tmp_path: Path, like: Any, message: str) -> None:
    Checkpoints(tmp_path).save(1, {"w": jnp.ones(3)})
    with pytest.raises(CheckpointError, match=message):
        Checkpoints(tmp_path).restore(like)


def test_another_kind_of_prng_key_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, {"key": jax.random.key(0, impl="rbg")})
    with pytest.raises(CheckpointError, match=r"key<rbg>\[\] there and key<urbg>\[\] here"):
        Checkpoints(tmp_path).restore({"key": jax.random.key(0, impl="unsafe_rbg")})


def test_only_arrays_and_numbers_can_be_saved(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"\['name'\] is a str"):
        Checkpoints(tmp_path).save(1, {"name": "text"})
    assert Checkpoints(tmp_path).latest_step() is None


def test_saving_the_latest_step_again_is_nothing_and_an_earlier_one_an_error(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, jnp.ones(1))
    checkpoints.save(5, jnp.ones(1))
    with pytest.raises(CheckpointError, match="step 4 comes before the latest saved step 5"):
        checkpoints.save(4, jnp.ones(1))


@pytest.mark.parametrize("part", ["arrays/manifest.ocdbt", "leaves/metadata", "arrays/ocdbt.process_0/d", "arrays"])
def test_a_damaged_checkpoint_is_a_clear_error(tmp_path: Path, part: str) -> None:
    Checkpoints(tmp_path).save(1, {"w": jnp.arange(1000.0)})
    damaged = tmp_path / "1" / part
    if damaged.is_dir():
        shutil.rmtree(damaged)
    else:
        damaged.write_bytes(b"no")
    with pytest.raises(CheckpointError, match="step 1 is damaged"):
        Checkpoints(tmp_path).restore({"w": jnp.zeros(1000)})


def test_at_least_one_checkpoint_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep is 0"):
        Checkpoints(tmp_path, keep=0)


def test_killed_again_and_again_while_saving_the_latest_whole_step_restores(tmp_path: Path) -> None:
    code = f"""
        import jax.numpy as jnp
        from retentionjax.checkpoint import Checkpoints
        checkpoints = Checkpoints({str(tmp_path)!r})
        first = (checkpoints.latest_step() or 0) + 1
        print("ready", flush=True)
        for step in range(first, 10_000):
            checkpoints.save(step, {{"a": jnp.full(200_000, step), "b": jnp.full(3, step)}})
            print(step, flush=True)
    """
    like = {"a": jnp.zeros(200_000, jnp.int32), "b": jnp.zeros(3, jnp.int32)}
    for wait in (0.05, 0.2):  # from a step's end, so that the kill falls at different places of a save
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        announced = int(process.stdout.readline())
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        remaining = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        announced = int(remaining[-1]) if remaining else announced
        checkpoints = Checkpoints(tmp_path)
        latest = checkpoints.latest_step()
        assert latest is not None
        assert latest >= announced, "a step that save returned from is on disk"
        restored = checkpoints.restore(like)
        assert set(np.unique(restored["a"])) == set(np.unique(restored["b"])) == {latest}
