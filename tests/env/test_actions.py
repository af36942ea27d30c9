"""The action codec, for any number of offers and delays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import Compiled
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.env import EnvParams, RetentionEnv, actions
from retentionjax.errors import ConfigError

DEMO = EnvParams()
CODEC: Any = Compiled(actions)


def sized(offers: int, delays: int) -> EnvParams:
    free = jnp.asarray(np.zeros(offers, np.float32))
    return EnvParams(**dict.fromkeys(actions.OF_OFFERS, free), delays=jnp.asarray(np.arange(delays)))


# Each size compiles programs of its own: few of them, the least and the most among them.
SIZES = ((1, 1), (1, 5), (2, 3), (7, 2), (20, 4), (64, 1), (64, 5))


@given(size=st.sampled_from(SIZES), data=st.data())
def test_decode_inverts_encode(size: tuple[int, int], data: st.DataObject) -> None:
    params = sized(*size)
    offer, delay = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    decoded = CODEC.decode(CODEC.encode(np.int32(offer), np.int32(delay), params), params)
    assert (bool(decoded.contact), int(decoded.offer), int(decoded.delay)) == (True, offer, delay)


@pytest.mark.parametrize("size", SIZES)
def test_actions_are_numbered_without_gaps(size: tuple[int, int]) -> None:
    params = sized(*size)
    every = np.arange(actions.count(params), dtype=np.int32)
    decoded = CODEC.decode(every, params)
    np.testing.assert_array_equal(CODEC.encode(decoded.offer, decoded.delay, params)[1:], every[1:])
    np.testing.assert_array_equal(decoded.contact, every > 0)
    assert int(decoded.offer.max()) == size[0] - 1


@pytest.mark.parametrize(("action", "offer", "delay"), [(1, 0, 0), (3, 0, 2), (4, 1, 0), (8, 2, 1), (12, 3, 2)])
def test_actions_are_numbered_as_the_design_says(action: int, offer: int, delay: int) -> None:
    """1 + offer · delays + delay"""
    assert actions.count(DEMO) == 13
    decoded = CODEC.decode(np.int32(action), DEMO)
    assert (int(decoded.offer), int(decoded.delay)) == (offer, delay)


def test_a_batch_of_worlds_has_the_sizes_of_one() -> None:
    worlds = EnvParams(**dict.fromkeys(actions.OF_OFFERS, np.zeros((5, 3))), delays=np.zeros((5, 2)))
    assert (actions.offers(worlds), actions.delays(worlds), actions.count(worlds)) == (3, 2, 7)


@pytest.mark.parametrize("size", [1, 3, 6])
@pytest.mark.parametrize("name", actions.OF_OFFERS)
def test_offers_that_differ_in_number_are_refused_and_not_broadcast(name: str, size: int) -> None:
    env, changed = RetentionEnv(), DEMO.replace(**{name: jnp.asarray(np.ones(size, getattr(DEMO, name).dtype))})
    key = jax.random.key(0)
    state = env.reset(key, DEMO)[1]
    uses = [lambda: env.reset(key, changed), lambda: env.step(key, state, 1, changed)]
    for use in (*uses, lambda: env.action_mask(state, changed)):
        with pytest.raises(ConfigError, match=f"{name} {size}.*allowed: one of each an offer"):
            use()


@pytest.mark.parametrize("name", [*actions.OF_OFFERS, "delays"])
def test_a_constant_of_offers_that_is_no_array_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"env\.{name} is .*; allowed: an array of rank 1"):
        actions.count(DEMO.replace(**{name: [0, 1, 2, 3]}))
