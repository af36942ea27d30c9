"""Setting a policy's knob so that it spends a given budget on the training customers."""

from collections.abc import Callable

import jax
import numpy as np

from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.errors import ConfigError
from retentionjax.evaluation.rollout import Policy, play

CLOSE = 2e-3  # share of the target


def spend_exactly(
    policy: Policy,
    env: RetentionEnv,
    params: EnvParams,
    target: float,
    *,
    low: float,
    high: float,
    key: jax.Array,
    replicates: int,
    steps: int = 16,
    advance: Callable[[int], object] = lambda steps: None,
) -> Policy:
    """`policy` with the knob in [low, high] at which it spends `target` dollars a customer, or up to `CLOSE` less.

    Spend must fall with the knob. It is measured under the same luck every time, and with expected churn if `env` has
    it, which needs far fewer episodes. Raises ConfigError when even `high` overspends. Where the whole interval
    underspends, the policy has no use for the money: the smallest knob is returned.

    Every other step halves the interval, so that steps in spend do no harm; the others go to where the target is if
    the logarithm of spend is a straight line in between, which a bias on a logit comes near to.
    """

    def spend(knob: float) -> float:
        return float(np.mean(play(env, params, policy.replace(knob=knob), key, replicates=replicates).spend))  # type: ignore[attr-defined]

    if (least := spend(high)) > target:
        raise ConfigError(
            f"policy {policy.name} spends ${least:.2f} a customer at knob {high:g}; allowed: ${target:.2f}"
        )
    if (most := spend(low)) <= target:
        return policy.replace(knob=low)  # type: ignore[attr-defined]
    for step in range(steps):
        if least >= (1 - CLOSE) * target:
            break
        advance(1)
        share = 0.5 if step % 2 else np.log(most / target) / np.log(most / max(least, 1e-6 * target))
        middle = low + float(share) * (high - low)
        spent = spend(middle)
        if spent > target:
            low, most = middle, spent
        else:
            high, least = middle, spent
    return policy.replace(knob=high)  # type: ignore[attr-defined]
