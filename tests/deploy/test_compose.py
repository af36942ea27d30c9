"""The first try with PostgreSQL: what docker-compose.yaml asks for is played by a server and a process of our own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import image_build
import postgres_server
import pytest
import yaml
from service_process import Service

from serving import settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "scripts/deploy/docker-compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
DECISIONS, LEDGER = COMPOSE["services"]["decisions"], COMPOSE["services"]["ledger"]


def test_it_fits_its_schema() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    if not checker.exists():
        pytest.skip("check-jsonschema of the extra dev is not installed")
    command = [checker, "--builtin-schema", "vendor.compose-spec", FILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_service_gets_settings_that_it_knows_and_the_database_that_is_made() -> None:
    made = LEDGER["environment"]
    found = settings.parse([], DECISIONS["environment"])
    name, password = made["POSTGRES_USER"], made["POSTGRES_PASSWORD"]
    assert found.database == f"postgresql://{name}:{password}@ledger/{made['POSTGRES_DB']}"
    assert DECISIONS["depends_on"] == {"ledger": {"condition": "service_healthy"}}
    (mount,) = DECISIONS["volumes"]
    assert mount.endswith(f":{found.bundle}:ro")
    assert "${BUNDLE:?" in mount, "without a bundle it is said what is missing"


def test_the_image_is_ours_and_reached_from_this_machine_only() -> None:
    build = DECISIONS["build"]
    dockerfile = (FILE.parent / build["context"]).resolve() / build["dockerfile"]
    steps = dict(image_build.instructions(dockerfile))
    (port,) = DECISIONS["ports"]
    assert port == f"127.0.0.1:8080:{steps['EXPOSE']}"
    assert json.loads(steps["CMD"])[-1] == steps["EXPOSE"]
    assert DECISIONS["read_only"] is True
    assert "ports" not in LEDGER, "nobody but the service reaches the database"


@pytest.mark.slow
def test_the_service_comes_up_over_postgresql(bundle_folder: Path, tmp_path: Path) -> None:
    with postgres_server.running() as server:
        service = Service(bundle_folder, server.new_database(), tmp_path / "log")
        service.start()
        try:
            assert service.get("/readyz").status == 200
        finally:
            service.stop()
