"""The decision service against a trivial Litestar echo, each a uvicorn process of its own on loopback, in one run.

Both are asked by the same generator (raw sockets, a process of its own) with the same bodies at concurrency 32, in
turns, and the best turn of each counts. The service scores, decides, writes templates and commits every decision to
SQLite with FULL sync. CPU is the time (/proc) of the server's process and of its engine's, so a busy machine blurs
requests a second and latency more than that. `engine_*` is the engine without HTTP and ledger, in this process, 128
decisions at a time.

By the demo's bundle, or that of the folder which RETENTIONJAX_BUNDLE names.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = Path(os.environ.get("RETENTIONJAX_BUNDLE", ROOT / "retentionjax/demo/bundle"))
CONCURRENCY = 32
SECONDS = 6.0  # of a turn
WARM_UP = 1.5
TURNS = 3
EXPLORATION = 0.02  # so that contacts, with messages and reservations, are part of it: the policy makes very few
CUSTOMERS = 20_000
START_SECONDS = 240.0
ROWS, ROUNDS = 128, 60


def run() -> dict[str, float]:
    """Requests/s and their ratio, CPU µs a request of both servers, latency in ms, decisions/s of the engine alone."""
    with tempfile.TemporaryDirectory() as folder:
        bodies = Path(folder) / "bodies.json"
        bodies.write_text(json.dumps(requested()))
        turns = list(_turns(Path(folder), bodies))
    service = max((service for _, service in turns), key=lambda turn: turn["requests_per_second"])
    echo = max((echo for echo, _ in turns), key=lambda turn: turn["requests_per_second"])
    figures = {
        "requests_ratio_to_echo": service["requests_per_second"] / echo["requests_per_second"],
        "cpu_ratio_to_echo": min(s["cpu_us"] for _, s in turns) / min(e["cpu_us"] for e, _ in turns),
        "service_requests_per_second": service["requests_per_second"],
        "echo_requests_per_second": echo["requests_per_second"],
        "service_cpu_us_a_decision": min(s["cpu_us"] for _, s in turns),
        "echo_cpu_us_a_request": min(e["cpu_us"] for e, _ in turns),
        "service_p50_ms": min(s["p50_ms"] for _, s in turns),
        "service_p99_ms": min(s["p99_ms"] for _, s in turns),
        "echo_p99_ms": min(e["p99_ms"] for e, _ in turns),
        "decisions_that_contact_share": service["contacts"],
    }
    return figures | _engine()


# --- what is asked --------------------------------------------------------------------------------------------


def _facts(count: int) -> list[dict[str, Any]]:
    """Customers' facts by the bundle's schema, drawn evenly."""
    import numpy as np

    from retentionjax.bundle import manifest
    from retentionjax.storage import as_path

    fields = manifest.read(as_path(BUNDLE)).customer["fields"]
    random = np.random.default_rng(0)
    used = {name: fact for name, fact in fields.items() if name != "customer_id"}

    def value(fact: dict[str, Any]) -> Any:
        return str(random.choice(fact["allowed"])) if fact["type"] == "category" else round(random.uniform(18, 100), 2)

    return [{name: value(fact) for name, fact in used.items()} for _ in range(count)]


def requested() -> list[str]:
    """One request for each customer, with time zone and first name."""
    some = _facts(400)
    names = ("Ana", "Ben", "Chloe", "Dev", "Eva", "Finn")
    return [
        json.dumps(
            {
                "customer_id": f"C-{number}",
                "facts": some[number % len(some)],
                "channel": "sms",
                "time_zone": "America/Chicago",
                "first_name": names[number % len(names)],
            }
        )
        for number in range(CUSTOMERS)
    ]


# --- servers --------------------------------------------------------------------------------------------------


def echo_app() -> Any:
    """A Litestar handler that decodes the same body with msgspec and gives it back."""
    import msgspec
    from litestar import Litestar, post

    class Body(msgspec.Struct):
        customer_id: str
        facts: dict[str, int | float | str | None]
        channel: str | None = None
        time_zone: str | None = None
        first_name: str | None = None

    @post("/v1/decisions", status_code=200)
    async def echo(data: Body) -> Body:
        return data

    @post("/readyz", status_code=200)
    async def ready() -> str:
        return "ready"

    # Litestar reads the annotations' names, which are local here.
    echo.fn.__annotations__.update({"data": Body, "return": Body})
    return Litestar([echo, ready], openapi_config=None)


def _turns(folder: Path, bodies: Path) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    with _echo() as (echo, echo_port), served(folder) as (pid, port, key):
        for _ in range(TURNS):
            yield load(echo, echo_port, bodies, ""), load(pid, port, bodies, key)


@contextlib.contextmanager
def _echo() -> Iterator[tuple[int, int]]:
    port = free_port()
    flags = ["--port", str(port), "--no-access-log", "--log-level", "warning", "--factory"]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.service:echo_app", *flags]
    with running(command, {"PYTHONPATH": str(ROOT / "scripts")}) as process:
        wait(port, "POST")
        yield process.pid, port


@contextlib.contextmanager
def served(folder: Path, **campaign: Any) -> Iterator[tuple[int, int, str]]:
    """The service with consent of every customer and a key that may ask without limit; `campaign` as `_ledger`."""
    port, database = free_port(), f"sqlite:///{folder}/ledger.db"
    key = _ledger(database, **campaign)
    flags = {"bundle": BUNDLE, "database": database, "port": port, "rate": 0, "exploration": EXPLORATION}
    command = [str(Path(sys.executable).with_name("retentionjax")), "serve"]
    command += [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    with running(command, {}) as process:
        wait(port, "GET")
        yield process.pid, port, key


def _ledger(database: str, holdout: float = 0.0, pilot: Any = None) -> str:
    from serving.ledger import Ledger
    from serving.ledger.types import Campaign

    ledger = Ledger.open(database, clock=time.time)
    with ledger.transaction() as tx:
        tx.put_campaign(Campaign("default", 10**12, tx.now - 60.0, 90, CUSTOMERS, holdout, pilot))
        for number in range(CUSTOMERS):
            tx.set_consent(f"C-{number}", "sms", "granted", source="benchmark")
        _, token = tx.create_key("benchmark", "admin")
    ledger.close()
    return token


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command, env={**os.environ, "JAX_PLATFORMS": "cpu", **environment}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(port: int, method: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/readyz", method=method)
        try:
            with urllib.request.urlopen(request, timeout=2):
                return
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.5)
    raise SystemExit(f"the server at port {port} was not ready in {START_SECONDS:.0f} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- the load -------------------------------------------------------------------------------------------------


def load(pid: int, port: int, bodies: Path, key: str) -> dict[str, float]:
    """One turn from a process of its own; the server's CPU time over the same span."""
    command = [sys.executable, __file__, str(port), str(bodies), str(pid), str(os.getpid() + time.monotonic_ns() % 997)]
    done = subprocess.run(command, input=key.encode(), capture_output=True, check=True)
    return dict(json.loads(done.stdout))


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests: list[bytes], times: list[float], counts: dict[bytes, int]) -> None:
        self.requests, self.times, self.counts = requests, times, counts
        self.place, self.buffer, self.sent, self.running = 0, b"", 0.0, True
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.requests[self.place % len(self.requests)])
        self.place += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length is None or len(body) < int(length[1]):
            return
        self.times.append(time.perf_counter() - self.sent)
        for word in (head[9:12], b"contact" if b'"decision":"contact"' in body else b"other"):
            self.counts[word] = self.counts.get(word, 0) + 1
        self.buffer = b""
        if self.running:
            self.ask()


