"""The two halves of a forward pass against the whole, and the log-probabilities' hand-made gradient against JAX's."""

from collections.abc import Callable

import compiled_model
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
    upper = jax.jit(forward.upper, static_argnames="layers")
    states = upper(DECODER, below, mask, positions, layers=3, adapter=adapter)
    whole = compiled_model.logits(DECODER, tokens, mask, adapter=adapter)
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

    def ours(states: jax.Array) -> tuple[jax.Array, jax.Array]:
        return forward.log_probs(DECODER, states, targets, 0.7)

    def compiled(way: Callable[[jax.Array], tuple[jax.Array, jax.Array]]) -> list[jax.Array]:
        """Log-probabilities, entropies, and the gradient of a function of the former."""

        @jax.jit
        def measured(states: jax.Array) -> list[jax.Array]:
            gradient = jax.grad(lambda x: jnp.sum(jnp.sin(way(x)[0]) * weights))(states)
            return [*way(states), gradient]

        return measured(states)

    found, entropy, gradient = compiled(ours)
    expected, expected_entropy, expected_gradient = compiled(plain)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(entropy, expected_entropy, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)
