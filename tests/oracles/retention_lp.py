"""The constrained optimum of a small retention campaign as one linear program over occupancy measures.

States and their moves come from the plain-Python reference of the environment (`retention_reference`), pending
contacts and all actions included; nothing is left out because it seems to be of no use.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from oracles.retention_reference import (
    Constants,
    Customer,
    Luck,
    Morning,
    acceptance,
    contacts_in_window,
    mask,
    step,
)
from scipy.optimize import linprog


@dataclass(frozen=True)
class Optimum:
    value: float  # $ a customer
    spend: float
    shadow_price: float  # of the budget: the constraint's dual


@dataclass(frozen=True)
class Move:
    """A state and an action: what they earn and where they lead, with probabilities that sum to the survival."""

    customer: int
    state: Morning
    action: int
    value: float
    spend: float
    following: list[tuple[float, Morning]]


def plain(morning: Morning, c: Constants) -> Morning:
    """The state without what can no longer matter, so that equal futures are one state."""
    longest = max(c.fatigue_window_days, c.cooldown_days, c.contact_effect_days if c.contact_effect else 0)
    contacts = tuple(day for day in morning.contacts if morning.day - day < longest)
    running = morning.running if morning.running and morning.running[1] >= morning.day else None
    return replace(morning, contacts=contacts, running=running, account_used=round(morning.account_used, 6))


def moves(number: int, customer: Customer, c: Constants) -> list[Move]:
    """All that may be met from day 0 on, by breadth-first search."""
    queue = [Morning(0, elevated) for elevated in (False, True)]
    known, found = set(queue), []
    for state in queue:
        for action, legal in enumerate(mask(customer, state, c)):
            if not legal:
                continue
            move = expand(number, customer, state, action, c)
            found.append(move)
            for _, following in move.following:
                if following not in known:
                    known.add(following)
                    queue.append(following)
    return found


def expand(number: int, customer: Customer, state: Morning, action: int, c: Constants) -> Move:
    """One action, over acceptance and the risk's move."""
    value = spend = 0.0
    following: dict[Morning, float] = {}
    rises = 1 - c.risk_recovery if state.elevated else c.risk_onset
    trial = step(customer, state, action, Luck(0.0, 0.0, 0.0), c)
    accepts = 1.0
    if trial.contact:
        offer = state.due[1] if state.due else (action - 1) // len(c.delays)
        earlier = contacts_in_window(state.contacts, state.day, c)
        accepts = acceptance(customer, offer, state.elevated, earlier, c)
    for chance, accept in ((accepts, 0.0), (1 - accepts, 1.0)):
        for share, risk in ((rises, 0.0), (1 - rises, 1.0)):
            outcome = step(customer, state, action, Luck(accept, 0.0, risk), c)
            value += chance * share * outcome.reward_expected
            spend += chance * share * outcome.costs_expected[0]
            weight = chance * share * outcome.survival
            if not outcome.last_day and weight > 0:
                evening = plain(outcome.evening, c)
                following[evening] = following.get(evening, 0.0) + weight
    return Move(number, state, action, value, spend, [(weight, evening) for evening, weight in following.items()])


class Program:
    """max Σ ρ·value over flows ρ ≥ 0 that start as the customers do, subject to Σ ρ·spend ≤ budget a customer."""

    def __init__(self, customers: list[Customer], c: Constants) -> None:
        every = [move for number, customer in enumerate(customers) for move in moves(number, customer, c)]
        rows = {key: row for row, key in enumerate(dict.fromkeys((move.customer, move.state) for move in every))}
        entries = [(rows[move.customer, move.state], column, 1.0) for column, move in enumerate(every)]
        entries += [
            (rows[move.customer, state], column, -weight)
            for column, move in enumerate(every)
            for weight, state in move.following
        ]
        row, column, number = zip(*entries, strict=True)
        self.flow = scipy.sparse.csr_matrix((number, (row, column)), shape=(len(rows), len(every)))
        share = c.risk_onset / (c.risk_onset + c.risk_recovery)
        self.start = np.zeros(len(rows))
        for customer in range(len(customers)):
            for elevated, weight in ((False, 1 - share), (True, share)):
                self.start[rows[customer, Morning(0, elevated)]] = weight / len(customers)
        self.value, self.spend = (np.array([getattr(move, name) for move in every]) for name in ("value", "spend"))

    def solve(self, budget: float) -> Optimum:
        """The optimum at one budget."""
        bound = {} if np.isinf(budget) else {"A_ub": self.spend[None], "b_ub": [budget]}
        found = linprog(-self.value, A_eq=self.flow, b_eq=self.start, method="highs", **bound)
        assert found.success, found.message
        price = 0.0 if np.isinf(budget) else -float(found.ineqlin.marginals[0])
        return Optimum(-float(found.fun), float(found.x @ self.spend), price)