async def generate(port: int, bodies: list[str], pid: int, seed: int, key: str) -> dict[str, float]:
    """Asks at CONCURRENCY for SECONDS after WARM_UP; raises SystemExit if any answer is not 200."""
    head = (
        f"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    )
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode() for body in bodies]
    shift = seed * 131 % len(requests)
    requests = requests[shift:] + requests[:shift]
    times: list[float] = []
    counts: dict[bytes, int] = {}
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(CONCURRENCY):
        share = requests[number::CONCURRENCY]
        made = await loop.create_connection(lambda share=share: Client(share, times, counts), "127.0.0.1", port)
        clients.append(made[1])
    await asyncio.sleep(WARM_UP)
    times.clear()
    counts.clear()
    begun, used = time.perf_counter(), _cpu_seconds(pid)
    await asyncio.sleep(SECONDS)
    seconds, cpu, count = time.perf_counter() - begun, _cpu_seconds(pid) - used, len(times)
    ordered = sorted(times)
    for client in clients:
        client.running = False
    await asyncio.sleep(0.3)
    if not count or set(counts) - {b"200", b"contact", b"other"}:
        raise SystemExit(f"answers other than 200: {counts}")
    return {
        "requests_per_second": count / seconds,
        "cpu_us": cpu / count * 1e6,
        "p50_ms": ordered[count // 2] * 1e3,
        "p99_ms": ordered[int(count * 0.99)] * 1e3,
        "contacts": counts.get(b"contact", 0) / count,
    }


def _cpu_seconds(pid: int) -> float:
    """CPU time of the process and of those that it started: the service's engine is one of its own."""
    return sum(int(each[11]) + int(each[12]) for each in family(pid).values()) / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> dict[int, list[str]]:
    """The process and those that it started, the youngest last: number → what /proc says behind its name."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    found = {pid: stats[pid]}
    for each in sorted(stats):  # a child's number is above its parent's
        if int(stats[each][1]) in found:
            found[each] = stats[each]
    return found


# --- the engine alone -----------------------------------------------------------------------------------------


def _engine() -> dict[str, float]:
    """Score + mask + policy + draw from facts as they come in, and with the answers as JSON too."""
    import numpy as np

    from retentionjax.decide.customer import unknown
    from retentionjax.decide.program import sample
    from serving.engine.contract import Ask
    from serving.engine.drafts import Terms, draft
    from serving.engine.situations import Situation, encode
    from serving.engine.slots import Served
    from serving.ledger.views import CampaignView, CustomerView

    served = Served.load(str(BUNDLE), sizes=(ROWS,))
    asks = [Ask(f"C-{number}", facts, time_zone="America/Chicago") for number, facts in enumerate(_facts(ROWS))]
    records = [{**ask.facts, "customer_id": ask.customer_id} for ask in asks]
    uniforms = np.random.default_rng(0).random(ROWS)
    now = time.time()
    campaign = CampaignView("default", 10**12, 0, 0, now - 60.0, 90, CUSTOMERS)
    views = [CustomerView(ask.customer_id, "default", {"sms": "granted"}) for ask in asks]

    def decide() -> None:
        features = served.decider.facts.records(records)
        decided = served.decider.decide(features, unknown(ROWS))
        sample(decided.propensities, uniforms)

    def answer() -> None:
        situations = [
            Situation(ask, view, campaign, encode(served, ask), 0) for ask, view in zip(asks, views, strict=True)
        ]
        draft(served, "active", situations, Terms("policy", 0.0, now))

    return {
        "engine_decisions_per_second": _rate(decide),
        "engine_answers_per_second": _rate(answer),
    }


def _rate(step: Any) -> float:
    """Decisions a second of the best of ROUNDS."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return ROWS / best


if __name__ == "__main__":
    given = sys.argv[1:]
    found = asyncio.run(
        generate(int(given[0]), json.loads(Path(given[1]).read_text()), int(given[2]), int(given[3]), sys.stdin.read())
    )
    print(json.dumps(found))
