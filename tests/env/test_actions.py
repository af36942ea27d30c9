"""The action codec, for any number of offers and delays."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.env import EnvParams, actions

DEMO = EnvParams()


def sized(offers: int, delays: int) -> EnvParams:
    return EnvParams(discount=jnp.zeros(offers), delays=jnp.arange(delays))


# Each size compiles programs of its own: few of them, the least and the most among them.
SIZES = ((1, 1), (1, 5), (2, 3), (7, 2), (20, 4), (64, 1), (64, 5))


@given(size=st.sampled_from(SIZES), data=st.data())
def test_decode_inverts_encode(size: tuple[int, int], data: st.DataObject) -> None:
    params = sized(*size)
    offer, delay = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    decoded = actions.decode(actions.encode(offer, delay, params), params)
    assert (bool(decoded.contact), int(decoded.offer), int(decoded.delay)) == (True, offer, delay)


@pytest.mark.parametrize("size", SIZES)
def test_actions_are_numbered_without_gaps(size: tuple[int, int]) -> None:
    params = sized(*size)
    every = jnp.arange(actions.count(params))
    decoded = actions.decode(every, params)
    np.testing.assert_array_equal(actions.encode(decoded.offer, decoded.delay, params)[1:], every[1:])
    np.testing.assert_array_equal(decoded.contact, every > 0)
    assert int(decoded.offer.max()) == size[0] - 1


@pytest.mark.parametrize(("action", "offer", "delay"), [(1, 0, 0), (3, 0, 2), (4, 1, 0), (8, 2, 1), (12, 3, 2)])
def test_actions_are_numbered_as_the_design_says(action: int, offer: int, delay: int) -> None:
    """1 + offer · delays + delay"""
    assert actions.count(DEMO) == 13
    decoded = actions.decode(action, DEMO)
    assert (int(decoded.offer), int(decoded.delay)) == (offer, delay)


def test_a_batch_of_worlds_has_the_sizes_of_one() -> None:
    worlds = EnvParams(discount=jnp.zeros((5, 3)), delays=jnp.zeros((5, 2)))
    assert (actions.offers(worlds), actions.delays(worlds), actions.count(worlds)) == (3, 2, 7)
