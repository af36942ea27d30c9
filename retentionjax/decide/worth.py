"""What a contact today is worth: exact expectations of the model, by backward recursion over the risk chain."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from retentionjax.env.types import NO_OFFER, EnvParams, EnvState


@dataclass(frozen=True)
class Worth:
    """Of a contact today and never again, against never again a contact; a running offer runs out in both."""

    never: float
    """$, value from today on of never contacting again, the residual after the horizon included."""
    gain: Float[np.ndarray, " offers"]
    """$, expected, of a contact today with each offer; discounts and the contact's cost are taken off."""
    cost: Float[np.ndarray, " offers"]
    """$, expected extra spend: the contact and the discounts."""


def of_contact_today(
    state: EnvState,
    params: EnvParams,
    *,
    acceptance: Float[np.ndarray, " offers"],
    hazards: Float[np.ndarray, "2"],
    residual: float,
) -> Worth:
    """Exact by the risk chain, fatigue of this and earlier contacts included; a pending contact is left out.

    `acceptance` of each offer today; `hazards` of a calm and of an elevated day; `residual` value [$] of a survivor
    of the horizon (see `env.dynamics`).
    """
    offers, days = len(params.offers), int(params.horizon_days) - int(state.time)
    size, calming = np.zeros((2 + offers, days)), np.ones((2 + offers, days))  # plans: never, declined, each accepted
    if int(state.offer) != NO_OFFER:
        left = int(state.offer_days_left)
        size[:2, :left] = params.offers[int(state.offer)]
        calming[:2, :left] = params.hazard_multiplier[int(state.offer)]
    size[2:, : int(params.offer_days)] = np.asarray(params.offers)[:, None]
    calming[2:, : int(params.offer_days)] = np.asarray(params.hazard_multiplier)[:, None]
    tired = np.stack(
        [_fatigue(state, params, days, contacted=False)]
        + (1 + offers) * [_fatigue(state, params, days, contacted=True)]
    )
    value, spend = _expectations(calming * tired, size, state, params, hazards, residual)
    (never, declined), accepted = value[:2], value[2:]
    extra = acceptance * spend[2:] + (1 - acceptance) * spend[1] + float(params.contact_cost) - spend[0]
    gain = acceptance * accepted + (1 - acceptance) * declined - float(params.contact_cost) - never
    return Worth(never=float(never), gain=gain, cost=extra)


def _fatigue(state: EnvState, params: EnvParams, days: int, *, contacted: bool) -> Float[np.ndarray, " days"]:
    """φ of today and each later day, as contacts leave the window; see `dynamics.survival`."""
    window = int(params.fatigue_window_days)
    bits = int(state.contact_history)
    ago = [each + 1 for each in range(32) if bits >> each & 1] + [0] * contacted
    contacts = np.array([sum(each + day < window for each in ago) for day in range(days)])
    return np.exp(float(params.fatigue_hazard) * np.maximum(0, contacts - 1))


def _expectations(
    exponents: Float[np.ndarray, "plans days"],
    size: Float[np.ndarray, "plans days"],
    state: EnvState,
    params: EnvParams,
    hazards: Float[np.ndarray, "2"],
    residual: float,
) -> tuple[Float[np.ndarray, " plans"], Float[np.ndarray, " plans"]]:
    """(value, spend) in $ of each plan: V_z = s_z·(m/30·(1 − size) + Σ P(z, z')·V'_z'), spend likewise."""
    onset, recovery = float(params.risk_onset), float(params.risk_recovery)
    transition = np.array([[1 - onset, onset], [recovery, 1 - recovery]])
    daily = float(state.monthly_charge) / 30
    later = np.full((len(size), 2), residual)
    spend = np.zeros((len(size), 2))
    for day in reversed(range(size.shape[1])):
        stay = (1 - np.asarray(hazards, np.float64)) ** exponents[:, day, None]
        paid = daily * size[:, day, None]
        is_last = day == size.shape[1] - 1
        later = stay * (daily - paid + (later if is_last else later @ transition.T))
        spend = stay * (paid + spend @ transition.T)
    z = int(state.elevated)
    return later[:, z], spend[:, z]
