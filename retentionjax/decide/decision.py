"""From a customer's facts and history to a decision with its reasons."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from retentionjax.bundle import Bundle, Reason
from retentionjax.bundle.customer import HISTORY, RECIPIENT
from retentionjax.bundle.program import VALUES
from retentionjax.decide import history as histories
from retentionjax.decide import rules
from retentionjax.decide.history import History
from retentionjax.decide.rules import Removal
from retentionjax.env import actions, constraints, dynamics, observation
from retentionjax.env.types import NO_OFFER, EnvParams, EnvState
from retentionjax.env.value import contact_value
from retentionjax.errors import DataError


@dataclass(frozen=True)
class Risk:
    """Of leaving within `window_days`."""

    window_days: int
    today: float
    """Today's score."""
    seen: float
    """What the policy saw for it: the usual risk, moved to that of the risk state."""
    baseline: float
    """The usual score; today's where the history has none."""
    is_baseline_known: bool
    elevated: bool


@dataclass(frozen=True)
class Offer:
    """A contact today with one offer, and never again, against never again a contact."""

    size: float
    """Share of the charge."""
    acceptance: float
    gain: float
    """$, expected."""
    cost: float
    """$, expected spend."""
    net: float
    """$: gain − price · cost, what it adds where the budget is scarce."""
    is_legal: bool


@dataclass(frozen=True)
class Decision:
    """What to do about one customer today, and why."""

    customer_id: str
    action: int
    propensity: float
    """Probability with which the policy draws this very action."""
    propensities: tuple[float, ...]
    """Of all 13 actions; they sum to 1, and what a rule removed has 0."""
    monthly_charge: float
    risk: Risk
    never: float
    """$, expected from today on without another contact."""
    offers: tuple[Offer, ...]
    """Empty while a contact is pending: none can be made today."""
    price: float
    """$ of value that a $ of the campaign's budget is worth elsewhere (the multiplier)."""
    removals: tuple[Removal, ...]
    reasons: tuple[Reason, ...]
    values: Mapping[str, float]
    """The policy's own expectation from here on: `uplift` in $ over never contacting, then each cost to come."""
    history: History
    bundle: Bundle

    @property
    def contact(self) -> tuple[float, int] | None:
        """(offer as a share of the charge, days until the contact), None to wait."""
        if self.action == actions.WAIT:
            return None
        offer, delay = divmod(self.action - 1, actions.NUM_DELAYS)
        params = self.bundle.params
        return round(float(params.discount[offer]), 6), int(params.delays[delay])

    @property
    def seed(self) -> int:
        """Of all that is drawn beside the action: a hash of bundle, customer and day, below 2³¹."""
        return _digest(self.bundle.manifest.id, self.customer_id, self.history.day, "seed") >> 25


def decide(bundle: Bundle, customer: Mapping[str, object], *, where: str = "customer") -> Decision:
    """The decision about a customer: facts under the schema's names, `customer_id`, optionally `history`.

    The risk state is read off the scores: elevated if today's hazard over the usual one is nearer, by its logarithm,
    to an elevated day's than to a calm day's. Without a usual score in the history today's is taken for it and the
    state for calm, the likelier one. The policy is stochastic and the draw a hash of bundle, customer and day: asked
    again, the answer is the same, and the propensities are true over customers and days.

    Raises DataError naming `where`, field, value and what is allowed.
    """
    facts = {name: value for name, value in customer.items() if name not in (HISTORY, RECIPIENT)}
    history = histories.read(customer.get(HISTORY, {}), bundle.params, where=f"{where}, {HISTORY}")
    return decide_with(bundle, facts, history, where=where)


