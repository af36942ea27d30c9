"""What the bundle's effects say the contacts should have changed, effect by effect, to stand beside what was measured.

Days on which the hazard h is multiplied by k bring (k − 1)·h departures more, while the customer is there; of those
that they spare, whoever would leave later is no departure fewer in the end. So days a to b count
(k − 1)·(e^{−h(T − b)} − e^{−h(T − a)}) at T, the end of what is known; h is the hazard of the score that the contact
was decided with. Summed: the multiplier of an accepted offer while it protects, the effect of a contact for its days,
fatigue for the days on which an earlier contact still counts. Where several act at once each is taken by itself, and
risk within a customer as constant: of 40,000 simulated customers those offered 20 % off had 4.9 ± 0.4 points fewer
departures in 30 days where this says 4.9.
"""

import math
from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

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
        spell = _Spell(ends[customer], study.known_until)
        for name, change in _of_customer(list(group), spell, params, multipliers):
            found[name] = found.get(name, 0.0) + change
    count = int((~study.customers.held & study.customers.known(np.array([study.known_days]))[:, 0]).sum())
    return {name: change / count for name, change in found.items()} if count else {}


class _Spell(NamedTuple):
    there: float
    """Until when the customer was there."""
    known: float
    """The end of what is known of anybody."""

    def share(self, hazard: float, begins: float, days: float) -> float:
        """Departures, at `known`, that a hazard of so much brings in so many days; 0 for days after she left."""
        ends = min(begins + days * DAY, self.there)
        if ends <= begins:
            return 0.0
        first, last = ((self.known - at) / DAY for at in (begins, ends))
        return math.exp(-hazard * last) - math.exp(-hazard * first)


def _of_customer(
    contacts: list[MadeContact], spell: _Spell, params: EnvParams, multipliers: Mapping[str, float]
) -> list[tuple[str, float]]:
    window = float(params.fatigue_window_days)
    found = []
    for number, contact in enumerate(contacts):
        if contact.churn_probability is None:
            continue
        hazard = -math.log1p(-contact.churn_probability) / float(params.risk_window_days)
        if contact.accepted_at is not None and contact.offer in multipliers:
            spared = spell.share(hazard, contact.accepted_at, contact.effect_days)
            found.append((f"hazard_multiplier.{contact.offer}", (multipliers[contact.offer] - 1) * spared))
        # Until the next contact, which begins the days anew.
        free = (contacts[number + 1].send_at - contact.send_at) / DAY if number + 1 < len(contacts) else math.inf
        touched = spell.share(hazard, contact.send_at, min(float(params.contact_effect_days), free))
        found.append(("contact_effect", math.expm1(float(params.contact_effect)) * touched))
        earlier = sum(contact.send_at - each.send_at < window * DAY for each in contacts[:number])
        if earlier:
            tired = spell.share(hazard, contact.send_at, min(window, free))
            found.append(("fatigue_hazard", math.expm1(float(params.fatigue_hazard) * earlier) * tired))
    return [(name, change) for name, change in found if change]
