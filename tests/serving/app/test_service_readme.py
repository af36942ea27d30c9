"""The service's page: its commands run, as they stand there, and its tables are what the program says."""

import dataclasses
import functools
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import bundles
import engines
import pytest
import served_app
from served_app import FACTS

from retentionjax import storage
from retentionjax.bundle import pointer
from serving import settings
from serving.app import create_app
from serving.engine.slots import Served
from serving.first_start import prepare
from serving.ledger import Ledger
from serving.observability.metrics import Metrics

README = Path(__file__).parents[3] / "serving/README.md"


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_the_settings_are_those_of_the_program() -> None:
    text = README.read_text(encoding="utf-8")
    for flag, default, meaning in settings.table():
        assert f"| `{flag}` | {default} | {meaning} |" in text


def test_the_metrics_are_those_of_the_program() -> None:
    text = README.read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(retentionjax_\w+)` ", text, flags=re.MULTILINE))
    families = Metrics().registry.collect()
    assert named == {each.name + ("_total" if each.type == "counter" else "") for each in families}


@pytest.fixture
def place(tmp_path: Path, bundle: Path) -> tuple[Path, dict[str, str]]:
    """A folder like a checkout after the quickstart, and an environment that finds a free port."""
    shutil.copytree(bundle, tmp_path / "runs/demo/bundle/artifacts/bundle")
    customer = {"customer_id": bundles.CUSTOMER["customer_id"], "facts": FACTS}
    storage.write_json(tmp_path / "runs/demo/request.json", customer)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return tmp_path, {**os.environ, "RETENTIONJAX_PORT": str(port), "PATH": path}


def test_its_commands_lead_to_a_decision(place: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The service in this process, by the flags that the page gives it."""
    folder, environment = place
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Served, "load", engines.load)
    serve, ask, create = blocks()
    assert serve.startswith("retentionjax serve ")
    given = settings.parse(shlex.split(serve)[2:], {})
    chosen = dataclasses.replace(given, bundle=os.fspath(pointer.find(given.bundle)), deadline_ms=60_000.0)
    ledger = Ledger.open(chosen.database, clock=time.time)
    made = prepare(ledger, chosen)
    ledger.close()
    assert made.campaign is not None
    assert (made.campaign.budget_micros, made.campaign.customers_expected) == (2_500_000_000, 1000)
    app = create_app(chosen, engine=functools.partial(engines.engine, clock=time.time))
    with served_app.listening(app) as url:
        environment["KEY"] = str(made.admin_key)
        _leads_to_a_decision(ask.replace("http://127.0.0.1:8080", url), create, folder, environment)


@pytest.mark.slow
def test_its_commands_lead_to_a_decision_of_a_process(place: tuple[Path, dict[str, str]]) -> None:
    folder, environment = place
    serve, ask, create = blocks()
    with (folder / "out").open("w") as out:
        process = subprocess.Popen(["bash", "-c", f"exec {serve}"], cwd=folder, env=environment, stdout=out, stderr=out)
    try:
        environment["KEY"] = _key_when_ready(folder / "out", process)
        asked = ask.replace("8080", environment["RETENTIONJAX_PORT"])
        _leads_to_a_decision(asked, create, folder, environment)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM


def _leads_to_a_decision(ask: str, create: str, folder: Path, environment: dict[str, str]) -> None:
    done = _run(ask, folder, environment)
    assert '"status":"granted"' in done
    assert re.search(r'"decision":"(contact|wait)"', done)
    assert re.search(r"rj_[0-9a-f]{16}_", _run(create, folder, environment))


def _key_when_ready(out: Path, process: "subprocess.Popen[bytes]") -> str:
    until = time.monotonic() + 240
    while "RetentionJax is ready at" not in out.read_text():
        assert process.poll() is None, out.read_text()
        assert time.monotonic() < until, out.read_text()
        time.sleep(0.2)
    text = out.read_text()
    assert "Campaign `default`: $2,500 for 1,000 customers, 90 days." in text
    return re.findall(r"rj_[\w-]+", text)[0]


def _run(commands: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
