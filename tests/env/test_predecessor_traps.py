"""What was wrong with the predecessor's environment, each a regression test here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from campaigns import COHORT, EXPECTED, cohort_params, play, random_action, random_legal, sampled_restarts, wait

from retentionjax.env import EnvParams, EnvState, Population, RetentionEnv, actions, constraints, observation
from retentionjax.env.retention import new_customer
from retentionjax.env.types import NO_OFFER
from retentionjax.env.value import with_potential

PLAIN = RetentionEnv(expected_churn=True)
DAYS = 30
COOLDOWN, FATIGUE = constraints.NAMES.index("cooldown"), constraints.NAMES.index("fatigue")


@jax.jit
def planned(params: EnvParams, plan: jax.Array) -> dict[str, jax.Array]:
    """info [DAYS] of one calm customer's days when action plan[day] is taken."""

    def day(state: EnvState, given: tuple[jax.Array, jax.Array]) -> tuple[EnvState, dict[str, jax.Array]]:
        _, state, _, _, info = PLAIN.step_env(given[0], state, given[1], params)
        return state, info

    start = new_customer(jnp.int32(0), jnp.bool_(0), params)
    return jax.lax.scan(day, start, (jax.random.split(jax.random.key(0), DAYS), plan))[1]


def days_of(plan: dict[int, int], params: EnvParams | None = None) -> dict[str, np.ndarray]:
    """info of each day when action plan[day] is taken on the days it names, else *wait*."""
    chosen = jnp.array([plan.get(day, actions.WAIT) for day in range(DAYS)])
    info = planned(EnvParams() if params is None else params, chosen)
    return {name: np.asarray(value) for name, value in info.items()}


def test_the_customer_scored_is_the_customer_observed() -> None:
    """Charge, risk and acceptance of reward and observation are of one row, through steps and automatic resets."""
    before, _, (observed, after, _, _, _, info) = jax.tree.map(np.asarray, sampled_restarts())
    names, population = observation.names(4), cohort_params().population
    charge, churn = np.asarray(population.monthly_charge), np.asarray(population.churn_probability)
    seen = after.customer
    np.testing.assert_allclose(observed[..., names.index("log_charge")], np.log(charge[seen] / 65), atol=1e-5)
    np.testing.assert_allclose(observed[..., names.index("baseline_churn_probability")], churn[seen], rtol=1e-6)
    is_plain = (info["discount"] == 1) & (info["running_offer"] == NO_OFFER)
    np.testing.assert_allclose(info["revenue"][is_plain], charge[before.customer][is_plain] / 30, rtol=1e-5)
    assert len(set(before.customer.ravel().tolist())) > 100


def test_the_risk_scored_is_the_risk_observed() -> None:
    """Today's churn probability, as observed, is the one that churn is drawn from: 1 − (1 − h)^30."""
    campaign = play(EXPECTED, cohort_params(), wait, COHORT)
    today = np.asarray(campaign.observations[..., 0], np.float64)
    np.testing.assert_allclose(campaign.info["discount"], (1 - today) ** (1 / 30), atol=2e-4)


@pytest.mark.parametrize(("delay", "days"), list(enumerate([0, 1, 3])))
def test_the_delay_is_used(delay: int, days: int) -> None:
    info = days_of({5: int(actions.encode(2, delay, EnvParams()))})
    np.testing.assert_array_equal(np.flatnonzero(info["contact"]), [5 + days])
    assert info["contact_offer"][5 + days] == 2


def test_the_account_pays_on_the_day_of_the_contact_and_not_of_the_decision() -> None:
    costs = days_of({5: int(actions.encode(0, 2, EnvParams()))})["costs"]
    np.testing.assert_allclose(costs[:, 0], [0.5 if day == 8 else 0 for day in range(DAYS)])


def test_customers_do_not_share_a_cooldown() -> None:
    chosen, params = jnp.array([0, 1, 0, 4, 0, 7]), EnvParams()
    _, states = jax.vmap(PLAIN.reset, (0, None))(jax.random.split(jax.random.key(0), 6), params)
    keys = jax.random.split(jax.random.key(1), 6)
    after = jax.jit(jax.vmap(PLAIN.step_env, (0, 0, 0, None)))(keys, states, chosen, params)[1]
    left = jax.vmap(constraints.cooldown_left, (0, None))(after, params)
    np.testing.assert_array_equal(left, [0, 6, 0, 6, 0, 6])


def test_fatigue_is_reachable_under_the_cooldown() -> None:
    """Weekly contacts keep the cooldown; the fourth in thirty days breaks the cap, and only that."""
    costs = days_of({0: 1, 7: 1, 14: 1, 21: 1})["costs"]
    assert not costs[:, COOLDOWN].any()
    np.testing.assert_array_equal(np.flatnonzero(costs[:, FATIGUE]), [21])


