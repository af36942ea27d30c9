"""How the next token is chosen from the logits."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from retentionjax.checked import Checked, Count, NotNegative
from retentionjax.language import losses

RUN = 256
"""Tokens that are drawn from together."""


@dataclass(frozen=True)
class SamplingConfig(Checked):
    """How texts are drawn."""

    max_new_tokens: Count = 64
    temperature: NotNegative = 1.0
    """Logits are divided by it; 0 takes the likeliest token (and reports log-probs at temperature 1)."""
    eos: int | None = None
    """Token that ends a text; None: every text has `max_new_tokens`."""
    pad: int = 0
    """What stands after the end."""
    copies: Count = 1
    """Texts a prompt; the prompt is read once for all of them."""

    @property
    def scoring_temperature(self) -> float:
        """The temperature of the log-probabilities reported."""
        return self.temperature or 1.0


def draw(
    config: SamplingConfig,
    keys: Key[Array, " batch"],
    logits: Float[Array, "batch vocabulary"],
    step: Int[Array, ""],
) -> tuple[Int[Array, " batch"], Float[Array, " batch"]]:
    """A token a row, and its log-probability under softmax(logits / T).

    Args:
        keys: one a row (`key[batch]`): a request draws the same tokens whoever shares its batch.
        step: number of the token in its text, from 0.
    """
    scores = logits / config.scoring_temperature
    if config.temperature == 0:
        token = jnp.argmax(scores, -1)
    else:
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, step)
        token = jax.vmap(categorical)(own, scores)
    token = token.astype(jnp.int32)
    return token, losses.token_log_probs(scores, token)


def categorical(key: Key[Array, ""], logits: Float[Array, " vocabulary"]) -> Int[Array, ""]:
    """A draw from softmax(logits): first a run of `RUN` tokens, by what each holds together, then a token of it.

    A random number for every token of the vocabulary takes a CPU longer than a sixth of the model.
    """
    spare = -logits.shape[0] % RUN
    runs = jnp.pad(logits, (0, spare), constant_values=-jnp.inf).reshape(-1, RUN)
    first, second = jax.random.split(key)
    run = jax.random.categorical(first, jax.nn.logsumexp(runs, -1))
    return run * RUN + jax.random.categorical(second, runs[run])


def ends(config: SamplingConfig, token: Int[Array, " batch"]) -> Bool[Array, " batch"]:
    """Whether a text is over with this token."""
    return jnp.zeros(token.shape, bool) if config.eos is None else token == config.eos
