"""Decisions about many customers at once: scores, mask, policy and gates as one compiled program a batch size.

    decider = batch.compile(bundle)
    features = decider.encoder.records(records)              # or .frame(table)
    scores = decider.score(features)
    decided = decider.decide(features, standings(histories, charges, params), Gates.open(rows))
    chosen = sample(decided.propensities, uniforms)

Row by row the numbers are those of `decide.decision.decide`, which also says why. The forests are JAX functions equal
to XGBoost's own prediction; a batch is padded to the next of the decider's sizes, so that nothing is ever compiled
while customers wait.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int

from retentionjax.bundle import Bundle, Scores
from retentionjax.bundle.program import VALUES
from retentionjax.decide import history as histories_
from retentionjax.decide.batch_encoding import Features, RowEncoder
from retentionjax.decide.decision import is_elevated
from retentionjax.decide.history import History
from retentionjax.env import actions, constraints, observation
from retentionjax.env.population import MIN_PROBABILITY
from retentionjax.env.types import NEVER, NO_OFFER, EnvParams, EnvState
from retentionjax.env.value import contact_gain
from retentionjax.errors import BundleError
from retentionjax.tabular import forest

SIZES = (1, 8, 32, 128)
RULES = (*constraints.RULES, "campaign_budget", "gates")
"""What removes actions, in the order of the rows of `Decided.removed`: hard limits of the environment, the money left
in the campaign, and whatever else the caller forbids (consent, kill switch, the campaign's end)."""


Rows = Any
"""np.ndarray outside the program, jax.Array within."""


class Standing(NamedTuple):
    """What a ledger knows of B customers in this campaign; see `EnvState`."""

    day: Int[Rows, " B"]
    contact_history: Int[Rows, " B"]  # u32, bit k is set if there was a contact k + 1 days ago
    days_since_contact: Int[Rows, " B"]  # NEVER if there was none
    pending_offer: Int[Rows, " B"]  # index, or NO_OFFER
    pending_days: Int[Rows, " B"]
    offer: Int[Rows, " B"]  # index of the running offer, or NO_OFFER
    protection_days_left: Int[Rows, " B"]  # today included
    account_used: Float[Rows, " B"]  # $
    baseline: Float[Rows, " B"]  # the usual churn probability, NaN if none is known


class Gates(NamedTuple):
    """What the caller allows and wants of B decisions."""

    affordable: Bool[Rows, "B offers"]  # whether the campaign's money covers each offer in full
    allowed: Bool[Rows, "B actions"]  # False where a rule of the caller forbids an action; *wait* never is
    throttle: Float[Rows, " B"]  # θ ∈ [0, 1], by which the chance of each contact is multiplied
    exploration: Float[Rows, " B"]  # ε ∈ [0, 1], share of decisions drawn uniformly from what is legal
    price: Float[Rows, " B"] | None = None
    """$ of value charged for a $ of spend, for a bundle with the policy for any budget; None: the policy and the price
    that the bundle was trained to."""

    @classmethod
    def open(cls, rows: int, *, throttle: float = 1.0, exploration: float = 0.0, price: float | None = None) -> "Gates":
        """Nothing beyond the environment's own limits."""
        return cls(
            np.ones((rows, actions.NUM_OFFERS), bool),
            np.ones((rows, actions.NUM_ACTIONS), bool),
            np.full(rows, throttle, np.float32),
            np.full(rows, exploration, np.float32),
            None if price is None else np.full(rows, price, np.float32),
        )


class Decided(NamedTuple):
    """What the program says of B customers."""

    churn_probability: Float32[Rows, " B"]  # today's score
    accept_probability: Float32[Rows, " B"]
    baseline: Float32[Rows, " B"]  # the usual one; today's where none is known
    elevated: Bool[Rows, " B"]
    observation: Float32[Rows, "B 16"]
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
        self.encoder = RowEncoder(bundle)
        program = _Program(bundle, self.encoder)
        self._score, self._by_policy = jax.jit(program.score), jax.jit(program.by_policy)
        self._by_rule, self._at_price = jax.jit(program.by_rule), jax.jit(program.at_price)

    @property
    def priced(self) -> bool:
        """Whether the bundle has the policy for any budget, so that gates may name a price."""
        return self.bundle.priced is not None

    def warm(self, *, baseline: bool = True) -> None:
        """Compiles every size: the policy (that for any budget, where there is one), and with `baseline` the simple
        rule too. Raises BundleError for a damaged policy."""
        price = 1.0 if self.priced else None
        for size in self.sizes:
            features = Features(
                ("",) * size,
                np.ones(size, np.float64),
                np.zeros((size, len(self.bundle.schema.features)), np.float32),
            )
            for by_rule in (False, True)[: 1 + baseline]:
                self.decide(features, fresh(size), Gates.open(size, price=price), by_rule=by_rule)

    def score(self, features: Features) -> Scores:
        """As `Bundle.score`, to 1e-6."""
        churn, accept = self._in_batches(self._score, (features.values,))
        return Scores(
            features.customer_id, features.monthly_charge, churn.astype(np.float64), accept.astype(np.float64)
        )

    def decide(
        self, features: Features, standing: Standing, gates: Gates | None = None, *, by_rule: bool = False
    ) -> Decided:
        """Of B ≥ 1 customers. `by_rule`: not the policy but the simple rule stands (see `_Program.by_rule`).

        Raises ValueError where a gate forbids to wait, or names a price that no policy of the bundle's takes, and
        BundleError for an answer that is no number.
        """
        gates = Gates.open(len(features.values)) if gates is None else gates
        if not gates.allowed[:, actions.WAIT].all():
            raise ValueError("waiting is always legal")
        if gates.price is not None and not self.priced:
            raise ValueError("gates name a price, and this bundle's policy takes none")
        run = self._by_rule if by_rule else self._by_policy if gates.price is None else self._at_price
        decided = _unpacked(*self._in_batches(run, _packed(features, standing, gates)))
        if not (np.isfinite(decided.propensities).all() and np.isfinite(decided.values).all()):
            raise BundleError("the policy's answer is not finite: its parameters are damaged")
        return decided

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


def compile(bundle: Bundle, sizes: Sequence[int] = SIZES) -> Decider:  # noqa: A001 - batch.compile, as forest.compile
    """The decider of a bundle; call `warm` where the first batch must not wait for the compiler."""
    return Decider(bundle, sizes)


def standings(histories: Sequence[History], charges: Float[np.ndarray, " B"], params: EnvParams) -> Standing:
    """Histories of customers who pay `charges` [$ per 30 days], as arrays."""
    states = [
        histories_.state(
            each, params, monthly_charge=float(charge), baseline=0.5, accept_probability=0.5, elevated=False
        )
        for each, charge in zip(histories, charges, strict=True)
    ]
    known = [each.baseline_churn_probability for each in histories]
    columns = {
        "day": "time",
        **{name: name for name in Standing._fields if name not in ("day", "baseline")},
    }
    arrays: dict[str, Any] = {
        name: np.stack([getattr(state, field) for state in states]) for name, field in columns.items()
    }
    return Standing(**arrays, baseline=np.array([np.nan if each is None else each for each in known], np.float32))


def fresh(rows: int, *, day: int = 0) -> Standing:
    """Customers of whom nothing is known, on this day of the campaign."""
    zeros, none = np.zeros(rows, np.int32), np.full(rows, NO_OFFER, np.int32)
    return Standing(
        day=np.full(rows, day, np.int32),
        contact_history=np.zeros(rows, np.uint32),
        days_since_contact=np.full(rows, NEVER, np.int32),
        pending_offer=none,
        pending_days=zeros,
        offer=none,
        protection_days_left=zeros,
        account_used=np.zeros(rows, np.float32),
        baseline=np.full(rows, np.nan, np.float32),
    )


def uniform(decision_id: str) -> float:
    """A number in [0, 1) that is a hash of the decision's id: asked again, the draw is the same."""
    return int.from_bytes(hashlib.sha256(decision_id.encode()).digest()[:7]) / 2**56


def sample(propensities: Float[np.ndarray, "B actions"], uniforms: Float[np.ndarray, " B"]) -> Int[np.ndarray, " B"]:
    """The action of each row at its uniform number, by the inverse of the distribution; never one of probability 0."""
    cumulative = np.cumsum(propensities, axis=1, dtype=np.float64)
    place = (cumulative <= (uniforms * cumulative[:, -1])[:, None]).sum(axis=1)
    last = propensities.shape[1] - 1 - np.argmax(propensities[:, ::-1] > 0, axis=1)
    return np.minimum(place, last)


# --- to the program and back ----------------------------------------------------------------------------------

# An array more costs a call 10 µs on its way in and as much on its way out, so there is one a type.
_OF_CALLER = ("charge", "account_used", "baseline", "throttle", "exploration", "price")
_WHOLE = (
    "day",
    "contact_history",
    "days_since_contact",
    "pending_offer",
    "pending_days",
    "offer",
    "protection_days_left",
)


def _packed(features: Features, standing: Standing, gates: Gates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f32[B, callers + features], i32[B, wholes], bool[B, offers + actions]."""
    floats = np.empty((len(features.values), len(_OF_CALLER) + features.values.shape[1]), np.float32)
    price = np.nan if gates.price is None else gates.price
    columns = (
        features.monthly_charge,
        standing.account_used,
        standing.baseline,
        gates.throttle,
        gates.exploration,
        price,
    )
    for place, column in enumerate(columns):
        floats[:, place] = column
    floats[:, len(_OF_CALLER) :] = features.values
    whole = np.empty((len(floats), len(_WHOLE)), np.int32)
    for place, name in enumerate(_WHOLE):
        whole[:, place] = getattr(standing, name).view(np.int32)
    return floats, whole, np.concatenate([gates.affordable, gates.allowed], axis=1)


def _read(floats: Array, whole: Array, flags: Array) -> tuple[Array, Array, Standing, Gates]:
    """(features, charge, standing, gates), within the program."""
    named = dict(zip(_OF_CALLER, floats.T, strict=False)) | dict(zip(_WHOLE, whole.T, strict=True))
    named["contact_history"] = jax.lax.bitcast_convert_type(named["contact_history"], jnp.uint32)
    standing = Standing(**{name: named[name] for name in Standing._fields})
    affordable, allowed = flags[:, : actions.NUM_OFFERS], flags[:, actions.NUM_OFFERS :]
    gates = Gates(affordable, allowed, named["throttle"], named["exploration"], named["price"])
    return floats[:, len(_OF_CALLER) :], named["charge"], standing, gates


def _written(decided: Decided) -> tuple[Array, Array]:
    """f32[B, …], bool[B, …], within the program."""
    scores = jnp.stack([decided.churn_probability, decided.accept_probability, decided.baseline], axis=1)
    removed = decided.removed.reshape(len(scores), len(RULES) * actions.NUM_ACTIONS)
    floats = jnp.concatenate([scores, decided.observation, decided.propensities, decided.values], axis=1)
    return floats, jnp.concatenate([decided.elevated[:, None], decided.mask, removed], axis=1)


def _unpacked(floats: np.ndarray, flags: np.ndarray) -> Decided:
    scores, seen, propensities, values = np.split(
        floats, np.cumsum([3, observation.size(actions.NUM_OFFERS), actions.NUM_ACTIONS]), axis=1
    )
    churn, accept, baseline = scores.T
    return Decided(
        churn_probability=churn,
        accept_probability=accept,
        baseline=baseline,
        elevated=flags[:, 0],
        observation=seen,
        removed=flags[:, 1 + actions.NUM_ACTIONS :].reshape(len(flags), len(RULES), actions.NUM_ACTIONS),
        mask=flags[:, 1 : 1 + actions.NUM_ACTIONS],
        propensities=propensities,
        values=values,
    )


# --- the program ----------------------------------------------------------------------------------------------


class _Program:
    """Pure functions of arrays; models and constants of the bundle are part of the compiled program."""

    def __init__(self, bundle: Bundle, encoder: RowEncoder) -> None:
        self.params, self.policy = bundle.params, bundle.decide.run
        self.any_budget = None if bundle.priced is None else bundle.priced.run
        self.forests = forest.compile(bundle.churn), forest.compile(bundle.acceptance)
        self.columns = encoder.churn, encoder.acceptance
        self.price = float(bundle.manifest.multipliers.get("campaign_budget", 0.0))

    def score(self, values: Float[Array, "B F"]) -> tuple[Array, Array]:
        """(churn, acceptance), within the bounds of the population that the policy was trained on."""
        churn, accept = (
            jnp.clip(forest.predict(trees, values[:, columns]), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
            for trees, columns in zip(self.forests, self.columns, strict=True)
        )
        return churn, accept

    def by_policy(self, *packed: Array) -> tuple[Array, Array]:
        """What the policy says. Takes what `_packed` gives and gives what `_unpacked` takes, as the next two."""
        return self._by(lambda _state, seen, mask, _price: self.policy(seen, mask), packed)

    def at_price(self, *packed: Array) -> tuple[Array, Array]:
        """What the policy for any budget says at the price of the gates."""
        if self.any_budget is None:
            raise ValueError("the bundle has no policy for any budget")
        run = self.any_budget
        return self._by(lambda _state, seen, mask, price: run(seen, mask, price), packed)

    def by_rule(self, *packed: Array) -> tuple[Array, Array]:
        """A simple rule instead of the policy: contact today with the offer whose expected gain, less the price ×
        expected spend, is largest, if that is above 0 (`evaluation.baselines.greedy_fatigue`). The price is that of the
        gates, or else the bundle's."""
        return self._by(self._simple, packed)

    def _by(self, choose: Callable[..., tuple[Array, Array]], packed: tuple[Array, ...]) -> tuple[Array, Array]:
        values, charge, standing, gates = _read(*packed)
        churn, accept = self.score(values)
        state, baseline = self._state(churn, accept, charge, standing)
        removed = self._removed(state, gates)
        seen, mask = self._observation(state), ~removed.any(axis=1)
        propensities, expected = choose(state, seen, mask, gates.price)
        scores = churn, accept, baseline, state.elevated
        return _written(Decided(*scores, seen, removed, mask, _gated(propensities, mask, gates), expected))

    def _simple(self, state: EnvState, _seen: Array, mask: Array, price: Array) -> tuple[Array, Array]:
        gain, spend = jax.vmap(lambda one: contact_gain(one, self.params, foresees_fatigue=True))(state)
        charged = jnp.where(jnp.isnan(price), self.price, price)[:, None] * spend
        net = jnp.where(mask[:, 1 :: actions.NUM_DELAYS], gain - charged, -jnp.inf)
        best = jnp.where(net.max(axis=1) > 0, actions.encode(jnp.argmax(net, axis=1), 0, self.params), actions.WAIT)
        return jax.nn.one_hot(best, actions.NUM_ACTIONS), jnp.zeros((len(best), len(VALUES)))

    def _observation(self, state: EnvState) -> Float[Array, "B 16"]:
        return jax.vmap(lambda one: observation.observe(one, self.params))(state)

    def _state(self, churn: Array, accept: Array, charge: Array, standing: Standing) -> tuple[EnvState, Array]:
        """The risk state is read off the scores as in `decision.decide`; without a usual score it is calm."""
        known = ~jnp.isnan(standing.baseline)
        baseline = jnp.where(known, standing.baseline, churn)
        state = EnvState(
            time=standing.day,
            customer=jnp.zeros_like(standing.day),
            monthly_charge=charge,
            churn_probability=jnp.clip(baseline, MIN_PROBABILITY, 1 - MIN_PROBABILITY),
            accept_probability=accept,
            elevated=known & is_elevated(churn, baseline, self.params),
            contact_history=standing.contact_history,
            days_since_contact=standing.days_since_contact,
            pending_offer=standing.pending_offer,
            pending_days=standing.pending_days,
            offer=standing.offer,
            protection_days_left=standing.protection_days_left,
            account_used=standing.account_used,
        )
        return state, baseline

    def _removed(self, state: EnvState, gates: Gates) -> Bool[Array, "B rules actions"]:
        by_limit = jax.vmap(lambda one: constraints.removed_by_rule(one, self.params))(state)
        dear = jnp.pad(jnp.repeat(~gates.affordable, actions.NUM_DELAYS, axis=1), ((0, 0), (1, 0)))
        return jnp.concatenate([by_limit, dear[:, None], ~gates.allowed[:, None]], axis=1)


def _gated(propensities: Array, mask: Array, gates: Gates) -> Float[Array, "B actions"]:
    """θ · ((1 − ε) p + ε/|legal|) for each contact, the rest for *wait*: money is saved on exploration too."""
    explored = gates.exploration[:, None]
    mixed = (1 - explored) * propensities + explored * mask / mask.sum(axis=1, keepdims=True)
    contacts = gates.throttle[:, None] * mixed[:, 1:]
    return jnp.concatenate([1 - contacts.sum(axis=1, keepdims=True), contacts], axis=1).clip(0, 1)


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """Filled up with ones, a legal value of every column."""
    padded = np.ones((size, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded
