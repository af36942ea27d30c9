"""Ledgers of a campaign with a hold-out: who was drawn to what, and customers who leave at a hazard of their arm."""

from dataclasses import replace

import numpy as np
from ledger_rows import START, FrozenClock, campaign, decision, record

from retentionjax.decide.draws import Pilot
from serving.ledger import Ledger
from serving.ledger.types import DAY, MICROS, Outcome

NAMES = tuple(f"c{number}" for number in range(600))
DAYS = 40
PILOT = Pilot(share=0.4, arms=(("none", 0.5), ("ten", 0.5)), ends_at=START + 30 * DAY, budget_share=1.0)


def begin(ledger: Ledger, holdout: float = 0.4, pilot: Pilot | None = None) -> dict[str, tuple[str, str | None]]:
    """A campaign that has decided to wait about everybody; who was drawn to what."""
    with ledger.transaction() as tx:
        tx.put_campaign(replace(campaign(10**6 * MICROS), campaign_id="proof", holdout=holdout, pilot=pilot, salt="s"))
    record(ledger, *(decision(name, contact=False, campaign_id="proof") for name in NAMES))
    with ledger.read() as reader:
        return {row.customer_id: (row.arm, row.pilot_arm) for row in reader.campaign_record("proof").customers}


def report(ledger: Ledger, clock: FrozenClock, *outcomes: tuple[str, str, float], amount: int = 0) -> None:
    """(customer, kind, campaign day) each."""
    clock.to_day(max([DAYS + 0.5, *(day for _, _, day in outcomes)]))
    rows = [
        Outcome(None, kind, START + day * DAY, name, amount, f"{kind} {day}" if amount else "")  # type: ignore[arg-type]
        for name, kind, day in outcomes
    ]
    with ledger.transaction() as tx:
        assert {each.status for each in tx.outcome(rows)} <= {"applied"}


def lives(arms: dict[str, tuple[str, str | None]], hazard: dict[str, float], seed: int = 0) -> dict[str, float]:
    """Customer → day of leaving within the days, by the hazard of the arm (or pilot arm)."""
    random = np.random.default_rng(seed)
    left = {name: random.exponential(1 / hazard[pilot or arm]) for name, (arm, pilot) in arms.items()}
    return {name: float(day) for name, day in left.items() if day < DAYS}


def ended(ledger: Ledger, clock: FrozenClock, gone: dict[str, float], *, silent: frozenset[str] = frozenset()) -> None:
    stayed = [(name, "kept", DAYS + 0.2) for name in NAMES if name not in gone and name not in silent]
    report(ledger, clock, *((name, "churned", day) for name, day in gone.items()), *stayed)
