"""The account cap: which offers a customer's remaining account affords, in as few classes as it takes.

What an account has used is a sum of contact costs and full costs of accepted offers. Two sums are one *class* on a day
if they forbid the same offers now and, whatever is accepted, at each of the contacts that still fit into the campaign.
Classes are few (up to 50), where sums are hundreds, and nothing is lost by them.

A class may also look ahead to fewer contacts than fit. Classes are then fewer still, and each is taken for the least
used of its members: whoever has used less can do as much and gains as much, so the best campaign is worth no less than
the true one. What it offers is what all members afford, so that it can be followed, and then it is worth no more.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retentionjax.env import constraints
from retentionjax.evaluation.optimum.memory import Ints, UnsolvableError

Bools = npt.NDArray[np.bool_]
MOST_SUMS = 10_000
"""Beyond, the classes of one customer's account take many seconds; 20 offers and nine contacts make ten million."""


class Tariff(NamedTuple):
    """$ of one customer's contacts."""

    contact: float
    full_costs: tuple[float, ...]  # (offers,) of an accepted offer that runs to its end, without the contact
    cap: float

    def affords(self, used: float) -> tuple[bool, ...]:
        """(offers,) whether each may be offered by an account that has used so much."""
        return tuple(used + self.contact + cost <= self.cap * (1 + constraints.ROUNDING) for cost in self.full_costs)

    def outcomes(self, used: float) -> tuple[bool, ...]:
        """(1 + offers,) whether a contact can be declined, or accepted for each offer."""
        affords = self.affords(used)
        return (any(affords), *affords)

    def never_binds(self, used: float, contacts: int) -> bool:
        """Whether so many more contacts may come with any offers: what was used makes no difference then."""
        return all(self.affords(used + (contacts - 1) * (self.contact + max(self.full_costs))))

    def after(self, used: float) -> tuple[float, ...]:
        """(1 + offers,) used after a contact that was declined, or accepted for each offer."""
        return tuple(round(used + self.contact + cost, 6) for cost in (0.0, *self.full_costs))


@dataclass(frozen=True)
class Phase:
    """A part of the campaign with its own classes, A of them; class 0 is the account not used yet."""

    first_day: int
    used: tuple[float, ...]  # (A,) the sum that stands for each class
    affords: Bools  # (A, offers)
    class_of: dict[float, int]  # every sum, to its class

    def after_waiting(self, later: "Phase") -> Ints:
        """(A,) class in `later` of each class here."""
        return np.array([later.class_of[used] for used in self.used])


@dataclass(frozen=True)
class Account:
    """One customer's account over the campaign, in phases of `length` days."""

    phases: tuple[Phase, ...]
    after_contact: tuple[dict[int, Ints], ...]
    """Classes (1 + offers, A) after a contact that was declined, or accepted for each offer, by the contact's phase and
    the later one that it leads to; 0 where it leads to none in time."""

    @classmethod
    def of(
        cls, tariff: Tariff, most_contacts: Ints, length: int, longest: int, foresight: int | None = None
    ) -> "Account":
        """The account of a customer never contacted.

        Args:
            most_contacts: (days + 1,) the most contacts that fit into so many days.
            longest: days from a contact to the next choice, at most.
            foresight: contacts that a class looks ahead to at most; None: all that fit.
        """
        parts = _phases(tariff, most_contacts, length, foresight)
        further = 1 + -(-longest // length)
        return cls(
            parts,
            tuple(_after_contact(tariff, phase, parts, index, further) for index, phase in enumerate(parts)),
        )


def _after_contact(tariff: Tariff, phase: Phase, parts: tuple[Phase, ...], index: int, further: int) -> dict[int, Ints]:
    sums = [
        [total if allowed else None for total, allowed in zip(tariff.after(used), tariff.outcomes(used), strict=True)]
        for used in phase.used
    ]
    return {
        later: np.array([[parts[later].class_of.get(total, 0) if total else 0 for total in each] for each in sums]).T
        for later in range(index + 1, min(len(parts), index + 1 + further))
    }


def _phases(tariff: Tariff, most_contacts: Ints, length: int, foresight: int | None) -> tuple[Phase, ...]:
    days = len(most_contacts) - 1
    sums = _sums(tariff, int(most_contacts[days]))
    if foresight is not None:
        sums = dict(sorted(sums.items()))  # the least used of a class stands for it
    signatures = _Signatures(tariff)
    result = []
    for first in range(0, days, length):
        made = int(most_contacts[min(days, first + length) - 1])  # before the part's last day
        depth = int(most_contacts[days - first])
        depth = depth if foresight is None else min(depth, foresight)
        # Fewest contacts first: what one member of a class can still come to, its first member can as well.
        labels: dict[int, int] = {}
        class_of = {
            used: labels.setdefault(signatures.of(used, depth), len(labels))
            for used, contacts in sums.items()
            if contacts <= made
        }
        ones = {label: used for used, label in reversed(class_of.items())}
        used = tuple(ones[label] for label in range(len(labels)))
        result.append(Phase(first, used, np.array([tariff.affords(one) for one in used]), class_of))
    return tuple(result)


def _sums(tariff: Tariff, most: int) -> dict[float, int]:
    """What an account can have used, with the fewest contacts that come to it; fewest first. 0 alone where the cap
    never binds: all sums are one class then.

    Raises UnsolvableError where there are more than `MOST_SUMS`.
    """
    sums = {0.0: 0}
    if tariff.never_binds(0.0, most):
        return sums
    frontier = [0.0]
    for contacts in range(1, most + 1):
        reached = [
            total
            for used in frontier
            for total, allowed in zip(tariff.after(used), tariff.outcomes(used), strict=True)
            if allowed
        ]
        frontier = [total for total in dict.fromkeys(reached) if total not in sums]
        sums |= dict.fromkeys(frontier, contacts)
        if len(sums) > MOST_SUMS:
            raise UnsolvableError("with these offers and this account cap there is too much that an account may hold")
    return sums


class _Signatures:
    """Numbers sums such that equal numbers mean equal consequences for so many contacts to come."""

    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff
        self._known: dict[tuple[float, int], int] = {}
        self._numbers: dict[tuple[int, ...], int] = {}

    def of(self, used: float, depth: int) -> int:
        """The number of a sum that `depth` contacts may follow."""
        if depth == 0:
            return 0
        if (used, depth) not in self._known:
            tariff = self._tariff
            if tariff.never_binds(used, depth):
                return -1 - depth
            after = zip(tariff.after(used), tariff.outcomes(used), strict=True)
            key = (depth, *(self.of(total, depth - 1) if allowed else -1 for total, allowed in after))
            self._known[used, depth] = self._numbers.setdefault(key, 1 + len(self._numbers))
        return self._known[used, depth]
