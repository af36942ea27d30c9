"""The demonstration that comes with the package: whole, of today's format, and alive within moments of an install."""

import asyncio
import functools
import json
import shutil
import time
from pathlib import Path
from typing import Any

import engines
import httpx
import numpy as np
import pytest
from litestar.testing import TestClient
from service_process import Service

from retentionjax import bundle as bundles
from retentionjax import cli, demo
from retentionjax.bundle import cards, manifest
from retentionjax.bundle.customer import HISTORY
from retentionjax.errors import BundleError
from serving import demo as served
from serving.app import create_app
from serving.engine import process
from serving.engine.slots import Served
from serving.first_start import prepare
from serving.ledger import Ledger
from serving.settings import Settings, parse


@pytest.fixture(scope="module")
def bundle() -> bundles.Bundle:
    return bundles.load(demo.BUNDLE)


def test_the_bundle_is_whole_and_of_real_data_and_small(bundle: bundles.Bundle) -> None:
    assert not bundle.manifest.synthetic
    assert bundle.manifest.metrics["evaluate"]["share_of_attainable_gain_low"] > 0.9
    assert demo.CARD.read_text(encoding="utf-8") == cards.card(bundle.manifest)
    assert sum(file.stat().st_size for file in demo.FOLDER.rglob("*") if file.suffix != ".pyc") < 2_000_000


def test_an_older_format_is_refused(tmp_path: Path) -> None:
    old = Path(shutil.copytree(demo.BUNDLE, tmp_path / "bundle"))
    plain = json.loads((old / manifest.NAME).read_text(encoding="utf-8"))
    (old / manifest.NAME).write_text(json.dumps(plain | {"format_version": manifest.FORMAT_VERSION - 1}))
    with pytest.raises(BundleError, match=r"format version \d is unknown; this program reads"):
        bundles.load(old)


def test_the_command_decides_as_was_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["decide", "--demo", "--json"]) == 0
    decision = json.loads(capsys.readouterr().out)
    recorded = json.loads(demo.DECISION.read_text(encoding="utf-8"))
    assert decision["decision"] == recorded["decision"] == "contact"
    assert decision["message"] == recorded["message"]
    for name in ("offer", "bundle"):
        assert decision[name] == recorded[name]
    assert decision["propensity"] == pytest.approx(recorded["propensity"], abs=1e-4)
    assert cli.main(["decide", "--demo", "--customer", str(demo.CUSTOMERS / "ordinary.json")]) == 0
    assert "Customer" in capsys.readouterr().out


def test_what_is_missing_beside_the_demo_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["decide"])
    assert "--bundle and --customer are required, or --demo" in capsys.readouterr().err


def test_the_report_is_a_page_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert cli.main(["report", "--demo", "--out", str(out)]) == 0
    assert f"{out}: the report of the demonstration's run" in capsys.readouterr().out
    assert "--runs" not in out.read_text(encoding="utf-8")  # a folder of whoever made it is nothing to its reader
    page = out.read_text(encoding="utf-8")
    assert "SYNTHETIC" not in page
    assert "Of what can be gained" in page or "attainable" in page


