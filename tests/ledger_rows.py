"""Decisions as the ledger's tests record them: small, each field of the right kind, most of them of no interest."""

import itertools
import struct
import uuid

from serving.ledger import Ledger
from serving.ledger.types import DAY, MICROS, Campaign, DecisionRow

START = 1_790_000_000.0
CONTACT_COST = MICROS // 2
OFFER_COST = 3_250_000
OFFERS = ("hello", "five", "ten", "twenty")
_numbers = itertools.count(1)


class FrozenClock:
    """A clock that tests move."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def to_day(self, day: float) -> float:
        """Sets the clock to a campaign day; a fraction of it is a time of day."""
        self.now = START + day * DAY
        return self.now


def campaign(budget: int = 100 * MICROS, campaign_id: str = "spring", starts_at: float = START) -> Campaign:
    return Campaign(campaign_id, budget, starts_at, horizon_days=90, customers_expected=100, holdout=0.0)


def decision(
    customer: str = "ann",
    *,
    now: float = START,
    contact: bool = True,
    delay: int = 0,
    offer: str = "five",
    offer_cost: int = OFFER_COST,
    contact_cost: int = CONTACT_COST,
    campaign_id: str = "spring",
    starts_at: float = START,
    channel: str = "email",
    key: str | None = None,
    shadow: bool = False,
    send_at: float | None = None,
    decision_id: str | None = None,
    degradations: tuple[str, ...] = (),
) -> DecisionRow:
    """A decision made at `now`: a contact with an offer, or wait."""
    number = next(_numbers)
    money = contact and not shadow
    return DecisionRow(
        decision_id=decision_id or str(uuid.UUID(int=number)),
        customer_id=customer,
        campaign_id=campaign_id,
        decided_at=now,
        day=int((now - starts_at) // DAY),
        channel=channel,
        action=1 + 3 * OFFERS.index(offer) + (0, 1, 3).index(delay) if contact else 0,
        offer=offer if contact else None,
        delay=delay if contact else 0,
        send_at=(now + delay * DAY if send_at is None else send_at) if contact else None,
        reserve_micros=contact_cost + offer_cost if money else 0,
        contact_cost_micros=contact_cost if money else 0,
        observation=struct.pack("<16f", *(each / 16 for each in range(16))),
        mask=b"\xff\x1f",
        propensities=struct.pack("<13f", *[1 / 13] * 13),
        churn_probability=0.31,
        baseline_churn_probability=0.25,
        accept_probability=0.11,
        monthly_charge=65.0,
        bundle_id="bundle-1",
        policy_version="policy-1",
        rules_version="rules-1",
        slot="shadow" if shadow else "active",
        degradations=degradations,
        executed=not shadow,
        message_json=b'{"text":"Hello Ann"}' if contact else None,
        response=b'{"decision_id":"%d"}' % number,
        basis=None,
        offer_days=30 if contact else 0,
        effect_days=30 if contact else 0,
        idempotency=("key-1", key, f"digest of {key}") if key else None,
    )


def record(ledger: Ledger, *rows: DecisionRow) -> list[str]:
    """Records in one transaction; the decision ids."""
    with ledger.transaction() as tx:
        tx.record(rows)
    return [row.decision_id for row in rows]


def money(ledger: Ledger, campaign_id: str = "spring") -> tuple[int, int]:
    """(spent, reserved) of a campaign; its books are checked on the way."""
    with ledger.read() as reader:
        assert reader.audit() == []
        view = reader.campaign(campaign_id)
    assert view is not None
    return view.spent_micros, view.reserved_micros
