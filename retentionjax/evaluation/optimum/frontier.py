"""The exact frontier of value against spend: what the best policy earns at any campaign budget.

max value subject to spend ≤ budget, on average over the customers, is a linear program over occupancy measures, so
strong duality holds (Altman 1999, "Constrained Markov decision processes", ch. 3): its value is
min over λ ≥ 0 of D(λ) = max over campaigns (value − λ·spend) + λ·budget. Each customer's inner maximum is solved by
itself; D is convex and piecewise linear, and each solution is a tangent of it, so the minimum is found by cutting
planes: the next multiplier is where the tangents from above and from below the budget meet. Their height there is what
a mixture of the two campaigns earns at exactly the budget, so the distance to D is a bound on what is missing.
"""

import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from retentionjax.env.types import EnvParams
from retentionjax.errors import ConfigError
from retentionjax.evaluation.optimum.memory import (
    Ints,
    MemoryRules,
    UnsolvableError,
    enumerate_memories,
    most_contacts,
)
from retentionjax.evaluation.optimum.recursion import (
    WAIT,
    CampaignModel,
    Choices,
    CustomerModel,
    Floats,
    best_campaign,
    describe,
    refined,
)

MOST_SOLUTIONS = 30  # multipliers tried for one budget; a handful do
NEAR = 1.1  # times a guess, and the guess by it: where the multiplier is sought first

# --- what a campaign is worth: it is followed from the first day on, over all that chance may bring ------------------
# Only what the campaign itself leads to is visited, so this costs little beside finding it; and it shares no table of
# values with the recursion that found it, so that the one checks the other.


class Worth(NamedTuple):
    """Worth of one customer's campaign, or the mean of many; expected over churn, acceptance and risk."""

    value: float  # $, residual included
    spend: float  # $
    contacts: float


class _Places(NamedTuple):
    """Places where a customer may be in the morning, each with its probability."""

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
        for index, phase in enumerate(customer.account.phases):
            classes = customer.account.after_contact[index]
            for day in range(phase.first_day, min(phase.first_day + size, self.campaign.days)):
                here = _merged(self.coming.pop(day), len(phase.used))
                choice = self.choices[index][day - phase.first_day][here.row, here.z, here.used]
                self._wait(index, day, _part(here, choice == WAIT))
                for offer in np.unique(choice[choice != WAIT]).tolist():
                    self._contact(day, offer, _part(here, choice == offer), classes)
        survivors = sum(float(places.chance.sum()) for places in self.coming[self.campaign.days])
        return Worth(self.value + survivors * customer.residual, self.spend, self.contacts)

    def _wait(self, index: int, day: int, here: _Places) -> None:
        customer, graph = self.customer, self.campaign.graph
        self.value += float(here.chance @ customer.earned.value[here.row, here.z])
        self.spend += float(here.chance @ customer.earned.spend[here.row, here.z])
        used, phases = here.used, customer.account.phases
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


# --- the frontier ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Optimum:
    """The best policy at one budget; $ a customer and campaign, means over the customers."""

    budget: float
    value: float
    """Value of the mixture of two campaigns that spends the budget."""
    spend: float
    """The budget, or less where money has no further use."""
    shadow_price: float
    """λ*, the budget's shadow price: value of the next $ of it."""
    bound: float
    """No policy earns more (the dual's value); `bound − value` is the error of both."""
    never: float
    """Value of never contacting."""
    contacts: float

    @property
    def uplift(self) -> float:
        """Value over never contacting."""
        return self.value - self.never


@dataclass(frozen=True)
class Tangent:
    """The best campaigns at one multiplier, a customer each."""

    multiplier: float
    worth: Floats  # (customers, 3): value, spend, contacts
    bound: Floats  # (customers,) $ of D = value − multiplier · spend that no campaign passes

    @property
    def mean(self) -> Worth:
        """Mean over the customers."""
        return Worth(*(float(each) for each in self.worth.mean(0)))


