"""Which hard limits removed which actions, and why, in words."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from retentionjax.env import actions
from retentionjax.env.constraints import RULES
from retentionjax.env.types import EnvParams, EnvState


@dataclass(frozen=True)
class Removal:
    """A rule at work."""

    rule: str
    actions: tuple[int, ...]
    why: str


def name(action: int, params: EnvParams) -> str:
    """An action in words: `wait`, `10 % off today`, `no discount in 3 days`."""
    if action == actions.WAIT:
        return "wait"
    offer, delay = divmod(action - 1, actions.NUM_DELAYS)
    return f"{offer_name(float(params.discount[offer]))} {delay_name(int(params.delays[delay]))}"


def offer_name(size: float) -> str:
    """An offer in words."""
    return f"{100 * size:.3g} % off" if size > 0 else "no discount"


def delay_name(days: int) -> str:
    """A delay in words."""
    return {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")


def removals(removed: Bool[np.ndarray, "rules actions"], state: EnvState, params: EnvParams) -> list[Removal]:
    """The rules that remove something, by `constraints.removed_by_rule`, each with its reason."""
    found = []
    for number, rule in enumerate(RULES):
        gone = tuple(int(action) for action in np.flatnonzero(removed[number]))
        if gone:
            found.append(Removal(rule, gone, f"{_what(gone, params)}: {_REASONS[rule](state, params)}"))
    return found


def _what(gone: tuple[int, ...], params: EnvParams) -> str:
    """The removed actions in few words; a rule removes all contacts, whole delays or whole offers."""
    if len(gone) == actions.NUM_ACTIONS - 1:
        return "no contact"
    pairs = [divmod(action - 1, actions.NUM_DELAYS) for action in gone]
    offers, delays = sorted({offer for offer, _ in pairs}), sorted({delay for _, delay in pairs})
    if len(offers) == actions.NUM_OFFERS and len(gone) == len(offers) * len(delays):
        return "no contact " + " or ".join(delay_name(int(params.delays[delay])) for delay in delays)
    if len(delays) == actions.NUM_DELAYS and len(gone) == len(offers) * len(delays):
        return "not " + " or ".join(offer_name(float(params.discount[offer])) for offer in offers)
    return "not " + ", ".join(name(action, params) for action in gone)


def _pending(state: EnvState, params: EnvParams) -> str:
    offer = offer_name(float(params.discount[int(state.pending_offer)]))
    return f"one is planned already ({offer}, {delay_name(int(state.pending_days))})"


def _cooldown(state: EnvState, params: EnvParams) -> str:
    since, least = int(state.days_since_contact), int(params.cooldown_days)
    return f"the last was {_days(since)} ago, and {_days(least)} must lie between two (cooldown)"


def _fatigue(state: EnvState, params: EnvParams) -> str:
    cap, window = int(params.fatigue_cap), int(params.fatigue_window_days)
    ago = " and ".join(str(each + 1) for each in range(window - 1) if int(state.contact_history) >> each & 1)
    return f"the most is {cap} within {_days(window)}, and there were some {ago} days ago (fatigue)"


def _account(state: EnvState, params: EnvParams) -> str:
    cap, used = float(params.account_cap), float(state.account_used)
    return f"of the ${cap:.2f} allowed for a customer and campaign ${max(0.0, cap - used):.2f} are left (account cap)"


def _days(number: int) -> str:
    return f"{number} day{'s' * (number != 1)}"


_REASONS = {"pending": _pending, "cooldown": _cooldown, "fatigue": _fatigue, "account_cap": _account}
