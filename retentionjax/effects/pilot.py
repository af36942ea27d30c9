"""What a pilot costs and what it would see: a randomised trial simulated on the company's own customers.

Every customer gets one contact at most, on the first day: an offer, a contact without an offer, or none. The days
after it are the environment's, under 64 draws of what is believed. What a trial sees is judged as `itt` judges it:
departures of an arm against those left alone, whoever accepted. A customer leaves with the simulated probability and
is drawn from all, so an arm's departures are binomial; power is the share of `TRIALS` simulated trials whose 95 %
interval leaves out 0.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from retentionjax.company.offers import NONE
from retentionjax.company.prior import Effect
from retentionjax.effects import belief
from retentionjax.env import actions, dynamics
from retentionjax.env.constraints import NAMES
from retentionjax.env.retention import RetentionEnv, draws_of, new_customer
from retentionjax.env.types import NO_OFFER, EnvParams
from retentionjax.errors import DataError

POWER = 0.8
TRIALS = 2000
_DRAWS = 64
_GRID = 13  # hazard multipliers, 0 … 1, at which departures are simulated
_SIMULATED = 2000  # customers; the mean over them moves departures by less than a tenth of a trial's noise
_Z95 = 1.959963984540054
_MOST = 10**8  # customers an arm, beyond which nobody needs to know
_ENV = RetentionEnv(expected_churn=True, masked=False)
_BUDGET = NAMES.index("campaign_budget")


@dataclass(frozen=True)
class Range:
    """A median over draws of what is believed, with their 90 % interval."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Float[np.ndarray, " K"]) -> "Range":
        """The quantiles of K draws."""
        return cls(*(float(each) for each in np.quantile(draws, [0.5, 0.05, 0.95])))

    def times(self, factor: float) -> "Range":
        """The median and both ends, multiplied by a factor."""
        return Range(self.median * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class PlannedArm:
    """What is expected of one arm; shares are of its customers, money is per customer."""

    name: str
    customers: int
    left: Range
    accepted: Range
    cost: Range
    effect: Range | None = None
    """Share that leaves, less the share in `none`; None for `none` itself, like the fields below."""
    smallest: float | None = None
    """Smallest drop in the share that leaves that is detected with 80 % power; None: not even if nobody left."""
    smallest_multiplier: float | None = None
    """Largest hazard multiplier of those who accept that is detected so; None: too few accept for any."""
    power: float | None = None
    """Power to detect the median effect."""
    needed: int | None = None
    """Customers per arm that detect the median effect with 80 % power; None: more than 100 million."""


@dataclass(frozen=True)
class PilotPlan:
    """A pilot as it would run."""

    days: int
    arms: tuple[PlannedArm, ...]

    @property
    def customers(self) -> int:
        """Customers in all arms together."""
        return sum(arm.customers for arm in self.arms)

    @property
    def cost(self) -> Range:
        """Money in all: contacts, discounts, credits and costs of accepted offers within the days."""
        parts = [arm.cost.times(arm.customers) for arm in self.arms]
        return Range(*(sum(getattr(part, name) for part in parts) for name in ("median", "low", "high")))

    @property
    def power_error(self) -> float:
        """Standard error of a power of 80 %, from the number of simulated trials."""
        return float(np.sqrt(POWER * (1 - POWER) / TRIALS))


def plan(
    params: EnvParams,
    prior: Mapping[str, Effect],
    offers: Sequence[str],
    *,
    customers: int,
    days: int,
    arms: Sequence[str] | None = None,
    seed: int = 0,
) -> PilotPlan:
    """The pilot of `customers` of the population of `params`, alike in every arm, observed for `days` days.

    Args:
        offers: by name, in the order of `params`.
        arms: `none` and offers by name; all of them where None.

    Raises DataError for arms that are unknown or no comparison, and for fewer customers than two an arm.
    """
    names = [NONE, *offers] if arms is None else [NONE, *(arm for arm in arms if arm != NONE)]
    _check(names, offers, customers)
    size = customers // len(names)
    codes = jnp.array([NO_OFFER if name == NONE else list(offers).index(name) for name in names])
    params = _fewer(params, seed).replace(horizon_days=days + 1)  # type: ignore[attr-defined]  # whose last day counts nothing
    key = jax.random.key(seed)

    believed = belief.Belief.of(prior)
    normal = np.random.default_rng(seed).standard_normal((_DRAWS, len(believed.names)))
    drawn = believed.values(jnp.asarray(normal, jnp.float32))
    seen = _simulated(drawn, params, codes, key, tuple(offers), days)
    ladder = np.linspace(0.0, 1.0, _GRID)
    medians = {name: jnp.full(_GRID, effect.median) for name, effect in prior.items()}
    medians |= {f"hazard_multiplier.{offer}": jnp.asarray(ladder) for offer in offers}
    medians["contact_effect"] = jnp.zeros(_GRID)
    by_multiplier = _simulated(medians, params, codes, key, tuple(offers), days).left

    random = np.random.default_rng([seed, 1])
    alone = float(np.median(seen.left[:, 0]))
    smallest = smallest_seen(alone, size, random)
    planned = []
    for place, name in enumerate(names):
        left, accepted, cost = (Range.of(column[:, place]) for column in seen)
        arm = PlannedArm(name, size, left, accepted, cost)
        if name != NONE:
            effect = Range.of(seen.left[:, place] - seen.left[:, 0])
            treated = float(np.clip(alone + effect.median, 0.0, 1.0))  # medians of their own may sum to less than none
            arm = replace(
                arm,
                effect=effect,
                smallest=smallest,
                smallest_multiplier=_multiplier(by_multiplier[:, place] - by_multiplier[-1, 0], smallest, ladder),
                power=power(alone, treated, size, random),
                needed=needed(alone, treated, random),
            )
        planned.append(arm)
    return PilotPlan(days, tuple(planned))


def _check(names: Sequence[str], offers: Sequence[str], customers: int) -> None:
    for name in names[1:]:
        if name not in offers:
            raise DataError(f"arm {name!r} is no offer; allowed: {', '.join((NONE, *offers))}")
    if len(set(names)) < len(names) or len(names) < 2:
        raise DataError(f"arms are {', '.join(names)}; allowed: {NONE} and one offer or more, each once")
    if customers < 2 * len(names):
        raise DataError(f"{customers} customers for {len(names)} arms; needed: {2 * len(names)} or more")


def _fewer(params: EnvParams, seed: int) -> EnvParams:
    size = params.population.size
    if size <= _SIMULATED:
        return params
    rows = np.random.default_rng(seed).choice(size, _SIMULATED, replace=False)
    fewer: EnvParams = params.replace(population=params.population.take(rows))  # type: ignore[attr-defined]
    return fewer


# --- what happens, under each draw of the effects ------------------------------------------------------------------


class _Means(NamedTuple):
    """Means over customers, by draw and arm."""

    left: Any
    accepted: Any
    cost: Any


def _simulated(
    effects: belief.Values, params: EnvParams, arms: Array, key: jax.Array, offers: tuple[str, ...], days: int
) -> _Means:
    values = {name: jnp.asarray(each, jnp.float32) for name, each in effects.items()}
    return _Means(*(np.asarray(each, np.float64) for each in _play(values, params, arms, key, offers, days)))


@partial(jax.jit, static_argnames=("offers", "days"))
def _play(
    effects: belief.Values,
    params: EnvParams,
    arms: Int[Array, " A"],
    key: jax.Array,
    offers: tuple[str, ...],
    days: int,
) -> _Means:
    """Each arm on every customer under each of K draws, [K, A]; arms and draws share their luck."""
    size = params.population.size
    start, each_day = jax.random.split(key)
    risk = jax.random.uniform(start, (size,))
    luck = jax.vmap(lambda day: draws_of(jax.random.split(day, size)))(jax.random.split(each_day, days))

    def under(effects: belief.Values) -> _Means:
        world = belief.believed(effects, offers, params)
        world = world.replace(population=belief.shifted(world.population, effects))  # type: ignore[attr-defined]
        elevated = risk < dynamics.elevated_share(world)
        states = jax.vmap(new_customer, (0, 0, None))(jnp.arange(size), elevated, world)
        return jax.vmap(lambda arm: _arm(arm, states, luck, world))(arms)

    return jax.lax.map(under, effects)


def _arm(arm: Array, states: Any, luck: Any, world: EnvParams) -> _Means:
    contact = jnp.where(arm == NO_OFFER, actions.WAIT, actions.encode(jnp.maximum(arm, 0), 0, world))
    people = states.time.shape[0]

    def one_day(before: Any, today: Any) -> Any:
        states, there, left, accepted, cost = before
        draws, is_first = today
        asked = jnp.full(people, jnp.where(is_first, contact, actions.WAIT))
        step = jax.vmap(_ENV.step_with, (0, 0, 0, None))
        _, after, _, _, info = step(draws, states, asked, world)
        cost += (there * info["costs"][:, _BUDGET]).mean()
        accepted += (there * info["accepted"]).mean()
        left += (there * (1 - info["discount"])).mean()
        return (after, there * info["discount"], left, accepted, cost), None

    first = jnp.arange(luck.churn.shape[0]) == 0
    ended, _ = jax.lax.scan(one_day, (states, jnp.ones(people), 0.0, 0.0, 0.0), (luck, first))
    return _Means(*ended[2:])


# --- what a trial sees ---------------------------------------------------------------------------------------------


def power(alone: float, treated: float, customers: int, random: np.random.Generator) -> float:
    """Share of trials, with so many customers an arm, whose 95 % interval of the difference leaves out 0."""
    shares = [random.binomial(customers, share, TRIALS) / customers for share in (alone, treated)]
    error = np.sqrt(sum(share * (1 - share) for share in shares) / customers)
    return float((np.abs(shares[1] - shares[0]) > _Z95 * error).mean())


def smallest_seen(alone: float, customers: int, random: np.random.Generator) -> float | None:
    """The smallest drop in the share leaving that `POWER` of the trials detect; None if they miss even the largest."""
    if power(alone, 0.0, customers, random) < POWER:
        return None
    low, high = 0.0, alone
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if power(alone, alone - middle, customers, random) >= POWER else (middle, high)
    return high


def needed(alone: float, treated: float, random: np.random.Generator) -> int | None:
    """Customers per arm with which `POWER` of the trials detect the difference; None for more than 100 million."""
    low, high = 1, 2
    while power(alone, treated, high, random) < POWER:
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high > 1.02 * low + 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(alone, treated, middle, random) >= POWER else (middle, high)
    return high


def _multiplier(
    fewer: Float[np.ndarray, " G"], smallest: float | None, ladder: Float[np.ndarray, " G"]
) -> float | None:
    """The multiplier at which an arm has `smallest` fewer departures; `fewer` falls with the multiplier."""
    if smallest is None or fewer[0] > -smallest:
        return None
    return float(np.interp(-smallest, fewer, ladder))


# --- who is in which arm -------------------------------------------------------------------------------------------


def assign(
    customers: Sequence[str], risk: Float[np.ndarray, " N"], arms: Sequence[str], size: int, salt: str
) -> list[tuple[int, str]]:
    """`size` of N customers with their arms, as (row, arm) in the order of rows: equally many in every arm.

    Who takes part, and who gets what, goes by SHA-256 of salt and id. Those who take part are put into blocks of
    similar risk, and every block holds each arm once: each has the propensity 1/arms, and no arm riskier customers.
    """
    places = [_place(salt, customer) for customer in customers]
    chosen = sorted(range(len(places)), key=places.__getitem__)[: size - size % len(arms)]
    chosen.sort(key=lambda row: (risk[row], places[row]))
    drawn = []
    for start in range(0, len(chosen), len(arms)):
        block = sorted(chosen[start : start + len(arms)], key=lambda row: _place(f"{salt} arm", customers[row]))
        drawn += list(zip(block, arms, strict=True))
    return sorted(drawn)


def _place(salt: str, customer: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{salt}\0{customer}".encode("utf-8", "surrogatepass")).digest()[:8])
