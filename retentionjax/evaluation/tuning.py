"""Setting a policy's hyperparameter so that it spends a given budget on the training customers."""

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
    """`policy` with the hyperparameter in [low, high] that spends `target` dollars a customer, or up to `CLOSE` less.

    Spend must fall with the hyperparameter. It is measured under common random numbers every time,
    and with expected churn if `env` has it, which needs far fewer episodes. Raises ConfigError when even `high`
    overspends. Where the whole interval underspends, the policy has no use for the money: the smallest hyperparameter
    is returned.

    By the Illinois method (Dowell and Jarratt 1971) on the logarithm of spend, to which a bias on a logit is nearly
    linear: some five steps where bisection takes a dozen. `steps` at most.
    """

    def spend(hyperparameter: float) -> float:
        set_to: Policy = policy.replace(hyperparameter=hyperparameter)  # type: ignore[attr-defined]
        return float(np.mean(play(env, params, set_to, key, replicates=replicates).spend))

    if (least := spend(high)) > target:
        raise ConfigError(
            f"policy {policy.name} spends {least:.2f} a customer at hyperparameter {high:g}; allowed: {target:.2f}"
        )
    if (most := spend(low)) <= target:
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
