"""What whoever wants decisions may ask, wherever the engine runs."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from retentionjax.env.types import EnvParams
from serving.engine.request import Ask, EngineError, Given
from serving.engine.served import Served
from serving.engine.slots import Table
from serving.ledger import LedgerUnavailable
from serving.ledger.types import SlotName

_AT_ONCE = 128
"""Decisions of one batch request that are in the queue at a time, so that it leaves room for the others."""


class Deciding(ABC):
    """`Engine` in this process, or `RemoteEngine` in another."""

    follows_pointer: bool
    """Whether a pointer, the settings' bundle, says which the active bundle is."""

    @abstractmethod
    async def start(self) -> None:
        """Makes it ready; see `Engine.start`."""

    @abstractmethod
    async def decide(self, ask: Ask) -> Given:
        """One decision; see `Engine.decide`."""

    @abstractmethod
    async def activate(self, path: str, role: SlotName = "active", weight: float = 0.0) -> Table:
        """Puts a bundle to work; see `Engine.activate`."""

    @abstractmethod
    async def deactivate(self, role: SlotName) -> Table:
        """Ends the canary or the shadow; see `Engine.deactivate`."""

    @abstractmethod
    async def exposition(self) -> bytes:
        """All metrics, as `/metrics` answers them."""

    @abstractmethod
    async def drain(self) -> None:
        """Takes nothing new, finishes what was begun, and ends."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """The bundles that serve. Raises NotRunning before `start`."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether decisions are made at once."""

    async def decide_many(self, asks: Sequence[Ask]) -> list[Given | Exception]:
        """Many decisions, each answered or refused by itself, in their order."""
        found: list[Given | BaseException] = []
        for start in range(0, len(asks), _AT_ONCE):
            some = asks[start : start + _AT_ONCE]
            found += await asyncio.gather(*(self.decide(each) for each in some), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, EngineError | LedgerUnavailable):
                raise each
        return found  # type: ignore[return-value]  # what is no Exception was raised

    @property
    def params(self) -> EnvParams:
        """Constants of the active bundle."""
        return self.table.active.served.bundle.params

    @property
    def price(self) -> float:
        """$ of value that a $ of budget is worth elsewhere, as the active bundle was trained to."""
        return self.table.active.served.price

    def served(self, bundle_id: str) -> Served | None:
        """The bundle of that id, if it serves in some slot."""
        table = self.table
        slots = (table.active, table.canary, table.shadow)
        return next((each.served for each in slots if each is not None and each.served.id == bundle_id), None)
