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

from retentionjax.env.types import NO_OFFER, EnvParams
from retentionjax.errors import ConfigError

Ints = npt.NDArray[np.int64]
MOST_MEMORIES = 200_000
"""Beyond, the recursion of one customer takes minutes; contacts on any of 32 days make billions."""


class UnsolvableError(ConfigError):
    """Constants with which the exact optimum is not to be had; the message says why."""


class Memory(NamedTuple):
    """What is remembered of a customer at the start of a day."""

    ages: tuple[int, ...] = ()  # days since each contact in the window, youngest first
    rest: int = 0  # days of cooldown left
    offer: int = NO_OFFER  # that protects
    days_left: int = 0  # of its protection, today included
    effect_left: int = 0  # days, today included, on which the last contact moves the hazard


@dataclass(frozen=True)
class MemoryRules:
    """The constants by which memories change."""

    window: int
    cap: int
    cooldown: int
    protection: tuple[int, ...]  # days, by offer
    contact_effect_days: int  # 0 where a contact has no effect of its own

    @classmethod
    def of(cls, params: EnvParams) -> "MemoryRules":
        """The rules as `params` has them."""
        return cls(
            int(params.fatigue_window_days),
            int(params.fatigue_cap),
            int(params.cooldown_days),
            tuple(int(days) for days in params.effect_days),
            int(params.contact_effect_days) if float(params.contact_effect) else 0,
        )

    def may_contact(self, memory: Memory) -> bool:
        """Whether cooldown and fatigue allow a contact today."""
        return memory.rest == 0 and len(memory.ages) < self.cap

    def contacted(self, memory: Memory, accepted: int) -> Memory:
        """The memory after today's contact, before the night; `accepted` is the offer, or NO_OFFER where it was
        declined."""
        after = memory._replace(ages=(0, *memory.ages), rest=self.cooldown, effect_left=self.contact_effect_days)
        return after if accepted == NO_OFFER else after._replace(offer=accepted, days_left=self.protection[accepted])

    def tomorrow(self, memory: Memory) -> Memory:
        """The memory after the night."""
        ages = tuple(age + 1 for age in memory.ages if age + 1 < self.window)
        left = max(0, memory.days_left - 1)
        effect = max(0, memory.effect_left - 1)
        return Memory(ages, max(0, memory.rest - 1), memory.offer if left else NO_OFFER, left, effect)


@dataclass(frozen=True)
class Graph:
    """Memories in which a contact is a choice, X of them, row 0 the customer never contacted; and what follows.

    A contact leads to one of P *stretches*: the days from the contact, its own included, to the next choice.
    """

    memories: tuple[Memory, ...]
    contacts: Ints  # (X,) in the window
    recent: Ints  # (X,) 1 where the last contact still moves the hazard
    offer: Ints  # (X,) that protects
    days_left: Ints  # (X,) of its protection
    waited: Ints  # (X,) row tomorrow, after waiting
    history: Ints  # (X,) row of `accepted`: memories that differ only in their offer share one
    declined: Ints  # (X,) stretch after a contact that was declined
    accepted: Ints  # (histories, offers) stretch after one that was accepted
    days: Ints  # (P,) length of a stretch
    landing: Ints  # (P,) row after it
    stretch_offer: Ints  # (P, longest) offer that protects on each of its days
    stretch_days_left: Ints  # (P, longest) of its protection
    stretch_contacts: Ints  # (P, longest) contacts in the window on each, its first day's included
    stretch_recent: Ints  # (P, longest) as `recent`, on each


def enumerate_memories(rules: MemoryRules, most: int = MOST_MEMORIES) -> Graph:
    """All memories that a customer never contacted can come to, by breadth-first search.

    Raises UnsolvableError where there are more than `most`.
    """
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
        if len(rows) > most:
            raise UnsolvableError(
                "with these limits, offers and protections there is too much to remember of past contacts"
            )
        waited.append(row(rules.tomorrow(memory)))
        declined.append(stretch(rules.contacted(memory, NO_OFFER)))
        if memory.ages not in histories:
            histories[memory.ages] = len(accepted)
            accepted.append([stretch(rules.contacted(memory, offer)) for offer in range(len(rules.protection))])
    longest = max(len(path) for path in paths)
    padded = [path + path[-1:] * (longest - len(path)) for path in paths]
    return Graph(
        memories=tuple(queue),
        contacts=np.array([len(memory.ages) for memory in queue]),
        recent=np.array([int(memory.effect_left > 0) for memory in queue]),
        offer=np.array([memory.offer for memory in queue]),
        days_left=np.array([memory.days_left for memory in queue]),
        waited=np.array(waited),
        history=np.array([histories[memory.ages] for memory in queue]),
        declined=np.array(declined),
        accepted=np.array(accepted),
        days=np.array([len(path) for path in paths]),
        landing=np.array(landings),
        stretch_offer=np.array([[memory.offer for memory in path] for path in padded]),
        stretch_days_left=np.array([[memory.days_left for memory in path] for path in padded]),
        stretch_contacts=np.array([[len(memory.ages) for memory in path] for path in padded]),
        stretch_recent=np.array([[int(memory.effect_left > 0) for memory in path] for path in padded]),
    )


def most_contacts(graph: Graph, days: int) -> Ints:
    """(days + 1,) the most contacts that fit into the first 0 … `days` days."""
    most = np.zeros((days + 1, len(graph.memories)), np.int64)
    for left in range(1, days + 1):
        after = graph.declined
        landed = most[np.maximum(0, left - graph.days[after]), graph.landing[after]]
        most[left] = np.maximum(most[left - 1, graph.waited], 1 + landed)
    return most[:, 0]