class Frontier:
    """The customers of `params.population`, and what is known of them so far; every solution serves all budgets.

    The masks are taken as in force. Takes about 0.25 s of CPU a customer and multiplier with the default constants.

    Args:
        advance: called after each customer solved.

    Raises:
        UnsolvableError: by the constants it cannot be found, exactly or in any time.
    """

    def __init__(self, params: EnvParams, advance: Callable[[int], object] = lambda customers: None) -> None:
        self.campaign = campaign_of(params)
        self.customers = describe(self.campaign)
        self._advance = advance
        waits: list[Choices] = [
            np.full((self.campaign.phase_days, 1, 2, len(phase.used)), WAIT, np.int8)
            for phase in self.customers[0].account.phases
        ]
        worth = np.array([follow(self.campaign, each, waits) for each in self.customers])
        self.never = Tangent(np.inf, worth, worth[:, 0])
        self._tangents: dict[float, Tangent] = {np.inf: self.never}

    def at_multiplier(self, multiplier: float, leave: float = 1e-9) -> Tangent:
        """The best campaigns where every $ of spend costs `multiplier` $.

        The neighbours solved before bound each customer's D. Those who are known best keep a neighbour's campaign, as
        many as can lack no more than `leave` $ by it, on average over all customers.
        """
        if multiplier not in self._tangents:
            worth, bound = self._between(multiplier)
            self._advance(len(worth) - len(_lacking(worth, bound, multiplier, leave)))
            for solve in (self._solve_roughly, self._solve):  # the rough solution is exact for most
                rows = _lacking(worth, bound, multiplier, leave)
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    solved = list(pool.map(partial(solve, multiplier), rows.tolist()))
                for row, (found, most) in zip(rows, solved, strict=True):
                    bound[row] = min(bound[row], most)
                    if found.value - multiplier * found.spend >= _net(worth[row : row + 1], multiplier)[0]:
                        worth[row] = found
            self._tangents[multiplier] = Tangent(multiplier, worth, bound)
        return self._tangents[multiplier]

    def _between(self, multiplier: float) -> tuple[Floats, Floats]:
        """What the neighbours know of the customers at a multiplier: the better campaign, and the D that none passes.

        D is convex: it lies above its tangents and below its chords.
        """
        known = sorted(self._tangents)
        dearer = self._tangents[min(each for each in known if each > multiplier)]
        cheaper = self._tangents.get(max((each for each in known if each < multiplier), default=-1.0))
        if cheaper is None:
            return dearer.worth.copy(), np.full(len(dearer.worth), np.inf)
        better = _net(cheaper.worth, multiplier) > _net(dearer.worth, multiplier)
        share = (multiplier - cheaper.multiplier) / (dearer.multiplier - cheaper.multiplier)
        return (
            np.where(better[:, None], cheaper.worth, dearer.worth),
            (1 - share) * cheaper.bound + share * dearer.bound,
        )

    def at_budget(self, budget: float, *, guess: float = 1.0, tolerance: float = 4e-4) -> Optimum:
        """The optimum that spends `budget` $ a customer on average.

        Args:
            guess: a multiplier near the shadow price, to start from.
            tolerance: how far `bound` may lie above `value`, as a share of the spend: whatever the currency.

        Raises:
            ConfigError: the budget is negative.
        """
        if not budget >= 0:
            raise ConfigError(f"budget is {budget}; allowed: 0 or more, in $ a customer")
        for multiplier in (guess / NEAR, guess / 2, 0.0) if np.isfinite(budget) else (0.0,):
            if self._cheapest_over(budget) is None:
                self.at_multiplier(multiplier)
        if self._cheapest_over(budget) is None:
            free = self.at_multiplier(0.0).mean
            return self._optimum(budget, free.value, free.spend, 0.0, free.value, free.contacts)
        over, under = self._around(budget)
        if under is self.never:
            self.at_multiplier(max(guess, over.multiplier) * NEAR)
        for _ in range(MOST_SOLUTIONS):
            over, under = self._around(budget)
            share = (budget - under.mean.spend) / (over.mean.spend - under.mean.spend)
            mixed = Worth(*(share * one + (1 - share) * two for one, two in zip(over.mean, under.mean, strict=True)))
            multiplier = (over.mean.value - under.mean.value) / (over.mean.spend - under.mean.spend)
            bound = self._bound(budget)
            missing = tolerance * over.mean.spend
            if bound - mixed.value <= missing:
                break
            self.at_multiplier(multiplier, leave=missing / 4)
        return self._optimum(budget, mixed.value, budget, multiplier, bound, mixed.contacts)

    def tangents(self) -> list[Tangent]:
        """All multipliers solved so far, cheapest first, without never contacting (multiplier ∞)."""
        return [self._tangents[multiplier] for multiplier in sorted(self._tangents) if np.isfinite(multiplier)]

    def gain_bound(self, spend: float) -> float:
        """$ over never contacting that no policy passes at that spend, by the multipliers solved so far."""
        return self._bound(spend) - self.never.mean.value

    def _bound(self, budget: float) -> float:
        """$ that no policy passes at that budget: the smallest of the dual's values that are known."""
        return min(float(each.bound.mean()) + each.multiplier * budget for each in self.tangents())

    def _solve_roughly(self, multiplier: float, row: int) -> tuple[Worth, float]:
        """A customer's campaign that may lack something, and the D that none passes."""
        customer = self.customers[row]
        bound, choices = best_campaign(self.campaign, customer, multiplier, customer.rough)
        self._advance(1)
        return follow(self.campaign, customer, refined(customer, choices)), bound

    def _solve(self, multiplier: float, row: int) -> tuple[Worth, float]:
        """A customer's best campaign, and the D that none passes: its own."""
        _, choices = best_campaign(self.campaign, self.customers[row], multiplier)
        worth = follow(self.campaign, self.customers[row], choices)
        return worth, worth.value - multiplier * worth.spend

    def _cheapest_over(self, budget: float) -> Tangent | None:
        """The solution that spends least of those that spend more than the budget."""
        over = [each for each in self.tangents() if each.mean.spend > budget]
        return over[-1] if over else None

    def _around(self, budget: float) -> tuple[Tangent, Tangent]:
        """The neighbours that spend more and that spend no more than the budget."""
        over = self._cheapest_over(budget)
        assert over is not None
        under = min(
            (each for each in self._tangents.values() if each.multiplier > over.multiplier),
            key=lambda each: each.multiplier,
        )
        return over, under

    def _optimum(
        self, budget: float, value: float, spend: float, shadow_price: float, bound: float, contacts: float
    ) -> Optimum:
        return Optimum(budget, value, spend, shadow_price, bound, self.never.mean.value, contacts)


