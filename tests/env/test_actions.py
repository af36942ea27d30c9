"""The action codec."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.env import actions


@given(offer=st.integers(0, actions.NUM_OFFERS - 1), delay=st.integers(0, actions.NUM_DELAYS - 1))
def test_decode_inverts_encode(offer: int, delay: int) -> None:
    decoded = actions.decode(actions.encode(offer, delay))
    assert (bool(decoded.contact), int(decoded.offer), int(decoded.delay)) == (True, offer, delay)


@given(action=st.integers(1, actions.NUM_ACTIONS - 1))
def test_encode_inverts_decode(action: int) -> None:
    decoded = actions.decode(action)
    assert int(actions.encode(decoded.offer, decoded.delay)) == action


def test_zero_is_wait() -> None:
    assert not actions.decode(actions.WAIT).contact


@pytest.mark.parametrize(("action", "offer", "delay"), [(1, 0, 0), (3, 0, 2), (4, 1, 0), (8, 2, 1), (12, 3, 2)])
def test_actions_are_numbered_as_the_design_says(action: int, offer: int, delay: int) -> None:
    """1 + offer · 3 + delay"""
    decoded = actions.decode(action)
    assert (int(decoded.offer), int(decoded.delay)) == (offer, delay)


def test_whole_arrays_decode_at_once() -> None:
    decoded = actions.decode(jnp.arange(13).reshape(1, 13))
    np.testing.assert_array_equal(decoded.contact, [[False] + [True] * 12])
    np.testing.assert_array_equal(actions.encode(decoded.offer, decoded.delay)[0, 1:], np.arange(1, 13))
