"""What the environment remembers of past contacts, as far as the future depends on it, enumerated.

A *memory* is the contacts inside the fatigue window, the cooldown and the running offer. Contacting is a choice only
in the memories where cooldown and fatigue allow it (with the default constants 1,340 of some 11,000); everywhere else
the customer is left alone until the next choice, a stretch known beforehand day by day. Two things are left out
because no optimum needs them: delayed contacts, since *wait* followed by the same contact on the day itself is as good
and sees more, and with them pending ones.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retentionjax.env.actions import NUM_OFFERS
from retentionjax.env.types import NO_OFFER, EnvParams

Ints = npt.NDArray[np.int64]


class Memory(NamedTuple):
    """At the start of a day."""

    ages: tuple[int, ...] = ()  # days since each contact in the window, youngest first
    rest: int = 0  # days of cooldown left
    offer: int = NO_OFFER  # running
    days_left: int = 0  # of it, today included


@dataclass(frozen=True)
class Rules:
    """The constants by which memories change."""

    window: int
    cap: int
    cooldown: int
    offer_days: int

    @classmethod
    def of(cls, params: EnvParams) -> "Rules":
        """As `params` has them."""
        return cls(
            int(params.fatigue_window_days),
            int(params.fatigue_cap),
            int(params.cooldown_days),
            int(params.offer_days),
        )

    def may_contact(self, memory: Memory) -> bool:
        """Whether cooldown and fatigue allow a contact today."""
        return memory.rest == 0 and len(memory.ages) < self.cap

    def contacted(self, memory: Memory, accepted: int) -> Memory:
        """After today's contact, before the night; `accepted` is the offer, or NO_OFFER where it was declined."""
        ages, rest = (0, *memory.ages), self.cooldown
        if accepted == NO_OFFER:
            return memory._replace(ages=ages, rest=rest)
        return Memory(ages, rest, accepted, self.offer_days)

    def tomorrow(self, memory: Memory) -> Memory:
        """After the night."""
        ages = tuple(age + 1 for age in memory.ages if age + 1 < self.window)
        left = max(0, memory.days_left - 1)
        return Memory(ages, max(0, memory.rest - 1), memory.offer if left else NO_OFFER, left)


@dataclass(frozen=True)
class Graph:
    """Memories in which a contact is a choice, X of them, row 0 the customer never contacted; and what follows.

    A contact leads to one of P *stretches*: the days from the contact, its own included, to the next choice.
    """

    memories: tuple[Memory, ...]
    contacts: Ints  # (X,) in the window
    offer: Ints  # (X,) running
    waited: Ints  # (X,) row tomorrow, after waiting
    history: Ints  # (X,) row of `accepted`: memories that differ only in their running offer share one
    declined: Ints  # (X,) stretch after a contact that was declined
    accepted: Ints  # (histories, offers) stretch after one that was accepted
    days: Ints  # (P,) length of a stretch
    landing: Ints  # (P,) row after it
    stretch_offer: Ints  # (P, longest) running offer on each of its days
    stretch_contacts: Ints  # (P, longest) contacts in the window on each, its first day's included


def enumerate_memories(rules: Rules) -> Graph:
    """All memories that a customer never contacted can come to, by breadth-first search."""
    rows: dict[Memory, int] = {Memory(): 0}
    stretches: dict[Memory, int] = {}  # by the memory after the contact, before the night
    paths: list[list[Memory]] = []
    landings: list[int] = []
    waited: list[int] = []
    declined: list[int] = []
    histories: dict[tuple[int, ...], int] = {}
    accepted: list[list[int]] = []

    def row(memory: Memory) -> int:
        if memory not in rows:
            rows[memory] = len(rows)
            queue.append(memory)
        return rows[memory]

    def stretch(after: Memory) -> int:
        if after not in stretches:
            path = [after]
            while not rules.may_contact(memory := rules.tomorrow(path[-1])):
                path.append(memory)
            stretches[after] = len(paths)
            paths.append(path)
            landings.append(row(memory))
        return stretches[after]

    queue = [Memory()]
    for memory in queue:
        waited.append(row(rules.tomorrow(memory)))
        declined.append(stretch(rules.contacted(memory, NO_OFFER)))
        if memory.ages not in histories:
            histories[memory.ages] = len(accepted)
            accepted.append([stretch(rules.contacted(memory, offer)) for offer in range(NUM_OFFERS)])
    longest = max(len(path) for path in paths)
    padded = [path + path[-1:] * (longest - len(path)) for path in paths]
    return Graph(
        memories=tuple(queue),
        contacts=np.array([len(memory.ages) for memory in queue]),
        offer=np.array([memory.offer for memory in queue]),
        waited=np.array(waited),
        history=np.array([histories[memory.ages] for memory in queue]),
        declined=np.array(declined),
        accepted=np.array(accepted),
        days=np.array([len(path) for path in paths]),
        landing=np.array(landings),
        stretch_offer=np.array([[memory.offer for memory in path] for path in padded]),
        stretch_contacts=np.array([[len(memory.ages) for memory in path] for path in padded]),
    )


def most_contacts(graph: Graph, days: int) -> Ints:
    """(days + 1,) the most contacts that fit into the first 0 … `days` days."""
    most = np.zeros((days + 1, len(graph.memories)), np.int64)
    for left in range(1, days + 1):
        after = graph.declined
        landed = most[np.maximum(0, left - graph.days[after]), graph.landing[after]]
        most[left] = np.maximum(most[left - 1, graph.waited], 1 + landed)
    return most[:, 0]
