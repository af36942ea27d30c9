"""The rules a policy must beat, each under the same masks and each tuned to spend the same budget.

`never`, `random`, `threshold` and `greedy` are here; the two that learn are `thompson` and `uplift`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from retentionjax.env import actions
from retentionjax.evaluation.contact_gain import contact_gain
from retentionjax.evaluation.rollout import Policy, Situation, for_each

FIXED_OFFER = 2  # 10 %
NOW = 0  # delay index of a contact today


def contact_now(offer: int | jax.Array, wanted: Bool[Array, ""], mask: Bool[Array, " actions"]) -> Int[Array, ""]:
    """Contact today with `offer` if that is wanted and legal, otherwise wait."""
    action = actions.encode(offer, NOW)
    return jnp.asarray(jnp.where(wanted & mask[action], action, actions.WAIT), jnp.int32)


def never() -> Policy:
    """Never contact anybody."""
    return Policy("never", _never)


@for_each
def _never(policy: Policy, situation: Situation, key: jax.Array) -> jax.Array:
    return jnp.int32(actions.WAIT)


def random(wait_probability: float = 0.99) -> Policy:
    """Wait with the knob's probability, otherwise any legal contact."""
    return Policy("random", _random, knob=wait_probability)


@for_each
def _random(policy: Policy, situation: Situation, key: jax.Array) -> jax.Array:
    key_wait, key_action = jax.random.split(key)
    legal = situation.mask.at[actions.WAIT].set(False)
    action = jax.random.categorical(key_action, jnp.where(legal, 0.0, -1e9))
    waits = (jax.random.uniform(key_wait) < policy.knob) | ~legal.any()
    return jnp.where(waits, actions.WAIT, action)


def threshold(churn_probability: float = 0.4) -> Policy:
    """Contact today with a fixed 10 % offer whoever's churn probability today passes the knob."""
    return Policy("threshold", _threshold, knob=churn_probability)


@for_each
def _threshold(policy: Policy, situation: Situation, key: jax.Array) -> jax.Array:
    return contact_now(FIXED_OFFER, situation.observation[0] > policy.knob, situation.mask)


def greedy(price: float = 0.0) -> Policy:
    """The offer whose expected gain now, less price × expected spend, is largest, if that is above zero.

    The gain is that of contacting today and never again against never contacting again, from the model itself,
    with today's risk taken as lasting. The knob is the price in $ of value per $ of spend.
    """
    return Policy("greedy", _greedy, knob=price, parameters=False)


def greedy_fatigue(price: float = 0.0) -> Policy:
    """`greedy` that also foresees how its contact tires the customer: harder to beat than the plain rule."""
    return Policy("greedy_fatigue", _greedy, knob=price, parameters=True)


@for_each
def _greedy(policy: Policy, situation: Situation, key: jax.Array) -> jax.Array:
    gain, spend = contact_gain(situation.state, situation.params, foresees_fatigue=policy.parameters)
    net = jnp.where(situation.mask[1 :: actions.NUM_DELAYS], gain - policy.knob * spend, -jnp.inf)
    return contact_now(jnp.argmax(net), jnp.max(net) > 0, situation.mask)
