"""The rules a policy must beat, each under the same masks and each tuned to spend the same budget."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import xgboost
from jaxtyping import Array, Bool, Float, Int

from retentionjax.env import actions, dynamics, threefry
from retentionjax.env.dynamics import elevated_share
from retentionjax.env.observation import observe
from retentionjax.env.retention import RetentionEnv, draws_of, new_customer
from retentionjax.env.types import EnvParams, EnvState
from retentionjax.env.value import contact_gain
from retentionjax.errors import ConfigError
from retentionjax.evaluation.rollout import CHUNK, Policy, PolicyInput, for_each, play
from retentionjax.tabular import forest

NOW = 0  # delay index of a contact today
RANGES: Mapping[str, tuple[float, float]] = {
    "random": (0.8, 1.0),
    "threshold": (0.0, 1.0),
    "thompson": (0.0, 1.0),
    "uplift": (-50.0, 200.0),
    "greedy": (0.0, 50.0),
    "greedy_fatigue": (0.0, 50.0),
}
"""Range in which each rule's hyperparameter is sought; that of `uplift` is money, at a charge of some 65 a month."""


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


def _random(policy: Policy, situations: PolicyInput, keys: jax.Array) -> jax.Array:
    key_wait, key_action = jnp.moveaxis(jax.vmap(lambda key: threefry.split(key, 2))(keys), 1, 0)
    legal = situations.mask.at[:, actions.WAIT].set(False)
    action = threefry.categorical(key_action, jnp.where(legal, 0.0, -1e9))
    waits = (threefry.uniforms(key_wait, 1)[0] < policy.hyperparameter) | ~legal.any(axis=1)
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


# --- Thompson sampling over the offers: a bandit that learns acceptance from its own contacts -------------------

# Who is contacted is a risk threshold (the hyperparameter); which offer is drawn by posterior sampling, the classic
# scheme for prices (Ferreira, Simchi-Levi, Wang 2018): the offer o that maximises θ_o times the share of the charge
# kept if it is accepted, while it runs, with θ_o from its Beta posterior.

DRAWS = 4_096  # posterior draws a campaign: a rejection sampler at each decision would cost more than the simulation


class AcceptancePosterior(NamedTuple):
    """What the bandit knows of the offers' acceptance."""

    counts: Float[Array, "offers 2"]  # Beta parameters: 1 + accepted, 1 + declined
    draws: Float[Array, "draws offers"]  # from that Beta; each decision takes a random row


def thompson(offers: int, churn_probability: float = 0.4) -> Policy:
    """The bandit before any contact: Beta(1, 1) for each of `offers` offers."""
    nothing_seen = posterior(jnp.ones((offers, 2)), jax.random.key(0))
    return Policy("thompson", _thompson, hyperparameter=churn_probability, parameters=nothing_seen)


def posterior(counts: Float[Array, "offers 2"], key: jax.Array) -> AcceptancePosterior:
    """Posterior of given Beta parameters, with its draws."""
    return AcceptancePosterior(counts, jax.random.beta(key, counts[:, 0], counts[:, 1], (DRAWS, len(counts))))


def learn_thompson(
    env: RetentionEnv,
    params: EnvParams,
    key: jax.Array,
    *,
    rounds: int,
    churn_probability: float,
    advance: Callable[[int], object] = lambda rounds: None,
) -> Policy:
    """The bandit after `rounds` campaigns, each twice on every customer of `params`, and updated after each."""
    policy = thompson(actions.offers(params), churn_probability)
    for number in range(rounds):
        key_play, key_draws = jax.random.split(jax.random.fold_in(key, number))
        episodes = play(env, params, policy, key_play, replicates=2)
        accepted = np.sum(episodes.accepted, axis=(0, 1))
        declined = np.sum(episodes.made, axis=(0, 1)) - accepted
        counts = policy.parameters.counts + jnp.stack([jnp.asarray(accepted), jnp.asarray(declined)], axis=1)
        policy = policy.replace(parameters=posterior(counts, key_draws))  # type: ignore[attr-defined]
        advance(1)
    return policy


@for_each
def _thompson(policy: Policy, situation: PolicyInput, key: jax.Array) -> jax.Array:
    drawn = policy.parameters.draws[jax.random.randint(key, (), 0, DRAWS)]
    params, charge = situation.params, situation.state.monthly_charge
    kept = 1 - dynamics.full_cost(charge, params) / (charge / 30 * params.offer_days)
    return contact_now(
        jnp.argmax(drawn * kept), situation.observation[0] > policy.hyperparameter, situation.mask, params
    )


# --- set to a spend --------------------------------------------------------------------------------------------------


CLOSE = 2e-3  # share of the target
WIDER, WIDENING = 12, 4  # times that an interval whose upper end overspends is followed by one so many times as long


