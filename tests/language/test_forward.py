"""The two halves of a forward pass against the whole, and the log-probabilities' hand-made gradient against JAX's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.language import forward, hub, lora
from retentionjax.language.decoder import default_positions
from retentionjax.language.lora import LoraConfig

DECODER = hub.random("tiny", jax.random.key(0)).decoder


def test_trunk_and_upper_layers_are_the_whole_decoder() -> None:
    tokens = jax.random.randint(jax.random.key(1), (2, 9), 0, 400)
    mask = jnp.ones((2, 9), bool).at[0, :4].set(False)
    positions = default_positions(mask)
    adapter = lora.init(LoraConfig(rank=2, first_layer=3), DECODER, jax.random.key(2))
    adapter = adapter.replace(b=jax.tree.map(lambda b: b + 0.1, adapter.b))
    below = forward.trunk(DECODER, tokens, mask, positions, layers=3)
    states = forward.upper(DECODER, below, mask, positions, layers=3, adapter=adapter)
    whole = DECODER(tokens, mask, adapter=adapter)
    np.testing.assert_allclose(DECODER.logits(states)[mask], whole[mask], atol=1e-5)


@pytest.mark.parametrize("chunk", [3, 512])
def test_log_probabilities_entropy_and_their_gradient(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "CHUNK", chunk)
    states = jax.random.normal(jax.random.key(3), (7, 64))
    targets = jax.random.randint(jax.random.key(4), (7,), 0, 400)
    weights = jax.random.normal(jax.random.key(5), (7,))

    def plain(states: jax.Array) -> tuple[jax.Array, jax.Array]:
        spread = jax.nn.log_softmax(DECODER.logits(states) / 0.7)
        return spread[jnp.arange(7), targets], -jnp.sum(jnp.exp(spread) * spread, -1)

    found, entropy = forward.log_probs(DECODER, states, targets, 0.7)
    np.testing.assert_allclose(found, plain(states)[0], atol=1e-5)
    np.testing.assert_allclose(entropy, plain(states)[1], rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(jnp.sin(forward.log_probs(DECODER, x, targets, 0.7)[0]) * weights))(states)
    expected = jax.grad(lambda x: jnp.sum(jnp.sin(plain(x)[0]) * weights))(states)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)
