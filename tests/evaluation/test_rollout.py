"""Episodes of policies: against closed forms, and under common random numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retentionjax.env import actions
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.value import expected_never_value
from retentionjax.evaluation import baselines, rollout
from retentionjax.evaluation.rollout import Policy, PolicyInput, daily_spend, for_each, play

KEY = jax.random.key(3)


def test_never_is_worth_its_closed_form(env, cohort):
    episodes = play(env, cohort, baselines.never(), KEY, replicates=400)
    expected = np.asarray(expected_never_value(cohort))
    error = episodes.value.std(axis=1) / np.sqrt(episodes.value.shape[1])
    scores = (episodes.value.mean(axis=1) - expected) / error
    assert np.abs(scores).max() < 4.5
    assert np.mean(scores**2) == pytest.approx(1.0, abs=0.6)
    assert not episodes.spend.any()


def test_the_same_policy_meets_the_same_luck_twice(env, cohort):
    policy = baselines.threshold(0.3)
    one, two = (play(env, cohort, policy, KEY, replicates=16) for _ in range(2))
    for column in one._fields:
        np.testing.assert_array_equal(getattr(one, column), getattr(two, column))


def test_policies_that_differ_in_name_and_numbers_only_are_compiled_once(env, cohort):
    play(env, cohort, baselines.greedy(1.0), KEY, replicates=16)
    programs = rollout.play_chunk._cache_size()
    read = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), cohort)  # as from a file of arrays
    play(env, read, baselines.greedy_fatigue(2.0), KEY, replicates=16)
    assert rollout.play_chunk._cache_size() == programs


def test_policies_differ_only_after_a_contact(env, cohort):
    """Where the busier policy contacts nobody, its episode is that of never contacting, to the last cent."""
    never = play(env, cohort, baselines.never(), KEY, replicates=16)
    some = play(env, cohort, baselines.threshold(0.6), KEY, replicates=16)
    untouched = some.contacts == 0
    assert 0.05 < untouched.mean() < 0.95
    np.testing.assert_array_equal(some.value[untouched], never.value[untouched])


def test_expected_churn_has_the_mean_of_sampled_churn(env, cohort):
    policy = baselines.threshold(0.25)
    sampled = play(env, cohort, policy, KEY, replicates=512)
    expected = play(RetentionEnv(expected_churn=True), cohort, policy, jax.random.key(4), replicates=512)
    assert sampled.retained.mean() < 0.85  # enough of them leave
    for column in ("value", "spend", "contacts", "revenue", "retained", "end_charge"):
        a, b = getattr(sampled, column), getattr(expected, column)
        error = np.sqrt(a.var(axis=1).mean() / a.size + b.var(axis=1).mean() / b.size)
        assert abs(a.mean() - b.mean()) < 4 * error, column


def test_chunks_join_in_the_order_of_the_customers(env, cohort):
    """Cut into several chunks, the last of them filled up, each customer's episodes still are that customer's."""
    assert 2 * rollout.CHUNK < 64 * 45 < 3 * rollout.CHUNK
    episodes = play(env, cohort, baselines.never(), KEY, replicates=45)
    assert episodes.value.shape == (64, 45)
    charge = np.asarray(cohort.population.monthly_charge)
    kept = np.where(episodes.retained == 1, episodes.end_charge, np.nan)
    seen = np.nanmax(np.nan_to_num(kept, nan=0.0), axis=1)
    anyone_kept = seen > 0
    np.testing.assert_allclose(seen[anyone_kept], charge[anyone_kept], rtol=1e-6)


@for_each
def _only_the_first(policy: Policy, inputs: PolicyInput, key: jax.Array) -> jax.Array:
    """Contact customers 0, 1 and 2 whenever that is legal."""
    return jnp.where((inputs.state.customer < 3) & inputs.mask[1], 1, actions.WAIT)


def test_a_policy_is_told_which_customer_it_decides_about(env, cohort):
    episodes = play(env, cohort, Policy("only the first", _only_the_first), KEY, replicates=16)
    np.testing.assert_array_equal(episodes.contacts.sum(axis=1) > 0, np.arange(64) < 3)


def test_days_add_up_to_the_campaign(env, cohort):
    policy = baselines.threshold(0.4)
    keys = jax.random.split(KEY, 8)
    days = np.mean([daily_spend(env, cohort, policy, key, replicates=16) for key in keys], axis=0)
    whole = play(env, cohort, policy, KEY, replicates=128)
    assert days.shape == (30,)
    assert days.sum() == pytest.approx(whole.spend.mean(), rel=0.03)


def test_masked_policies_break_no_rule(env, cohort):
    episodes = play(env, cohort, baselines.random(0.2), KEY, replicates=16)
    assert episodes.contacts.mean() > 2
    for rule in ("cooldown_violations", "fatigue_violations", "account_violations"):
        assert not getattr(episodes, rule).any(), rule
    unmasked = play(RetentionEnv(masked=False), cohort, baselines.random(0.2), KEY, replicates=16)
    assert unmasked.cooldown_violations.sum() > 0
