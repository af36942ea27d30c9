"""An engine over a ledger in a file, with bundles that are loaded and compiled once for all tests."""

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import bundles

from serving.engine import Engine
from serving.engine.models import Models
from serving.engine.request import Ask
from serving.engine.served import Served
from serving.ledger import Ledger
from serving.ledger.types import Campaign
from serving.observability.logs import DecisionLog
from serving.observability.metrics import Metrics
from serving.settings import Settings

NOON = 1_780_315_200.0  # Monday, 1 June 2026, 12:00 UTC: from 5 in the morning on Hawaii to 8 in New York
MIDDAY = NOON + 7.5 * 3600  # 19:30 UTC: a fit hour in every zone of the United States
SIZES = (1, 8)
FACTS = {name: value for name, value in bundles.CUSTOMER.items() if name != "customer_id"}
load = functools.cache(Served.load)


class Clock:
    """Stands still until it is moved."""

    def __init__(self, at: float = MIDDAY) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def settings(bundle: Path, folder: Path, **changed: Any) -> Settings:
    # A test machine may be busy; and the clock of a test is in its own process.
    patient: dict[str, Any] = {"deadline_ms": 60_000.0, "canary_p99_ms": 60_000.0, "engine": "thread"} | changed
    return Settings(bundle=str(bundle), database=f"sqlite:///{folder}/ledger.db", **patient)


def ask(customer: str = "C-1", **fields: Any) -> Ask:
    return Ask(customer, fields.pop("facts", FACTS), **fields)


def prepare(ledger: Ledger, *, dollars: float = 1000.0, days: int = 90, customers: int = 64, start: float) -> None:
    """The campaign `default`, and consent to everything of C-0 … C-(customers − 1)."""
    with ledger.transaction() as tx:
        tx.put_campaign(Campaign("default", int(dollars * 1e6), start, days, 100))
        for number in range(customers):
            for channel in ("sms", "email", "push"):
                tx.set_consent(f"C-{number}", channel, "granted", source="test")


@contextlib.asynccontextmanager
async def running(
    bundle: Path,
    folder: Path,
    *,
    clock: Clock | None = None,
    dollars: float = 1000.0,
    days: int = 90,
    customers: int = 64,
    models: Callable[[Settings, Metrics], Models] | None = None,
    **changed: Any,
) -> AsyncIterator[tuple[Engine, Ledger]]:
    """A started engine and its ledger; drained at the end."""
    clock = clock or Clock()
    chosen, metrics = settings(bundle, folder, **changed), Metrics()
    ledger = Ledger.open(chosen.database, clock=clock)
    try:
        prepare(ledger, dollars=dollars, days=days, customers=customers, start=clock() - 3600)
        made = None if models is None else models(chosen, metrics)
        engine = Engine(ledger, chosen, metrics=metrics, log=DecisionLog(on=False), sizes=SIZES, models=made)
        await engine.start()
        try:
            yield engine, ledger
        finally:
            await engine.drain()
    finally:
        ledger.close()
