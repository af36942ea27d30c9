"""How the next token is chosen from the logits."""

from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from retentionjax.checked import Checked, Count, NotNegative, Within
from retentionjax.language import losses

NEVER = -1e30  # a logit that cannot be drawn; finite, so that no row can become NaN
RUN = 256
"""Tokens that are drawn from together."""


@dataclass(frozen=True)
class SamplingConfig(Checked):
    """How texts are drawn. For PPO leave `top_k` and `top_p` off: they bias the ratios."""

    max_new_tokens: Count = 64
    temperature: NotNegative = 1.0
    """Logits are divided by it; 0 takes the likeliest token (and reports log-probs at temperature 1)."""
    top_k: Annotated[int, Within()] = 0
    """Only the k likeliest tokens; 0 is all."""
    top_p: Annotated[float, Within(0, 1, above=True)] = 1.0
    """Only the fewest likeliest tokens that hold this much probability; 1 is all."""
    min_new_tokens: Annotated[int, Within()] = 0
    """The end cannot be drawn before."""
    eos: int | None = None
    """Token that ends a text; None: every text has `max_new_tokens`."""
    pad: int = 0
    """What stands after the end."""
    copies: Count = 1
    """Texts a prompt; the prompt is read once for all of them."""

    def wrong(self) -> list[tuple[str, str]]:
        """A text that must be longer than it may be."""
        wrong = f"{self.min_new_tokens}; allowed: at most max_new_tokens, {self.max_new_tokens}"
        return [("min_new_tokens", wrong)] if self.min_new_tokens > self.max_new_tokens else []

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
    """A token a row, and its log-probability under softmax(logits / T), whatever was filtered out of it.

    Args:
        keys: one a row (`key[batch]`): a request draws the same tokens whoever shares its batch.
        step: number of the token in its text, from 0.
    """
    scores = logits / config.scoring_temperature
    allowed = scores
    if config.eos is not None and config.min_new_tokens:
        early = (jnp.arange(logits.shape[-1]) == config.eos) & (step < config.min_new_tokens)
        allowed = jnp.where(early, NEVER, allowed)
    if config.temperature == 0:
        token = jnp.argmax(allowed, -1)
    else:
        allowed = keep_likeliest(allowed, config.top_k)
        allowed = keep_nucleus(allowed, config.top_p)
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, step)
        token = jax.vmap(categorical)(own, allowed)
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


def keep_likeliest(logits: Float[Array, "batch vocabulary"], k: int) -> Float[Array, "batch vocabulary"]:
    """The k largest logits a row (and those equal to the k-th), the others at −1e30; k = 0 keeps all."""
    if k == 0 or k >= logits.shape[-1]:
        return logits
    threshold = jax.lax.top_k(logits, k)[0][:, -1:]
    return jnp.where(logits >= threshold, logits, NEVER)


def keep_nucleus(logits: Float[Array, "batch vocabulary"], p: float) -> Float[Array, "batch vocabulary"]:
    """The fewest likeliest tokens whose probability is at least p (Holtzman et al. 2020), the others at −1e30.

    Tokens as likely as the last one kept are kept with it.

    Sorting a vocabulary costs more than a layer on CPU, so the threshold is searched instead: probabilities are not
    negative, so their bits, read as integers, are in the same order, and 31 halvings find it exactly.
    """
    if p == 1.0:
        return logits
    probabilities = jax.nn.softmax(logits, -1)

    def halve(_: Any, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds  # what lies at or above `low` holds enough, what lies at or above `high` does not
        middle = low + (high - low) // 2
        kept = probabilities >= jax.lax.bitcast_convert_type(middle, jnp.float32)
        enough = jnp.sum(jnp.where(kept, probabilities, 0.0), -1, keepdims=True) >= p
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    zero = jnp.zeros((logits.shape[0], 1), jnp.int32)
    above_one = jax.lax.bitcast_convert_type(jnp.full_like(zero, 2.0, jnp.float32), jnp.int32)
    low, _ = jax.lax.fori_loop(0, 31, halve, (zero, above_one))
    return jnp.where(probabilities >= jax.lax.bitcast_convert_type(low, jnp.float32), logits, NEVER)


def ends(config: SamplingConfig, token: Int[Array, " batch"]) -> Bool[Array, " batch"]:
    """Whether a text is over with this token."""
    return jnp.zeros(token.shape, bool) if config.eos is None else token == config.eos
