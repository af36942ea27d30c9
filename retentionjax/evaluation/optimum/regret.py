"""How much of what can be gained at all a policy gains: against the exact optimum, on the very same customers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from retentionjax.company.money import money
from retentionjax.env.retention import RetentionEnv
from retentionjax.env.types import EnvParams
from retentionjax.evaluation import baselines
from retentionjax.evaluation.optimum.frontier import Frontier, Optimum
from retentionjax.evaluation.optimum.memory import MemoryRules, UnsolvableError, enumerate_memories
from retentionjax.evaluation.rollout import Policy, play
from retentionjax.evaluation.statistics import IntervalEstimate, plain

NORMAL_95 = 1.96
NOTHING = 4e-3  # share of its spend below which a gain of the optimum is within what its search leaves open
SOLUTIONS = 7  # multipliers that the search usually needs; for the length of a progress bar only
DEMO_MEMORIES = 1_340
FEWEST = 8
"""Customers on whom a share of the attainable gain says something of the others."""


@dataclass(frozen=True)
class Regret:
    """A policy beside the optimum; $ a customer and campaign. Intervals are of the simulation: the customers are given.

    `at_spend` is the optimum at the spend that the policy had on these customers: a policy that spends less than the
    limit is compared with the best use of that very sum, so no price has to be put on the difference.
    """

    customers: int
    uplift: IntervalEstimate
    """Uplift of the policy over never contacting."""
    spend: float
    at_spend: Optimum
    at_limit: Optimum
    """Its shadow price is that shadow price of the campaign budget for these very customers."""
    shadow_price: float
    """The exact shadow price for all customers whom these stand for, with the policy as a control variate."""
    share: IntervalEstimate
    """Share of the attainable gain: uplift over that of the optimum at the same spend; 0 where that gains nothing."""
    frontier: tuple[tuple[float, float, float], ...]
    """(multiplier, spend, uplift) of every exact solution found on the way, cheapest multiplier first."""

    def to_dict(self) -> dict[str, Any]:
        """The regret as JSON holds it: the fields by name, estimates as mean, low and high, the optima with their
        uplift."""
        found: dict[str, Any] = plain(self)
        for name in ("at_spend", "at_limit"):
            found[name]["uplift"] = getattr(self, name).uplift
        names = ("multiplier", "spend", "uplift")
        return found | {"frontier": [dict(zip(names, point, strict=True)) for point in self.frontier]}


def within_time(params: EnvParams, customers: int) -> int:
    """How many customers' optimum takes no longer than that of `customers` of the demo's, of whom less is remembered.

    Raises UnsolvableError where that leaves fewer than `FEWEST` of those asked for.
    """
    most = customers * DEMO_MEMORIES // min(FEWEST, customers)
    memories = len(enumerate_memories(MemoryRules.of(params), most).memories)
    return min(customers, customers * DEMO_MEMORIES // memories)


def sample(params: EnvParams, count: int, seed: int) -> EnvParams:
    """`params` with `count` of its customers, as `spread` draws them."""
    rows = spread(params.population.churn_probability, count, seed)
    some: EnvParams = params.replace(population=params.population.take(rows))  # type: ignore[attr-defined]
    return some


def spread(churn_probability: npt.ArrayLike, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows of `count` customers, all if there are no more: every N/count-th by churn risk from a drawn start on.

    A systematic sample: its mix of risks is that of all customers, whatever the draw.
    """
    risk = np.asarray(churn_probability, np.float64)
    order, size = np.argsort(risk, kind="stable"), len(risk)
    count = min(count, size)
    start = np.random.default_rng(seed).random()
    return order[((np.arange(count) + start) * size / count).astype(np.int64)]


def measure(
    params: EnvParams,
    policy: Policy,
    limit: float,
    key: jax.Array,
    *,
    replicates: int,
    multiplier: float,
    spend_of_all: float | None = None,
    advance: Callable[[int], object] = lambda steps: None,
) -> Regret:
    """Plays `policy` on the customers of `params.population` with expected churn, and finds their optimum.

    Args:
        limit: campaign budget, $ a customer.
        replicates: episodes a customer.
        multiplier: a guess of the shadow price.
        spend_of_all: what `policy` spends on all customers of whom these are a sample; None where these are all. A
            few dozen customers want some 10 % more or less money than all do, which moves their shadow price as much.
            The policy shows how much more: theirs is read at the limit plus that, and so estimates that of all. (32 of
            160 real customers, five times: off by .30 without and by .08 with it, root mean square.)
        advance: called with the customers solved, `SOLUTIONS` × customers in all as a rule.

    Raises UnsolvableError as `Frontier`.
    """
    frontier = Frontier(params, advance)
    env = RetentionEnv(expected_churn=True)
    played, never = (play(env, params, each, key, replicates=replicates) for each in (policy, baselines.never()))
    gain = np.asarray(played.value, np.float64) - np.asarray(never.value, np.float64)
    mean, spend = float(gain.mean()), float(np.mean(played.spend))
    error = NORMAL_95 * float(np.sqrt((gain.var(1) / gain.shape[1]).sum())) / len(gain)
    uplift = IntervalEstimate(mean, mean - error, mean + error)
    at_limit = frontier.at_budget(limit, guess=max(multiplier, 1e-3))
    at_spend = frontier.at_budget(spend, guess=max(multiplier, 1e-3))
    wanted = limit if spend_of_all is None else max(0.0, limit + spend - spend_of_all)
    of_all = frontier.at_budget(wanted, guess=max(at_limit.shadow_price, 1e-3))
    some = at_spend.uplift > NOTHING * spend + 1e-9
    return Regret(
        customers=len(gain),
        uplift=uplift,
        spend=spend,
        at_spend=at_spend,
        at_limit=at_limit,
        shadow_price=of_all.shadow_price,
        share=IntervalEstimate(*(part / at_spend.uplift if some else 0.0 for part in uplift)),
        frontier=tuple(
            (each.multiplier, each.mean.spend, each.mean.value - at_limit.never) for each in frontier.tangents()
        ),
    )


def sentences(regret: Regret, learned_multiplier: float | None, currency: str) -> str:
    """What a person wants to know, in two lines."""
    share, budget = regret.share, regret.at_limit.budget
    amounts = (regret.uplift.mean, regret.at_spend.uplift, regret.spend)
    gain, best_gain, spend = (money(each, currency, cents=True) for each in amounts)
    limit = f"at the limit of {money(budget, currency, cents=True)}" if np.isfinite(budget) else "without a limit"
    learned = "" if learned_multiplier is None else f" (learned: {learned_multiplier:.2f})"
    return (
        f"Of what can be gained at all ppo gains {share.mean:.1%} \\[{share.low:.1%}, {share.high:.1%}]: on "
        f"{regret.customers} of these customers {gain} over never, where the exact optimum gains {best_gain} at the "
        f"same spend, {spend}.\nShadow price {limit}: the next unit of budget returns "
        f"{regret.shadow_price:.2f}{learned}."
    )


def unsolved(error: UnsolvableError) -> str:
    """What a person is told instead."""
    return f"The exact optimum was not looked for: {error}."
