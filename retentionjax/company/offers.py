"""What a company may offer with a contact: nothing, a discount, a credit, something that costs money by the month."""

from dataclasses import dataclass
from typing import Annotated, Any

from retentionjax.checked import Checked, Within
from retentionjax.company.money import money
from retentionjax.shield.offer import OfferTerms

MOST = 64
"""Offers a company may have: with 3 delays the action space is 193 actions."""
MOST_MONEY = 1e9
"""Largest sum of money in whatever currency: the ledger counts in millionths, in 64 bits."""
NONE = "none"
"""The name in a log of contacts for a customer who was deliberately left alone; no offer may be called so."""
_MONTH = 30
_LONGEST = 60


@dataclass(frozen=True)
class Offer(Checked):
    """One offer; without any of discount, amount and cost it is a contact without an offer.

    >>> Offer(discount=0.1, days=30).words(), Offer(amount=15).words(), Offer(discount=1.0, days=30).words()
    ('10 % off for 30 days', '$15 credit', 'one month free')
    """

    discount: Annotated[float, Within(0, 1, "a share of the charge, 0.1 for 10 %")] = 0.0
    """Share of the charge not paid while the offer runs; 1 is free of charge."""
    amount: Annotated[float, Within(0, MOST_MONEY)] = 0.0
    """Money given once, on acceptance: a credit, or with `say` what a gift costs."""
    cost: Annotated[float, Within(0, MOST_MONEY)] = 0.0
    """Money per 30 days that the offer costs while it runs, such as an upgrade."""
    days: Annotated[int | None, Within(1, 365)] = None
    """How long it runs once accepted, the day of acceptance included; None: 30 days, or given once (see `say`)."""
    effect_days: Annotated[int | None, Within(1, 3650)] = None
    """How long it protects, at least `days`; None: as the prior has it (`effect_days`, 1.5 times as long)."""
    say: str | None = None
    """What messages call it, as `twice the speed`; None: made of the numbers. Without discount, cost and days it is
    given once, as `a free vase`, and messages do not say how long it runs."""

    def wrong(self) -> list[tuple[str, str]]:
        """Faults: an effect that ends before the offer does, and words that do not fit on a single line."""
        found = []
        if self.effect_days is not None and self.effect_days < self.length:
            found.append(("effect_days", f"{self.effect_days} is less than days, {self.length}; allowed: that or more"))
        say = self.say
        if say is not None and not (0 < len(say) <= _LONGEST and say == say.strip() and say.isprintable()):
            found.append(("say", f"is {say!r}; allowed: one line of 1 to {_LONGEST} characters"))
        return found

    @property
    def length(self) -> int:
        """Days for which it runs, and is paid for."""
        return _MONTH if self.days is None else self.days

    @property
    def is_free(self) -> bool:
        """Whether it is a contact without an offer: it gives nothing and costs nothing but the contact."""
        return not (self.discount or self.amount or self.cost)

    def share(self, charge: float) -> float:
        """What it is worth to a customer as a share of 30 days' `charge`: the scale of its appeal (see prior)."""
        return self.discount + (self.amount + self.cost) / charge

    def full_cost(self, charge: float) -> float:
        """Money it costs if accepted and run to its end, at `charge` per 30 days; the contact comes on top."""
        return (self.discount * charge + self.cost) * self.length / _MONTH + self.amount

    def words(self, currency: str = "USD") -> str:
        """What it is, in English, as a message or a report may say it."""
        if self.say is not None:
            return self.say
        parts = [self._discount_words()] if self.discount else []
        parts += [f"{money(self.amount, currency)} credit"] if self.amount else []
        parts += [f"{money(self.cost, currency)} a month for {_days(self.length)}"] if self.cost else []
        return " and ".join(parts) or "no offer"

    def terms(self, currency: str) -> OfferTerms:
        """The offer as messages say it."""
        say = self.words(currency) if self.cost else self.say
        once = say is not None and not (self.discount or self.cost)
        days = self.days if once else self.length
        return OfferTerms(self.discount, amount=self.amount, say=say, days=days, currency=currency)

    def _discount_words(self) -> str:
        if self.discount == 1:
            return "one month free" if self.length == _MONTH else f"{_days(self.length)} free"
        return f"{self.discount * 100:.4g} % off for {_days(self.length)}"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def wrong_names(names: Any) -> list[tuple[str, str]]:
    """What is wrong with offers' names: none at all, too many, `none`, or characters that a key cannot hold."""
    found = []
    if not 1 <= len(names) <= MOST:
        found.append(("", f"{len(names)} offers; allowed: 1 to {MOST}"))
    for name in names:
        if name == NONE:
            found.append((name, f"is the name in a log for a customer who was left alone; allowed: any but {NONE!r}"))
        elif not (name.isascii() and name.replace("_", "").replace("-", "").isalnum()):
            found.append((name, f"{name!r} is no name of an offer; allowed: letters, digits, _ and -"))
    return found
