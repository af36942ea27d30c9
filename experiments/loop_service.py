"""The real service in this process, as a company's own systems call it: over HTTP, and by a clock that is moved."""

import contextlib
import datetime as dt
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from etils import epath
from litestar.testing import TestClient

from retentionjax.bundle import pointer
from serving.app import create_app
from serving.demo import Clock, in_this_process
from serving.ledger import Ledger
from serving.observability import logs
from serving.settings import Settings

CHANNEL = "sms"
_AT_ONCE = 1000  # as many as a request may hold


@dataclass(frozen=True)
class Service:
    """A service that runs; what it refuses ends the story with its own words."""

    client: Any
    clock: Clock

    def put_campaign(self, name: str, setting: Mapping[str, Any]) -> None:
        """Makes the campaign."""
        _answer(self.client.put(f"/v1/campaigns/{name}", json=dict(setting)))

    def decide(self, table: pd.DataFrame, campaign: str) -> list[dict[str, Any]]:
        """A decision about each row: customer_id, and facts."""
        facts = table.drop(columns="customer_id").to_dict("records")
        asks = [
            {"customer_id": customer, "campaign_id": campaign, "facts": each, "channel": CHANNEL}
            for customer, each in zip(table["customer_id"], facts, strict=True)
        ]
        results = self._post("/v1/decisions:batch", "decisions", asks)
        if refused := [each["problem"] for each in results if "problem" in each]:
            raise AssertionError(f"{len(refused)} of {len(results)} decisions were refused; the first: {refused[0]}")
        return [each["decision"] for each in results]

    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """What happened."""
        results = self._post("/v1/outcomes", "outcomes", outcomes)
        if wrong := [each for each in results if each["status"] != "applied"]:
            raise AssertionError(f"{len(wrong)} of {len(results)} outcomes were not applied; the first: {wrong[0]}")

    def lift(self, campaign: str) -> dict[str, Any]:
        """What the campaign changed, as it is known now."""
        return _answer(self.client.get(f"/v1/campaigns/{campaign}/lift"))

    def _post(self, address: str, key: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for start in range(0, len(rows), _AT_ONCE):
            found += _answer(self.client.post(address, json={key: rows[start : start + _AT_ONCE]}))["results"]
        return found


@contextlib.contextmanager
def running(
    run: epath.Path, ledger_file: epath.Path, customers: Sequence[str], starts: dt.datetime
) -> Iterator[Service]:
    """The service on the bundle of `run`, from `starts` on; all `customers` have agreed to be written to."""
    logs.configure("error")
    clock, database = Clock(starts.timestamp()), f"sqlite:///{ledger_file}"
    settings = Settings(
        bundle=str(pointer.find(run)), database=database, rate=0.0, deadline_ms=60_000.0, log_level="error"
    )
    ledger = Ledger.open(database, clock=clock)
    with ledger.transaction() as tx:
        _, token = tx.create_key("the company", "admin")
        for customer in customers:
            tx.set_consent(customer, CHANNEL, "granted", source="contract")
    ledger.close()
    app = create_app(settings, clock=clock, engine=functools.partial(in_this_process, clock=clock))
    with TestClient(app) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield Service(client, clock)


def _answer(response: Any) -> dict[str, Any]:
    if response.status_code != 200:
        raise AssertionError(f"{response.url}: {response.text}")
    found: dict[str, Any] = response.json()
    return found
