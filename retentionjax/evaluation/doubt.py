"""What policies are worth when the effects are in doubt: luck and ignorance in one interval.

Every policy plays every customer in every world (`EnvParams.worlds`) under common random numbers and with expected
churn. Customers are resampled, worlds are not averaged: the distribution of the gain over (resample, world) holds both
whom one happens to have and what one does not know. Without worlds what is left is luck.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np
import numpy.typing as npt

from retentionjax.env import worlds
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation.rollout import Policy, play
from retentionjax.evaluation.statistics import Bootstrap, IntervalEstimate, percentiles

WORLDS = 64
"""Draws of the effects in which a policy is judged, unless said otherwise."""
REPLICATES = 32
"""Episodes a customer and policy at least."""
Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Doubt:
    """Figures of policies by name; $ are a customer and campaign."""

    uplift: Mapping[str, IntervalEstimate]
    """Uplift over never contacting, with 95 % intervals over customers and worlds; `never` is not among them."""
    paired: Mapping[str, IntervalEstimate]
    """Lead of the learned policy over each other, `never` included."""
    beats_never: float
    """Probability that the learned policy gains more than never contacting."""
    beats_best_rule: float
    """Probability that it gains more than the best rule on average; than never contacting where no rule was played."""
    spend: IntervalEstimate
    """Spend of the learned policy: mean, and 95 % of the worlds."""
    worlds: int


def measure(
    params: EnvParams,
    policies: Sequence[Policy],
    key: jax.Array,
    *,
    ours: str = "ppo",
    customers: int = 2000,
    seed: int = 0,
    advance: Callable[[int], object] = lambda episodes: None,
    who: npt.ArrayLike | None = None,
) -> Doubt:
    """Plays `policies`, among them `never` and `ours`, on at most so many customers of `params.population`.

    `who`: id of each of its rows, where a customer may have several.
    """
    who = None if who is None else np.asarray(who, object)
    size = params.population.size
    if size > customers:
        rows = np.random.default_rng(seed).choice(size, customers, replace=False)
        who = None if who is None else who[rows]
        params = params.replace(population=params.population.take(rows))  # type: ignore[attr-defined]
    number = worlds.count(params)
    replicates = number * -(-REPLICATES // number)
    env = RetentionEnv(expected_churn=True)
    value: dict[str, Table] = {}
    spend: dict[str, Table] = {}
    for policy in policies:
        episodes = play(env, params, policy, key, replicates=replicates, advance=advance)
        value[policy.name], spend[policy.name] = (by_world(each, number) for each in (episodes.value, episodes.spend))
    return judge(value, spend[ours], ours=ours, seed=seed, who=who)


def judge(
    value: Mapping[str, Table],
    spend: Table,
    *,
    ours: str = "ppo",
    seed: int = 0,
    who: npt.ArrayLike | None = None,
) -> Doubt:
    """Judgement of values by policy, `never` and `ours` among them, and of our spend: f64[customers, worlds] each."""
    bootstrap = Bootstrap(len(spend) if who is None else who, seed=seed)
    names = [name for name in value if name != "never"]
    rules = [name for name in names if name != ours]
    best = max(rules, key=lambda name: float(value[name].mean()), default="never")
    return Doubt(
        uplift={name: spread(value[name] - value["never"], bootstrap) for name in names},
        paired={name: spread(value[ours] - value[name], bootstrap) for name in ("never", *rules)},
        beats_never=chance(value[ours] - value["never"], bootstrap),
        beats_best_rule=chance(value[ours] - value[best], bootstrap),
        spend=percentiles(float(spend.mean()), spend.mean(axis=0)),
        worlds=spend.shape[1],
    )


def spread(gain: Table, bootstrap: Bootstrap) -> IntervalEstimate:
    """Mean of gains [customers, worlds] with its 95 % interval over resampled customers and worlds."""
    return percentiles(float(gain.mean()), bootstrap.means(gain))


def chance(gain: Table, bootstrap: Bootstrap) -> float:
    """Share of (resample of the customers, world) in which the gain [customers, worlds] is above 0 on average."""
    return float((bootstrap.means(gain) > 0).mean())


def by_world(values: npt.ArrayLike, number: int) -> Table:
    """Mean of each customer in each world; f64[customers, worlds] of [customers, replicates]."""
    found = np.asarray(values, np.float64)
    return found.reshape(len(found), -1, number).mean(axis=1)
