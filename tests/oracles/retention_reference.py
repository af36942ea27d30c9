"""A slow retention environment in plain Python: one customer, one day, written from the design and not from the code.

No JAX, no NumPy. The state is kept as a person would note it (calendar days of past contacts, the day a contact is
due, the last day of a running offer) and not as the environment keeps it (bit sets and counters), so that one slip
cannot be made twice. Luck comes in from outside: an event of probability q happens if its uniform number is below q
(events: the customer accepts, the customer stays, tomorrow's risk is elevated).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

BILLING_DAYS = 30  # a monthly charge is $ per 30 days


@dataclass(frozen=True)
class Constants:
    """The design's constants, under the names of `EnvParams`."""

    horizon_days: int = 90
    tail_days: int = 90
    risk_window_days: float = 30
    risk_onset: float = 1 / 45
    risk_recovery: float = 1 / 7
    risk_ratio: float = 6.0
    discount: tuple[float, ...] = (0.0, 0.05, 0.10, 0.20)
    amount: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    cost: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    offer_days: tuple[int, ...] = (30, 30, 30, 30)
    effect_days: tuple[int, ...] = (30, 30, 30, 30)
    hazard_multiplier: tuple[float, ...] = (0.90, 0.75, 0.60, 0.45)
    appeal: tuple[float, ...] = (0.0, 0.4, 0.8, 1.6)
    delays: tuple[int, ...] = (0, 1, 3)
    contact_cost: float = 0.50
    accept_risk: float = 1.0
    accept_fatigue: float = 0.2
    fatigue_hazard: float = 0.15
    contact_effect: float = 0.0
    contact_effect_days: int = 30
    cooldown_days: int = 7
    fatigue_window_days: int = 30
    fatigue_cap: int = 3
    account_cap: float = 30.0
    charge_reference: float = 65.0


@dataclass(frozen=True)
class Customer:
    monthly_charge: float  # $ per 30 days
    churn_probability: float  # over the risk window
    accept_probability: float  # without a discount, calm


@dataclass(frozen=True)
class Morning:
    """What is so at the start of a day."""

    day: int
    elevated: bool
    contacts: tuple[int, ...] = ()  # days on which the customer was contacted
    due: tuple[int, int] | None = None  # (day, offer) of the pending contact
    running: tuple[int, int] | None = None  # (offer, last day it protects)
    account_used: float = 0.0  # $


class Luck(NamedTuple):
    """Three numbers uniform on [0, 1)."""

    accept: float
    stay: float
    risk: float


@dataclass(frozen=True)
class Outcome:
    """One step under sampled churn and, from the same acceptance, under expected churn."""

    evening: Morning  # the next morning, if there is one
    survival: float  # P(the customer stays today)
    stays: bool
    last_day: bool
    contact: bool
    accepted: bool
    reward: float
    reward_expected: float
    costs: tuple[float, float, float, float]  # campaign_budget, contact, cooldown, fatigue
    costs_expected: tuple[float, float, float, float]
    margins: tuple[float, float, float]  # |uniform − probability| of accept, stay, risk: 1 if not asked


def logit(p: float) -> float:
    return math.log(p) - math.log(1 - p)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def average_hazard(p: float, c: Constants) -> float:
    return 1 - (1 - p) ** (1 / c.risk_window_days)


def hazard(p: float, elevated: bool, c: Constants) -> float:
    share = c.risk_onset / (c.risk_onset + c.risk_recovery)
    calm = average_hazard(p, c) / (1 - share + c.risk_ratio * share)
    return min(0.9, c.risk_ratio * calm if elevated else calm)


def contacts_in_window(contacts: tuple[int, ...], day: int, c: Constants) -> int:
    """Contacts before `day` within the window of `fatigue_window_days` days whose last day is `day`.

    The design says "in the last 30 days" and leaves open whether `day` is one of the 30. It is: step 3 counts today's
    contact in the same window, and the offer's 30 days are "today included".
    """
    return sum(1 for contact in contacts if 1 <= day - contact < c.fatigue_window_days)


def cooldown_left(contacts: tuple[int, ...], day: int, c: Constants) -> int:
    """Days until a contact is legal again: after day 0 illegal on days 1 … cooldown_days − 1."""
    return max([0] + [contact + c.cooldown_days - day for contact in contacts])


def acceptance(customer: Customer, offer: int, elevated: bool, earlier: int, c: Constants) -> float:
    x = logit(customer.accept_probability) + c.appeal[offer]
    return sigmoid(x + c.accept_risk * elevated - c.accept_fatigue * earlier)


def commitment(customer: Customer, offer: int, c: Constants) -> float:
    """$ of an offer that runs in full."""
    return (c.discount[offer] * customer.monthly_charge + c.cost[offer]) * c.offer_days[
        offer
    ] / BILLING_DAYS + c.amount[offer]


def paid(customer: Customer, running: tuple[int, int] | None, day: int, c: Constants) -> float:
    """$ of the running offer on `day`: it may protect for longer than it runs."""
    if running is None or day > running[1] - (c.effect_days[running[0]] - c.offer_days[running[0]]):
        return 0.0
    return (c.discount[running[0]] * customer.monthly_charge + c.cost[running[0]]) / BILLING_DAYS


def residual(customer: Customer, c: Constants) -> float:
    stay = 1 - average_hazard(customer.churn_probability, c)
    return sum(stay**k * customer.monthly_charge / BILLING_DAYS for k in range(1, c.tail_days + 1))


def decode(action: int, c: Constants) -> tuple[int, int] | None:
    """(offer, days of delay), or None: wait."""
    if action == 0:
        return None
    offer, delay = divmod(action - 1, len(c.delays))
    return offer, c.delays[delay]


