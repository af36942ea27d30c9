"""An engine over a ledger in a file, with bundles that are loaded and compiled once for all tests."""

import asyncio
import contextlib
import functools
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bundles
from litestar.testing import TestClient

from retentionjax.bundle import pointer
from retentionjax.decide.variants import WordingAuthor
from serving.app import create_app
from serving.engine import Engine, process
from serving.engine.contract import Ask
from serving.engine.slots import Served
from serving.ledger import Ledger
from serving.ledger.types import Campaign
from serving.observability.metrics import Metrics
from serving.settings import Settings

NOON = 1_780_315_200.0  # Monday, 1 June 2026, 12:00 UTC: from 5 in the morning on Hawaii to 8 in New York
MIDDAY = NOON + 7.5 * 3600  # 19:30 UTC: a fit hour in every zone of the United States
SIZES = (1, 8)
FACTS = {name: value for name, value in bundles.CUSTOMER.items() if name != "customer_id"}
_load = Served.load
_loaded: dict[tuple[str, tuple[int, ...], bool], Served] = {}


def load(path: str, sizes: Sequence[int] = SIZES, *, warm: bool = True) -> Served:
    """Loads as `Served.load`; a bundle that lies in several places, as promoted ones do, is compiled once."""
    base = Path(pointer.local(pointer.find(path)))
    content = hashlib.sha256()
    for file in sorted(each for each in base.rglob("*") if each.is_file()):
        content.update(str(file.relative_to(base)).encode() + file.read_bytes())
    asked = (content.hexdigest(), tuple(sizes), warm)
    if asked not in _loaded:
        _loaded[asked] = _load(path, sizes, warm=warm)
    return _loaded[asked]


class InThisLoop:
    """Stands for the engine's process: over the same sockets, in the test's own event loop, by its clock and models."""

    pid = 0

    def __init__(self, settings: Settings, *sockets: int, **options: Any) -> None:
        control, decisions = (socket.socket(fileno=os.dup(each)) for each in sockets)
        serving = process.serve(settings, control, decisions, **options)
        self._serving = asyncio.get_running_loop().create_task(serving)

    def wait(self, timeout: float | None = None) -> int:
        return 0

    def kill(self) -> None:
        self._serving.cancel()


class Clock:
    """Stands still until it is moved."""

    def __init__(self, at: float = MIDDAY) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def settings(bundle: Path, folder: Path, **changed: Any) -> Settings:
    # A test machine may be busy.
    patient: dict[str, Any] = {"deadline_ms": 60_000.0, "canary_p99_ms": 60_000.0, "log_level": "warning"} | changed
    return Settings(bundle=str(bundle), database=f"sqlite:///{folder}/ledger.db", **patient)


def engine(
    settings: Settings, metrics: Metrics, *, clock: Clock, load_writer: Callable[[Served], WordingAuthor] | None = None
) -> Engine:
    """One that keeps the time of `clock`."""
    start = functools.partial(InThisLoop, clock=clock, sizes=SIZES, load_writer=load_writer)
    return Engine(settings, metrics, start_process=start)


async def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """Waits, for so long at most: the service is told a moment later what the engine did by itself."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, f"not so after {seconds:g} s"
        await asyncio.sleep(0.05)


def ask(customer: str = "C-1", **fields: Any) -> Ask:
    return Ask(customer, fields.pop("facts", FACTS), **fields)


def prepare(ledger: Ledger, *, dollars: float = 1000.0, days: int = 90, customers: int = 64, start: float) -> None:
    """The campaign `default`, and consent to everything of C-0 … C-(customers − 1)."""
    with ledger.transaction() as tx:
        tx.put_campaign(Campaign("default", int(dollars * 1e6), start, days, 100, holdout=0.0))
        for number in range(customers):
            for channel in ("sms", "email", "push"):
                tx.set_consent(f"C-{number}", channel, "granted", source="test")


@contextlib.contextmanager
def caller(settings: Settings, clock: Clock) -> Iterator[TestClient]:  # type: ignore[type-arg]
    """A caller, with the role `decide`, of an application over a new ledger with what `prepare` puts there."""
    ledger = Ledger.open(settings.database, clock=clock)
    prepare(ledger, start=clock() - 3600)
    with ledger.transaction() as tx:
        _, token = tx.create_key("tests", "decide")
    ledger.close()
    with TestClient(create_app(settings, clock=clock, engine=functools.partial(engine, clock=clock))) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@contextlib.asynccontextmanager
async def running(
    bundle: Path,
    folder: Path,
    *,
    clock: Clock | None = None,
    dollars: float = 1000.0,
    days: int = 90,
    customers: int = 64,
    load_writer: Callable[[Served], WordingAuthor] | None = None,
    **changed: Any,
) -> AsyncIterator[tuple[Engine, Ledger]]:
    """A started engine and its ledger; drained at the end."""
    clock = clock or Clock()
    chosen, metrics = settings(bundle, folder, **changed), Metrics()
    ledger = Ledger.open(chosen.database, clock=clock)
    try:
        prepare(ledger, dollars=dollars, days=days, customers=customers, start=clock() - 3600)
        made = engine(chosen, metrics, clock=clock, load_writer=load_writer)
        await made.start()
        try:
            yield made, ledger
        finally:
            await made.drain()
    finally:
        ledger.close()