def test_violations_are_not_summed_cumulatively() -> None:
    """Contacts on days 0, 1 and 2: two cooldown violations, one on each day it happens, and none later."""
    costs = days_of({0: 1, 1: 1, 2: 1})["costs"]
    np.testing.assert_array_equal(np.flatnonzero(costs[:, COOLDOWN]), [1, 2])
    assert costs[:, COOLDOWN].max() == 1
    assert costs[:, COOLDOWN].sum() == 2


def test_the_campaign_budget_can_bind() -> None:
    """Legal contacts alone, without a multiplier, cost several times the limit; waiting costs nothing."""
    params = cohort_params()
    spend = [play(EXPECTED, params, policy, COHORT).costs[:, 0].mean() for policy in (random_legal, wait)]
    assert spend[0] > 1.5 * constraints.DEFAULT_LIMITS[0]
    assert spend[1] == 0


def test_the_account_cap_can_bind() -> None:
    """Some customers accept so much that a dear offer is refused them before the campaign ends."""
    campaign = play(EXPECTED, cohort_params().replace(appeal=jnp.array([0.0, 1.0, 2.0, 4.0])), random_legal, COHORT)
    left = 30 - np.asarray(campaign.states.account_used)
    dear = 0.2 * np.asarray(campaign.states.monthly_charge) + 0.5
    refused = ~np.asarray(campaign.masks[..., int(actions.encode(3, 0, EnvParams()))])
    assert refused[dear > left + 0.01].all()
    assert 0.05 < (dear > left).mean() < 0.95


def test_the_shaped_reward_does_not_favour_low_risk() -> None:
    """Waiting scores 0 for the safe and the doomed alike, since what they bring anyway is no merit."""
    np.testing.assert_allclose(play(EXPECTED, cohort_params(), wait, COHORT).rewards, 0, atol=2e-4)


def test_the_value_of_a_contact_is_counterfactual() -> None:
    """A 10 % offer today, against never contacting the same customer: who would stay anyway only takes the money,
    who leaves anyway is hardly kept, and it is not the risk that makes a customer worth a contact.
    """
    sure_thing = uplift_of_one_contact(1e-4, elevated=False)
    persuadable = uplift_of_one_contact(0.6, elevated=True)
    lost_cause = uplift_of_one_contact(1 - 1e-4, elevated=True)
    assert sure_thing < -1
    assert persuadable > 3
    assert lost_cause < 0.1 * persuadable


def test_a_sleeping_dog_is_woken_by_contact() -> None:
    """Repeated contacts without an accepted offer drive a customer away."""
    population = Population(jnp.array([65.0]), jnp.array([0.3]), jnp.array([1e-4]))
    params = EnvParams(population=population, appeal=jnp.zeros(4), contact_cost=0.0)
    info = days_of({0: 1, 7: 1, 14: 1}, params.replace(risk_ratio=1.0))
    stays = info["discount"]
    assert stays[6] == pytest.approx(stays[0])  # one contact is no burden
    assert stays[7] < stays[6]
    assert stays[14] < stays[7]


def test_a_contact_in_a_calm_week_is_worth_less_than_in_an_elevated_one() -> None:
    assert uplift_of_one_contact(0.4, elevated=True) > uplift_of_one_contact(0.4, elevated=False) + 1


def ten_percent_on_day_0(key: jax.Array, state: EnvState, mask: jax.Array) -> jax.Array:
    return jnp.where(state.time == 0, actions.encode(2, 0, EnvParams()), actions.WAIT).astype(jnp.int32)


def uplift_of_one_contact(churn: float, elevated: bool) -> float:
    """$ by which 10 % offered on day 0 to a customer who accepts every other time beats never contacting."""
    each = jnp.ones(cohort_params().population.size)
    params = with_potential(EnvParams(population=Population(65 * each, churn * each, 0.5 * each)))
    contacted = play(EXPECTED, params, ten_percent_on_day_0, COHORT, elevated=np.full(len(COHORT), elevated))
    return float(contacted.returns.mean())  # the shaped return is the uplift


def test_a_contact_asked_for_while_one_is_pending_is_ignored() -> None:
    """Unmasked policies may ask: the first contact stands, on its day and with its offer."""
    info = days_of(
        {
            2: int(actions.encode(3, 2, EnvParams())),
            3: int(actions.encode(1, 0, EnvParams())),
            4: int(actions.encode(0, 1, EnvParams())),
        }
    )
    np.testing.assert_array_equal(np.flatnonzero(info["contact"]), [5])
    assert info["contact_offer"][5] == 3


def test_random_actions_violate_and_legal_ones_do_not() -> None:
    lawless, legal = (play(EXPECTED, cohort_params(), policy, COHORT) for policy in (random_action, random_legal))
    assert lawless.costs[:, COOLDOWN].mean() > 1
    assert lawless.costs[:, FATIGUE].mean() > 1
    assert not legal.costs[:, [COOLDOWN, FATIGUE]].any()
