"""What a campaign is worth: it is followed from the first day on, over all that chance may bring.

Only what the campaign itself leads to is visited, so this costs little beside finding it; and it shares no table of
values with the recursion that found it, so that the one checks the other.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from retentionjax.evaluation.optimum.memory import Ints
from retentionjax.evaluation.optimum.recursion import (
    WAIT,
    CampaignModel,
    Choices,
    CustomerModel,
    Floats,
    classes_after_contact,
)


class Worth(NamedTuple):
    """Worth of one customer's campaign, or the mean of many; expected over churn, acceptance and risk."""

    value: float  # $, residual included
    spend: float  # $
    contacts: float


class _Places(NamedTuple):
    """Where a customer may be in the morning, each place with its probability."""

    row: Ints
    z: Ints
    used: Ints
    chance: Floats


def follow(campaign: CampaignModel, customer: CustomerModel, choices: list[Choices]) -> Worth:
    """Value, spend and contacts of what `recursion.best_campaign` chose."""
    return _Walk(campaign, customer, choices).run()


class _Walk:
    def __init__(self, campaign: CampaignModel, customer: CustomerModel, choices: list[Choices]) -> None:
        self.campaign, self.customer, self.choices = campaign, customer, choices
        self.coming: dict[int, list[_Places]] = defaultdict(list)  # by day
        self.value = self.spend = self.contacts = 0.0

    def run(self) -> Worth:
        customer, size = self.customer, self.campaign.phase_days
        nowhere = np.zeros(2, np.int64)
        self.coming[0].append(_Places(nowhere, np.arange(2), nowhere, customer.start))
        for index, phase in enumerate(customer.phases):
            classes = classes_after_contact(self.campaign, customer, index)
            for day in range(phase.first_day, min(phase.first_day + size, self.campaign.days)):
                here = _merged(self.coming.pop(day), len(phase.used))
                choice = self.choices[index][day - phase.first_day][here.row, here.z, here.used]
                self._wait(index, day, _part(here, choice == WAIT))
                for offer in range(len(self.customer.amounts)):
                    self._contact(day, offer, _part(here, choice == offer), classes)
        survivors = sum(float(places.chance.sum()) for places in self.coming[self.campaign.days])
        return Worth(self.value + survivors * customer.residual, self.spend, self.contacts)

    def _wait(self, index: int, day: int, here: _Places) -> None:
        customer, graph = self.customer, self.campaign.graph
        self.value += float(here.chance @ customer.earned.value[here.row, here.z])
        self.spend += float(here.chance @ customer.earned.spend[here.row, here.z])
        used, phases = here.used, customer.phases
        if index + 1 < len(phases) and day + 1 == phases[index + 1].first_day:
            used = phases[index].after_waiting(phases[index + 1])[used]
        stays = here.chance * customer.stay[here.row, here.z]
        for z in range(2):
            chance = stays * customer.chain[here.z, z]
            self.coming[day + 1].append(_Places(graph.waited[here.row], np.full_like(here.z, z), used, chance))

    def _contact(self, day: int, offer: int, here: _Places, classes: dict[int, Ints]) -> None:
        cost, graph = float(here.chance.sum()), self.campaign.graph
        self.contacts += cost
        self.value -= cost * self.customer.tariff.contact
        self.spend += cost * self.customer.tariff.contact
        accepts = self.customer.accepts[offer][here.row, here.z]
        credit = float(here.chance @ accepts) * float(self.customer.amounts[offer])
        self.value -= credit
        self.spend += credit
        accepted = graph.accepted[graph.history[here.row], offer]
        for stretch, outcome, share in ((graph.declined[here.row], 0, 1 - accepts), (accepted, 1 + offer, accepts)):
            self._stretch(day, stretch, outcome, here._replace(chance=here.chance * share), classes)

    def _stretch(self, day: int, stretch: Ints, outcome: int, here: _Places, classes: dict[int, Ints]) -> None:
        customer, graph, days = self.customer, self.campaign.graph, self.campaign.days
        arrivals = np.minimum(day + graph.days[stretch], days)
        walked = arrivals - day - 1
        self.value += float(here.chance @ customer.gathered.value[walked, stretch, here.z])
        self.spend += float(here.chance @ customer.gathered.spend[walked, stretch, here.z])
        for arrival in np.unique(arrivals):
            rows = np.flatnonzero(arrivals == arrival)
            used = here.used[rows]
            if arrival < days:
                used = classes[arrival // self.campaign.phase_days][outcome][used]
            for z in range(2):
                chance = here.chance[rows] * customer.reach[walked[rows], stretch[rows], here.z[rows], z]
                landing = graph.landing[stretch[rows]]
                self.coming[int(arrival)].append(_Places(landing, np.full_like(landing, z), used, chance))


def _part(places: _Places, chosen: np.ndarray) -> _Places:
    return _Places(*(column[chosen] for column in places))


def _merged(parts: list[_Places], classes: int) -> _Places:
    """One entry a place, however many ways lead to it."""
    row, z, used = (np.concatenate([part[column] for part in parts]).astype(np.int64) for column in range(3))
    chance = np.concatenate([part.chance for part in parts])
    places, where = np.unique((row * 2 + z) * classes + used, return_inverse=True)
    total = np.asarray(np.bincount(where, weights=chance, minlength=len(places)), np.float64)
    row_and_z, used = np.divmod(places, classes)
    return _Places(row_and_z // 2, row_and_z % 2, used, total)
