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
from retentionjax.errors import BundleError
from retentionjax.evaluation.contact_gain import contact_gain
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
    offer_days_left: Int[Rows, " B"]  # today included
    account_used: Float[Rows, " B"]  # $
    baseline: Float[Rows, " B"]  # the usual churn probability, NaN if none is known


class Gates(NamedTuple):
    """What the caller allows and wants of B decisions."""

    affordable: Bool[Rows, "B offers"]  # whether the campaign's money covers each offer in full
    allowed: Bool[Rows, "B actions"]  # False where a rule of the caller forbids an action; *wait* never is
    throttle: Float[Rows, " B"]  # θ ∈ [0, 1], by which the chance of each contact is multiplied
    exploration: Float[Rows, " B"]  # ε ∈ [0, 1], share of decisions drawn uniformly from what is legal

    @classmethod
    def open(cls, rows: int, *, throttle: float = 1.0, exploration: float = 0.0) -> "Gates":
        """Nothing beyond the environment's own limits."""
        return cls(
            np.ones((rows, actions.NUM_OFFERS), bool),
            np.ones((rows, actions.NUM_ACTIONS), bool),
            np.full(rows, throttle, np.float32),
            np.full(rows, exploration, np.float32),
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
        self._by_rule = jax.jit(program.by_rule)

    def warm(self, *, baseline: bool = True) -> None:
        """Compiles every size, and with `baseline` the simple rule too. Raises BundleError for a damaged policy."""
        for size in self.sizes:
            features = Features(
                ("",) * size,
                np.ones(size, np.float64),
                np.zeros((size, len(self.bundle.schema.features)), np.float32),
            )
            for by_rule in (False, True)[: 1 + baseline]:
                self.decide(features, standings([History()] * size, np.ones(size), self.bundle.params), by_rule=by_rule)

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

        Raises ValueError where a gate forbids to wait, BundleError for an answer that is no number.
        """
        gates = Gates.open(len(features.values)) if gates is None else gates
        if not gates.allowed[:, actions.WAIT].all():
            raise ValueError("waiting is always legal")
        charge = features.monthly_charge.astype(np.float32)
        run = self._by_rule if by_rule else self._by_policy
        decided = Decided(*self._in_batches(run, (features.values, charge, *standing, *gates)))
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
        offer_days_left=zeros,
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


# --- the program ----------------------------------------------------------------------------------------------


class _Program:
    """Pure functions of arrays; models and constants of the bundle are part of the compiled program."""

    def __init__(self, bundle: Bundle, encoder: RowEncoder) -> None:
        self.params, self.policy = bundle.params, bundle.decide.run
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

    def by_policy(self, values: Array, charge: Array, *rest: Array) -> Decided:
        """What the policy says."""
        state, scores, removed = self._situation(values, charge, *rest)
        seen, mask = self._observation(state), ~removed.any(axis=1)
        propensities, expected = self.policy(seen, mask)
        return Decided(*scores, seen, removed, mask, _gated(propensities, mask, _gates(rest)), expected)

    def by_rule(self, values: Array, charge: Array, *rest: Array) -> Decided:
        """A simple rule instead of the policy: contact today with the offer whose expected gain, less the bundle's
        price × expected spend, is largest, if that is above 0 (`evaluation.baselines.greedy_fatigue`)."""
        state, scores, removed = self._situation(values, charge, *rest)
        seen, mask = self._observation(state), ~removed.any(axis=1)
        gain, spend = jax.vmap(lambda one: contact_gain(one, self.params, foresees_fatigue=True))(state)
        net = jnp.where(mask[:, 1 :: actions.NUM_DELAYS], gain - self.price * spend, -jnp.inf)
        best = jnp.where(net.max(axis=1) > 0, actions.encode(jnp.argmax(net, axis=1), 0), actions.WAIT)
        propensities = jax.nn.one_hot(best, actions.NUM_ACTIONS)
        expected = jnp.zeros((len(best), len(VALUES)))
        return Decided(*scores, seen, removed, mask, _gated(propensities, mask, _gates(rest)), expected)

    def _situation(
        self, values: Array, charge: Array, *rest: Array
    ) -> tuple[EnvState, tuple[Array, Array, Array, Array], Array]:
        """(state, (churn, acceptance, baseline, elevated), removed)."""
        churn, accept = self.score(values)
        state, baseline = self._state(churn, accept, charge, Standing(*rest[: len(Standing._fields)]))
        return state, (churn, accept, baseline, state.elevated), self._removed(state, _gates(rest))

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
            offer_days_left=standing.offer_days_left,
            account_used=standing.account_used,
        )
        return state, baseline

    def _removed(self, state: EnvState, gates: Gates) -> Bool[Array, "B rules actions"]:
        by_limit = jax.vmap(lambda one: constraints.removed_by_rule(one, self.params))(state)
        dear = jnp.pad(jnp.repeat(~gates.affordable, actions.NUM_DELAYS, axis=1), ((0, 0), (1, 0)))
        return jnp.concatenate([by_limit, dear[:, None], ~gates.allowed[:, None]], axis=1)


def _gates(rest: Sequence[Array]) -> Gates:
    return Gates(*rest[len(Standing._fields) :])


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