def spend_exactly(
    policy: Policy,
    env: RetentionEnv,
    params: EnvParams,
    target: float,
    *,
    between: tuple[float, float],
    key: jax.Array,
    replicates: int,
    steps: int = 16,
    advance: Callable[[int], object] = lambda steps: None,
) -> Policy:
    """`policy` with the hyperparameter `between` two ends that spends `target` dollars a customer, or up to
    `CLOSE` less.

    Spend must fall with the hyperparameter. It is measured under common random numbers every time,
    and with expected churn if `env` has it, which needs far fewer episodes. Where even the upper end overspends, it is
    sought beyond it: what a contact gains for each dollar of it has no upper bound where contacts cost a cent. Raises
    ConfigError where that does not help. Where the whole interval underspends, the policy has no use for the money:
    the lower end is taken.

    By the Illinois method (Dowell and Jarratt 1971) on the logarithm of spend, to which a bias on a logit is nearly
    linear: some five steps where bisection takes a dozen. `steps` at most.
    """

    def spend(hyperparameter: float) -> float:
        set_to: Policy = policy.replace(hyperparameter=hyperparameter)  # type: ignore[attr-defined]
        return float(np.mean(play(env, params, set_to, key, replicates=replicates).spend))

    low, high = between
    least, most = spend(high), np.inf
    for _ in range(WIDER):
        if least <= target:
            break
        low, high, most = high, high + WIDENING * (high - low), least
        least = spend(high)
    if least > target:
        raise ConfigError(
            f"policy {policy.name} spends {least:.2f} a customer at hyperparameter {high:g}; allowed: {target:.2f}, "
            "what the policy beside it spends; if that is next to nothing, are these its customers, and "
            "their charges in the same unit?"
        )
    if target <= 0:  # it spends nothing at the upper end, and no logarithm is taken of that
        return policy.replace(hyperparameter=high)  # type: ignore[attr-defined]
    most = spend(low) if np.isinf(most) else most
    if most <= target:
        return policy.replace(hyperparameter=low)  # type: ignore[attr-defined]
    over, under, moved = _beyond(most, target), _beyond(least, target), 0
    for _ in range(steps):
        if least >= (1 - CLOSE) * target:
            break
        advance(1)
        middle = low + over / (over - under) * (high - low)
        spent = spend(middle)
        if spent > target:
            low, over, under = middle, _beyond(spent, target), under / 2 if moved > 0 else under
        else:
            high, least, under, over = middle, spent, _beyond(spent, target), over / 2 if moved < 0 else over
        moved = 1 if spent > target else -1
    return policy.replace(hyperparameter=high)  # type: ignore[attr-defined]


def _beyond(spent: float, target: float) -> float:
    """The amount by which spend is over the middle of what counts as the target, on a logarithmic scale."""
    return float(np.log(max(spent / target, 0.01) / (1 - CLOSE / 2)))


# --- the T-learner: contacts that a random policy logged -------------------------------------------------------------
# One regression forest an arm (wait, and a contact with each offer) predicts the rest of the episode's value from what
# was observed at the decision; the uplift of an offer is its arm's prediction less that of *wait* (Künzel, Sekhon,
# Bickel, Yu 2019). The arms are random, so the log is unconfounded.


CONTACT_SHARE = 0.5  # of the decisions that are logged
BACKGROUND_CONTACTS = 0.01  # a day, so that the log also shows customers who were contacted before


class UpliftLog(NamedTuple):
    """Logged decisions, one an episode; arrays over episodes."""

    observation: npt.NDArray[np.float32]  # (episodes, features)
    arm: npt.NDArray[np.int32]  # 0 wait, 1 + offer
    value: npt.NDArray[np.float32]  # $, from the decision to the end


def log_random_contacts(env: RetentionEnv, params: EnvParams, key: jax.Array, *, episodes: int) -> UpliftLog:
    """A random policy's log: in each episode one decision, on a random day, with its propensity-½ contact.

    Decisions on which the customer was already gone, or a contact was not legal, are left out.
    """
    days, chunk = int(params.horizon_days), min(2 * CHUNK, episodes)
    keys = (jax.random.fold_in(key, start) for start in range(0, episodes, chunk))
    parts = [_simulate_log(env, params, each, chunk, days) for each in keys]
    observation, arm, value, usable = (np.concatenate(column) for column in zip(*parts, strict=True))
    return UpliftLog(observation[usable], arm[usable], value[usable])


def fit_t_learner(
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


def t_learner(models: tuple[forest.Forest, ...]) -> Policy:
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
    at_once = actions.encode(jnp.arange(actions.offers(params)), 0, params)

    def one_day(carry: _Carry, day: jax.Array) -> tuple[_Carry, None]:
        state, alive, seen, usable, value = carry
        key_common, key_other = jax.random.split(jax.random.fold_in(key_days, day))
        now = day == decision_day
        other = _background(key_other, count, params)
        chosen = jnp.where(now, jnp.where(arm > 0, actions.encode(arm - 1, 0, params), actions.WAIT), other)
        legal = jax.vmap(env.action_mask, (0, None))(state, params)
        action = jnp.where(jnp.take_along_axis(legal, chosen[:, None], 1)[:, 0], chosen, actions.WAIT)
        contact_is_legal = legal[:, at_once].any(axis=1)  # the first offer may be more than accounts allow
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
