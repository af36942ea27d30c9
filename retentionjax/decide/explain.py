"""Explains a decision: each rule and the actions it removed, what each offer is worth, the facts that matter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool

from retentionjax.bundle import Bundle
from retentionjax.bundle.program import VALUES
from retentionjax.company.money import money
from retentionjax.data.schema import NOT_KNOWN
from retentionjax.decide.customer import Customers, state
from retentionjax.decide.facts import as_frame
from retentionjax.decide.program import RULES, Decided
from retentionjax.decide.record_facts import Features
from retentionjax.env import actions, dynamics
from retentionjax.env.types import NO_OFFER, EnvParams, EnvState
from retentionjax.env.value import ContactValue, contact_value


@dataclass(frozen=True)
class ActionChance:
    """One of the actions."""

    action: int
    name: str
    """The action in words."""
    propensity: float
    removed_by: tuple[str, ...]
    """Rules that forbid it."""


@dataclass(frozen=True)
class Removal:
    """A rule that removed actions."""

    rule: str
    actions: tuple[int, ...]
    """Actions that it took away."""
    why: str


@dataclass(frozen=True)
class OfferWorth:
    """What one contact today with an offer, and none later, is worth over no further contact."""

    offer: str
    """Its name."""
    words: str
    acceptance: float
    gain: float
    """$, expected."""
    cost: float
    """$, expected spend."""
    net: float
    """$: gain − multiplier · cost, what it adds where the budget is scarce."""
    is_legal: bool


@dataclass(frozen=True)
class Reason:
    """What one fact does to a customer's churn score."""

    field: str
    value: float | str | None
    """None: missing."""
    risk_without: float
    """Risk of leaving without this fact's contribution; the steps of several facts do not add up."""
    risk: float
    """Risk of leaving as it is."""
    log_odds: float
    """Added to the log-odds of the score before calibration (XGBoost's exact SHAP value); above 0 raises the risk."""

    @property
    def points(self) -> float:
        """How much higher the risk is for this fact, in percentage points."""
        return 100 * (self.risk - self.risk_without)


@dataclass(frozen=True)
class Explanation:
    """What a person may want to know about a decision."""

    actions: tuple[ActionChance, ...]
    constraints: tuple[Removal, ...]
    expected: Mapping[str, float]
    """The policy's own expectation from here on: `uplift` in $ over never contacting, then each cost to come."""
    offers: tuple[OfferWorth, ...]
    """Empty while a contact is pending: none can be made today."""
    never_contact_value: float
    """$, expected from today on without another contact."""
    multiplier: float
    """$ of value that a $ of the campaign's budget is worth elsewhere."""
    reasons: tuple[Reason, ...]
    """Strongest first."""


def explain(
    bundle: Bundle, features: Features, customers: Customers, decided: Decided, multiplier: float | None = None
) -> Explanation:
    """Explains the only decision in `decided`; `multiplier` None: the bundle's. It moves `OfferWorth.net` only."""
    if multiplier is None:
        multiplier = float(bundle.manifest.multipliers.get("campaign_budget", 0.0))
    one, worth = _look(
        features.monthly_charge.astype(np.float32),
        customers,
        decided.churn_probability,
        decided.accept_probability,
        bundle.params,
        days=int(bundle.params.horizon_days),
    )
    removed = removals(decided.removed[0], one, bundle)
    return Explanation(
        actions=action_chances(decided.propensities[0], {each.rule: each.actions for each in removed}, bundle),
        constraints=removed,
        expected=dict(zip(VALUES, decided.values[0].tolist(), strict=True)),
        offers=() if int(one.pending_offer) != NO_OFFER else _offers(bundle, decided, worth, multiplier),
        never_contact_value=float(worth.never),
        multiplier=multiplier,
        reasons=reasons(bundle, features)[0],
    )


@partial(jax.jit, static_argnames="days")
def _look(
    charge: Array, customers: Customers, churn: Array, accept: Array, params: EnvParams, *, days: int
) -> tuple[EnvState, ContactValue]:
    """All that the environment says of the first customer; one compilation instead of dozens."""
    states, _ = state(customers, charge, churn, accept, params)
    one = jax.tree.map(lambda column: column[0], states)
    return one, contact_value(one, params, days=days)


def _offers(bundle: Bundle, decided: Decided, worth: ContactValue, multiplier: float) -> tuple[OfferWorth, ...]:
    today = decided.mask[0, 1 :: actions.delays(bundle.params)].tolist()
    chances = decided.observation[0, 1 : 1 + len(today)].tolist()
    columns = zip(bundle.offers, chances, worth.gain.tolist(), worth.spend.tolist(), today, strict=True)
    return tuple(
        OfferWorth(name, bundle.words(place), chance, gain, spend, gain - multiplier * spend, is_legal)
        for place, (name, chance, gain, spend, is_legal) in enumerate(columns)
    )


def action_chances(
    propensities: Any, removed: Mapping[str, tuple[int, ...]], bundle: Bundle | None
) -> tuple[ActionChance, ...]:
    """Every action with the rules that forbid it; without the bundle that decided they have numbers for names."""
    return tuple(
        ActionChance(
            action,
            f"action {action}" if bundle is None else action_name(action, bundle),
            float(chance),
            tuple(rule for rule, gone in removed.items() if action in gone),
        )
        for action, chance in enumerate(propensities)
    )


