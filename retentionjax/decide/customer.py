"""What is known of a customer in a campaign: one record, from a file, a ledger or a what-if to the environment's state.

`history` in a customer's file; every key may be left out: `day` (0: the campaign's first), `contacts_days_ago` (days
since each contact of this campaign, from 1), `account_used` (money of the account cap; by default what these contacts
and a running offer cost in full), `running_offer` (an offer's name) with `offer_days_left` (days that it still
protects, today included), `pending` ({"offer", "days"}: a contact already planned), `baseline_churn_probability` (the
usual score).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

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
_LARGEST = 1e9  # money
_ROUNDING = 1e-4  # cents
Rows = Any
"""np.ndarray outside a compiled program, jax.Array within."""


class Customer(NamedTuple):  # as a frozen dataclass it would cost six times as much to make
    """One customer's history, money and running offer in this campaign."""

    day: int = 0
    contacts_days_ago: tuple[int, ...] = ()
    """Most recent first; 0 is today."""
    account_used: float | None = None
    """Money of the account cap; None: what the contacts and the running offer cost in full."""
    running_offer: int = NO_OFFER
    """Index of the offer that protects."""
    protection_days_left: int = 0
    """Today included; see `dynamics.offer_days_left` for those it still runs."""
    pending_offer: int = NO_OFFER
    pending_days: int = 0
    usual: float | None = None
    """The usual churn probability."""


class Customers(NamedTuple):
    """What is known about B customers, as arrays; see `EnvState`."""

    day: Int[Rows, " B"]
    contact_history: Int[Rows, " B"]  # u32, bit k is set if there was a contact k + 1 days ago
    days_since_contact: Int[Rows, " B"]  # NEVER if there was none
    pending_offer: Int[Rows, " B"]
    pending_days: Int[Rows, " B"]
    offer: Int[Rows, " B"]
    protection_days_left: Int[Rows, " B"]
    account_used: Float[Rows, " B"]
    usual: Float[Rows, " B"]  # NaN if none is known


def unknown(rows: int, *, day: int = 0) -> Customers:
    """`rows` customers about whom nothing is known, on this day of the campaign."""
    zeros, none = np.zeros(rows, np.int32), np.full(rows, NO_OFFER, np.int32)
    return Customers(
        day=np.full(rows, day, np.int32),
        contact_history=np.zeros(rows, np.uint32),
        days_since_contact=np.full(rows, NEVER, np.int32),
        pending_offer=none,
        pending_days=zeros,
        offer=none,
        protection_days_left=zeros,
        account_used=np.zeros(rows, np.float32),
        usual=np.full(rows, np.nan, np.float32),
    )


def state(
    customers: Customers, charge: Rows, churn: Rows, accept: Rows, params: EnvParams
) -> tuple[EnvState, Float[Array, " B"]]:
    """The environment's states of customers with today's scores, and the usual score of each.

    The risk state is read off the scores: elevated if today's hazard over the usual one is nearer, by its logarithm,
    to an elevated day's than to a calm day's. Without a usual score today's is taken for it and the state for calm,
    the likelier one.
    """
    known = ~jnp.isnan(customers.usual)
    usual = jnp.where(known, customers.usual, churn)
    states = EnvState(
        time=customers.day,
        customer=jnp.zeros_like(customers.day),
        monthly_charge=charge,
        churn_probability=jnp.clip(usual, MIN_PROBABILITY, 1 - MIN_PROBABILITY),
        accept_probability=accept,
        elevated=known & is_elevated(churn, usual, params),
        contact_history=customers.contact_history,
        days_since_contact=customers.days_since_contact,
        pending_offer=customers.pending_offer,
        pending_days=customers.pending_days,
        offer=customers.offer,
        protection_days_left=customers.protection_days_left,
        account_used=customers.account_used,
    )
    return states, usual


def is_elevated(today: Any, usual: Any, params: EnvParams) -> Array:
    """h_today/h > √(h⁰/h · h¹/h), h the usual hazard; scores of any shape."""
    calm, elevated = dynamics.hazards(usual, params)
    return dynamics.average_hazard(today, params) > jnp.sqrt(calm * elevated)


