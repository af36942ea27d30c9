"""How the next token is chosen: filters against sorting by hand, draws against the distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.errors import ConfigError
from retentionjax.language import sampling
from retentionjax.language.sampling import SamplingConfig

# Eighths: logits that differ, but not in float32's probabilities, are ties, and those are kept together.
LOGITS = st.lists(st.integers(-64, 64).map(lambda eighths: eighths / 8), min_size=16, max_size=16, unique=True)


NUCLEUS = jax.jit(sampling.keep_nucleus, static_argnums=1)


@given(LOGITS, st.sampled_from([0.05, 0.5, 0.9, 0.99]))
def test_the_nucleus_is_the_fewest_likeliest_tokens(row: list[float], p: float) -> None:
    logits = np.float32(row)
    probabilities = np.asarray(jax.nn.softmax(jnp.asarray(logits)))
    order = np.argsort(-logits)
    before = np.cumsum(np.append(0, probabilities[order]))[:-1]
    kept = np.asarray(NUCLEUS(jnp.asarray(logits)[None], p))[0] > sampling.NEVER
    clear = np.abs(before - p) > 1e-5  # where the mass before a token is p but for rounding, either answer is right
    np.testing.assert_array_equal(kept[order][clear], (before < p)[clear])
    assert kept[order[0]]


@given(LOGITS, st.sampled_from([1, 3, 16, 20]))
def test_the_k_likeliest_are_kept(row: list[float], k: int) -> None:
    kept = np.asarray(sampling.keep_likeliest(jnp.float32(row)[None], k))[0] > sampling.NEVER
    assert set(np.flatnonzero(kept)) == set(np.argsort(-np.float32(row))[:k])


def test_draws_follow_the_tempered_distribution() -> None:
    logits = jnp.array([2.0, 1.0, 0.0, -1.0])
    config = SamplingConfig(temperature=0.7)
    count = 20_000
    keys = jax.random.split(jax.random.key(0), count)
    tokens, log_probs = sampling.draw(config, keys, jnp.tile(logits, (count, 1)), jnp.int32(3))
    expected = jax.nn.softmax(logits / 0.7)
    shares = np.bincount(np.asarray(tokens), minlength=4) / count
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / np.sqrt(count))
    np.testing.assert_allclose(log_probs, jnp.log(expected)[tokens], atol=1e-5)


def test_log_probabilities_are_those_of_the_whole_distribution_whatever_is_filtered() -> None:
    logits = jax.random.normal(jax.random.key(1), (5, 9))
    config = SamplingConfig(top_k=2, top_p=0.5)
    tokens, log_probs = sampling.draw(config, jax.random.split(jax.random.key(2), 5), logits, jnp.int32(0))
    np.testing.assert_allclose(log_probs, jax.nn.log_softmax(logits)[jnp.arange(5), tokens], atol=1e-5)


def test_the_end_is_not_drawn_too_early() -> None:
    logits = jnp.array([[0.0, 50.0, 0.0]])
    config = SamplingConfig(eos=1, min_new_tokens=3)
    keys = jax.random.split(jax.random.key(0), 1)
    for step in range(5):
        token, _ = sampling.draw(config, keys, logits, jnp.int32(step))
        assert (int(token[0]) == 1) == (step >= 3)


@pytest.mark.parametrize(
    "fields",
    [{"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}, {"max_new_tokens": 0}, {"min_new_tokens": 65}],
)
def test_settings_that_cannot_be_sampled_are_refused_by_name(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        SamplingConfig(**fields)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_new_tokens", "8", "'8' is not a whole number; allowed: 1 or more"),
        ("max_new_tokens", 2.5, "2.5 is not a whole number; allowed: 1 or more"),
        ("temperature", None, "None is not a number; allowed: 0 or more"),
        ("top_p", "all", "'all' is not a number; allowed: above 0 to 1"),
    ],
)
def test_a_setting_that_is_no_number_is_named_before_settings_are_compared(name: str, value: object, said: str) -> None:
    """As whoever runs it without the tests' type checker meets it."""
    wrong = SamplingConfig(min_new_tokens=4)
    object.__setattr__(wrong, name, value)
    with pytest.raises(ConfigError, match=f"^{name}: {said}$"):
        wrong.__post_init__()
