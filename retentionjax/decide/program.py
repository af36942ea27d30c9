"""THE decision, of many customers at once: scores → state → mask → policy → gates, one compiled program a batch size.

    decider = Decider(bundle)
    features = decider.facts.records(records)              # or .frame(table)
    decided = decider.decide(features, stack(customers, features.monthly_charge, bundle.params))
    chosen = sample(decided.propensities, uniforms)

The forests are JAX functions equal to XGBoost's own prediction; a batch is padded to the next of the decider's sizes,
so that nothing is ever compiled while customers wait.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int

from retentionjax.bundle import Bundle
from retentionjax.bundle.program import VALUES
from retentionjax.decide.customer import Customer, Customers, Rows, state, unknown
from retentionjax.decide.facts import Facts
from retentionjax.decide.record_facts import Features
from retentionjax.env import actions, constraints, dynamics, observation
from retentionjax.env.population import MIN_PROBABILITY
from retentionjax.env.types import NEVER, NO_OFFER, EnvParams, EnvState
from retentionjax.env.value import contact_gain
from retentionjax.errors import BundleError
from retentionjax.tabular import forest

SIZES = (1, 8, 32, 128)
RULES = (*constraints.RULES, "campaign_budget", "forbidden")
"""What removes actions, in the order of the rows of `Decided.removed`: hard limits of the environment, the money left
in the campaign, and whatever else the caller forbids (consent, kill switch, the campaign's end)."""
DEFAULT_CAMPAIGN = "default"
_REMEMBERED = 32  # days of contacts in EnvState.contact_history


class Scores(NamedTuple):
    """B customers as the models see them today, within the bounds of the population the policy was trained on."""

    churn_probability: Float32[Rows, " B"]  # over `risk_window_days`
    accept_probability: Float32[Rows, " B"]  # of a contact without an offer, in a calm period


class Conditions(NamedTuple):
    """What the caller allows and wants of B decisions."""

    affordable: Bool[Rows, "B offers"]  # whether the campaign's money covers each offer in full
    allowed: Bool[Rows, "B actions"]  # False where a rule of the caller forbids an action; *wait* never is
    throttle: Float[Rows, " B"]  # θ ∈ [0, 1], by which the chance of each contact is multiplied
    exploration: Float[Rows, " B"]  # ε ∈ [0, 1], share of decisions drawn uniformly from what is legal
    multiplier: Float[Rows, " B"] | None = None
    """$ of value charged for a $ of spend, for a bundle with the policy for any budget; None: the policy and the
    multiplier that the bundle was trained to."""


class Decided(NamedTuple):
    """The program's decisions about B customers, and what they rest on."""

    churn_probability: Float32[Rows, " B"]  # today's score
    accept_probability: Float32[Rows, " B"]
    usual: Float32[Rows, " B"]  # the usual one; today's where none is known
    elevated: Bool[Rows, " B"]
    observation: Float32[Rows, "B features"]
    removed: Bool[Rows, "B rules actions"]  # see RULES
    mask: Bool[Rows, "B actions"]  # legal
    propensities: Float32[Rows, "B actions"]  # those to draw from; a row sums to 1
    values: Float32[Rows, "B values"]  # see bundle.program.VALUES; the policy's own, before exploration


class Decider:
    """A bundle made ready for batches; `warm` compiles, everything else only runs. Safe to share between threads."""

    def __init__(self, bundle: Bundle, sizes: Sequence[int] = SIZES) -> None:
        """`sizes` of the batches that are compiled. Raises ValueError for none, or one below 1."""
        if not sizes or min(sizes) < 1:
            raise ValueError(f"sizes is {tuple(sizes)}; allowed: one or more sizes of 1 or more")
        self.bundle, self.sizes = bundle, tuple(sorted(set(sizes)))
        self.facts = Facts.of(bundle)
        self._program = program = _Program(bundle)
        params = bundle.params  # part of the programs: handed over, they would cost more than all the rest
        self._score, self._by_policy = jax.jit(program.score), jax.jit(partial(program.by_policy, params))
        self._by_rule = jax.jit(partial(program.by_rule, params))
        self._at_multiplier = jax.jit(partial(program.at_multiplier, params))
        self._under = jax.jit(program.by_policy)

    @property
    def any_budget(self) -> bool:
        """Whether the bundle has the policy for any budget, so that conditions may name a multiplier."""
        return self.bundle.any_budget is not None

    def warm(self, sizes: Sequence[int] | None = None, *, policy: bool = True, baseline: bool = True) -> None:
        """Compiles `sizes`, by default all: the `policy` (that for any budget, where there is one) and the simple rule,
        the `baseline`. Raises BundleError for a damaged policy."""
        multiplier = 1.0 if self.any_budget else None
        for size in self.sizes if sizes is None else sizes:
            nothing = np.zeros((size, len(self.bundle.schema.features)))
            features = Features(("",) * size, np.ones(size), nothing)
            for by_rule in [False] * policy + [True] * baseline:
                self.decide(features, unknown(size), self.open(size, multiplier=multiplier), by_rule=by_rule)

    def open(
        self, rows: int, *, throttle: float = 1.0, exploration: float = 0.0, multiplier: float | None = None
    ) -> Conditions:
        """Nothing beyond the environment's own limits."""
        params = self.bundle.params
        return Conditions(
            np.ones((rows, actions.offers(params)), bool),
            np.ones((rows, actions.count(params)), bool),
            np.full(rows, throttle, np.float32),
            np.full(rows, exploration, np.float32),
            None if multiplier is None else np.full(rows, multiplier, np.float32),
        )

    def score(self, features: Features) -> Scores:
        """Today's scores of B ≥ 1 customers."""
        return Scores(*self._in_batches(self._score, (features.values.astype(np.float32),)))

    def decide(
        self,
        features: Features,
        customers: Customers,
        conditions: Conditions | None = None,
        *,
        by_rule: bool = False,
        params: EnvParams | None = None,
    ) -> Decided:
        """Decides about B ≥ 1 customers. `by_rule`: not the policy but the simple rule stands (see `_Program.by_rule`).
        `params`: the policy under other constants than the bundle's, for a what-if.

        Raises ValueError where a condition forbids to wait, or names a multiplier that no policy of the bundle's takes,
        and BundleError for an answer that is no number.
        """
        conditions = self.open(len(features.values)) if conditions is None else conditions
        if not conditions.allowed[:, actions.WAIT].all():
            raise ValueError("waiting is always legal")
        if conditions.multiplier is not None and not self.any_budget:
            raise ValueError("conditions name a multiplier, and this bundle's policy takes none")
        run: Callable[..., Any] = self._by_policy if conditions.multiplier is None else self._at_multiplier
        if by_rule:
            run = self._by_rule
        elif params is not None:
            run = partial(self._under, params)
        decided = self._program.unpacked(*self._in_batches(run, _packed(features, customers, conditions)))
        if not (np.isfinite(decided.propensities).all() and np.isfinite(decided.values).all()):
            raise BundleError("the policy's answer is not finite: its parameters are damaged")
        # A network's estimate of a cost that is near 0 may say less than nothing, which no cost can be.
        return decided._replace(values=np.maximum(decided.values, _LEAST_VALUES))

    def _in_batches(self, run: Callable[..., Any], arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """`run` over rows in batches of the largest size, the last one padded to the smallest that holds it."""
        rows, largest = len(arrays[0]), self.sizes[-1]
        parts = []
        for start in range(0, rows, largest):
            some = [array[start : start + largest] for array in arrays]
            count = len(some[0])
            size = next(each for each in self.sizes if each >= count)
            padded = some if size == count else [_padded(each, size) for each in some]
            parts.append([np.asarray(each)[:count] for each in run(*padded)])
        return tuple(parts[0]) if len(parts) == 1 else tuple(np.concatenate(each) for each in zip(*parts, strict=True))


def sample(propensities: Float[np.ndarray, "B actions"], uniforms: Float[np.ndarray, " B"]) -> Int[np.ndarray, " B"]:
    """The action of each row at its uniform number, by the inverse of the distribution; never one of probability 0."""
    cumulative = np.cumsum(propensities, axis=1, dtype=np.float64)
    at = (cumulative <= (uniforms * cumulative[:, -1])[:, None]).sum(axis=1)
    last = propensities.shape[1] - 1 - np.argmax(propensities[:, ::-1] > 0, axis=1)
    return np.minimum(at, last)


_LEAST_VALUES = np.array([-np.inf, *[0.0] * (len(VALUES) - 1)], np.float32)


# --- to the program -------------------------------------------------------------------------------------------

# An array more costs a call 10 µs on its way in and as much on its way out, so there is one a type.
_OF_CALLER = ("charge", "account_used", "usual", "throttle", "exploration", "multiplier")
_WHOLE = (
    "day", "contact_history", "days_since_contact", "pending_offer", "pending_days", "offer", "protection_days_left",
)  # fmt: skip


def _packed(
    features: Features, customers: Customers, conditions: Conditions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f32[B, callers + features], i32[B, wholes], bool[B, offers + actions]."""
    floats = np.empty((len(features.values), len(_OF_CALLER) + features.values.shape[1]), np.float32)
    columns = (
        features.monthly_charge,
        customers.account_used,
        customers.usual,
        conditions.throttle,
        conditions.exploration,
        np.nan if conditions.multiplier is None else conditions.multiplier,
    )
    for place, column in enumerate(columns):
        floats[:, place] = column
    floats[:, len(_OF_CALLER) :] = features.values
    whole = np.empty((len(floats), len(_WHOLE)), np.int32)
    for place, name in enumerate(_WHOLE):
        whole[:, place] = getattr(customers, name).view(np.int32)
    return floats, whole, np.concatenate([conditions.affordable, conditions.allowed], axis=1)


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """Filled up with ones, a legal value of every column."""
    padded = np.ones((size, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded


def stack(customers: Sequence[Customer], charges: Float[np.ndarray, " B"], params: EnvParams) -> Customers:
    """Customers who pay `charges` [money per 30 days] as arrays."""
    whole: Any = np.array(
        [
            (
                each.day,
                each.contacts_days_ago[0] if each.contacts_days_ago else NEVER,
                each.pending_offer,
                each.pending_days,
                each.running_offer,
                each.protection_days_left,
            )
            for each in customers
        ],
        np.int32,
    ).T
    day, since, pending, pending_days, offer, days_left = whole
    used = [
        _full_account(each, float(charge), params) if each.account_used is None else each.account_used
        for each, charge in zip(customers, charges, strict=True)
    ]
    return Customers(
        day=day,
        contact_history=np.array([_contact_bits(each.contacts_days_ago) for each in customers], np.uint32),
        days_since_contact=since,
        pending_offer=pending,
        pending_days=pending_days,
        offer=offer,
        protection_days_left=days_left,
        account_used=np.array(used, np.float32),
        usual=np.array([np.nan if each.usual is None else each.usual for each in customers], np.float32),
    )


def _contact_bits(days_ago: Sequence[int]) -> int:
    """Bit k is set for a contact k + 1 days ago; today's stands with yesterday's, which only counts it a day longer."""
    bits = 0
    for days in days_ago:
        if days <= _REMEMBERED:
            bit = max(days, 1) - 1
            while bits >> bit & 1 and bit + 1 < _REMEMBERED:
                bit += 1
            bits |= 1 << bit
    return bits


def _full_account(customer: Customer, charge: float, params: EnvParams) -> float:
    used = len(customer.contacts_days_ago) * float(params.contact_cost)
    if customer.running_offer != NO_OFFER:
        used += float(dynamics.full_cost(charge, params)[customer.running_offer])
    return used


# --- the program ----------------------------------------------------------------------------------------------


class _Program:
    """Pure functions of arrays; the models are part of the compiled program."""

    def __init__(self, bundle: Bundle) -> None:
        self.policy = bundle.decide.run
        self.any_budget = None if bundle.any_budget is None else bundle.any_budget.run
        self.models = [
            (forest.compile(model), np.array([bundle.schema.features.index(name) for name in model.encoder.features]))
            for model in (bundle.churn, bundle.acceptance)
        ]
        self.multiplier = float(bundle.manifest.multipliers.get("campaign_budget", 0.0))
        self.offers, self.actions = actions.offers(bundle.params), actions.count(bundle.params)
        self.seen = observation.size(self.offers)

    def score(self, values: Float[Array, "B F"]) -> tuple[Array, Array]:
        """(churn, acceptance), within the bounds of the population that the policy was trained on."""
        churn, accept = (
            jnp.clip(forest.predict(trees, values[:, columns]), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
            for trees, columns in self.models
        )
        return churn, accept

    def by_policy(self, params: EnvParams, *packed: Array) -> tuple[Array, Array]:
        """What the policy says. Takes what `_packed` gives and gives what `unpacked` takes, as the next two."""
        return self._by(lambda _state, seen, mask, _multiplier: self.policy(seen, mask), params, packed)

    def at_multiplier(self, params: EnvParams, *packed: Array) -> tuple[Array, Array]:
        """What the policy for any budget says at the multiplier of the conditions."""
        if self.any_budget is None:
            raise ValueError("the bundle has no policy for any budget")
        run = self.any_budget
        return self._by(lambda _state, seen, mask, multiplier: run(seen, mask, multiplier), params, packed)

    def by_rule(self, params: EnvParams, *packed: Array) -> tuple[Array, Array]:
        """A simple rule instead of the policy: contact today with the offer whose expected gain, less the multiplier ×
        expected spend, is largest, if that is above 0 (`evaluation.baselines.greedy_fatigue`). The multiplier is that
        of the conditions, or else the bundle's."""
        return self._by(partial(self._simple, params), params, packed)

    def _by(
        self, choose: Callable[..., tuple[Array, Array]], params: EnvParams, packed: tuple[Array, ...]
    ) -> tuple[Array, Array]:
        values, charge, customers, conditions = self._read(*packed)
        churn, accept = self.score(values)
        states, usual = state(customers, charge, churn, accept, params)
        removed = _removed(states, conditions, params)
        seen = jax.vmap(lambda one: observation.observe(one, params))(states)
        mask = ~removed.any(axis=1)
        propensities, expected = choose(states, seen, mask, conditions.multiplier)
        scores = churn, accept, usual, states.elevated
        return self._written(Decided(*scores, seen, removed, mask, _gated(propensities, mask, conditions), expected))

    def _simple(
        self, params: EnvParams, states: EnvState, _seen: Array, mask: Array, multiplier: Array
    ) -> tuple[Array, Array]:
        gain, spend = jax.vmap(lambda one: contact_gain(one, params, foresees_fatigue=True))(states)
        charged = jnp.where(jnp.isnan(multiplier), self.multiplier, multiplier)[:, None] * spend
        today = mask[:, 1 :: actions.delays(params)]
        net = jnp.where(today, gain - charged, -jnp.inf)
        best = jnp.where(net.max(axis=1) > 0, actions.encode(jnp.argmax(net, axis=1), 0, params), actions.WAIT)
        return jax.nn.one_hot(best, self.actions), jnp.zeros((len(best), len(VALUES)))

    def _read(self, floats: Array, whole: Array, flags: Array) -> tuple[Array, Array, Customers, Conditions]:
        """(features, charge, customers, conditions)."""
        named = dict(zip(_OF_CALLER, floats.T, strict=False)) | dict(zip(_WHOLE, whole.T, strict=True))
        named["contact_history"] = jax.lax.bitcast_convert_type(named["contact_history"], jnp.uint32)
        customers = Customers(**{name: named[name] for name in Customers._fields})
        affordable, allowed = flags[:, : self.offers], flags[:, self.offers :]
        conditions = Conditions(affordable, allowed, named["throttle"], named["exploration"], named["multiplier"])
        return floats[:, len(_OF_CALLER) :], named["charge"], customers, conditions

    def _written(self, decided: Decided) -> tuple[Array, Array]:
        """f32[B, …], bool[B, …]."""
        scores = jnp.stack([decided.churn_probability, decided.accept_probability, decided.usual], axis=1)
        removed = decided.removed.reshape(len(scores), len(RULES) * self.actions)
        floats = jnp.concatenate([scores, decided.observation, decided.propensities, decided.values], axis=1)
        return floats, jnp.concatenate([decided.elevated[:, None], decided.mask, removed], axis=1)

    def unpacked(self, floats: np.ndarray, flags: np.ndarray) -> Decided:
        """What `_written` wrote, outside the program."""
        ends = np.cumsum([3, self.seen, self.actions])
        scores, seen, propensities, values = np.split(floats, ends, axis=1)
        churn, accept, usual = scores.T
        return Decided(
            churn_probability=churn,
            accept_probability=accept,
            usual=usual,
            elevated=flags[:, 0],
            observation=seen,
            removed=flags[:, 1 + self.actions :].reshape(len(flags), len(RULES), self.actions),
            mask=flags[:, 1 : 1 + self.actions],
            propensities=propensities,
            values=values,
        )


def _removed(states: EnvState, conditions: Conditions, params: EnvParams) -> Bool[Array, "B rules actions"]:
    by_limit = jax.vmap(lambda one: constraints.removed_by_rule(one, params))(states)
    dear = jnp.repeat(~conditions.affordable, actions.delays(params), axis=1)
    dear = jnp.pad(dear, ((0, 0), (1, 0)))
    return jnp.concatenate([by_limit, dear[:, None], ~conditions.allowed[:, None]], axis=1)


def _gated(propensities: Array, mask: Array, conditions: Conditions) -> Float[Array, "B actions"]:
    """θ · ((1 − ε) p + ε/|legal|) for each contact, the rest for *wait*: money is saved on exploration too."""
    explored = conditions.exploration[:, None]
    mixed = (1 - explored) * propensities + explored * mask / mask.sum(axis=1, keepdims=True)
    contacts = conditions.throttle[:, None] * mixed[:, 1:]
    return jnp.concatenate([1 - contacts.sum(axis=1, keepdims=True), contacts], axis=1).clip(0, 1)
