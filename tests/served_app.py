"""The whole service at a loopback port, in a thread of the test's process, on a small bundle and a ledger in a file."""

import contextlib
import functools
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import bundles
import engines
import httpx
import uvicorn
from litestar import Litestar

from serving.app import create_app
from serving.engine.slots import Served
from serving.first_start import prepare
from serving.ledger import Ledger
from serving.observability import logs
from serving.security.connections import LimitedProtocol
from serving.settings import Settings

FACTS = {name: value for name, value in bundles.CUSTOMER.items() if name != "customer_id"}
ROLES = ("decide", "report", "admin")


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    url: str
    app: Litestar
    keys: dict[str, str]
    """Role → token."""
    ledger: Ledger
    """Another view of the same database."""
    clock: engines.Clock

    def client(self, role: str | None = "admin") -> httpx.Client:
        """Calls with the key of a role; None: without any."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.keys[role]}"}
        return plain(base_url=self.url, headers=headers)


def plain(**options: Any) -> httpx.Client:
    """A client that reads no certificates, which would take 36 ms: nothing here is encrypted."""
    return httpx.Client(verify=False, timeout=30, **options)


@contextlib.contextmanager
def serve(folder: Path, bundle: Path, **changed: Any) -> Iterator[Running]:
    """Starts it with a campaign for 64 customers and a key for each role; stops it at the end."""
    clock = engines.Clock()
    settings = Settings(
        bundle=str(bundle),
        database=f"sqlite:///{folder}/ledger.db",
        **{
            "campaign_customers": 64,
            "campaign_budget": 5000.0,
            "campaign_holdout": 0.0,
            "rate": 0.0,
            "deadline_ms": 60_000.0,  # a test machine may be busy, and compiles
            "log_level": "error",
            **changed,
        },
    )
    ledger = Ledger.open(settings.database, clock=clock)
    prepare(ledger, settings)
    with ledger.transaction() as tx:
        keys = {role: tx.create_key(f"test {role}", role)[1] for role in ROLES}
    logs.configure("critical")
    app = create_app(settings, clock=clock, engine=functools.partial(engines.engine, clock=clock))
    with mock.patch.object(Served, "load", engines.load), listening(app) as url:
        yield Running(url, app, keys, ledger, clock)
    ledger.close()


@contextlib.contextmanager
def session(own: Running, role: str) -> Iterator[httpx.Client]:
    """Calls to the console, signed in with the key of a role."""
    with plain(base_url=own.url, follow_redirects=True) as client:
        assert client.post("/console/sign-in", data={"key": own.keys[role]}).status_code == 200
        yield client


def csrf(client: httpx.Client) -> str:
    """The word that a form of the signed-in client must carry."""
    return client.get("/console").text.partition('name="csrf" value="')[2].partition('"')[0]


def example(folder: Path) -> Path:
    """A folder with one customer as the console shows them."""
    (folder / "examples").mkdir()
    customer = {**bundles.CUSTOMER, "customer_id": "C-7", "recipient": {"first_name": "Dana"}}
    (folder / "examples" / "somebody.json").write_text(json.dumps(customer))
    return folder / "examples"


@contextlib.contextmanager
def listening(app: Litestar) -> Iterator[str]:
    """The address of `app`, which is served by a thread."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=LimitedProtocol, log_config=None, access_log=False, ws="none", server_header=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    until = time.monotonic() + 120
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        assert time.monotonic() < until, "the service did not start in time"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
