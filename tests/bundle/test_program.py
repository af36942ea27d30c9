"""The exported policy: equal to the live one at any batch size, without training code, and nothing but itself."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import bundles
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from experiments.bundle import served
from retentionjax.bundle import Bundle, program
from retentionjax.env import EnvParams, actions, observation
from retentionjax.errors import BundleError

PARAMS = EnvParams()
ACTIONS = actions.count(PARAMS)


def situations(size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(size)
    low, high = observation.bounds(4)
    masks = random.random((size, ACTIONS)) < 0.5
    masks[:, 0] = True
    return random.uniform(low, high, (size, observation.size(4))).astype(np.float32), masks


@pytest.mark.parametrize("size", [1, 2, 7, 64, 513])
def test_the_exported_policy_is_the_live_one_at_any_batch_size(bundle: Bundle, size: int) -> None:
    observations, masks = situations(size)
    propensities, values = bundle.decide(observations, masks)
    expected, expected_values = jax.jit(served(bundles.trained()))(observations, masks)
    np.testing.assert_allclose(propensities, expected, atol=1e-6)
    np.testing.assert_allclose(values, expected_values, rtol=1e-5, atol=1e-6)


def test_propensities_sum_to_one_and_are_zero_where_the_mask_forbids(bundle: Bundle) -> None:
    observations, masks = situations(200)
    propensities, _ = bundle.decide(observations, masks)
    np.testing.assert_allclose(propensities.sum(axis=1), 1, atol=1e-6)
    assert (propensities[~masks] == 0).all()
    assert np.ptp(propensities[:, 0]) > 0.1  # the policy of these tests does tell situations apart


def test_the_bias_on_wait_is_part_of_the_program(bundle: Bundle) -> None:
    observations, masks = situations(5)
    plain, _ = jax.jit(served(bundles.trained(wait_bias=0.0)))(observations, masks)
    odds = bundle.decide(observations, masks)[0][:, 0]
    expected = np.asarray(plain[:, 0] * np.e / (1 + plain[:, 0] * (np.e - 1)))
    np.testing.assert_allclose(odds, expected, rtol=1e-4)


def test_a_process_without_training_code_runs_the_policy(bundle_folder: Path) -> None:
    code = f"""
import sys, numpy as np
from retentionjax.bundle import load
bundle = load({str(bundle_folder)!r})
propensities, values = bundle.decide(np.zeros((3, 16), np.float32), np.ones((3, 13), bool))
assert propensities.shape == (3, 13) and values.shape == (3, 5)
for name in sys.modules:
    assert not name.startswith(("retentionjax.rl", "retentionjax.evaluation", "retentionjax.checkpoint")), name
    assert not name.startswith(("experiments", "orbax", "optax")), name
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


def test_what_cannot_be_decided_is_refused(bundle: Bundle) -> None:
    observations, masks = situations(2)
    with pytest.raises(ValueError, match="waiting is always legal"):
        bundle.decide(observations, np.zeros_like(masks))
    with pytest.raises(ValueError, match="at least one customer"):
        bundle.decide(observations[:0], masks[:0])
    with pytest.raises(BundleError, match="not finite"):
        bundle.decide(np.full_like(observations, np.nan), masks)


def uniform(observations: Any, masks: Any) -> tuple[Any, Any]:
    return masks / masks.sum(axis=1, keepdims=True), observations[:, :5]


def test_any_jax_function_of_the_right_shapes_is_a_policy() -> None:
    loaded = program.load(program.build(uniform, PARAMS), PARAMS, "here")
    propensities, _ = loaded(*situations(4))
    assert propensities[0].max() == pytest.approx(1 / situations(4)[1][0].sum())


def test_the_program_names_no_folder_of_its_maker() -> None:
    def another(observations: Any, masks: Any) -> tuple[Any, Any]:
        return uniform(observations + 1, masks)

    data = program.build(another, PARAMS)
    assert b".py" not in data
    assert str(Path(__file__).parents[2]).encode() not in data


@pytest.mark.parametrize("damage", [b"", b"no program", slice(0, 1000), slice(100, None)])
def test_what_is_no_program_is_one_error(damage: bytes | slice) -> None:
    data = program.build(uniform, PARAMS)[damage] if isinstance(damage, slice) else damage
    with pytest.raises(BundleError, match=r"here: JAX .* cannot read this program"):
        program.load(data, PARAMS, "here")


def exported(
    function: Any, rows: Any = None, features: int = 16, platforms: Any = program.PLATFORMS
) -> export.Exported:
    (size,) = export.symbolic_shape("b")
    shapes = [jax.ShapeDtypeStruct((rows or size, features), jnp.float32)]
    shapes.append(jax.ShapeDtypeStruct((rows or size, ACTIONS), jnp.bool_))
    return export.export(jax.jit(function), platforms=platforms)(*shapes)


@pytest.mark.parametrize(
    "other",
    [
        lambda: exported(uniform, features=15),
        lambda: exported(uniform, rows=8),
        lambda: exported(lambda observations, masks: uniform(observations, masks)[0]),
        lambda: exported(lambda observations, masks: (masks.astype(jnp.int32), observations[:, :5])),
    ],
)
def test_a_program_of_other_shapes_is_refused(other: Any) -> None:
    with pytest.raises(BundleError, match="another policy's"):
        program.load(bytes(other().serialize()), PARAMS, "here")


def test_a_program_that_calls_out_of_itself_is_refused() -> None:
    def solves(observations: Any, masks: Any) -> tuple[Any, Any]:
        root = jnp.linalg.cholesky(jnp.eye(16) + observations.T @ observations)  # LAPACK, by a custom call
        return uniform(observations @ root, masks)

    data = bytes(exported(solves, platforms=("cpu",)).serialize())
    with pytest.raises(BundleError, match="calls functions outside itself"):
        program.load(data, PARAMS, "here")


def test_a_program_for_another_machine_or_another_jax_is_refused() -> None:
    with pytest.raises(BundleError, match="made for tpu, and this is cpu"):
        program.load(bytes(exported(uniform, platforms=("tpu",)).serialize()), PARAMS, "here")
    newer = dataclasses.replace(exported(uniform), calling_convention_version=99)
    with pytest.raises(BundleError, match=r"calling convention 99; JAX .* reads"):
        program.load(bytes(newer.serialize()), PARAMS, "here")
