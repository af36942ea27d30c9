"""Which bundle decides about whom: the active one, a canary for a share of the customers, a shadow without effect."""

import hashlib
from dataclasses import dataclass

from serving.engine.served import Served
from serving.ledger.types import BundleSlot, SlotName, Slots


@dataclass(frozen=True, slots=True)
class Slot:
    """A bundle in its place."""

    path: str
    served: Served

    @property
    def record(self) -> BundleSlot:
        """As the ledger keeps it."""
        return BundleSlot(self.served.id, self.path)


@dataclass(frozen=True, slots=True)
class Table:
    """All that serve; replaced as a whole, never changed."""

    active: Slot
    canary: Slot | None = None
    weight: float = 0.0
    """Share of the customers whom the canary decides about."""
    shadow: Slot | None = None

    def route(self, customer_id: str) -> tuple[SlotName, Served]:
        """The bundle that decides about a customer: the same for the same weight, whenever she comes."""
        if self.canary is not None and share_of(customer_id) < self.weight:
            return "canary", self.canary.served
        return "active", self.active.served

    @property
    def record(self) -> Slots:
        """As the ledger keeps it."""
        return Slots(
            active=self.active.record,
            canary=None if self.canary is None else self.canary.record,
            canary_weight=self.weight if self.canary is not None else 0.0,
            shadow=None if self.shadow is None else self.shadow.record,
        )


def share_of(customer_id: str) -> float:
    """A number in [0, 1) that is a hash of the customer."""
    digest = hashlib.blake2b(customer_id.encode(), digest_size=7, person=b"canary").digest()
    return int.from_bytes(digest) / 2**56
