"""Effects in doubt: an episode runs by its own world, and shows what is believed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.env import EnvParams, RetentionEnv, dynamics, observation, population, worlds
from retentionjax.env.retention import Draws, new_customer
from retentionjax.env.types import NO_OFFER
from retentionjax.env.value import never_unforeseen, with_potential

ENV = RetentionEnv(expected_churn=True)
PEOPLE = population.build([60.0], [0.3], [0.2])
OFFERS = 4


def days_of(params: EnvParams, world: int | None, actions: list[int], *, accepts: bool = True):
    """Discounts, observations and offers known to be running, day by day, for a customer who is calm throughout."""
    state = new_customer(jnp.int32(0), jnp.asarray(False), params, None if world is None else jnp.int32(world))
    luck = Draws(jnp.float32(0.0 if accepts else 1.0), jnp.float32(0.0), jnp.float32(1.0))
    step = jax.jit(lambda state, action: ENV.step_with(luck, state, action, params))
    discounts, seen, running = [], [], []
    for action in actions:
        after, state, _, _, info = step(state, jnp.int32(action))
        discounts.append(float(info["discount"]))
        seen.append(np.asarray(after))
        running.append(int(worlds.seen(state, params).offer))
    return np.array(discounts), np.array(seen), running


def doubting(believed: EnvParams, **leaves: list) -> EnvParams:
    """`believed` with worlds in which these constants differ; what is believed stays."""
    return believed.replace(worlds={name: jnp.asarray(each) for name, each in leaves.items()})


@pytest.mark.parametrize(("believed", "true"), [(30, 50), (50, 30), (30, 200)])
def test_an_offer_works_as_long_as_it_does_and_shows_as_long_as_is_believed(believed, true):
    plain = EnvParams(population=PEOPLE)
    told = plain.replace(effect_days=jnp.full(OFFERS, true))
    shown = plain.replace(effect_days=jnp.full(OFFERS, believed))
    actions = [7, *[0] * 62]
    works, _, _ = days_of(told, None, actions)
    _, observed, running = days_of(shown, None, actions)
    discounts, seen, known = days_of(doubting(shown, effect_days=[[10] * 4, [true] * 4]), 1, actions)
    np.testing.assert_array_equal(discounts, works)
    np.testing.assert_array_equal(seen, observed)
    assert known == running
    assert known.index(NO_OFFER) == believed - 1


def test_a_second_offer_replaces_one_that_works_longer_than_is_believed():
    plain = EnvParams(population=PEOPLE)
    actions = [7, *[0] * 34, 10, *[0] * 40]
    told = plain.replace(effect_days=jnp.full(OFFERS, 45))
    works, _, _ = days_of(told, None, actions)
    discounts, _, _ = days_of(doubting(plain, effect_days=[[45] * 4]), 0, actions)
    np.testing.assert_array_equal(discounts, works)


def test_predictions_are_those_that_are_believed_in_whatever_world():
    plain = EnvParams(population=PEOPLE)
    doubt = doubting(plain, appeal=[[0.0, 1.0, 2.0, 3.0], [3.0, 3.0, 3.0, 3.0]], risk_ratio=[2.0, 12.0])
    _, expected, _ = days_of(plain, None, [0] * 3)
    for world in (0, 1):
        np.testing.assert_array_equal(days_of(doubt, world, [0] * 3)[1], expected)


def test_acceptance_and_hazard_are_those_of_the_world():
    plain = EnvParams(population=PEOPLE)
    doubt = doubting(plain, appeal=[[-9.0] * 4, [9.0] * 4], risk_ratio=[2.0, 12.0], contact_effect=[0.0, 0.5])
    state = new_customer(jnp.int32(0), jnp.asarray(True), doubt, jnp.int32(1))
    luck = Draws(jnp.float32(0.99), jnp.float32(0.0), jnp.float32(1.0))
    _, _, _, _, info = ENV.step_with(luck, state, jnp.int32(1), doubt)
    assert bool(info["accepted"])
    hazard = dynamics.daily_hazard(0.3, jnp.asarray(True), plain.replace(risk_ratio=12.0))
    assert float(info["discount"]) == pytest.approx(float((1 - hazard) ** (0.9 * np.exp(0.5))), rel=1e-6)


def test_each_episode_draws_its_world():
    doubt = doubting(EnvParams(population=PEOPLE), risk_ratio=np.linspace(1, 8, 8).tolist())
    keys = jax.random.split(jax.random.key(0), 4000)
    _, states = jax.vmap(ENV.reset, (0, None))(keys, doubt)
    counts = np.bincount(np.asarray(states.world), minlength=8)
    assert (np.abs(counts - 500) < 100).all()
    _, plain = jax.vmap(ENV.reset, (0, None))(keys, worlds.as_believed(doubt))
    assert plain.world is None
    np.testing.assert_array_equal(plain.customer, states.customer)


def test_what_is_the_same_in_all_draws_is_no_doubt():
    params = EnvParams(population=PEOPLE)
    same = params.replace(hazard_multiplier=jnp.tile(params.hazard_multiplier, (5, 1)), accept_risk=jnp.ones(5))
    assert worlds.believing(params, same).worlds is None
    days = jnp.asarray([[30, 31, 30, 30], [30, 34, 30, 30]])
    doubt = worlds.believing(params, same.replace(effect_days=days, contact_effect=jnp.asarray([0.2, -0.4])))
    assert doubt.worlds.keys() == {"effect_days", "contact_effect"}
    assert worlds.count(doubt) == 2
    assert doubt.contact_effect == pytest.approx(-0.1)
    np.testing.assert_array_equal(doubt.effect_days, [30, 32, 30, 30])
    assert worlds.count(worlds.rows(doubt, slice(1, None))) == 1


def test_observations_are_within_their_bounds_under_doubt():
    doubt = doubting(EnvParams(population=PEOPLE), effect_days=[[60] * 4])
    _, seen, _ = days_of(doubt, 0, [7, *[0] * 70])
    low, high = observation.bounds(OFFERS)
    assert ((seen >= low) & (seen <= high)).all()


def test_what_the_potential_does_not_foresee_is_what_never_contacting_is_worth_beyond_it():
    """The return of an episode that always waits, shaped by a potential of the world that is believed, is on average
    what never contacting is worth in the worlds beyond that: uplift it has none."""
    believed = with_potential(EnvParams(population=PEOPLE, horizon_days=20))
    params = doubting(believed, risk_recovery=[1 / 40, 1 / 3], risk_ratio=[12.0, 2.0])
    shaping = RetentionEnv(expected_churn=True, shaping=True)

    def episode(world, elevated, luck):
        state = new_customer(jnp.int32(0), elevated, params, world)

        def day(carry, key):
            state, alive, total = carry
            _, after, reward, _, info = shaping.step_env(key, state, 0, params)
            return (after, alive * info["discount"], total + alive * reward), None

        return jax.lax.scan(day, (state, 1.0, 0.0), jax.random.split(luck, 20))[0][2]

    count = 2000
    random = np.random.default_rng(0)
    returns = []
    for world in (0, 1):
        share = float(dynamics.elevated_share(worlds.in_force(params, jnp.int32(world))))
        elevated = jnp.asarray(random.random(count) < share)
        keys = jax.random.split(jax.random.key(world), count)
        returns.append(jax.jit(jax.vmap(episode, (None, 0, 0)))(jnp.int32(world), elevated, keys))
    unforeseen = float(never_unforeseen(params))
    assert abs(unforeseen) > 0.2
    assert np.mean(returns) == pytest.approx(unforeseen, abs=5 * np.std(returns) / np.sqrt(2 * count))
    assert float(never_unforeseen(believed)) == 0.0