def reasons(bundle: Bundle, features: Features, most: int = 5) -> list[tuple[Reason, ...]]:
    """The facts that move the churn score of each customer most, strongest first."""
    frame = as_frame(bundle.schema, features)
    contributions = bundle.churn.contributions(frame)
    return [
        tuple(
            Reason(name, _plain(frame[name].iloc[row]), without, risk, log_odds)
            for name, log_odds, without, risk in contributions.top(row, most)
        )
        for row in range(len(frame))
    ]


def angle(bundle: Bundle, features: Features) -> str:
    """Why the first customer may leave, of the company's `messages.angles`: the one whose features add most to her
    churn score together; empty where none adds to it."""
    angles = bundle.company.messages.angles
    if not angles:
        return ""
    names = bundle.churn.encoder.features
    columns = [bundle.schema.features.index(name) for name in names]
    shares = bundle.churn.shares(features.values[:1, columns].astype(np.float32))[0]
    by_feature = dict(zip(names, shares.tolist(), strict=False))  # the base stands last
    pull = {angle: sum(by_feature.get(name, 0.0) for name in fields) for angle, fields in angles.items()}
    most = max(pull, key=lambda name: pull[name])
    return most if pull[most] > 0 else ""


def said(reason: Reason) -> str:
    """A fact's value for people, or that it is missing."""
    if reason.value is None:
        return NOT_KNOWN
    return f"{reason.value:.10g}" if isinstance(reason.value, float) else reason.value


def _plain(value: object) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    number = float(np.asarray(value, np.float64))
    return None if np.isnan(number) else number


# --- words ----------------------------------------------------------------------------------------------------


def action_name(action: int, bundle: Bundle) -> str:
    """An action in words: `wait`, `10 % off for 30 days today`, `no offer in 3 days`."""
    if action == actions.WAIT:
        return "wait"
    offer, delay = divmod(action - 1, actions.delays(bundle.params))
    return f"{bundle.words(offer)} {delay_words(int(bundle.params.delays[delay]))}"


def delay_words(days: int) -> str:
    """A delay in words."""
    return {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")


def removals(removed: Bool[np.ndarray, "rules actions"], one: EnvState, bundle: Bundle) -> tuple[Removal, ...]:
    """The rules of the environment that remove something, each with its reason."""
    found = []
    for rule, row in zip(RULES, removed, strict=True):
        gone = tuple(int(action) for action in np.flatnonzero(row))
        if gone and rule in _WHY:
            found.append(Removal(rule, gone, f"{_what(gone, bundle)}: {_WHY[rule](one, bundle, gone)}"))
    return tuple(found)


def _what(gone: tuple[int, ...], bundle: Bundle) -> str:
    """The removed actions in few words; a rule removes all contacts, whole delays or whole offers."""
    params, count = bundle.params, actions.delays(bundle.params)
    if len(gone) == actions.count(params) - 1:
        return "no contact"
    pairs = [divmod(action - 1, count) for action in gone]
    offers, delays = sorted({offer for offer, _ in pairs}), sorted({delay for _, delay in pairs})
    is_whole = len(gone) == len(offers) * len(delays)
    if is_whole and len(offers) == actions.offers(params):
        return "no contact " + " or ".join(delay_words(int(params.delays[delay])) for delay in delays)
    if is_whole and len(delays) == count:
        return "not " + " or ".join(map(bundle.words, offers))
    return "not " + ", ".join(action_name(action, bundle) for action in gone)


def _pending(one: EnvState, bundle: Bundle, gone: tuple[int, ...]) -> str:  # noqa: ARG001 - as the others
    offer = bundle.words(int(one.pending_offer))
    return f"one is planned already ({offer}, {delay_words(int(one.pending_days))})"


def _cooldown(one: EnvState, bundle: Bundle, gone: tuple[int, ...]) -> str:  # noqa: ARG001 - as the others
    since, least = int(one.days_since_contact), int(bundle.params.cooldown_days)
    return f"the last was {_days(since)} ago, and {_days(least)} must lie between two (cooldown)"


def _fatigue(one: EnvState, bundle: Bundle, gone: tuple[int, ...]) -> str:  # noqa: ARG001 - as the others
    cap, window = int(bundle.params.fatigue_cap), int(bundle.params.fatigue_window_days)
    ago = " and ".join(str(each + 1) for each in range(window - 1) if int(one.contact_history) >> each & 1)
    return f"the most is {cap} within {_days(window)}, and there were some {ago} days ago (fatigue)"


def _account(one: EnvState, bundle: Bundle, gone: tuple[int, ...]) -> str:
    params, cap, used = bundle.params, float(bundle.params.account_cap), float(one.account_used)
    offers = sorted({(action - 1) // actions.delays(params) for action in gone})
    costs = np.asarray(dynamics.full_cost(one.monthly_charge, params))[offers] + float(params.contact_cost)
    said = [money(each, bundle.company.currency, cents=True) for each in (cap, max(0.0, cap - used), *costs.tolist())]
    allowed, left, *prices = said[:2] + [said[2 + int(place)] for place in (costs.argmin(), costs.argmax())]
    price = " to ".join(dict.fromkeys(prices))
    return (
        f"of the {allowed} allowed for a customer and campaign {left} are left, and with the contact it costs {price} "
        "(account cap)"
    )


def _days(number: int) -> str:
    return f"{number} day{'s' * (number != 1)}"


_WHY: Mapping[str, Callable[[EnvState, Bundle, tuple[int, ...]], str]] = {
    "pending": _pending,
    "cooldown": _cooldown,
    "fatigue": _fatigue,
    "account_cap": _account,
}