# --- from JSON ------------------------------------------------------------------------------------------------


USUAL = "above 0, below 1"
"""What a usual risk may be."""


def no_usual_risk(risk: Float[np.ndarray, " B"]) -> Bool[np.ndarray, " B"]:
    """Where a number is no usual churn probability; NaN, one that is not known, is none of those."""
    return (risk <= 0) | (risk >= 1)


def read(value: object, params: EnvParams, offers: Sequence[str], *, where: str) -> Customer:
    """The customer whose history is JSON's `value`, `offers` by name.

    Raises DataError naming `where`, key, value and what is allowed.
    """
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: {value!r}; an object with some of the keys {', '.join(KEYS)} is wanted")
    if stray := [key for key in value if key not in KEYS]:
        raise DataError(f"{where}: unknown key {stray[0]!r}; allowed: {', '.join(KEYS)}")
    day = _whole(value.get("day", 0), f"{where}, day", 0, int(params.horizon_days) - 1)
    contacts = _contacts(value.get("contacts_days_ago", []), day, where)
    running, days_left = _running(value, contacts, params, offers, where)
    pending, pending_days = _pending(value.get("pending"), params, offers, where)
    account, usual = value.get("account_used"), value.get("baseline_churn_probability")
    least = math.floor(100 * len(contacts) * float(params.contact_cost) + _ROUNDING) / 100  # an SMS may cost 0.79 cents
    return Customer(
        day=day,
        contacts_days_ago=contacts,
        account_used=None if account is None else _number(account, f"{where}, account_used", least, math.inf),
        running_offer=running,
        protection_days_left=days_left,
        pending_offer=pending,
        pending_days=pending_days,
        usual=None if usual is None else _risk(usual, f"{where}, baseline_churn_probability"),
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


def _running(
    value: Mapping[str, Any], contacts: tuple[int, ...], params: EnvParams, offers: Sequence[str], where: str
) -> tuple[int, int]:
    given = [key for key in ("running_offer", "offer_days_left") if value.get(key) is not None]
    if not given:
        return NO_OFFER, 0
    if len(given) == 1:
        raise DataError(f"{where}: {given[0]} stands alone; running_offer and offer_days_left go together")
    offer = _offer(value["running_offer"], offers, f"{where}, running_offer")
    whole = int(params.effect_days[offer])
    left = _whole(value["offer_days_left"], f"{where}, offer_days_left", 1, whole - 1)
    if whole - left not in contacts:
        raise DataError(
            f"{where}, offer_days_left: {left} of {whole} days, so it was accepted {whole - left} days ago, and "
            f"contacts_days_ago names no contact then"
        )
    return offer, left


def _pending(value: object, params: EnvParams, offers: Sequence[str], where: str) -> tuple[int, int]:
    if value is None:
        return NO_OFFER, 0
    if not isinstance(value, Mapping) or set(value) != {"offer", "days"}:
        raise DataError(f"{where}, pending: {value!r}; an object with offer and days is wanted")
    offer = _offer(value["offer"], offers, f"{where}, pending.offer")
    return offer, _whole(value["days"], f"{where}, pending.days", 0, int(np.max(params.delays)))


def _offer(value: object, offers: Sequence[str], place: str) -> int:
    if value not in offers:
        raise DataError(f"{place}: {value!r} is no offer; allowed: {', '.join(offers)}")
    return list(offers).index(str(value))


def _whole(value: object, place: str, low: int, high: int | None) -> int:
    allowed = f"{low} or more" if high is None else f"{low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        raise DataError(f"{place}: {value!r}; allowed: a whole number, {allowed}")
    return value


def _risk(value: object, place: str) -> float:
    """A usual risk: at 0 every customer would be in trouble, and at 1 nobody left."""
    risk = _number(value, place, 0.0, 1.0)
    if risk in (0.0, 1.0):
        raise DataError(f"{place}: {value!r}; allowed: a number, {USUAL}")
    return risk


def _number(value: object, place: str, low: float, high: float) -> float:
    allowed = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= min(high, _LARGEST):
        raise DataError(f"{place}: {value!r}; allowed: a number, {allowed}")
    return float(value)
