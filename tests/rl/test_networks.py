"""Networks and the normaliser of their input."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.errors import ConfigError
from retentionjax.rl import networks
from retentionjax.rl.networks import init_normaliser

normalise, update_normaliser = jax.jit(networks.normalise), jax.jit(networks.update_normaliser)


INIT = jax.jit(networks.init_actor_critic, static_argnums=(1, 2, 3, 4, 5))


@pytest.mark.parametrize("rows", [7, 384])
@pytest.mark.parametrize(("inputs", "outputs"), [(4, 64), (64, 2), (64, 64), (70, 90)])
def test_written_out_gradients_are_those_of_autodiff(rows: int, inputs: int, outputs: int) -> None:
    random = np.random.default_rng(0)
    x, weight, kernel = (
        random.normal(size=shape).astype(np.float32) for shape in ((rows, inputs), (rows, outputs), (inputs, outputs))
    )
    layer = networks.Dense(kernel=jnp.asarray(kernel / np.sqrt(inputs)), bias=jnp.zeros(outputs))

    def plain(layer: networks.Dense, x: jax.Array) -> jax.Array:
        return (jnp.tanh(x @ layer.kernel + layer.bias) * weight).sum()

    def ours(layer: networks.Dense, x: jax.Array) -> jax.Array:
        return (networks.tanh(networks.apply_mlp((layer,), x, "tanh")) * weight).sum()

    @jax.jit  # one program for both: compiling is all the time it takes
    def gradients(layer: networks.Dense, x: jax.Array) -> list[tuple[networks.Dense, jax.Array]]:
        return [jax.grad(loss, (0, 1))(layer, x) for loss in (plain, ours)]

    expected, actual = gradients(layer, x)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", networks.ACTIVATIONS)
def test_any_leading_axes_and_vmap_give_the_same(activation: str) -> None:
    mlp = jax.jit(networks.init_mlp, static_argnums=(1, 2))(jax.random.key(0), (3, 8, 8, 2), 1.0)
    x = np.random.default_rng(1).normal(size=(5, 4, 3)).astype(np.float32)
    apply = jax.jit(partial(networks.apply_mlp, activation=activation))
    whole = apply(mlp, x)
    row_by_row = jax.jit(jax.vmap(jax.vmap(lambda row: apply(mlp, row))))(x)
    np.testing.assert_allclose(whole, row_by_row, rtol=1e-5, atol=1e-6)


def test_kernels_are_orthogonal_and_the_first_policy_nearly_even() -> None:
    networks_ = INIT(jax.random.key(0), 16, 13, 5, (64, 64), 0.0)
    kernel = networks_.actor[1].kernel
    np.testing.assert_allclose(np.asarray(kernel).T @ kernel, 2.0 * np.eye(64), atol=1e-4)
    policy = networks.PolicyNetwork(actor=networks_.actor, normaliser=None, activation="tanh")
    logits = jax.jit(networks.policy_logits)(policy, np.random.default_rng(1).normal(size=(100, 16)).astype(np.float32))
    assert np.abs(logits).max() < 0.1
    assert networks_.critic[-1].kernel.shape == (64, 5)


@pytest.mark.parametrize("sizes", [(4, 8, 2), (16, 16, 3, 5)])
def test_kernels_are_those_of_jaxs_initialiser(sizes: tuple[int, ...]) -> None:
    """Drawn at once, and yet each by its own key."""
    key = jax.random.key(3)
    made = jax.jit(lambda key: networks.init_mlp(key, sizes, 0.5))(key)
    initialiser = jax.nn.initializers.orthogonal()

    @jax.jit
    def each(key: jax.Array) -> list[jax.Array]:
        keys = jax.random.split(key, len(sizes) - 1)
        return [initialiser(own, sizes[index : index + 2], jnp.float32) for index, own in enumerate(keys)]

    for index, expected in enumerate(each(key)):
        gain = np.float32(0.5 if index == len(sizes) - 2 else 2.0**0.5)
        np.testing.assert_array_equal(made[index].kernel, gain * np.asarray(expected))


def test_seeds_at_once_factorise_one_matrix_at_a_time() -> None:
    """LAPACK's batched QR can wait for ever in XLA's thread pool; see `networks._orthogonal`."""

    def init(key: jax.Array) -> networks.ActorCritic:
        return networks.init_actor_critic(key, 4, 2, 1, (8,), 0.0)

    keys = jax.random.split(jax.random.key(0), 3)
    at_once, alone = jax.jit(jax.vmap(init)), jax.jit(init)
    program = at_once.lower(keys).as_text()
    assert "geqrf" in program
    assert 'num_batch_dims = "1"' not in program
    together = at_once(keys)
    for index, key in enumerate(keys):
        jax.tree.map(
            lambda all_, one, index=index: np.testing.assert_array_equal(np.asarray(all_)[index], one),
            together,
            alone(key),
        )


def test_the_null_action_starts_favoured() -> None:
    actor = INIT(jax.random.key(0), 4, 3, 1, (8,), 2.0).actor
    assert actor[-1].bias.tolist() == [2.0, 0.0, 0.0]


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"activation is 'gelu'; allowed: tanh, relu, swish"):
        networks.check_activation("gelu")


def test_running_moments_are_those_of_all_observations() -> None:
    random = np.random.default_rng(0)
    batches = [random.normal(1000.0, 3.0, (20, 5, 2)).astype(np.float32) for _ in range(4)]
    normaliser = init_normaliser(2)
    for batch in batches:
        normaliser = update_normaliser(normaliser, jnp.asarray(batch))
    everything = np.concatenate(batches).reshape(-1, 2)
    np.testing.assert_allclose(normaliser.mean, everything.mean(0), rtol=1e-5)
    np.testing.assert_allclose(normaliser.variance, everything.var(0), rtol=1e-3)
    assert normaliser.count == 400


def test_normalised_features_are_standard_and_clipped() -> None:
    normaliser = update_normaliser(init_normaliser(1), np.float32([[1.0], [3.0]]))
    np.testing.assert_allclose(normalise(normaliser, np.float32([[4.0], [1e9]])), [[2.0], [10.0]], rtol=1e-4)


def test_a_feature_that_never_moves_stays_finite() -> None:
    normaliser = update_normaliser(init_normaliser(1), np.full((9, 1), 5.0, np.float32))
    assert normalise(normaliser, np.float32([5.0])).tolist() == [0.0]


def test_without_a_normaliser_nothing_changes() -> None:
    assert normalise(None, np.float32([1e9])).tolist() == [1e9]
    assert update_normaliser(None, np.ones((3, 1), np.float32)) is None
