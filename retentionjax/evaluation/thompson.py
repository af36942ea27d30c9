"""Thompson sampling over the offers: a bandit that learns acceptance from its own contacts.

Who is contacted is a risk threshold (the hyperparameter); which offer is drawn by posterior sampling, the classic
scheme for prices (Ferreira, Simchi-Levi, Wang 2018): the offer o that maximises θ_o times the share of the charge
kept if it is accepted, while it runs, with θ_o from its Beta posterior.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from retentionjax.env import actions, dynamics
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation.baselines import contact_now
from retentionjax.evaluation.rollout import Policy, PolicyInput, for_each, play

DRAWS = 4_096  # posterior draws a campaign: a rejection sampler at each decision would cost more than the simulation


class AcceptancePosterior(NamedTuple):
    """What the bandit knows of the offers' acceptance."""

    counts: Float[Array, "offers 2"]  # Beta parameters: 1 + accepted, 1 + declined
    draws: Float[Array, "draws offers"]  # from that Beta; each decision takes a random row


def prior(offers: int, churn_probability: float = 0.4) -> Policy:
    """The bandit before any contact: Beta(1, 1) for each of `offers` offers."""
    nothing_seen = posterior(jnp.ones((offers, 2)), jax.random.key(0))
    return Policy("thompson", _thompson, hyperparameter=churn_probability, parameters=nothing_seen)


def posterior(counts: Float[Array, "offers 2"], key: jax.Array) -> AcceptancePosterior:
    """Posterior of given Beta parameters, with its draws."""
    return AcceptancePosterior(counts, jax.random.beta(key, counts[:, 0], counts[:, 1], (DRAWS, len(counts))))


def learn(
    env: RetentionEnv,
    params: EnvParams,
    key: jax.Array,
    *,
    rounds: int,
    churn_probability: float,
    advance: Callable[[int], object] = lambda rounds: None,
) -> Policy:
    """The bandit after `rounds` campaigns, each twice on every customer of `params`, and updated after each."""
    policy = prior(actions.offers(params), churn_probability)
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
