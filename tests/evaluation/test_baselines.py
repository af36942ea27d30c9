"""The simple rules: the greedy rule's arithmetic against simulation, and each rule's own promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.env import actions
from retentionjax.env.retention import RetentionEnv, new_customer
from retentionjax.errors import ConfigError
from retentionjax.evaluation import baselines
from retentionjax.evaluation.baselines import spend_exactly
from retentionjax.evaluation.rollout import Policy, PolicyInput, for_each, play
from retentionjax.evaluation.statistics import Bootstrap

KEY = jax.random.key(11)


@jax.jit
def customers(elevated, world):
    """The first morning of all 64, each in the given risk state."""
    return jax.vmap(lambda row: new_customer(row, elevated, world))(jnp.arange(64))


@jax.jit
def gains(states, world, foresees):
    """What `contact_gain` says of each: gain and spend, f32[64, offers]."""
    return jax.vmap(lambda state: baselines.contact_gain(state, world, foresees_fatigue=foresees))(states)


@for_each
def _once(policy: Policy, situation: PolicyInput, key: jax.Array) -> jax.Array:
    """Contact on day 0 with offer `parameters`, never again."""
    return jnp.where(situation.state.time == 0, actions.encode(policy.parameters, 0, situation.params), actions.WAIT)


@pytest.mark.parametrize("offer", [0, 3])
def test_greedy_gain_is_what_simulation_finds_where_risk_does_not_move(cohort, offer):
    """With a risk ratio of 1 today's risk lasts, so the rule's assumption is true and its arithmetic exact."""
    env = RetentionEnv(expected_churn=True)  # a tenth of the episodes says as much
    world = cohort.replace(risk_ratio=1.0, accept_risk=0.0, hazard_multiplier=jnp.array([0.5, 0.4, 0.3, 0.2]))
    gain, spend = gains(customers(jnp.asarray(False), world), world, False)
    once = play(env, world, Policy("once", _once, parameters=jnp.int32(offer)), KEY, replicates=120)
    never = play(env, world, baselines.never(), KEY, replicates=120)
    found = Bootstrap(64).mean(once.value - never.value)
    noise = (once.value - never.value).std() / np.sqrt(once.value.size)
    assert abs(found.mean - float(gain[:, offer].mean())) < 4 * noise
    assert once.spend.mean() == pytest.approx(float(spend[:, offer].mean()), rel=0.03)


def test_greedy_that_foresees_fatigue_expects_less_of_a_second_contact(cohort):
    fresh = customers(jnp.asarray(True), cohort)
    tired = fresh.replace(contact_history=jnp.full(64, 1 << 9, jnp.uint32), days_since_contact=jnp.full(64, 10))
    (fresh_foreseen, fresh_blind), (tired_foreseen, tired_blind) = (
        [gains(states, cohort, foresees)[0] for foresees in (True, False)] for states in (fresh, tired)
    )
    np.testing.assert_allclose(fresh_foreseen, fresh_blind, rtol=1e-5, atol=1e-4)
    assert (tired_foreseen < tired_blind).all()


def test_a_multiplier_makes_greedy_choosier(env, cohort):
    free, dear = (play(env, cohort, baselines.greedy(multiplier), KEY, replicates=32) for multiplier in (0.0, 2.0))
    assert dear.spend.mean() < 0.7 * free.spend.mean()


@pytest.mark.parametrize(
    ("policy", "between"),
    [
        (baselines.greedy(), (0.0, 50.0)),
        pytest.param(baselines.random(), (0.8, 1.0), marks=pytest.mark.slow),
    ],
    ids=["greedy", "random"],
)
def test_every_rule_can_be_set_to_spend_the_same(env, cohort, policy, between):
    tuned = spend_exactly(policy, env, cohort, 1.5, between=between, key=KEY, replicates=32, steps=10)
    spend = play(env, cohort, tuned, KEY, replicates=32).spend.mean()
    assert 1.48 < spend <= 1.5, policy.name


def test_a_rule_can_be_set_to_spend_nothing(env, cohort):
    """It is set so where the policy it is compared with contacts nobody."""
    tuned = spend_exactly(baselines.random(), env, cohort, 0.0, between=(0.8, 1.0), key=KEY, replicates=32)
    assert play(env, cohort, tuned, KEY, replicates=32).spend.sum() == 0


@pytest.mark.parametrize("target", [0.05, 0.0])
def test_a_rule_is_set_beyond_its_range_where_a_contact_costs_next_to_nothing(env, cohort, target):
    """E-mails of 0.1 ¢: a contact gains hundreds of times what it costs, so that no price of 50 keeps it off."""
    cheap = cohort.replace(contact_cost=0.001, discount=jnp.zeros(4), contact_effect=-0.2)
    most = play(env, cheap, baselines.greedy(50.0), KEY, replicates=8).spend.mean()
    settings = {"between": baselines.RANGES["greedy"], "key": KEY, "replicates": 8}
    tuned = spend_exactly(baselines.greedy(), env, cheap, target * float(most), **settings)
    assert play(env, cheap, tuned, KEY, replicates=8).spend.mean() <= target * most < most


def test_a_policy_that_cannot_spend_so_little_is_refused(env, cohort):
    settings = {"between": (0.0, 0.5), "key": KEY, "replicates": 32}
    with pytest.raises(ConfigError, match=r"policy always spends .* a customer at hyperparameter .*; allowed: 0.10"):
        spend_exactly(Policy("always", _always), env, cohort, 0.1, **settings)


@for_each
def _always(policy, situation, key):
    return baselines.contact_now(0, jnp.asarray(True), situation.mask, situation.params)


def test_the_bandit_counts_its_contacts_and_finds_the_acceptance_rates(env, cohort, monkeypatch):
    monkeypatch.setattr(baselines, "DRAWS", 256)  # each decision takes one
    bandit = baselines.learn_thompson(env, cohort, KEY, rounds=15, churn_probability=0.2)
    counts = np.asarray(bandit.parameters.counts)
    assert counts.sum() > 8 + 500
    assert (counts >= 1).all()
    episodes = play(env, cohort, bandit, jax.random.key(12), replicates=32)
    made, accepted = episodes.made.sum((0, 1)), episodes.accepted.sum((0, 1))
    best = int(np.argmax(made))
    believed = counts[best, 0] / counts[best].sum()
    assert believed == pytest.approx(accepted[best] / made[best], abs=0.06)


def test_the_uplift_learner_sees_an_effect_that_is_there(env, cohort):
    """In a world where an accepted offer all but stops churn and everyone accepts, contacting beats waiting."""
    kind = cohort.replace(hazard_multiplier=jnp.full(4, 0.01), contact_cost=0.0, fatigue_hazard=0.0)
    kind = kind.replace(population=cohort.population.replace(accept_probability=jnp.full(64, 0.99)))
    log = baselines.log_random_contacts(env, kind, KEY, episodes=16_384)
    assert np.mean(log.arm > 0) == pytest.approx(0.5, abs=0.03)
    models = baselines.fit_t_learner(log, offers=4, trees=20, depth=2, learning_rate=0.2, seed=0)
    gain = np.asarray(baselines.predicted_uplift(models, jnp.asarray(log.observation[:2000])))
    truth = log.value[log.arm == 1].mean() - log.value[log.arm == 0].mean()
    assert truth > 5
    assert gain[:, 0].mean() == pytest.approx(truth, rel=0.25)


def test_the_log_of_random_contacts_holds_every_offer_that_accounts_allow(env, cohort):
    """The first offer is more than any account may cost: customers can be contacted with the others all the same."""
    dear = cohort.replace(amount=jnp.array([1_000.0, 0.0, 0.0, 0.0]))
    arms = np.bincount(baselines.log_random_contacts(env, dear, KEY, episodes=512).arm, minlength=5)
    assert arms[1] == 0
    assert (arms[[0, 2, 3, 4]] > 20).all()
