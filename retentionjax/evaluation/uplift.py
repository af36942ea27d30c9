"""Uplift modelling: a T-learner fitted on contacts that a random policy logged.

One regression forest an arm (wait, and a contact with each offer) predicts the rest of the episode's value from what
was observed at the decision; the uplift of an offer is its arm's prediction less that of *wait* (Künzel, Sekhon,
Bickel, Yu 2019). The arms are random, so the log is unconfounded.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import xgboost
from jaxtyping import Array, Float, Int

from retentionjax.env import actions, threefry
from retentionjax.env.dynamics import elevated_share
from retentionjax.env.observation import observe
from retentionjax.env.retention import RetentionEnv, draws_of, new_customer
from retentionjax.env.types import EnvParams, EnvState
from retentionjax.evaluation.baselines import contact_now
from retentionjax.evaluation.rollout import Policy, PolicyInput
from retentionjax.tabular import forest

CONTACT_SHARE = 0.5  # of the decisions that are logged
BACKGROUND_CONTACTS = 0.01  # a day, so that the log also shows customers who were contacted before


class UpliftLog(NamedTuple):
    """Logged decisions, one an episode; arrays over episodes."""

    observation: npt.NDArray[np.float32]  # (episodes, features)
    arm: npt.NDArray[np.int32]  # 0 wait, 1 + offer
    value: npt.NDArray[np.float32]  # $, from the decision to the end


def log_random_contacts(
    env: RetentionEnv, params: EnvParams, key: jax.Array, *, episodes: int, chunk: int = 32_768
) -> UpliftLog:
    """A random policy's log: in each episode one decision, on a random day, with its propensity-½ contact.

    Decisions on which the customer was already gone, or a contact was not legal, are left out.
    """
    days = int(params.horizon_days)
    keys = (jax.random.fold_in(key, start) for start in range(0, episodes, chunk))
    parts = [_simulate_log(env, params, each, chunk, days) for each in keys]
    observation, arm, value, usable = (np.concatenate(column) for column in zip(*parts, strict=True))
    return UpliftLog(observation[usable], arm[usable], value[usable])


def fit(
    log: UpliftLog, *, offers: int, trees: int, depth: int, learning_rate: float, seed: int
) -> tuple[forest.Forest, ...]:
    """One forest an arm, *wait* and then each of `offers` offers, each f32[features] → $."""
    models = []
    for arm in range(1 + offers):
        rows = log.arm == arm
        settings = {
            "objective": "reg:squarederror",
            "max_depth": depth,
            "learning_rate": learning_rate,
            "subsample": 0.8,
            "min_child_weight": 200,
            "seed": seed,
        }
        data = xgboost.DMatrix(log.observation[rows], log.value[rows])
        models.append(forest.compile(xgboost.train(settings, data, num_boost_round=trees)))
    return tuple(models)


def uplift(models: tuple[forest.Forest, ...]) -> Policy:
    """The offer of largest predicted uplift, contacted today where that passes the hyperparameter [$]."""
    return Policy("uplift", _uplift, hyperparameter=0.0, parameters=models)


def _uplift(policy: Policy, situations: PolicyInput, keys: jax.Array) -> jax.Array:
    gains = predicted_uplift(policy.parameters, situations.observation)
    now = jax.vmap(contact_now, (0, 0, 0, None))
    return now(jnp.argmax(gains, axis=1), gains.max(axis=1) > policy.hyperparameter, situations.mask, situations.params)


def predicted_uplift(
    models: tuple[forest.Forest, ...], observations: Float[Array, "batch features"]
) -> Float[Array, "batch offers"]:
    """Predicted value [$] of a contact today with each offer over waiting."""
    waiting = forest.predict(models[0], observations)
    return jnp.stack([forest.predict(model, observations) - waiting for model in models[1:]], axis=1)


_Carry = tuple[EnvState, jax.Array, jax.Array, jax.Array, jax.Array]  # state, alive, seen, usable, value


def _simulate(
    env: RetentionEnv, params: EnvParams, key: jax.Array, count: int, days: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    key_who, key_risk, key_day, key_arm, key_days = jax.random.split(key, 5)
    customer = jax.random.randint(key_who, (count,), 0, params.population.size)
    elevated = jax.random.uniform(key_risk, (count,)) < elevated_share(params)
    decision_day = jax.random.randint(key_day, (count,), 0, days)
    arm = _random_arm(key_arm, count, params)

    def one_day(carry: _Carry, day: jax.Array) -> tuple[_Carry, None]:
        state, alive, seen, usable, value = carry
        key_common, key_other = jax.random.split(jax.random.fold_in(key_days, day))
        now = day == decision_day
        other = _background(key_other, count, params)
        chosen = jnp.where(now, jnp.where(arm > 0, actions.encode(arm - 1, 0, params), actions.WAIT), other)
        legal = jax.vmap(env.action_mask, (0, None))(state, params)
        action = jnp.where(jnp.take_along_axis(legal, chosen[:, None], 1)[:, 0], chosen, actions.WAIT)
        contact_is_legal = legal[:, actions.encode(0, 0, params)]
        seen = jnp.where(now[:, None], jax.vmap(observe, (0, None))(state, params), seen)
        usable = jnp.where(now, alive & contact_is_legal & (action == chosen), usable)
        draws = draws_of(threefry.split(key_common, count))
        _, state, reward, terminated, _ = jax.vmap(env.step_with, (0, 0, 0, None))(draws, state, action, params)
        value += jnp.where(alive & (day >= decision_day), reward, 0.0)
        return (state, alive & ~terminated, seen, usable, value), None

    state = jax.vmap(new_customer, (0, 0, None))(customer, elevated, params)
    seen = jnp.zeros((count, env.observation_space(params).shape[0]))
    nothing = (state, jnp.ones(count, bool), seen, jnp.zeros(count, bool), jnp.zeros(count))
    (_, _, seen, usable, value), _ = jax.lax.scan(one_day, nothing, jnp.arange(days))
    return seen, arm, value, usable


_simulate_log = jax.jit(_simulate, static_argnums=(0, 3, 4))


def _random_arm(key: jax.Array, count: int, params: EnvParams) -> Int[Array, " episodes"]:
    key_contact, key_offer = jax.random.split(key)
    contacts = jax.random.uniform(key_contact, (count,)) < CONTACT_SHARE
    return jnp.where(contacts, 1 + jax.random.randint(key_offer, (count,), 0, actions.offers(params)), 0)


def _background(key: jax.Array, count: int, params: EnvParams) -> Int[Array, " episodes"]:
    key_contact, key_action = jax.random.split(key)
    contacts = jax.random.uniform(key_contact, (count,)) < BACKGROUND_CONTACTS
    return jnp.where(contacts, jax.random.randint(key_action, (count,), 1, actions.count(params)), actions.WAIT)
