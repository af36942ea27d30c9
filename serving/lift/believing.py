"""What the bundle's effects say the contacts should have changed, effect by effect, to stand beside what was measured.

A day on which the hazard is multiplied by k brings (k − 1)·h departures more than it would have, h the daily hazard
at the score the contact was decided with. Summed over the days that each customer was there: the multiplier of an
accepted offer while it protects, the effect of a contact for its days, fatigue for the days on which an earlier
contact still counts. Where several act at once each is taken by itself, an error of second order.
"""

import math
from collections.abc import Mapping
from itertools import groupby

import numpy as np

from retentionjax.env.types import EnvParams
from serving.ledger.lifting import MadeContact
from serving.ledger.types import DAY
from serving.lift.measuring import Study


def departures(study: Study, params: EnvParams, offers: Mapping[str, object]) -> dict[str, float]:
    """Change of departures per customer of the contacted side, by effect; effects that did not act are left out.

    Args:
        params: the constants of the bundle that decides.
        offers: its offers by name, in their order.
    """
    multipliers = dict(zip(offers, np.asarray(params.hazard_multiplier, float).tolist(), strict=True))
    ends = {
        row.customer_id: min(study.known_until, math.inf if row.churned_at is None else row.churned_at)
        for row in study.rows
    }
    found: dict[str, float] = {}
    for customer, group in groupby(study.contacts, key=lambda each: each.customer_id):
        for name, change in _of_customer(list(group), ends[customer], params, multipliers):
            found[name] = found.get(name, 0.0) + change
    count = int((~study.customers.held & study.customers.known(np.array([study.known_days]))[:, 0]).sum())
    return {name: change / count for name, change in found.items()} if count else {}


def _of_customer(
    contacts: list[MadeContact], end: float, params: EnvParams, multipliers: Mapping[str, float]
) -> list[tuple[str, float]]:
    window = float(params.fatigue_window_days)
    found = []
    for number, contact in enumerate(contacts):
        if contact.churn_probability is None:
            continue
        hazard = -math.expm1(math.log1p(-contact.churn_probability) / float(params.risk_window_days))
        following = contacts[number + 1].send_at if number + 1 < len(contacts) else math.inf
        if contact.accepted_at is not None and contact.offer in multipliers:
            days = _days(contact.accepted_at, contact.effect_days, end)
            found.append((f"hazard_multiplier.{contact.offer}", (multipliers[contact.offer] - 1) * hazard * days))
        # Until the next contact, which begins the days anew.
        days = _days(contact.send_at, float(params.contact_effect_days), min(end, following))
        found.append(("contact_effect", math.expm1(float(params.contact_effect)) * hazard * days))
        earlier = sum(contact.send_at - each.send_at < window * DAY for each in contacts[:number])
        if earlier:
            days = _days(contact.send_at, window, min(end, following))
            found.append(("fatigue_hazard", math.expm1(float(params.fatigue_hazard) * earlier) * hazard * days))
    return [(name, change) for name, change in found if change]


def _days(begins: float, length: float, end: float) -> float:
    return max(0.0, min(length, (end - begins) / DAY))
