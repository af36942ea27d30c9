"""What the next dollar returns, as the policy stage measures it."""

import jax
import jax.numpy as jnp
import pytest

from experiments import policy as stage
from retentionjax.env import actions, population
from retentionjax.env.types import EnvParams
from retentionjax.evaluation.rollout import Policy, for_each

PEOPLE = EnvParams(population=population.build([60.0, 100.0], [0.3, 0.5], [0.5, 0.5]), horizon_days=8)


@for_each
def _share(policy, situation, key):
    """Contacts without a discount on the first day; the larger the knob, the rarer."""
    contact = (jax.random.uniform(key) < jax.nn.sigmoid(-policy.knob)) & (situation.state.time == 0)
    return jnp.where(contact, actions.encode(0, 0), actions.WAIT)


def test_the_price_is_the_slope_of_value_over_spend():
    """Contacts that do nothing but cost return −1 $ a $, so a price of 0; where they stop churn, much more."""
    config = stage.PolicyConfig(tuning_replicates=500)
    useless = PEOPLE.replace(hazard_multiplier=jnp.ones(4))
    useful = PEOPLE.replace(hazard_multiplier=jnp.full(4, 0.01))
    rule = Policy("share", _share)
    assert stage.marginal_return(config, rule, useless) == 0.0
    assert stage.marginal_return(config, rule, useful) > 2.0
    never = Policy("share", _share, knob=100.0)
    assert stage.marginal_return(config, never, useful) == 0.0


def test_runs_that_measured_no_price_are_read_by_their_multiplier():
    assert stage.price_of({"multiplier_campaign_budget": 0.8}) == 0.8
    assert stage.price_of({"multiplier_campaign_budget": 0.8, "price_campaign_budget": 1.1}) == pytest.approx(1.1)
