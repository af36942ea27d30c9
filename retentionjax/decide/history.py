"""What a ledger knows of a customer in this campaign, checked, and the state of the environment it amounts to.

`history` in a customer's file; every key may be left out: `day` (0: the campaign's first), `contacts_days_ago` (days
since each contact of this campaign, from 1), `account_used` ($ of the account cap; by default what these contacts
and a running offer cost in full), `running_offer` (one of the offers) with `offer_days_left` (today included),
`pending` ({"offer", "days"}: a contact already planned), `baseline_churn_probability` (the usual score).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from retentionjax.env import dynamics
from retentionjax.env.population import MIN_PROBABILITY
from retentionjax.env.types import NEVER, NO_OFFER, EnvParams, EnvState
from retentionjax.errors import DataError

KEYS = (
    "day",
    "contacts_days_ago",
    "account_used",
    "running_offer",
    "offer_days_left",
    "pending",
    "baseline_churn_probability",
)
_LARGEST = 1e9  # $
_REMEMBERED = 32  # days of contacts in EnvState.contact_history


@dataclass(frozen=True)
class History:
    """A history that could have happened."""

    day: int = 0
    contacts_days_ago: tuple[int, ...] = ()
    """Most recent first."""
    account_used: float | None = None
    running_offer: int = NO_OFFER
    """Index of the offer."""
    offer_days_left: int = 0
    pending_offer: int = NO_OFFER
    pending_days: int = 0
    baseline_churn_probability: float | None = None


def read(value: object, params: EnvParams, *, where: str) -> History:
    """The history in JSON's `value`. Raises DataError naming `where`, key, value and what is allowed."""
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: {value!r}; an object with some of the keys {', '.join(KEYS)} is wanted")
    if unknown := [key for key in value if key not in KEYS]:
        raise DataError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(KEYS)}")
    day = _whole(value.get("day", 0), f"{where}, day", 0, int(params.horizon_days) - 1)
    contacts = _contacts(value.get("contacts_days_ago", []), day, where)
    running, days_left = _running(value, contacts, params, where)
    pending, pending_days = _pending(value.get("pending"), params, where)
    account, baseline = value.get("account_used"), value.get("baseline_churn_probability")
    least = round(len(contacts) * float(params.contact_cost), 2)
    return History(
        day=day,
        contacts_days_ago=contacts,
        account_used=None if account is None else _number(account, f"{where}, account_used", least, math.inf),
        running_offer=running,
        offer_days_left=days_left,
        pending_offer=pending,
        pending_days=pending_days,
        baseline_churn_probability=None
        if baseline is None
        else _number(baseline, f"{where}, baseline_churn_probability", 0.0, 1.0),
    )


def state(
    history: History,
    params: EnvParams,
    *,
    monthly_charge: float,
    baseline: float,
    accept_probability: float,
    elevated: bool,
) -> EnvState:
    """The environment's state of a customer with this history, usual risk `baseline`, and risk state `elevated`."""
    contacts = history.contacts_days_ago
    used = history.account_used
    if used is None:
        used = len(contacts) * float(params.contact_cost)
        if history.running_offer != NO_OFFER:
            used += float(dynamics.full_cost(monthly_charge, params)[history.running_offer])
    return EnvState(
        time=np.int32(history.day),
        customer=np.int32(0),
        monthly_charge=np.float32(monthly_charge),
        churn_probability=np.float32(np.clip(baseline, MIN_PROBABILITY, 1 - MIN_PROBABILITY)),
        accept_probability=np.float32(accept_probability),
        elevated=np.bool_(elevated),
        contact_history=np.uint32(sum(1 << (days - 1) for days in contacts if days <= _REMEMBERED)),
        days_since_contact=np.int32(min(contacts, default=NEVER)),
        pending_offer=np.int32(history.pending_offer),
        pending_days=np.int32(history.pending_days),
        offer=np.int32(history.running_offer),
        protection_days_left=np.int32(history.offer_days_left),
        account_used=np.float32(used),
    )


def _contacts(value: object, day: int, where: str) -> tuple[int, ...]:
    place = f"{where}, contacts_days_ago"
    if not isinstance(value, list):
        raise DataError(f"{place}: {value!r}; a list of whole numbers of days is wanted")
    contacts = [_whole(each, place, 1, None) for each in value]
    for days in contacts:
        if days > day:
            raise DataError(f"{place}: {days}, but on day {day} the campaign is {day} days old; see history.day")
        if contacts.count(days) > 1:
            raise DataError(f"{place}: {days} stands twice, and there is one contact a day at most")
    return tuple(sorted(contacts))


def _running(value: Mapping[str, Any], contacts: tuple[int, ...], params: EnvParams, where: str) -> tuple[int, int]:
    given = [key for key in ("running_offer", "offer_days_left") if value.get(key) is not None]
    if not given:
        return NO_OFFER, 0
    if len(given) == 1:
        raise DataError(f"{where}: {given[0]} stands alone; running_offer and offer_days_left go together")
    offer = _offer(value["running_offer"], params, f"{where}, running_offer")
    whole = int(params.offer_days[offer])
    left = _whole(value["offer_days_left"], f"{where}, offer_days_left", 1, whole - 1)
    if whole - left not in contacts:
        raise DataError(
            f"{where}, offer_days_left: {left} of {whole} days, so it was accepted {whole - left} days ago, and "
            f"contacts_days_ago names no contact then"
        )
    return offer, left


def _pending(value: object, params: EnvParams, where: str) -> tuple[int, int]:
    if value is None:
        return NO_OFFER, 0
    if not isinstance(value, Mapping) or set(value) != {"offer", "days"}:
        raise DataError(f"{where}, pending: {value!r}; an object with offer and days is wanted")
    offer = _offer(value["offer"], params, f"{where}, pending.offer")
    return offer, _whole(value["days"], f"{where}, pending.days", 0, int(np.max(params.delays)))


def _offer(value: object, params: EnvParams, place: str) -> int:
    offers = [round(float(offer), 6) for offer in params.discount]
    number = _number(value, place, 0.0, 1.0)
    for index, offer in enumerate(offers):
        if abs(number - offer) < 1e-6:
            return index
    raise DataError(f"{place}: {value!r} is no offer; allowed: {', '.join(f'{offer:g}' for offer in offers)}")


def _whole(value: object, place: str, low: int, high: int | None) -> int:
    allowed = f"{low} or more" if high is None else f"{low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        raise DataError(f"{place}: {value!r}; allowed: a whole number, {allowed}")
    return value


def _number(value: object, place: str, low: float, high: float) -> float:
    allowed = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= min(high, _LARGEST):
        raise DataError(f"{place}: {value!r}; allowed: a number, {allowed}")
    return float(value)
