"""What a campaign must respect: money a customer, days between contacts, contacts in a window."""

import math
from dataclasses import dataclass, field
from typing import Annotated

from retentionjax.company.structure import Checked, Within


@dataclass(frozen=True)
class Fatigue(Checked):
    """A cap: at most so many contacts in so many days."""

    contacts: Annotated[int, Within(1, 32)] = 3
    days: Annotated[int, Within(1, 32, "the history of contacts is a 32-bit set of days")] = 30


@dataclass(frozen=True)
class Limits(Checked):
    """Limits in the company's currency; `inf` switches a limit on money or contacts off.

    The defaults suit charges of some 65 a month; a company with other charges says its own.
    """

    budget: Annotated[float, Within(0, infinite=True)] = 2.50
    """Money a customer and campaign may cost on average: contacts, discounts, credits and costs."""
    account_cap: Annotated[float, Within(0, infinite=True)] = 30.0
    """Money any one customer may cost in a campaign, an accepted offer counted in full."""
    contact_cost: Annotated[float, Within(0)] = 0.50
    """Money a contact costs, accepted or not."""
    contacts: Annotated[float, Within(0, infinite=True)] = math.inf
    """Contacts a customer and campaign, on average."""
    cooldown_days: Annotated[int, Within(1, 365)] = 7
    """Days from one contact to the first day on which the next is allowed."""
    fatigue: Fatigue = field(default_factory=Fatigue)
