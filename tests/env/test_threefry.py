"""The fast draws are those of `jax.random`, bit for bit: what was measured with the one holds with the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.env import threefry
from retentionjax.env.threefry import _threefry

KEY = jax.random.key(20261127)


@pytest.mark.parametrize(
    ("counter", "key", "hashed"),
    [
        ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_the_hash_gives_the_known_answers_of_random123(
    counter: tuple[int, int], key: tuple[int, int], hashed: tuple[int, int]
) -> None:
    """`threefry2x32 20` in Random123's kat_vectors."""
    left, right = _threefry(*((jnp.uint32(one), jnp.uint32(other)) for one, other in (key, counter)))
    assert (int(left), int(right)) == hashed


@pytest.mark.parametrize("number", [1, 2, 1_001])
def test_split_is_jax_randoms(number: int) -> None:
    ours, theirs = jax.jit(threefry.split, static_argnums=1)(KEY, number), jax.random.split(KEY, number)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(jax.random.key_data(ours), jax.random.key_data(theirs))


def test_uniforms_are_jax_randoms() -> None:
    keys = jax.random.split(KEY, 4_097)
    theirs = jax.jit(jax.vmap(lambda key: jax.random.uniform(key, (3,))))(keys)
    np.testing.assert_array_equal(jax.jit(threefry.uniforms, static_argnums=1)(keys, 3), theirs.T)


def test_categorical_is_jax_randoms() -> None:
    """Logits as a masked policy has them, so that some categories can never be drawn."""
    keys, random = jax.random.split(KEY, 20_000), np.random.default_rng(1)
    logits = np.float32(np.where(random.random((20_000, 13)) < 0.2, -1e9, 3 * random.normal(size=(20_000, 13))))
    ours = jax.jit(threefry.categorical)(keys, logits)
    np.testing.assert_array_equal(ours, jax.jit(jax.vmap(jax.random.categorical))(keys, logits))
    assert set(np.unique(ours)) == set(range(13))


def test_one_key_draws_what_it_draws_in_a_batch() -> None:
    np.testing.assert_array_equal(threefry.uniforms(KEY, 3), jax.random.uniform(KEY, (3,)))


@pytest.mark.parametrize("key", [jax.random.key(0, impl="rbg"), jax.random.PRNGKey(0)], ids=["rbg", "untyped"])
def test_other_keys_are_drawn_from_too(key: jax.Array) -> None:
    keys = threefry.split(key, 5)
    np.testing.assert_array_equal(jax.random.key_data(keys), jax.random.key_data(jax.random.split(key, 5)))
    theirs = jax.vmap(lambda key: jax.random.uniform(key, (3,)))(keys)
    np.testing.assert_array_equal(threefry.uniforms(keys, 3), theirs.T)
    np.testing.assert_array_equal(threefry.uniforms(keys[1], 3), jax.random.uniform(keys[1], (3,)))
    logits = jnp.zeros((5, 4))
    np.testing.assert_array_equal(threefry.categorical(keys, logits), jax.vmap(jax.random.categorical)(keys, logits))


def test_the_default_generator_may_be_another() -> None:
    """Typed keys keep their own generator; untyped ones have the default's."""
    with jax.default_prng_impl("rbg"):
        assert threefry.split(KEY, 2).dtype == KEY.dtype
        key = jax.random.PRNGKey(0)
        np.testing.assert_array_equal(threefry.uniforms(key, 3), jax.random.uniform(key, (3,)))
