"""`retentionjax serve` as a process of its own, at a free port of this machine, and clients that load it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bundles

FACTS = {name: value for name, value in bundles.CUSTOMER.items() if name != "customer_id"}
_UNREACHED = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Answer:
    """What the service said; `status` 0 where the connection broke before it had said anything whole."""

    status: int
    body: bytes = b""
    replayed: bool = False
    kind: str = ""
    """Its media type."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """One process; `log` gets what it says."""

    def __init__(self, bundle: Path, database: str, log: Path, *flags: str) -> None:
        self._log = log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._command = [
            *(sys.executable, "-m", "retentionjax.cli", "serve", "--bundle", str(bundle), "--database", database),
            *("--port", str(self.port), "--rate", "0", "--deadline-ms", "60000", "--log-level", "warning", *flags),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        with self._log.open("ab") as log:
            # Here every program is kept: the next start reads what this one compiled, be it ever so small.
            environment = os.environ | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds: float = 500.0) -> None:
        give_up = time.monotonic() + seconds
        while self.get("/readyz").status != 200:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()[-4000:]
            assert time.monotonic() < give_up, self._log.read_text()[-4000:]
            time.sleep(0.05)

    def engine(self) -> int:
        """The number of the engine's process, the only one that the service's stem has forked."""
        assert self._process is not None
        (stem,) = _children(self._process.pid)
        (engine,) = _children(stem)
        return engine

    def kill(self) -> None:
        """SIGKILL: no farewell, nothing flushed."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)

    def stop(self) -> int:
        """SIGTERM, and the exit status once it has drained."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(60)

    def get(self, path: str) -> Answer:
        return Client(self, "").ask("GET", path)


def _children(process: int) -> list[int]:
    stats = {path.parent.name: path.read_text() for path in Path("/proc").glob("[0-9]*/stat")}
    parents = {int(number): int(text.rpartition(")")[2].split()[1]) for number, text in stats.items()}
    return [number for number, parent in parents.items() if parent == process]


class Client:
    """One caller with a connection that stays open."""

    def __init__(self, service: Service, token: str) -> None:
        self._port, self._token = service.port, token
        self._connection: http.client.HTTPConnection | None = None

    def decide(self, customer: str, campaign: str = "default", key: str | None = None) -> Answer:
        body = {"customer_id": customer, "facts": FACTS, "campaign_id": campaign}
        return self.ask("POST", "/v1/decisions", body, key)

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=90)
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = self._connection.getresponse()
            content = response.read()
        except _UNREACHED:
            self._connection = None
            return Answer(0)
        replayed = response.getheader("Idempotent-Replayed") == "true"
        return Answer(response.status, content, replayed, response.getheader("Content-Type") or "")


@dataclass(frozen=True)
class Sent:
    """One request and its answer."""

    customer: str
    key: str
    answer: Answer


def together(actions: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Runs the actions at the same time, each in a thread; their answers."""
    answers: list[Answer | None] = [None] * len(actions)
    line = threading.Barrier(len(actions))

    def run(place: int) -> None:
        line.wait()
        answers[place] = actions[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answer for answer in answers if answer is not None]


class Load:
    """Clients that ask for decisions without a pause, about customers in turn, until they are stopped."""

    def __init__(self, services: Sequence[Service], token: str, customers: Sequence[str], clients: int = 8) -> None:
        self.sent: list[Sent] = []
        self._token, self._customers, self._stopping = token, customers, threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(services[number % len(services)], number))
            for number in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, service: Service, number: int) -> None:
        client, place = Client(service, self._token), number
        while not self._stopping.is_set():
            place += 7
            customer, key = self._customers[place % len(self._customers)], str(uuid.uuid4())
            answer = client.decide(customer, key=key)
            self.sent.append(Sent(customer, key, answer))
            if answer.status != 200:  # what starts again is not kept from it by those who ask for it
                time.sleep(0.02 if answer.status == 0 else 0.1)

    def stop(self) -> list[Sent]:
        """All that was sent."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        return self.sent
