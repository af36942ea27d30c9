"""The account cap: which offers a customer's remaining account affords, now and later, in as few classes as it takes.

What an account has used is a sum of contact costs and full costs of accepted offers. Two sums are one *class* on a
day if they forbid the same offers now and, whatever is accepted, at each of the contacts that still fit into the
campaign. Classes are few (about 15), where sums are hundreds, and nothing is lost by them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
TOLERANCE = 1e-6  # of the cap; the environment compares in float32, where a sum that equals it may end on either side


class Tariff(NamedTuple):
    """$ of one customer's contacts."""

    contact: float
    full_costs: tuple[float, ...]  # (offers,) of an accepted offer that runs to its end, without the contact
    cap: float

    def affords(self, used: float) -> tuple[bool, ...]:
        """(offers,) whether each may be offered by an account that has used so much."""
        return tuple(used + self.contact + cost <= self.cap * (1 + TOLERANCE) for cost in self.full_costs)

    def outcomes(self, used: float) -> tuple[bool, ...]:
        """(1 + offers,) whether a contact can be declined, or accepted for each offer."""
        affords = self.affords(used)
        return (any(affords), *affords)

    def after(self, used: float) -> tuple[float, ...]:
        """(1 + offers,) used after a contact that was declined, or accepted for each offer."""
        return tuple(round(used + self.contact + cost, 6) for cost in (0.0, *self.full_costs))


@dataclass(frozen=True)
class Phase:
    """A part of the campaign with its own classes, A of them; class 0 is the account not used yet."""

    first_day: int
    used: tuple[float, ...]  # (A,) of each class the sum that takes the fewest contacts
    affords: Bools  # (A, offers)
    class_of: dict[float, int]  # every sum, to its class

    def after_contact(self, tariff: Tariff, later: "Phase") -> Ints:
        """(1 + offers, A) class in `later` after a contact declined, or accepted; 0 where none can be in time."""
        table = np.zeros((1 + len(tariff.full_costs), len(self.used)), np.int64)
        for index, used in enumerate(self.used):
            for outcome, (total, allowed) in enumerate(zip(tariff.after(used), tariff.outcomes(used), strict=True)):
                if allowed:
                    table[outcome, index] = later.class_of.get(total, 0)
        return table

    def after_waiting(self, later: "Phase") -> Ints:
        """(A,) class in `later` of each class here."""
        return np.array([later.class_of[used] for used in self.used])


def phases(tariff: Tariff, most_contacts: Ints, length: int) -> list[Phase]:
    """The campaign in parts of `length` days.

    Args:
        most_contacts: (days + 1,) the most contacts that fit into so many days.
    """
    days = len(most_contacts) - 1
    sums = _sums(tariff, int(most_contacts[days]))
    signatures = _Signatures(tariff)
    result = []
    for first in range(0, days, length):
        made = int(most_contacts[min(days, first + length) - 1])  # before the part's last day
        depth = int(most_contacts[days - first])
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
    return result


def _sums(tariff: Tariff, most: int) -> dict[float, int]:
    """What an account can have used, with the fewest contacts that come to it; fewest first."""
    sums = {0.0: 0}
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
            after = zip(tariff.after(used), tariff.outcomes(used), strict=True)
            key = (depth, *(self.of(total, depth - 1) if allowed else -1 for total, allowed in after))
            self._known[used, depth] = self._numbers.setdefault(key, 1 + len(self._numbers))
        return self._known[used, depth]
