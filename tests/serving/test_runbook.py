"""The runbook: each of its commands is run against a service, and each alert has its section."""

import re
from pathlib import Path

import bundles
import pytest
import served_app
from documents_of import ROOT, commands, run

from retentionjax import cli

RUNBOOK = "serving/RUNBOOK.md"


def test_every_command_of_the_runbook_works(
    checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for bundle in (bundles.make_checked(tmp_path / "before", seed=1), checked):
        assert cli.main(["bundle", "promote", str(bundle), "production/current"]) == 0
    with served_app.serve(tmp_path, checked) as service:
        with service.client("decide") as client:
            body = {"customer_id": "C-1", "facts": served_app.FACTS}
            assert client.post("/v1/decisions", json=body).status_code in (200, 201)
        environment = {
            "SERVICE": service.url,
            "KEY": service.keys["admin"],
            "RETENTIONJAX_DATABASE": f"sqlite:///{tmp_path}/ledger.db",
        }
        failed = {command: status for command in commands(RUNBOOK) if (status := run(command, environment))}
    assert failed == {}, capfd.readouterr().out[-2000:]
    assert (tmp_path / "monitor.json").exists()


def test_every_alert_has_its_section() -> None:
    terraform = (ROOT / "scripts/deploy/terraform/monitoring.tf").read_text()
    named = set(re.findall(r'display_name +=  *"RetentionJax: ([\w -]+)"', terraform))
    keys = set(re.findall(r"^    ([\w-]+) = \{\n +query", terraform, flags=re.MULTILINE))
    assert {"5xx", "p99"} <= named
    assert keys
    sections = set(re.findall(r"^## (.+)$", (ROOT / RUNBOOK).read_text(), flags=re.MULTILINE))
    assert named | keys <= sections
