"""Constants of the environment as plain numbers: from settings, to files and back, each checked and named."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from retentionjax.env import actions
from retentionjax.env.types import EnvParams
from retentionjax.errors import ConfigError

_NOT_CONSTANTS = ("population", "potential", "worlds")
_MOST = 1_000_000  # far less than `NEVER`, and than 32 bits hold
_MOST_MONEY = 1e9  # in whatever currency; the ledger counts in millionths, in 64 bits
_PROBABILITY = (1e-9, 1 - 1e-6)  # float32 tells both from 0 and 1
_NUMBERS: Mapping[str, tuple[float, float]] = {
    "risk_onset": _PROBABILITY,
    "risk_recovery": _PROBABILITY,
    "risk_ratio": (1e-3, 1e3),
    "charge_reference": (1e-6, 1e12),
    "contact_cost": (0, _MOST_MONEY),
    "account_cap": (0, 1e30),
    "accept_risk": (-20, 20),
    "accept_fatigue": (-20, 20),
    "contact_effect": (-20, 20),
    "fatigue_hazard": (-2, 2),  # for each of 32 contacts
}
"""Ranges within which float32 computes numbers: beyond, a hazard of 0 times an infinite factor is none."""
_COUNTS = {
    "horizon_days": (1, 3650),
    "tail_days": (0, _MOST),
    "risk_window_days": (1, _MOST),
    "fatigue_window_days": (1, 32),
    "fatigue_cap": (0, _MOST),
    "contact_effect_days": (1, 3650),
    "cooldown_days": (0, _MOST),
}
_OFFER_VECTORS: Mapping[str, tuple[float, float]] = {
    "discount": (0, 1),
    "amount": (0, _MOST_MONEY),
    "cost": (0, _MOST_MONEY),
    "offer_days": (1, 3650),
    "effect_days": (1, 3650),
    "hazard_multiplier": (0, 10),
    "appeal": (-20, 20),
}
_VECTORS = {**_OFFER_VECTORS, "delays": (0.0, 365.0)}
_WHOLE = ("offer_days", "effect_days", "delays")
MOST_OFFERS, MOST_DELAYS = 64, 16


def names() -> tuple[str, ...]:
    """Every constant, in the order of `EnvParams`."""
    return tuple(field.name for field in dataclasses.fields(EnvParams) if field.name not in _NOT_CONSTANTS)


def to_dict(params: EnvParams) -> dict[str, float | int | list[float]]:
    """The constants as numbers and lists, for JSON."""
    return {name: np.asarray(getattr(params, name)).tolist() for name in names()}


def from_dict(values: Mapping[str, Any], base: EnvParams | None = None) -> EnvParams:
    """`base` (the defaults) with the constants in `values`.

    Raises ConfigError naming the constant, its value and what is allowed.
    """
    base = EnvParams() if base is None else base
    for name in values:
        if name not in names():
            raise ConfigError(f"env.{name}: no such constant; allowed: {', '.join(names())}")
    given = {name: _checked(name, value) for name, value in values.items()}
    params: EnvParams = base.replace(**given)  # type: ignore[attr-defined]
    _check_offers(params)
    return params


def _check_offers(params: EnvParams) -> None:
    """Every vector of offers has one entry an offer, and an offer protects at least as long as it runs."""
    actions.offers(params)
    runs, protects = np.asarray(params.offer_days), np.asarray(params.effect_days)
    if (protects < runs).any():
        offer = int(np.argmax(protects < runs))
        raise ConfigError(
            f"env.effect_days[{offer}] is {protects[offer]}; allowed: {runs[offer]} (offer_days) or more, for an offer "
            f"that runs protects"
        )


def _checked(name: str, value: Any) -> Any:
    if name in _VECTORS:
        return _vector(name, value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise ConfigError(f"env.{name} is {value!r}; allowed: a finite number")
    if name in _COUNTS:
        least, most = _COUNTS[name]
        _require(name, value, value == int(value) and least <= value <= most, f"a whole number from {least} to {most}")
        return int(value)
    low, high = _NUMBERS[name]
    _require(name, value, low <= value <= high, f"a number from {low:.7g} to {high:.7g}")
    return float(value)


def _vector(name: str, value: Any) -> Any:
    low, high = _VECTORS[name]
    most, is_whole = MOST_DELAYS if name == "delays" else MOST_OFFERS, name in _WHOLE
    is_list = isinstance(value, list | tuple) and all(type(number) in (int, float) for number in value)
    numbers = np.asarray(value if is_list else [], np.float64)
    is_each = (numbers >= low) & (numbers <= high) & (not is_whole or numbers == np.floor(numbers))
    fits = numbers.ndim == 1 and 1 <= len(numbers) <= most and bool(is_each.all())
    _require(name, value, fits, f"1 to {most} {'whole ' if is_whole else ''}numbers from {low:g} to {high:g}")
    return jnp.asarray(numbers, jnp.int32 if is_whole else jnp.float32)


def _require(name: str, value: Any, holds: bool, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"env.{name} is {value!r}; allowed: {allowed}")