def decide_with(
    bundle: Bundle,
    facts: Mapping[str, object],
    history: History,
    *,
    price: float | None = None,
    where: str = "customer",
) -> Decision:
    """As `decide`, the history given as such; `price` None: the bundle's multiplier. It moves `Offer.net` only."""
    scores = bundle.score([facts], where=where)
    charge, today = float(scores.monthly_charge[0]), float(scores.churn_probability[0])
    if not math.isfinite(np.float32(charge)):
        raise DataError(f"{where}, field {bundle.schema.charge!r}: {charge!r} is too large")
    known = history.baseline_churn_probability
    baseline = today if known is None else known
    state = histories.state(
        history,
        bundle.params,
        monthly_charge=charge,
        baseline=baseline,
        accept_probability=float(scores.accept_probability[0]),
        elevated=known is not None and bool(_is_elevated(today, baseline, bundle.params)),
    )
    view = {name: np.asarray(value) for name, value in _look(state, bundle.params).items()}
    window, seen = int(bundle.params.risk_window_days), float(view["rescored"])
    risk = Risk(window, today, seen, baseline, known is not None, bool(state.elevated))
    if price is None:
        price = float(bundle.manifest.multipliers.get("campaign_budget", 0.0))
    reasons = bundle.reasons(facts, where=where)
    return _decide(bundle, scores.customer_id[0], state, view, risk, history, reasons, price)


def _decide(
    bundle: Bundle,
    customer_id: str,
    state: EnvState,
    view: Mapping[str, np.ndarray],
    risk: Risk,
    history: History,
    reasons: Sequence[Reason],
    price: float,
) -> Decision:
    """Mask → propensities → draw, and what a person wants to know about it."""
    mask = np.logical_not(view["removed"].any(axis=0))
    propensities, values = bundle.decide(view["observation"][None], mask[None])
    action = draw(propensities[0], bundle.manifest.id, customer_id, history.day)
    never, offers = _offers(state, bundle.params, view, mask, price)
    return Decision(
        customer_id=customer_id,
        action=action,
        propensity=float(propensities[0, action]),
        propensities=tuple(float(each) for each in propensities[0]),
        monthly_charge=float(state.monthly_charge),
        risk=risk,
        never=never,
        offers=offers,
        price=price,
        removals=tuple(rules.removals(view["removed"], state, bundle.params)),
        reasons=tuple(reasons),
        values=dict(zip(VALUES, (float(each) for each in values[0]), strict=True)),
        history=history,
        bundle=bundle,
    )


def draw(propensities: Float[np.ndarray, " actions"], bundle_id: str, customer_id: str, day: int) -> int:
    """The action at a uniform number that is a hash of bundle, customer and day; never one of probability 0."""
    uniform = _digest(bundle_id, customer_id, day) / 2**56
    cumulative = np.cumsum(propensities, dtype=np.float64)
    place = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    return min(place, int(np.flatnonzero(propensities)[-1]))


def _digest(*parts: str | int) -> int:
    """56 bits of a hash of `parts`."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:7])


def is_elevated(today: Any, baseline: Any, params: EnvParams) -> Array:
    """h_today/h > √(h⁰/h · h¹/h), h the usual hazard; scores of any shape."""
    calm, elevated = dynamics.hazards(baseline, params)
    return dynamics.average_hazard(today, params) > jax.numpy.sqrt(calm * elevated)


_is_elevated = jax.jit(is_elevated)


@jax.jit
def _look(state: EnvState, params: EnvParams) -> dict[str, Array]:
    """All that the environment says of a state; one compilation instead of dozens."""
    contacts = dynamics.contacts_in_window(state, params)
    return {
        "observation": observation.observe(state, params),
        "removed": constraints.removed_by_rule(state, params),
        "acceptance": dynamics.acceptance(state.accept_probability, state.elevated, contacts, params),
        "rescored": dynamics.rescored_churn_probability(state.churn_probability, state.elevated, params),
    }


def _offers(
    state: EnvState, params: EnvParams, view: Mapping[str, np.ndarray], mask: np.ndarray, price: float
) -> tuple[float, tuple[Offer, ...]]:
    value = contact_value(state, params, days=int(params.horizon_days))
    if int(state.pending_offer) != NO_OFFER:
        return float(value.never), ()
    offers = [
        Offer(
            size=round(float(size), 6),
            acceptance=float(view["acceptance"][index]),
            gain=float(value.gain[index]),
            cost=float(value.spend[index]),
            net=float(value.gain[index] - price * value.spend[index]),
            is_legal=bool(mask[1 + index * actions.NUM_DELAYS]),
        )
        for index, size in enumerate(params.discount)
    ]
    return float(value.never), tuple(offers)
