"""A client that a public generator makes from the description of the API asks for decisions and gets them.

Skipped, by name, where openapi-python-client is absent.
"""

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from served_app import FACTS, Running

from retentionjax.data.schema import Schema
from retentionjax.decide.facts import Facts
from serving import openapi

GENERATOR = Path(os.environ.get("OPENAPI_PYTHON_CLIENT", Path(sys.executable).parent / "openapi-python-client"))
OPERATIONS = {
    "decide", "decide_many", "simulate", "read_decision", "explain_decision", "report_outcomes", "read_consent",
    "put_consent", "read_customer_ledger", "read_campaign", "put_campaign", "list_bundles", "activate_bundle",
    "read_kill_switch", "put_kill_switch", "list_due_contacts", "report_sent_contacts", "alive", "ready", "metrics",
    "read_lift", "list_campaigns", "list_variants", "propose_variants", "decide_variant",
}  # fmt: skip
pytestmark = pytest.mark.skipif(not GENERATOR.exists(), reason=f"{GENERATOR} is absent: pip install '.[dev]'")


def generate(document: dict[str, Any], folder: Path, name: str) -> Path:
    """The client's folder. Fails for whatever the generator warns of: it would leave that part out."""
    (folder / f"{name}.json").write_text(json.dumps(document))
    command = [GENERATOR, "generate", "--path", f"{name}.json", "--output-path", name, "--meta", "none"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout.upper(), done.stdout
    return folder / name


@pytest.fixture(scope="module")
def client(service: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with service.client("admin") as caller:
        document = caller.get("/schema/openapi.json").json()
    folder = tmp_path_factory.mktemp("client")
    sys.path.insert(0, str(folder))
    yield generate(document, folder, "generated_client")
    sys.path.remove(str(folder))


def test_every_operation_is_generated(client: Path) -> None:
    assert {file.stem for file in client.glob("api/*/*.py")} - {"__init__"} == OPERATIONS


def test_the_client_makes_decisions(client: Path, service: Running) -> None:
    main = importlib.import_module("generated_client")
    models = importlib.import_module("generated_client.models")
    api = "generated_client.api.decisions"
    caller = main.AuthenticatedClient(base_url=service.url, token=service.keys["decide"])
    asked = {"customer_id": "by-client", "facts": FACTS, "explain": True}
    made = importlib.import_module(f"{api}.decide").sync(client=caller, body=models.DecisionIn.from_dict(asked))
    assert made.decision in ("contact", "wait")
    assert sum(action.propensity for action in made.explanation.actions) == pytest.approx(1, abs=1e-5)
    rows = models.DecisionsIn.from_dict(
        {"decisions": [{"customer_id": f"by-client-{n}", "facts": FACTS} for n in range(3)]}
    )
    many = importlib.import_module(f"{api}.decide_many").sync(client=caller, body=rows)
    assert (many.decided, many.refused) == (3, 0)
    what_if = models.SimulationIn.from_dict({"facts": FACTS, "vary": {"name": "facts.bill", "values": [20, 30.5]}})
    simulated = importlib.import_module(f"{api}.simulate").sync(client=caller, body=what_if)
    assert [point.value for point in simulated.points] == [20, 30.5]


def test_facts_of_every_kind_can_be_read(service: Running, tmp_path: Path) -> None:
    """Categories that are digits may come as numbers, and any fact may be unknown where the bundle says so."""
    with service.client("admin") as caller:
        document = caller.get("/schema/openapi.json").json()
    schema: Schema = bundles.CHURN
    flags = {**schema.categorical, "flag": ("0", "1"), "maybe": ("0", "1", "unknown")}
    wide = dataclasses.replace(schema, categorical=flags, nullable=(*schema.nullable, "maybe", schema.numeric[0]))
    document["components"]["schemas"]["DecisionIn"]["properties"]["facts"] |= openapi._of_facts(Facts(wide))
    generate(document, tmp_path, "wide_client")