def step(customer: Customer, morning: Morning, action: int, luck: Luck, c: Constants) -> Outcome:
    day = morning.day

    # 1. Schedule. While a contact is pending only waiting is legal: any other action changes nothing.
    due = morning.due
    chosen = decode(action, c)
    if due is None and chosen is not None:
        due = (day + chosen[1], chosen[0])

    # 2. Contact.
    contacts, running, used = morning.contacts, morning.running, morning.account_used
    contact, accepted, cooldown, fatigue, accept_margin, credit = False, False, 0.0, 0.0, 1.0, 0.0
    if due is not None and due[0] <= day:
        contact = True
        offer = due[1]
        due = None
        earlier = contacts_in_window(contacts, day, c)
        cooldown = float(cooldown_left(contacts, day, c) > 0)
        fatigue = float(earlier >= c.fatigue_cap)
        used += c.contact_cost
        contacts = (*contacts, day)
        q = acceptance(customer, offer, morning.elevated, earlier, c)
        accept_margin = abs(luck.accept - q)
        accepted = luck.accept < q
        if accepted:
            running = (offer, day + c.effect_days[offer] - 1)
            used += commitment(customer, offer, c)
            credit = c.amount[offer]

    # 3. Churn. Today's contact weighs on the customer, too.
    kappa = 1.0 if running is None else c.hazard_multiplier[running[0]]
    exposure = contacts_in_window(contacts, day, c) + contact
    recent = any(0 <= day - contact_day < c.contact_effect_days for contact_day in contacts)
    phi = math.exp(c.contact_effect * recent + c.fatigue_hazard * max(0, exposure - 1))
    survival = (1 - hazard(customer.churn_probability, morning.elevated, c)) ** (kappa * phi)
    stays = luck.stay < survival

    # 4. Earn, 5. and on the last day the residual value.
    charge = customer.monthly_charge / BILLING_DAYS
    discount = paid(customer, running, day, c)
    outlay = (c.contact_cost if contact else 0.0) + credit
    last_day = day == c.horizon_days - 1
    if_stays = charge - discount + (residual(customer, c) if last_day else 0.0)

    rises = 1 - c.risk_recovery if morning.elevated else c.risk_onset
    if running is not None and running[1] <= day:
        running = None
    return Outcome(
        evening=Morning(day + 1, luck.risk < rises, contacts, due, running, used),
        survival=survival,
        stays=stays,
        last_day=last_day,
        contact=contact,
        accepted=accepted,
        reward=stays * if_stays - outlay,
        reward_expected=survival * if_stays - outlay,
        costs=(outlay + stays * discount, float(contact), cooldown, fatigue),
        costs_expected=(outlay + survival * discount, float(contact), cooldown, fatigue),
        margins=(accept_margin, abs(luck.stay - survival), abs(luck.risk - rises)),
    )


def mask(customer: Customer, morning: Morning, c: Constants) -> list[bool]:
    """Legal actions; a delayed contact is judged on the day it would execute."""
    rested = {}
    for delay in c.delays:
        on = morning.day + delay
        is_cool = cooldown_left(morning.contacts, on, c) == 0
        rested[delay] = is_cool and contacts_in_window(morning.contacts, on, c) < c.fatigue_cap
    left = c.account_cap - morning.account_used
    allowed = [True]
    for offer in range(len(c.discount)):
        is_affordable = commitment(customer, offer, c) + c.contact_cost <= left
        allowed += [morning.due is None and rested[delay] and is_affordable for delay in c.delays]
    return allowed


def observation(customer: Customer, morning: Morning, c: Constants) -> list[float]:
    """The numbers before any clipping to the space."""
    h = hazard(customer.churn_probability, morning.elevated, c)
    earlier = contacts_in_window(morning.contacts, morning.day, c)
    since = morning.day - max(morning.contacts) if morning.contacts else math.inf
    due, running = morning.due, morning.running
    return [
        1 - (1 - h) ** c.risk_window_days,
        *(acceptance(customer, offer, morning.elevated, earlier, c) for offer in range(len(c.discount))),
        since / c.horizon_days,
        earlier / c.fatigue_cap,
        cooldown_left(morning.contacts, morning.day, c) / c.cooldown_days,
        (c.account_cap - morning.account_used) / c.account_cap,
        morning.day / c.horizon_days,
        math.log(customer.monthly_charge / c.charge_reference),
        paid(customer, running, morning.day, c) / (customer.monthly_charge / BILLING_DAYS),
        0.0 if running is None else (running[1] - morning.day + 1) / c.effect_days[running[0]],
        float(due is not None),
        0.0 if due is None else (due[0] - morning.day) / max(c.delays),
        customer.churn_probability,
    ]


def never_contact_values(customer: Customer, c: Constants) -> list[tuple[float, float]]:
    """Φ(day, z) = value of never contacting again, by (calm, elevated); the row past the last day is zero."""
    stay = [1 - hazard(customer.churn_probability, z, c) for z in (False, True)]
    charge = customer.monthly_charge / BILLING_DAYS
    values = [(0.0, 0.0)]
    for day in reversed(range(c.horizon_days)):
        calm, elevated = values[0]
        if day == c.horizon_days - 1:
            calm = elevated = residual(customer, c)
        values.insert(
            0,
            (
                stay[0] * (charge + (1 - c.risk_onset) * calm + c.risk_onset * elevated),
                stay[1] * (charge + c.risk_recovery * calm + (1 - c.risk_recovery) * elevated),
            ),
        )
    return values