def _lacking(worth: Floats, bound: Floats, multiplier: float, leave: float) -> Ints:
    """Rows of the customers who lack too much to be left as they are: the others lack `leave` $ at most, on average."""
    lacking = bound - _net(worth, multiplier)
    order = np.argsort(lacking)
    rows: Ints = order[np.cumsum(lacking[order]) > leave * len(order)]
    return rows


def _net(worth: Floats, multiplier: float) -> Floats:
    """(customers,) $ of value − multiplier · spend."""
    net: Floats = worth[:, 0] - multiplier * worth[:, 1]
    return net


def campaign_of(params: EnvParams) -> CampaignModel:
    """The part of the recursion that all customers share.

    Raises:
        UnsolvableError: constants with which it would not be exact, or too many memories.
    """
    if int(params.fatigue_cap) < 1:
        cap = params.fatigue_cap
        raise UnsolvableError(f"fatigue_cap is {cap}; allowed: at least 1, else there is nothing to decide")
    if not (np.asarray(params.delays) == 0).any():
        raise UnsolvableError(f"delays are {np.asarray(params.delays)}; allowed: one of them 0, a contact today")
    graph = enumerate_memories(MemoryRules.of(params))
    return CampaignModel(graph, most_contacts(graph, int(params.horizon_days)), params)
