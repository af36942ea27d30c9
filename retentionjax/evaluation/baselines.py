"""The rules a policy must beat, each under the same masks and each tuned to spend the same budget.

`never`, `random`, `threshold` and `greedy` are here; the two that learn are `thompson` and `uplift`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from retentionjax.env import actions, dynamics
from retentionjax.env.types import EnvParams
from retentionjax.env.value import contact_gain
from retentionjax.evaluation.rollout import Policy, PolicyInput, for_each

NOW = 0  # delay index of a contact today


def contact_now(
    offer: int | jax.Array, wanted: Bool[Array, ""], mask: Bool[Array, " actions"], params: EnvParams
) -> Int[Array, ""]:
    """Contact today with `offer` if that is wanted and legal, otherwise wait."""
    action = actions.encode(offer, NOW, params)
    return jnp.asarray(jnp.where(wanted & mask[action], action, actions.WAIT), jnp.int32)


def middle_offer(params: EnvParams) -> Int[Array, ""]:
    """The offer in the middle by full cost at the reference charge, the dearer of two: 10 % of {0, 5, 10, 20 %}."""
    return jnp.argsort(dynamics.full_cost(params.charge_reference, params))[actions.offers(params) // 2]


def never() -> Policy:
    """Never contact anybody."""
    return Policy("never", _never)


@for_each
def _never(policy: Policy, situation: PolicyInput, key: jax.Array) -> jax.Array:
    return jnp.int32(actions.WAIT)


def random(wait_probability: float = 0.99) -> Policy:
    """Wait with the hyperparameter's probability, otherwise any legal contact."""
    return Policy("random", _random, hyperparameter=wait_probability)


@for_each
def _random(policy: Policy, situation: PolicyInput, key: jax.Array) -> jax.Array:
    key_wait, key_action = jax.random.split(key)
    legal = situation.mask.at[actions.WAIT].set(False)
    action = jax.random.categorical(key_action, jnp.where(legal, 0.0, -1e9))
    waits = (jax.random.uniform(key_wait) < policy.hyperparameter) | ~legal.any()
    return jnp.where(waits, actions.WAIT, action)


def threshold(churn_probability: float = 0.4) -> Policy:
    """Contact today with one fixed offer, the middle one, whose churn probability today passes the hyperparameter."""
    return Policy("threshold", _threshold, hyperparameter=churn_probability)


@for_each
def _threshold(policy: Policy, situation: PolicyInput, key: jax.Array) -> jax.Array:
    offer = middle_offer(situation.params)
    return contact_now(offer, situation.observation[0] > policy.hyperparameter, situation.mask, situation.params)


def greedy(multiplier: float = 0.0) -> Policy:
    """The offer whose expected gain now, less multiplier × expected spend, is largest, if that is above zero.

    The gain is that of contacting today and never again against never contacting again, from the model itself,
    with today's risk taken as lasting. The hyperparameter is the multiplier in $ of value per $ of spend.
    """
    return Policy("greedy", _greedy, hyperparameter=multiplier, parameters=False)


def greedy_fatigue(multiplier: float = 0.0) -> Policy:
    """`greedy` that also foresees how its contact tires the customer: harder to beat than the plain rule."""
    return Policy("greedy_fatigue", _greedy, hyperparameter=multiplier, parameters=True)


@for_each
def _greedy(policy: Policy, situation: PolicyInput, key: jax.Array) -> jax.Array:
    gain, spend = contact_gain(situation.state, situation.params, foresees_fatigue=policy.parameters)
    legal = situation.mask[1 :: actions.delays(situation.params)]
    net = jnp.where(legal, gain - policy.hyperparameter * spend, -jnp.inf)
    return contact_now(jnp.argmax(net), jnp.max(net) > 0, situation.mask, situation.params)
