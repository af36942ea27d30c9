"""How the next token is chosen: draws against the distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.errors import ConfigError
from retentionjax.language import sampling
from retentionjax.language.sampling import SamplingConfig


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


@pytest.mark.parametrize("fields", [{"temperature": -1.0}, {"max_new_tokens": 0}])
def test_settings_that_cannot_be_sampled_are_refused_by_name(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        SamplingConfig(**fields)