@pytest.fixture
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batch sizes only, for weeks and service together: to compile each takes a second."""
    monkeypatch.setattr(Served, "load", engines.load)
    monkeypatch.setattr(served.process, "serve", functools.partial(process.serve, sizes=engines.SIZES))


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_once")
def test_simulated_weeks_have_decisions_answers_and_departures(tmp_path: Path, bundle: bundles.Bundle) -> None:
    settings = Settings(
        bundle=str(demo.BUNDLE), database=f"sqlite:///{tmp_path}/ledger.db", deadline_ms=60_000.0, log_level="error"
    )
    people = json.loads(demo.PEOPLE.read_text(encoding="utf-8"))
    asyncio.run(served.live(settings, people))
    ledger = Ledger.open(settings.database, clock=lambda: 0.0)
    with ledger.read() as reader:
        view = reader.campaign(served.CAMPAIGN)
        rows = list(reader.follow(0.0))
        assert reader.audit(cooldown_days=int(bundle.params.cooldown_days)) == []
    ledger.close()
    assert view is not None
    assert view.holdout == served.HELD_OUT
    assert 5 <= sum(row.action != 0 for row in rows) < 2 * len(people)
    assert 0 < view.spent_micros + view.reserved_micros <= view.budget_micros
    assert 3 * len(people) < len(rows) <= 4 * len(people)
    assert np.ptp([row.decided_at for row in rows]) == pytest.approx(3 * 7 * 86_400)
    assert 0 < sum(row.churned_at is not None for row in rows) < len(people)


def as_recorded(answer: dict[str, Any]) -> bool:
    """Whether the service's answer is the decision that was recorded."""
    recorded = json.loads(demo.DECISION.read_text(encoding="utf-8"))
    assert answer["propensity"] == pytest.approx(recorded["propensity"], abs=1e-3)
    return (answer["decision"], answer["offer"]["name"]) == (recorded["decision"], recorded["offer"])


@pytest.mark.usefixtures("compiled_once")
def test_the_service_answers_what_the_terminal_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `serve --demo` sets up, in this process; the command itself is run at night."""
    few = json.loads(demo.PEOPLE.read_text(encoding="utf-8"))[:8]
    live = served.live
    monkeypatch.setattr(served, "live", lambda settings, _people: live(settings, few))
    environment = {"JAX_COMPILATION_CACHE_DIR": "unused"}
    with served.prepared(["--log-level", "error"], environment) as flags:
        settings = parse(flags, environment)
        said = capsys.readouterr().out
        assert "SIMULATED" in said
        assert f"--database {settings.database} --campaign {served.CAMPAIGN}" in said  # for the commands that read it
        ledger = Ledger.open(settings.database, clock=time.time)
        made = prepare(ledger, settings)
        ledger.close()
        with TestClient(create_app(settings, engine=functools.partial(engines.engine, clock=time.time))) as client:
            client.headers["Authorization"] = f"Bearer {made.admin_key}"
            answer = client.post("/v1/decisions", json=json.loads(demo.REQUEST.read_text(encoding="utf-8")))
            assert answer.status_code == 200, answer.text
            assert as_recorded(answer.json())
            assert client.get(f"/v1/campaigns/{served.CAMPAIGN}").json()["campaign_id"] == served.CAMPAIGN


@pytest.mark.slow
def test_the_command_that_serves_answers_what_the_terminal_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serve --demo` as a user starts it; its key is in what it prints, and SIGTERM takes its ledger away."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    service = Service(demo.BUNDLE, "unused", tmp_path / "log")
    service._command = [*service._command[: service._command.index("serve") + 1], "--demo", "--port", str(service.port)]
    service.start()
    try:
        printed = (tmp_path / "log").read_text()
        assert "SIMULATED" in printed
        key = printed.split("shown this once:\n")[1].split()[0]
        header = {"Authorization": f"Bearer {key}"}
        url, body = f"http://127.0.0.1:{service.port}", demo.REQUEST.read_bytes()
        typed = header | {"Content-Type": "application/json"}
        assert as_recorded(
            httpx.post(f"{url}/v1/decisions", content=body, headers=typed, timeout=60, verify=False).json()
        )
        campaigns = httpx.get(f"{url}/v1/campaigns/{served.CAMPAIGN}", headers=header, timeout=60, verify=False).json()
        assert campaigns["campaign_id"] == served.CAMPAIGN
        assert len(list(scratch.glob("retentionjax-demo-*"))) == 1
    finally:
        service.stop()
    assert list(scratch.glob("retentionjax-demo-*")) == []


def test_customers_stand_on_the_first_day(bundle: bundles.Bundle) -> None:
    for file in demo.CUSTOMERS.glob("*.json"):
        assert json.loads(file.read_text(encoding="utf-8"))[HISTORY]["day"] == 0
