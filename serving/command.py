"""`retentionjax serve --bundle DIR|gs://…|POINTER`: the decision service."""

import contextlib
import dataclasses
import functools
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serving.settings import Settings, hand_on, parse
from serving.stem import Stem

if TYPE_CHECKING:  # heavy, and `--help` needs none of them
    import uvicorn
    from litestar import Litestar

    from serving.first_start import Made


def main(arguments: Sequence[str]) -> int:
    """Runs the service until it is told to stop; raises ConfigError, BundleError or LedgerError before it listens."""
    if "--demo" in arguments:
        from serving import demo

        with demo.prepared([each for each in arguments if each != "--demo"], os.environ) as flags:
            return main(flags)
    settings = parse(arguments, os.environ)
    os.environ |= kept_programs(settings.database, os.environ)
    if settings.workers > 1:
        return _run(settings, "serving.command:app_from_environment")
    with contextlib.closing(Stem(settings)) as stem:  # it imports while we do
        return _run(settings, functools.partial(app_from_environment, stem))


def _run(settings: Settings, app: "str | Callable[[], Litestar]") -> int:
    import uvicorn

    from retentionjax import storage
    from retentionjax.bundle import pointer
    from serving.observability import logs
    from serving.security.connections import LimitedProtocol

    logs.configure(settings.log_level)
    bundle = storage.absolute(settings.bundle)  # the ledger keeps it for services that start elsewhere
    settings = dataclasses.replace(
        settings,
        # A pointer stays one: the service follows it.
        bundle=bundle if pointer.pointed_to(bundle) else os.fspath(pointer.find(bundle)),
        console_secret=settings.console_secret or secrets.token_urlsafe(32),  # one for all worker processes
    )
    _prepare(settings)
    print("Loading and compiling the bundle; programs compiled at an earlier start are used again …", flush=True)
    with _listening(settings) as listener:
        config = uvicorn.Config(
            app,
            factory=True,
            workers=settings.workers,
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=int(settings.drain_seconds) or None,
            timeout_keep_alive=30,
            timeout_worker_healthcheck=30,  # a process that compiles on a busy machine is slow to answer, not dead
            http=LimitedProtocol,
        )
        hand_on(settings, os.environ)  # worker processes read their settings there
        _serve(config, listener)
    return 0


def kept_programs(database: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that have JAX keep what it compiles, beside a SQLite ledger or in the user's cache.

    An engine that is started again, after a crash too, is then back within seconds. Who may write there may run code as
    the service, as who may write beside the ledger could anyway.
    """
    if "JAX_COMPILATION_CACHE_DIR" in environment:
        return {}
    folder = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retentionjax" / "programs"
    if database.startswith("sqlite:///"):
        folder = Path(f"{database.removeprefix('sqlite:///')}.programs").absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:  # a read-only home: everything works, and is compiled at each start
        return {}
    return {"JAX_COMPILATION_CACHE_DIR": str(folder), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def app_from_environment(stem: Stem | None = None) -> "Litestar":
    """The application of a worker process, whose engines are forked from `stem`, by default one of its own."""
    end_with_parent()
    settings = parse([], os.environ)
    stem = stem or Stem(settings)
    from serving.app import create_app
    from serving.engine import Engine
    from serving.observability import logs

    logs.configure(settings.log_level)
    return create_app(settings, engine=functools.partial(Engine, start_process=stem))


def end_with_parent() -> None:
    """Stops this worker process, as a signal would, once the one that started it is gone, however that ended: left
    alone it would hold the port, and nobody would start it again or know how to stop it."""
    import multiprocessing  # which no help waits for

    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _serve(config: "uvicorn.Config", listener: socket.socket) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    host, port = listener.getsockname()[:2]
    place = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                print(f"RetentionJax is ready at {place}, with a console at {place}/console", flush=True)

    if config.workers > 1:
        print(f"Starting {config.workers} processes at {place}; each is ready when {place}/readyz says so")
        Multiprocess(config, sockets=[listener]).run()
        return
    server = Server(config)
    server.run([listener])
    if not server.started:
        sys.exit(3)


def _prepare(settings: Settings) -> None:
    """Brings the ledger up to date and says what a first start made, once."""
    import time

    from serving.first_start import prepare
    from serving.ledger import Ledger

    ledger = Ledger.open(settings.database, clock=time.time)
    try:
        made = prepare(ledger, settings)
    finally:
        ledger.close()
    for line in _first_words(made):
        print(line, flush=True)


def _first_words(made: "Made") -> list[str]:
    from retentionjax.company.money import money

    lines = []
    if made.admin_key is not None:
        lines += [
            "The first admin key, shown this once:",
            f"  {made.admin_key}",
            "Create a key for each caller: `retentionjax keys create --role decide --name NAME`.",
        ]
    if made.campaign is not None:
        budget = money(made.campaign.budget_micros / 1e6, made.currency)
        lines.append(
            f"Campaign `default`: {budget} for {made.campaign.customers_expected:,} customers, "
            f"{made.campaign.horizon_days} days."
        )
    if not made.has_campaign:
        lines.append(
            "There is no campaign yet: start with --campaign-customers N, or PUT /v1/campaigns/default with a budget."
        )
    if made.advice:
        lines.append(f"WARNING: {made.advice}")
    return lines


def _listening(settings: Settings) -> socket.socket:
    """A bound socket. Raises ConfigError where the address cannot be had."""
    from retentionjax.errors import ConfigError

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"host {settings.host}, port {settings.port}: {error.strerror}; allowed: an address of this machine"
        ) from None
    listener.set_inheritable(True)  # worker processes take it over
    return listener
