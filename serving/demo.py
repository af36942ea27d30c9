"""`retentionjax serve --demo`: the package's own bundle, and a ledger in which four weeks have been SIMULATED.

Campaign `simulated` is those weeks: the engine decides about held-out customers once a week, by a clock that is moved;
who accepts and who leaves is drawn as the bundle's models predict. Campaign `default` begins now and is empty, so that
the first decision there is the one that `retentionjax decide --demo` prints. The ledger is gone when the service ends.
"""

import asyncio
import contextlib
import datetime as dt
import functools
import json
import os
import shlex
import socket
import tempfile
import time
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from retentionjax import demo
from retentionjax.bundle import Bundle
from retentionjax.bundle.customer import HISTORY, ID
from retentionjax.decide.program import Decider
from serving.engine import Engine, process
from serving.engine.contract import Ask, Decision
from serving.ledger import Ledger
from serving.ledger.types import DAY, MICROS, Campaign, Outcome
from serving.monitor.measures import daily_hazard
from serving.observability import logs
from serving.observability.metrics import Metrics
from serving.settings import Settings, parse

CAMPAIGN = "simulated"
WEEKS = 4
HELD_OUT = 0.2  # of the simulated campaign: of so few customers a tenth would show nothing
EXPECTED = 1000  # customers of the campaign `default`
_USUAL = "baseline_churn_probability"
_DOLLARS = 2.5  # a customer of the simulated campaign, over its 90 days


@contextlib.contextmanager
def prepared(arguments: Sequence[str], environment: MutableMapping[str, str]) -> Iterator[list[str]]:
    """The flags under which the demonstration is served, `arguments` among them; its ledger is gone after the block."""
    from serving.command import kept_programs

    environment.update(kept_programs("", environment))  # in the user's cache: the ledger's folder does not stay
    logs.configure("warning")
    with tempfile.TemporaryDirectory(prefix="retentionjax-demo-") as folder:
        flags = [
            *("--bundle", str(demo.BUNDLE), "--database", f"sqlite:///{folder}/ledger.db"),
            *("--campaign-customers", str(EXPECTED), "--console-examples", str(demo.CUSTOMERS)),
            *("--campaign-holdout", "0"),  # or the first request's customer might be among those
            *arguments,
        ]
        settings = parse(flags, environment)
        print("The demonstration: four past weeks are being SIMULATED (some 15 seconds) …", flush=True)
        patient = replace(settings, deadline_ms=60_000.0, log_level="warning")
        asyncio.run(live(patient, json.loads(demo.PEOPLE.read_text(encoding="utf-8"))))
        print("Until the service ends, `retentionjax lift` and `retentionjax ledger export` can read its ledger:")
        print(f"  --database {settings.database} --campaign {CAMPAIGN}")
        print("Set KEY to the admin key below, and ask for the decision that `retentionjax decide --demo` prints:")
        body = "-H 'Content-Type: application/json' -d " + shlex.quote(f"@{demo.REQUEST}")
        print(
            f'  curl -s http://127.0.0.1:{settings.port}/v1/decisions -H "Authorization: Bearer $KEY" {body}',
            flush=True,
        )
        yield flags


class Clock:
    """Stands still until it is moved."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.at


class _InThisLoop:
    """Stands for the engine's process: over the same sockets, on this event loop, by a clock of ours."""

    pid = 0

    def __init__(self, settings: Settings, *sockets: int, clock: Clock) -> None:
        control, decisions = (socket.socket(fileno=os.dup(each)) for each in sockets)
        self._serving = asyncio.get_running_loop().create_task(process.serve(settings, control, decisions, clock=clock))

    def wait(self, timeout: float | None = None) -> int:  # noqa: ARG002 - as a process has it
        """It ends with the loop."""
        return 0

    def kill(self) -> None:
        """Ends it."""
        self._serving.cancel()


def in_this_process(settings: Settings, metrics: Metrics, *, clock: Clock) -> Engine:
    """An engine that keeps the time of `clock`, in the caller's own event loop."""
    return Engine(settings, metrics, start_process=functools.partial(_InThisLoop, clock=clock))


async def live(settings: Settings, people: list[dict[str, Any]], seed: int = 42) -> None:
    """Plays the weeks of campaign `simulated` in the ledger; consent of everybody, and of the example, is granted."""
    random, clock = np.random.default_rng(seed), Clock(time.time() - WEEKS * 7 * DAY)
    ledger = Ledger.open(settings.database, clock=clock)
    engine = in_this_process(settings, Metrics(), clock=clock)
    await engine.start()
    try:
        with ledger.transaction() as tx:
            dollars = _DOLLARS * len(people)
            money = round(dollars * MICROS)
            tx.put_campaign(Campaign(CAMPAIGN, money, clock(), 90, len(people), holdout=HELD_OUT, salt=CAMPAIGN))
            for customer in (*people, json.loads(demo.CUSTOMER.read_text(encoding="utf-8"))):
                tx.set_consent(str(customer[ID]), "sms", "granted", source="demonstration")
        served = engine.active.bundle
        chances = _chances(served, people)
        there = list(range(len(people)))
        for _ in range(WEEKS):
            decisions = await _decide(engine, [people[each] for each in there])
            outcomes, there = _week(decisions, there, chances, clock(), random)
            clock.at += 7 * DAY
            with ledger.transaction() as tx:
                tx.outcome(outcomes)
    finally:
        await engine.drain()
        ledger.close()


def _chances(bundle: Bundle, people: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Each customer's hazard of leaving, a day, and chance of accepting an offer-free contact; f64[customers]."""
    decider = Decider(bundle)
    records = decider.facts.records([{ID: each[ID], **_facts(each)} for each in people])
    risk, accepts = (each.astype(np.float64) for each in decider.score(records))
    return daily_hazard(risk, float(bundle.params.risk_window_days)), accepts


def _facts(customer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in customer.items() if name not in (ID, HISTORY)}


async def _decide(engine: Engine, people: list[dict[str, Any]]) -> list[Decision]:
    asks = [
        Ask(
            str(each[ID]),
            _facts(each),
            CAMPAIGN,
            channel="sms",
            baseline_churn_probability=each.get(HISTORY, {}).get(_USUAL),
        )
        for each in people
    ]
    given = await asyncio.gather(*(engine.decide(each) for each in asks))
    return [msgspec.json.decode(each.body, type=Decision) for each in given]


def _week(
    decisions: list[Decision],
    there: list[int],
    chances: tuple[np.ndarray, np.ndarray],
    now: float,
    random: np.random.Generator,
) -> tuple[list[Outcome], list[int]]:
    """What follows a week's decisions about the customers who are `there`, and who is there a week later.

    An accepted offer's effect on the risk is left out: these weeks show the pages and prove nothing.
    """
    hazard, accepts = chances
    outcomes, stay = [], []
    for decision, customer in zip(decisions, there, strict=True):
        answers, leaves = random.random(), random.geometric(hazard[customer])
        if decision.offer is not None:
            kind: Any = "accepted" if answers < accepts[customer] else "declined"
            at = dt.datetime.fromisoformat(str(decision.send_at)).timestamp() + DAY / 4
            if at < now + (leaves - 0.5) * DAY:
                outcomes.append(Outcome(decision.decision_id, kind, at))
        if leaves <= 7:
            outcomes.append(Outcome(decision.decision_id, "churned", now + (leaves - 0.5) * DAY))
        else:
            stay.append(customer)
            outcomes.append(Outcome(None, "kept", now + 7 * DAY, customer_id=decision.customer_id))
    return outcomes, stay
