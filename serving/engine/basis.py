"""What a decision was made from, kept with it so that it can be explained later; erased with the customer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from retentionjax.decide.history import History
from retentionjax.env.population import MIN_PROBABILITY
from serving.engine.pacing import Pace
from serving.engine.request import FactValue
from serving.ledger.types import MICROS, NO_OFFER, KillSwitch

if TYPE_CHECKING:
    from serving.engine.situations import Situation


class Basis(msgspec.Struct, frozen=True, omit_defaults=True):
    """JSON in the ledger; what has its default is left out."""

    facts: Mapping[str, FactValue]
    exploration: float
    """Share of decisions drawn evenly from what is legal."""
    values: tuple[float, ...]
    """The policy's own expectation, in the order of bundle.program.VALUES."""
    day: int = 0
    contacts_days_ago: tuple[int, ...] = ()
    account_used_micros: int = 0
    running_offer: int = NO_OFFER
    offer_days_left: int = 0
    pending_offer: int = NO_OFFER
    pending_days: int = 0
    baseline: float | None = None
    """The usual churn probability, None on the first decision."""
    throttle: float = 1.0
    """θ of the campaign's pacing."""
    switch: KillSwitch = "policy"
    price: float | None = None
    """$ of value charged for a $ of spend, where the policy was told; None: the bundle's own."""

    @classmethod
    def of(
        cls, situation: "Situation", switch: KillSwitch, exploration: float, pace: Pace, values: list[float]
    ) -> "Basis":
        """Of a decision about `situation`."""
        view = situation.view
        return cls(
            facts=situation.ask.facts,
            day=situation.day,
            contacts_days_ago=view.contacts_days_ago,
            account_used_micros=view.account_used_micros,
            running_offer=view.running_offer,
            offer_days_left=view.offer_days_left,
            pending_offer=view.pending_offer,
            pending_days=view.pending_days,
            baseline=view.baseline_churn_probability,
            throttle=pace.throttle,
            exploration=exploration,
            switch=switch,
            values=tuple(values),
            price=pace.price,
        )

    @property
    def history(self) -> History:
        """As `decide.decision` takes it; a contact of today stands as yesterday's."""
        return History(
            day=self.day,
            contacts_days_ago=tuple(sorted({max(1, days) for days in self.contacts_days_ago})),
            account_used=self.account_used_micros / MICROS,
            running_offer=self.running_offer,
            offer_days_left=self.offer_days_left,
            pending_offer=self.pending_offer,
            pending_days=self.pending_days,
            baseline_churn_probability=None
            if self.baseline is None
            else min(max(self.baseline, MIN_PROBABILITY), 1 - MIN_PROBABILITY),
        )
